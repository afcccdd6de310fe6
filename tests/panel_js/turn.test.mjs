/** A turn in the page: what is said around its reply, and how its prompt is edited. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { loadTurn, openPanel, settled } from "./page.mjs";

/** A panel with one turn that is loaded. */
async function withTurn(t, { mark = "complete 1/1", blocks = ["<p>because</p>"], ...more } = {}) {
  const opened = await openPanel({ rows: [["a", 0, 5, mark]] });
  t.after(() => opened.panel.close());
  loadTurn(opened.model, "a", blocks, more);
  opened.page.paint();
  const element = opened.page.document.querySelector(".fg-turn");
  return { ...opened, element, turn: opened.panel.log.turns[0], button: (label) => element.querySelector(`[aria-label='${label}']`) };
}

test("the caption says who answered, how long it took, and how it ended", async (t) => {
  const { turn } = await withTurn(t, { status: "cancelled", replayed: true, notices: ["cut short"] });

  assert.equal(turn.caption, "echo:words · 1.3 s · replayed · interrupted · cut short");
});

test("the caption tells the tokens and the cost, and opens to what was sent", async (t) => {
  const { turn, element } = await withTurn(t, { tokens: "12 → 4 tokens", cost: "≈ $0.004", sent: "sent: prompt, 1 picture · 12 tokens" });
  const caption = element.querySelector(".fg-caption");

  assert.equal(turn.caption, "echo:words · 12 → 4 tokens · ≈ $0.004 · 1.3 s");
  assert.equal(caption.querySelector("div").textContent, "sent: prompt, 1 picture · 12 tokens");
  assert.equal(caption.querySelector("summary").tabIndex, 0);
  assert.ok(!caption.classList.contains("fg-closed"));
});

test("without what was sent the caption does not open", async (t) => {
  const { element } = await withTurn(t, {});

  assert.ok(element.querySelector(".fg-caption").classList.contains("fg-closed"));
  assert.equal(element.querySelector(".fg-caption > summary").tabIndex, -1);
});

test("while nothing has come the caption counts the seconds, and says what the provider does", async (t) => {
  const { page, model, element } = await withTurn(t, { mark: "streaming 1/1", blocks: [], status: "streaming", seconds: null, elapsed: 0 });
  const caption = () => element.querySelector(".fg-caption > summary").textContent;
  assert.equal(caption(), "echo:words");

  page.pass(600);
  assert.equal(caption(), "echo:words · 1 s");

  model.say({ kind: "doing", turn: "a", doing: "loading the model" });
  page.pass(2000);
  assert.equal(caption(), "echo:words · 3 s · loading the model");

  model.say({ kind: "grow", number: 1, revision: 0, turns: [["a", 1, 0, 0, "", ["<p>b</p>"]]] });
  page.paint();
  assert.equal(caption(), "echo:words");
});

test("a pause before another try is counted down", async (t) => {
  const { page, model, element } = await withTurn(t, { mark: "streaming 1/1", blocks: [], status: "streaming", seconds: null, elapsed: 0 });
  const waiting = element.querySelector(".fg-waiting");
  model.say({ kind: "pause", turn: "a", pause: { why: "The server is busy", left: 2.5 } });
  assert.equal(waiting.textContent, "The server is busy; asking again in 3 s");

  page.pass(1000);
  assert.equal(waiting.textContent, "The server is busy; asking again in 2 s");

  page.pass(2000);
  assert.equal(waiting.textContent, "");
});

test("a panel that was closed while a reply is waited for counts no seconds", async (t) => {
  const { page, panel } = await withTurn(t, { mark: "streaming 1/1", blocks: [], status: "streaming", seconds: null, elapsed: 0 });
  panel.close();
  page.pass(60_000);

  assert.equal(page.timers.size, 0);
});

test("an error is said below the reply, as text", async (t) => {
  const { element } = await withTurn(t, { status: "failed", error: "<b>no</b> key" });
  const trouble = element.querySelector(".fg-trouble");

  assert.deepEqual([trouble.hidden, trouble.textContent, trouble.children.length], [false, "<b>no</b> key", 0]);
});

test("two clicks go two versions back, though the first is not answered", async (t) => {
  const { model, button } = await withTurn(t, { version: 3, versions: 3 });
  button("Earlier version").click();
  button("Earlier version").click();

  assert.deepEqual(model.sent.filter(({ kind }) => kind === "choose").map(({ version }) => version), [2, 1]);
});

test("a long prompt is shown whole when somebody asks for it", async (t) => {
  const { model, element } = await withTurn(t, { prompt: "long", prompt_more: 5 });
  element.querySelector(".fg-rest").click();
  await model.answer("whole", { prompt: "long text" });

  assert.equal(element.querySelector(".fg-prompt").textContent, "long text");
  assert.equal(element.querySelector(".fg-rest").hidden, true);
});

test("an edited prompt is asked, and the turn is as it was before", async (t) => {
  const { page, model, panel, element, button } = await withTurn(t);
  button("Edit and ask again").click();
  const field = element.querySelector("textarea");
  assert.equal(page.document.activeElement, field);
  page.type(field, " really");
  page.press(field, "Enter");
  assert.equal(field.readOnly, true);
  assert.deepEqual([model.last("edit").place, model.last("edit").text], [0, "why? really"]);

  await model.answer("edit");
  assert.equal(element.querySelector("textarea"), null);
  assert.equal(panel.edits.size, 0);
  assert.equal(page.document.activeElement, panel.composer.field);
});

test("an edit that is given up changes nothing", async (t) => {
  const { page, model, element, button } = await withTurn(t);
  button("Edit and ask again").click();
  page.type(element.querySelector("textarea"), " really");
  page.press(element.querySelector("textarea"), "Escape");

  assert.equal(element.querySelector(".fg-prompt").textContent, "why?");
  assert.equal(model.last("edit"), undefined);
  assert.equal(page.document.activeElement, button("Edit and ask again"));
});

test("an edit that the kernel refuses can be asked again", async (t) => {
  const { page, model, panel, element, button } = await withTurn(t);
  button("Edit and ask again").click();
  const field = element.querySelector("textarea");
  page.press(field, "Enter");
  await model.answer("edit", { error: "no model" });

  assert.deepEqual([field.readOnly, panel.sending, panel.banner.textContent], [false, null, "no model"]);
});

test("what is typed in a turn stays though its turn is changed, and is said to be of another version", async (t) => {
  const { page, model, panel, element, button } = await withTurn(t);
  button("Edit and ask again").click();
  page.type(element.querySelector("textarea"), " really");
  model.say({ kind: "splice", revision: 1, at: 0, gone: 1, rows: [["b", 0, 5, "complete 2/2"]] });
  page.paint();
  loadTurn(model, "b", ["<p>so</p>"], { version: 2, versions: 2 });
  page.paint();
  const field = page.document.querySelector(".fg-turn textarea");

  assert.equal(field.value, "why? really");
  assert.equal(page.document.activeElement, field);
  assert.match(page.document.querySelector(".fg-editor").textContent, /has changed since/);
  assert.equal(panel.edits.get(0).text, "why? really");
});

test("what is typed in a turn that is taken out goes into the composer", async (t) => {
  const { page, model, panel, element, button } = await withTurn(t);
  page.type(panel.composer.field, "next");
  button("Edit and ask again").click();
  page.type(element.querySelector("textarea"), " really");
  model.say({ kind: "splice", revision: 1, at: 0, gone: 1, rows: [] });
  await settled();

  assert.equal(panel.composer.field.value, "next\n\nwhy? really");
  assert.match(panel.banner.textContent, /was removed/);
});

test("an edit that is refused after its turn was taken out goes into the composer", async (t) => {
  const { page, model, panel, element, button } = await withTurn(t);
  button("Edit and ask again").click();
  page.type(element.querySelector("textarea"), " really");
  page.press(element.querySelector("textarea"), "Enter");
  model.say({ kind: "splice", revision: 1, at: 0, gone: 1, rows: [] });
  assert.equal(panel.composer.field.value, ""); // it may still be asked

  await model.answer("edit", { error: "there is no such turn" });
  assert.equal(panel.composer.field.value, "why? really");
  assert.equal(panel.edits.size, 0);
});

test("the buttons of a turn are one tab stop, and arrow keys move between them", async (t) => {
  const { page, element, button } = await withTurn(t, {});
  const stops = () => [...element.querySelectorAll(".fg-tools button")].filter((each) => each.tabIndex === 0);
  assert.deepEqual(stops(), [button("Edit and ask again")]);

  button("Edit and ask again").focus();
  page.press(page.document.activeElement, "ArrowRight");
  page.press(page.document.activeElement, "ArrowRight");
  assert.equal(page.document.activeElement.getAttribute("aria-label"), "Ask again");
  assert.deepEqual(stops(), [button("Ask again")]);

  page.press(page.document.activeElement, "End");
  page.press(page.document.activeElement, "ArrowRight");
  assert.equal(page.document.activeElement, button("Edit and ask again"));
});

const OTHER = { id: "b", version: 2, title: "2 echo:messages", line: "9 tokens · 1.2 s", error: "", status: "complete", empty: false };

test("a reply of another model opens below the live one, and can be kept instead", async (t) => {
  const { page, model, element, button } = await withTurn(t, { compared: [OTHER, { ...OTHER, id: "c", title: "3 x:y", status: "failed", error: "no key", empty: true }] });
  const compared = element.querySelector(".fg-compared");
  const details = compared.querySelector("details");
  assert.equal(compared.hidden, false);
  assert.equal(details.querySelector("summary").textContent, "2 echo:messages · 9 tokens · 1.2 s");
  assert.equal(compared.querySelector(".fg-trouble").textContent, "no key");
  assert.deepEqual([button("Keep 2 echo:messages").disabled, button("Keep 3 x:y").disabled], [false, true]);

  details.setAttribute("open", "");
  details.dispatchEvent(new page.window.Event("toggle"));
  await model.answer("other", { blocks: ["<p>that is why</p>"] });
  assert.equal(details.querySelector(".fg-blocks").textContent, "that is why");

  button("Keep 2 echo:messages").click();
  assert.deepEqual(model.sent.filter(({ kind }) => kind === "choose").map(({ place, version }) => [place, version]), [[0, 2]]);
});

test("without a comparison there are no other replies", async (t) => {
  const { element } = await withTurn(t, {});

  assert.equal(element.querySelector(".fg-compared").hidden, true);
});

/** The field for the next prompt. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openPanel, settled } from "./page.mjs";

/** A panel, and somebody who types. */
async function typing(t, text = "", options = {}) {
  const opened = await openPanel(options);
  t.after(() => opened.panel.close());
  const { composer } = opened.panel;
  if (text) opened.page.type(composer.field, text);
  return { ...opened, composer, field: composer.field };
}

/** The completions that are shown. */
const options = (composer) => (composer.list.hidden ? null : [...composer.list.children].map((option) => option.firstChild.textContent));

test("Enter sends the prompt with what is attached, and then the field is empty", async (t) => {
  const { page, model, panel, composer, field } = await typing(t, "why?");
  composer.attached = ["frame"];
  page.press(field, "Enter");
  assert.equal(field.readOnly, true);
  assert.equal(composer.send.getAttribute("aria-label"), "Stop");
  assert.deepEqual([model.last("ask").text, model.last("ask").attached], ["why?", ["frame"]]);

  await model.answer("ask");
  assert.deepEqual([field.value, composer.attached, field.readOnly, panel.pending], ["", [], false, false]);
  assert.equal(composer.send.getAttribute("aria-label"), "Send");
});

test("what a command quoted is sent as quoted, also after a reload and after ↑ and ↓, and what is typed next is not", async (t) => {
  const { page, model, panel, composer, field } = await typing(t);
  await panel.take({ text: "```python\nf'{x}'\n```", attached: [], send: false, quotes: true });
  composer.quotes = false;
  composer.restore();
  page.type(field, "why?");
  composer.recall(1);
  await settled();
  await model.answer("recall", { text: "earlier" });
  assert.deepEqual([field.value, composer.quotes], ["earlier", false]);
  composer.recall(-1);
  await settled();
  page.press(field, "Enter");
  assert.equal(model.last("ask").quotes, true);

  await model.answer("ask");
  page.type(field, "and {x}?");
  page.press(field, "Enter");
  assert.equal(model.last("ask").quotes, undefined);
});

test("Enter with Shift, or while a character is composed, sends nothing", async (t) => {
  const { page, model, field } = await typing(t, "why?");
  page.press(field, "Enter", { shiftKey: true });
  page.press(field, "Enter", { isComposing: true });

  assert.equal(model.last("ask"), undefined);
});

test("a prompt that the kernel refuses stays in the field", async (t) => {
  const { page, model, panel, composer, field } = await typing(t, "why?");
  page.press(field, "Enter");
  await model.answer("ask", { error: "openai needs a key" });
  assert.deepEqual([field.value, panel.banner.textContent], ["why?", "openai needs a key"]);

  page.type(field, "!");
  assert.equal(panel.banner.hidden, true); // it is read by now
  assert.equal(composer.field.value, "why?!");
});

test("while a reply arrives nothing is asked, and the button stops it", async (t) => {
  const { page, model, panel, composer, field } = await typing(t, "why?", { traits: { status: "streaming" } });
  page.press(field, "Enter");
  assert.equal(model.last("ask"), undefined);
  assert.match(panel.banner.textContent, /still arriving/);

  composer.send.click();
  assert.equal(model.last("stop").kind, "stop");

  model.set({ status: "" });
  assert.equal(panel.banner.hidden, true);
});

test("a template is a prompt: it waits for the reply that arrives, and what is attached goes with it", async (t) => {
  const waiting = await typing(t, "/template review", { traits: { status: "streaming" } });
  waiting.page.press(waiting.field, "Enter");
  assert.equal(waiting.model.last("ask"), undefined);

  const { page, model, composer, field } = await typing(t, "/template review who=all");
  composer.attached = ["frame"];
  page.press(field, "Enter");
  await model.answer("ask");
  assert.deepEqual([model.last("ask").attached, field.value, composer.attached], [["frame"], "", []]);
});

test("a command goes to the kernel while a reply arrives, and leaves what is attached", async (t) => {
  const { page, model, composer, field } = await typing(t, "/undo", { traits: { status: "streaming" } });
  composer.attached = ["frame"];
  page.press(field, "Enter");
  await model.answer("ask", { said: "Taken back." });

  assert.deepEqual([field.value, composer.attached, composer.hint.textContent], ["", ["frame"], "Taken back."]);
});

test("what was typed after a prompt was sent is not thrown away", async (t) => {
  const { page, model, composer, field } = await typing(t, "why?");
  page.press(field, "Enter");
  composer.fill("and then?", []);
  await model.answer("ask");

  assert.equal(field.value, "and then?");
});

test("a name in braces is completed and closed", async (t) => {
  const { page, model, composer, field } = await typing(t, "plot {fr");
  await model.answer("complete", { start: 6, items: [["frame", "DataFrame"], ["free", "int"]] });
  assert.deepEqual(options(composer), ["frame", "free"]);

  page.press(field, "ArrowDown");
  assert.equal(field.getAttribute("aria-activedescendant"), composer.list.children[1].id);
  page.press(field, "Tab");

  assert.equal(field.value, "plot {free}");
  assert.equal(field.selectionEnd, "plot {free".length);
  assert.equal(options(composer), null);
});

test("Enter takes a completion, and sends where what is typed is one", async (t) => {
  const { page, model, composer, field } = await typing(t, "/un");
  await model.answer("complete", { start: 1, items: [["undo", ""], ["undone", ""]] });
  page.press(field, "Enter");
  assert.deepEqual([field.value, model.last("ask")], ["/undo", undefined]);

  page.type(field, "n");
  field.setRangeText("", 5, 6, "end");
  page.type(field, "");
  await model.answer("complete", { start: 1, items: [["undo", ""], ["undone", ""]] });
  assert.deepEqual(options(composer), ["undo", "undone"]);
  page.press(field, "Enter");
  assert.equal(model.last("ask").text, "/undo");
});

test("completions that come late, or to another field, are not shown", async (t) => {
  const { page, model, composer, field } = await typing(t, "{f");
  const late = model.last("complete");
  page.type(field, "o");
  model.say({ kind: "answer", id: late.id, page: late.page, start: 1, items: [["frame", ""]] });
  await settled();
  assert.equal(options(composer), null);

  field.blur();
  await model.answer("complete", { start: 1, items: [["foo", ""]] });
  assert.equal(options(composer), null);
});

test("the only completion is not offered where it is typed", async (t) => {
  const { model, composer } = await typing(t, "{frame");
  await model.answer("complete", { start: 1, items: [["frame", ""]] });

  assert.equal(options(composer), null);
});

test("the arrow up goes back through the prompts, and down to what was typed", async (t) => {
  const { page, model, field } = await typing(t, "draft");
  field.setSelectionRange(0, 0);
  page.press(field, "ArrowUp");
  await settled();
  await model.answer("recall", { text: "the last" });
  page.press(field, "ArrowUp");
  await settled();
  assert.equal(model.last("recall").back, 2);
  await model.answer("recall", { text: "the one before" });
  assert.equal(field.value, "the one before");

  field.setSelectionRange(field.value.length, field.value.length);
  page.press(field, "ArrowDown");
  await settled();
  await model.answer("recall", { text: "the last" });
  page.press(field, "ArrowDown");
  await settled();
  assert.equal(field.value, "draft");
});

test("an earlier prompt that comes after something was typed does not replace it", async (t) => {
  const { page, model, field } = await typing(t);
  page.press(field, "ArrowUp");
  await settled();
  page.type(field, "new");
  await model.answer("recall", { text: "old" });

  assert.equal(field.value, "new");
});

test("what is attached is shown once, and can be taken away", async (t) => {
  const { page, composer } = await typing(t);
  for (const name of ["frame", " frame ", "err"]) {
    composer.attach.value = name;
    page.press(composer.attach, "Enter");
  }
  assert.deepEqual(composer.attached, ["frame", "err"]);

  composer.chips.querySelector("[aria-label='Do not attach frame']").click();
  assert.deepEqual([composer.attached, composer.chips.textContent], [["err"], "err"]);
});

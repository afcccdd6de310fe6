/** The panel as a whole: what is lost on the way, what is asked once, and what is told to whom. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { facts, load, loadTurn, Model, openPage, openPanel, settled } from "./page.mjs";

const { default: widget } = await load("widget.js");

/** A panel that is closed after the test. */
async function opened(t, options) {
  const all = await openPanel(options);
  t.after(() => all.panel.close());
  return all;
}

/** How many messages of a kind the page has sent. */
const count = (model, kind) => model.sent.filter((message) => message.kind === kind).length;

test("a widget shows a panel, and takes it away again", () => {
  const { document } = openPage();
  const model = new Model();
  const close = widget.render({ model, el: document.body });
  assert.equal(document.querySelectorAll(".flowgpt-panel").length, 1);
  assert.equal(count(model, "open"), 1);

  close();
  assert.equal(document.body.children.length, 0);
  assert.equal(count(model, "gone"), 1);
  assert.equal([...model.listeners.values()].flat().length, 0);
});

test("a turn in view is asked for once, and again when nothing came for long", async (t) => {
  const { page, model } = await opened(t, { rows: [["a", 0, 5, "complete 1/1"]] });
  assert.deepEqual(model.last("need").turns, ["a"]);
  page.paint();
  assert.equal(count(model, "need"), 1);

  page.pass(6000);
  page.paint();
  assert.equal(count(model, "need"), 2);
});

test("of many turns those near the end are in the page", async (t) => {
  const { model, panel } = await opened(t, { rows: Array.from({ length: 500 }, (_, number) => [`t${number}`, number, 200, "complete 1/1"]) });
  const inPage = panel.log.turns.filter((turn) => turn.element);

  assert.equal(inPage.at(-1).id, "t499");
  assert.ok(inPage.length < 30, `${inPage.length}`);
  assert.deepEqual(model.last("need").turns, inPage.map((turn) => turn.id));
});

test("everything is asked for again after a change to the list was lost", async (t) => {
  const { model, panel } = await opened(t, { rows: [["a", 0, 5, "complete 1/1"]] });
  model.say({ kind: "splice", revision: 2, at: 1, gone: 0, rows: [["c", 2, 5, "complete 1/1"]] });

  assert.equal(count(model, "open"), 2);
  assert.deepEqual(panel.log.turns.map(({ id }) => id), ["a"]);
});

test("a turn is asked for again after a change to its reply was lost", async (t) => {
  const { page, model, panel } = await opened(t, { rows: [["a", 0, 5, "streaming 1/1"]] });
  loadTurn(model, "a", ["<p>one</p>"], { status: "streaming", n: 1 });
  model.say({ kind: "grow", number: 3, revision: 0, turns: [["a", 3, 0, 6, " three</p>"]] });
  page.paint();
  assert.equal(count(model, "need"), 2);
  assert.deepEqual(panel.log.turns[0].body.blocks, ["<p>one</p>"]);

  loadTurn(model, "a", ["<p>one two three</p>"], { status: "streaming", n: 3 });
  model.say({ kind: "grow", number: 4, revision: 0, turns: [["a", 4, 0, 16, " four</p>"]] });
  assert.deepEqual(panel.log.turns[0].body.blocks, ["<p>one two three four</p>"]);
});

test("a change that comes twice is applied once, and nothing is asked for because of it", async (t) => {
  const { page, model, panel } = await opened(t, { rows: [["a", 0, 5, "streaming 1/1"]] });
  loadTurn(model, "a", ["<p>a</p>"], { status: "streaming" });
  const message = { kind: "grow", number: 1, revision: 0, turns: [["a", 1, 0, 4, "b</p>"]] };
  model.say(message);
  model.say(message);
  page.paint();

  assert.equal(count(model, "need"), 1);
  assert.deepEqual(panel.log.turns[0].body.blocks, ["<p>ab</p>"]);
});

test("a long turn that comes in parts is whole at the end", async (t) => {
  const { model, panel } = await opened(t, { rows: [["a", 0, 5, "complete 1/1"]] });
  loadTurn(model, "a", ["<p>a</p>"], { total: 3 });
  assert.equal(panel.log.turns[0].loaded, false);

  loadTurn(model, "a", ["<p>b</p>", "<p>c</p>"], {}, 1);
  assert.deepEqual([panel.log.turns[0].loaded, panel.log.turns[0].body.blocks.length], [true, 3]);
});

test("the end of a reply is shown and announced once", async (t) => {
  const { model, panel } = await opened(t, { rows: [["a", 0, 5, "streaming 1/1"]], traits: { status: "streaming" } });
  assert.equal(panel.state.textContent, "The reply begins.");
  loadTurn(model, "a", ["<p>a</p>"], { status: "streaming", seconds: null });
  const end = { id: "a", status: "failed", error: "no answer", seconds: 2 };
  const announce = t.mock.method(panel, "announce");
  model.say({ kind: "grow", number: 1, revision: 0, turns: [], end });
  model.say({ kind: "ended", turn: end });

  assert.deepEqual(announce.mock.calls.map(({ arguments: [text] }) => text), ["The reply failed."]);
  assert.equal(panel.log.turns[0].elements.error.textContent, "no answer");
});

test("the kernel is told how far the page has come when it has painted that", async (t) => {
  const { page, model } = await opened(t, { rows: [["a", 0, 5, "streaming 1/1"]], traits: { status: "streaming" } });
  loadTurn(model, "a", ["<p>a</p>"], { status: "streaming" });
  for (let number = 1; number <= 4; number += 1) model.say({ kind: "grow", number, revision: 0, turns: [["a", number, 0, 4, `${number}</p>`]] });
  assert.equal(model.last("shown"), undefined);

  page.paint();
  assert.equal(model.last("shown").number, 4);
});

test("what is asked twice before the answer is asked once", async (t) => {
  const { model, panel } = await opened(t);
  const first = panel.act("new", {});
  assert.equal(await panel.act("new", {}), false);
  await model.answer("new", { said: "A new conversation." });

  assert.equal(await first, true);
  assert.equal(count(model, "new"), 1);
  assert.equal(panel.composer.hint.textContent, "A new conversation.");
});

test("why nothing happens is said while it does not happen", async (t) => {
  const { page, model, panel } = await opened(t, { manager: { kernel: { status: "busy", connectionStatus: "connected" } } });
  panel.act("undo", {});
  page.pass(500);
  assert.equal(panel.banner.textContent, "The kernel runs a cell; this will be done when it has ended.");

  await model.answer("undo");
  assert.deepEqual([panel.banner.textContent, panel.banner.hidden], ["", true]);
});

test("a cell that holds up Stop can be interrupted", async (t) => {
  let interrupts = 0;
  const { page, panel } = await opened(t, { manager: { kernel: { status: "busy", interrupt: () => { interrupts += 1; } } } });
  panel.stop();
  page.pass(500);
  panel.banner.querySelector("button").click();

  assert.equal(interrupts, 1);
});

test("without a kernel nothing is sent, and what is typed stays", async (t) => {
  const manager = { kernel: { status: "idle", connectionStatus: "connected" } };
  const { page, model, panel } = await opened(t, { manager });
  page.type(panel.composer.field, "why?");
  manager.kernel.status = "dead";
  model.emit("comm_live_update");
  page.press(panel.composer.field, "Enter");
  await settled();

  assert.equal(count(model, "ask"), 0);
  assert.match(panel.banner.textContent, /was restarted or has ended.* Nothing was sent\.$/);
  assert.equal(panel.composer.field.value, "why?");
});

test("a code goes into a cell below the panel's, and the next one below that", async (t) => {
  const output = { data: { "application/vnd.jupyter.widget-view+json": { model_id: "panel" } } };
  const cells = [{ outputs: [] }, { outputs: [output] }, {}].map(({ outputs = [] }) => ({ outputs: { length: outputs.length, get: (number) => outputs[number] } }));
  const ids = [{ id: "1" }, { id: "2" }, { id: "3" }];
  const places = [];
  const sharedModel = { cells: ids, insertCell(at, cell) { const made = { id: cell.source }; places.push(at); ids.splice(at, 0, made); return made; } };
  const manager = { context: { model: { cells: { length: cells.length, get: (number) => cells[number] }, sharedModel } } };
  const { model, panel } = await opened(t, { manager });
  panel.notebook.insert("ls", "sh");
  await model.answer("cells", { sources: ["%%bash\nls"], said: "" });
  panel.notebook.insert("y = 2", "");
  await model.answer("cells", { sources: ["y = 2"], said: "" });

  assert.deepEqual([places, panel.composer.hint.textContent], [[2, 3], "There is a new cell below."]);
  assert.deepEqual(ids.map(({ id }) => id), ["1", "2", "%%bash\nls", "y = 2", "3"]);
});

test("code of a language that no cell runs is not inserted, and the panel says so", async (t) => {
  const { model, panel } = await opened(t);
  panel.notebook.insert("f()", "js");
  await model.answer("cells", { sources: [], said: "not put into a cell: js" });

  assert.equal(panel.composer.hint.textContent, "not put into a cell: js");
});

test("where no cell can be inserted, the code is copied", async (t) => {
  const { model, panel } = await opened(t);
  const copied = [];
  Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { copied.push(text); } } });
  panel.notebook.insert("x = 1", "python");
  await model.answer("cells", { sources: ["x = 1"], said: "" });
  await settled();

  assert.deepEqual([copied, panel.composer.hint.textContent], [["x = 1"], "No cell can be inserted here: the code was copied."]);
});

test("the models that can be chosen are asked for when somebody goes there", async (t) => {
  const { page, model, panel } = await opened(t);
  assert.equal(count(model, "models"), 0);
  const { picker } = panel.head;
  picker.button.dispatchEvent(new page.window.Event("pointerenter"));
  await model.answer("models", { models: [{ name: "fast", group: "aliases", note: "echo:words", able: true }, { name: "openai", group: "others", note: "no key", able: false }] });
  picker.button.click();
  const options = () => [...picker.list.children].map((option) => [...option.children].map(({ textContent }) => textContent));

  assert.deepEqual(options(), [["as in the settings", "echo:words"], ["fast", "→ echo:words"], ["more (1)", "cannot answer as things are"]]);
  assert.equal(page.document.activeElement, picker.words);
  page.press(picker.words, "ArrowUp");
  page.press(picker.words, "Enter");
  assert.deepEqual(options()[2], ["openai", "no key"]);
  assert.equal(picker.list.children[2].getAttribute("aria-disabled"), "true");
  page.press(picker.words, "Enter"); // it cannot answer, so nothing happens
  assert.equal(count(model, "set"), 0);
});

test("a model is found by a part of its name, and chosen with the keyboard alone", async (t) => {
  const { page, model, panel } = await opened(t);
  const { picker } = panel.head;
  page.press(picker.button, "ArrowDown");
  await model.answer("models", { models: [{ name: "fast", group: "aliases", note: "echo:words", able: true }, { name: "echo:messages", group: "echo", note: "", able: true }] });

  page.type(picker.words, "mess");
  assert.equal(picker.list.children.length, 1);
  assert.equal(picker.words.getAttribute("aria-activedescendant"), picker.list.children[0].id);
  page.press(picker.words, "Enter");

  assert.deepEqual([model.last("set").setting, model.last("set").value], ["model", "echo:messages"]);
  assert.deepEqual([picker.popup.hidden, page.document.activeElement], [true, picker.button]);
  page.press(picker.button, "ArrowDown");
  page.press(picker.words, "Escape");
  assert.deepEqual([picker.popup.hidden, page.document.activeElement], [true, picker.button]);
});

test("the head names the alias first, and then its model", async (t) => {
  const { model, panel } = await opened(t, { traits: { alias: "fast" } });
  const { button } = panel.head.picker;
  assert.equal(button.textContent, "fastecho:words");
  assert.equal(button.getAttribute("aria-label"), "Model: fast, echo:words");

  model.set({ alias: "", model: "" });
  assert.deepEqual([button.textContent, panel.head.picker.alias.hidden], ["no model", true]);
});

test("an empty conversation offers examples, and a click fills the field without sending", async (t) => {
  const { page, model, panel } = await opened(t);
  await model.answer("examples", { examples: ["Describe {frame}", "Another"] });
  const [first] = panel.log.empty.list.children;

  first.click();

  assert.equal(panel.composer.field.value, "Describe {frame}");
  assert.equal(page.document.activeElement, panel.composer.field);
  assert.equal(count(model, "ask"), 0);
});

test("Escape leads from the field to the conversation, and closes an open list first", async (t) => {
  const { page, model, panel } = await opened(t);
  const { field } = panel.composer;
  page.type(field, "/");
  await model.answer("complete", { start: 1, items: [["undo", "undo it"], ["use", "use it"]] });
  page.press(field, "Escape");
  assert.deepEqual([panel.composer.list.hidden, page.document.activeElement], [true, field]);

  page.press(field, "Escape");
  assert.equal(page.document.activeElement, panel.log.box);
  page.press(panel.log.box, "Escape");
  assert.notEqual(page.document.activeElement, panel.log.box);
});

test("the list of completions can have the focus, and its keys are those of the field", async (t) => {
  const { page, model, panel } = await opened(t);
  const { field, list } = panel.composer;
  page.type(field, "/u");
  await model.answer("complete", { start: 1, items: [["undo", "undo it"], ["use", "use it"]] });

  list.focus();
  page.press(list, "Enter");

  assert.deepEqual([field.value, list.hidden, page.document.activeElement], ["/undo", true, field]);
});

test("a turn asked before an edit says so, and is asked again with those after it", async (t) => {
  const { page, model } = await opened(t, { rows: [["a", 0, 5, "complete 2/2"], ["b", 1, 5, "complete 1/1 before an edit"]] });
  loadTurn(model, "a", ["<p>x</p>"]);
  loadTurn(model, "b", ["<p>y</p>"], { place: 1, before_edit: true });
  const [first, second] = page.document.querySelectorAll(".fg-before");
  assert.deepEqual([first.hidden, second.hidden], [true, false]);
  assert.match(second.textContent, /asked before the edit above/);

  second.querySelector("button").click();

  assert.equal(model.last("following").place, 1);
});

test("a conversation of another notebook is shown to read, with a way back", async (t) => {
  const { page, model, panel } = await opened(t);
  panel.search.open("red");
  await model.answer("search", { found: [], elsewhere: [{ name: "main", notebook: "other.ipynb", text: "reds", turn: "x1" }] });
  panel.search.finds.children[0].click();
  assert.equal(model.last("elsewhere").turn, "x1");
  const about = { ...facts("x1"), prompt: "reds?", blocks: ["<p>red</p>"] };
  await model.answer("elsewhere", { turns: [about] });

  assert.equal(panel.reading.element.hidden, false);
  assert.match(panel.reading.element.textContent, /Back to main.*other\.ipynb · main · read-only.*reds\?.*red/);
  assert.equal(page.document.activeElement, panel.reading.back);
  panel.reading.back.click();
  assert.equal(panel.reading.element.hidden, true);
});

test("the menu can be used with the keyboard alone", async (t) => {
  const { page, model, panel } = await opened(t);
  const { menu } = panel.head;
  page.press(menu.button, "ArrowDown");
  assert.equal(page.document.activeElement.textContent, "Undo the last change");
  page.press(page.document.activeElement, "ArrowUp");
  assert.equal(page.document.activeElement.textContent, "Close the panel");
  page.press(page.document.activeElement, "Home");
  page.document.activeElement.click();
  assert.equal(count(model, "undo"), 1);
  assert.deepEqual([menu.list.hidden, page.document.activeElement], [true, menu.button]);
});

test("a search shows what was found here and elsewhere, and goes to it", async (t) => {
  const { page, model, panel } = await opened(t, { rows: [["a", 0, 5, "complete 1/1"]] });
  page.type(panel.composer.field, "/search red");
  page.press(panel.composer.field, "Enter");
  assert.equal(model.last("search").words, "red");
  await model.answer("search", {
    found: [{ turn: "a", number: 1, text: "a red fox" }],
    elsewhere: [{ name: "side", notebook: "", text: "red", turn: "x" }, { name: "main", notebook: "other.ipynb", text: "reds", turn: "ab12" }],
  });
  const lines = [...panel.search.finds.children];
  assert.deepEqual(lines.map((line) => line.textContent), ["turn 1a red fox", "sidered", "other.ipynb · mainreds"]);

  lines[0].click();
  assert.equal(page.document.querySelector(".fg-turn").classList.contains("fg-found"), true);
  lines[1].click();
  assert.equal(model.last("use").name, "side");
});

test("of the drawers one is open", async (t) => {
  const { panel } = await opened(t);
  panel.head.searchButton.click();
  panel.head.tuningButton.click();

  assert.deepEqual([panel.search.element.hidden, panel.tuning.element.hidden], [true, false]);
  assert.equal(panel.head.searchButton.getAttribute("aria-expanded"), "false");
});

test("only what was changed is saved, for the conversation that was shown", async (t) => {
  const { page, model, panel } = await opened(t, { traits: { system: "Be brief.", temperature: 0.2 } });
  panel.head.tuningButton.click();
  page.type(panel.tuning.system, " Be kind.");
  model.set({ name: "side", conversation_id: "2", names: ["main", "side"] });
  await panel.tuning.save();
  assert.match(panel.banner.textContent, /another conversation now/);
  assert.equal(count(model, "set"), 0);

  const saved = panel.tuning.save();
  await model.answer("set");
  await saved;
  assert.deepEqual(model.sent.filter(({ kind }) => kind === "set").map(({ setting, value }) => [setting, value]), [["system", "Be brief. Be kind."]]);
  assert.equal(panel.tuning.element.hidden, true);
});

test("keys stay in the panel, but for the one that saves the notebook", async (t) => {
  let saves = 0;
  const { page, panel } = await opened(t, { manager: { context: { save: () => { saves += 1; } } } });
  const outside = [];
  page.document.addEventListener("keydown", ({ key }) => outside.push(key));
  page.press(panel.composer.field, "a");
  page.press(panel.composer.field, "s", { ctrlKey: true });

  assert.deepEqual([outside, saves], [[], 1]);
});

/** The pictures that go with a prompt. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { loadTurn, openPanel, settled } from "./page.mjs";

const RED = { picture: "a1", name: "red.png", description: "", width: 3, height: 2, bytes: 80, thumbnail: "data:image/png;base64,AA==" };
const BLUE = { ...RED, picture: "b2", name: "blue.png", description: "the sea" };
const SENT = [RED, BLUE].map(({ picture, name, description }) => ({ picture, name, description }));

/** A panel with pictures in its tray, and a prompt. */
async function withPictures(t, options = {}) {
  const opened = await openPanel(options);
  t.after(() => opened.panel.close());
  const { composer } = opened.panel;
  composer.fill("why?", [], [RED, BLUE]);
  composer.remember();
  return { ...opened, composer, tray: composer.tray };
}

/** A file, whose bytes are read later. */
const text = (name, content = "a,b") => ({ name, size: content.length, type: "", slice: () => new Blob([content]), arrayBuffer: async () => new TextEncoder().encode(content).buffer });

/** Wait for what takes a few turns of the loop. */
async function soon(tray) {
  for (let round = 0; round < 20 && tray.pending; round += 1) await settled();
}

test("pictures are sent with the prompt, and then the tray is empty", async (t) => {
  const { page, model, composer, tray } = await withPictures(t);
  page.press(composer.field, "Enter");
  assert.deepEqual(model.last("ask").pictures, SENT);
  await model.answer("ask");

  assert.deepEqual([tray.items, tray.element.hidden], [[], true]);
});

test("a prompt that is refused keeps its pictures, and a command leaves them", async (t) => {
  const { page, model, composer, tray } = await withPictures(t);
  page.press(composer.field, "Enter");
  await model.answer("ask", { error: "it is not here any more" });
  assert.equal(tray.items.length, 2);

  composer.field.value = "/undo";
  page.press(composer.field, "Enter");
  assert.equal(model.last("ask").pictures, undefined);
  await model.answer("ask", { said: "" });
  assert.equal(tray.items.length, 2);
});

test("a draft has its pictures with their descriptions", async (t) => {
  const { page, model, tray } = await withPictures(t);
  const [field] = tray.element.querySelectorAll("input");
  page.type(field, "a poppy");
  const again = await openPanel({ page });
  t.after(() => again.panel.close());

  assert.deepEqual(again.panel.composer.tray.kept, [{ ...RED, description: "a poppy" }, BLUE]);
  assert.equal(model.last("ask"), undefined);
});

test("Delete removes a picture, and the focus goes to the next one, then to the field", async (t) => {
  const { page, composer, panel, tray } = await withPictures(t);
  const remove = (name) => tray.element.querySelector(`[aria-label='Remove ${name}']`);
  remove("red.png").focus();
  page.press(remove("red.png"), "Delete");
  assert.equal(page.document.activeElement, remove("blue.png"));
  assert.equal(panel.state.textContent, "Picture removed: red.png");

  page.press(remove("blue.png"), "Delete");
  assert.equal(page.document.activeElement, composer.field);
  assert.deepEqual(tray.kept, []);
});

test("Delete in a description edits the description", async (t) => {
  const { page, tray } = await withPictures(t);
  page.press(tray.element.querySelector("input"), "Delete");

  assert.equal(tray.items.length, 2);
});

test("a file that is no picture goes to the kernel as it is, and is attached by the name that comes back", async (t) => {
  const { model, composer, tray } = await withPictures(t);
  tray.add([text("data.csv")]);
  while (!model.last("file")) await settled();
  assert.equal(model.last("file").name, "data.csv");
  assert.equal(new TextDecoder().decode(model.buffers[0]), "a,b");
  await model.answer("file", { attached: "dropped:0123456789ab/data.csv", about: "2 columns" });
  await soon(tray);

  assert.deepEqual([composer.attached, composer.chips.textContent], [["dropped:0123456789ab/data.csv"], "data.csv"]);
  assert.equal(composer.hint.textContent, "2 columns");
});

test("each refusal says why, and the others are attached", async (t) => {
  const { model, panel, tray } = await withPictures(t);
  tray.add([text("empty.txt", ""), text("big.csv", "x".repeat(9_000_001)), text("data.csv")], "photos is a folder: attach the files in it instead.");
  while (!model.last("file")) await settled();
  await model.answer("file", { attached: "data.csv" });
  await soon(tray);

  assert.match(panel.banner.textContent, /photos is a folder.*empty\.txt is empty.*big\.csv has 9\.0 MB/);
});

test("a turn shows its pictures once, and asks for each of them once", async (t) => {
  const { model, panel } = await openPanel({ rows: [["t", 0, 10, "complete"]] });
  t.after(() => panel.close());
  globalThis.FileReader = class extends panel.root.ownerDocument.defaultView.EventTarget {
    readAsDataURL() { this.result = "data:image/png;base64,AA=="; this.dispatchEvent(new panel.root.ownerDocument.defaultView.Event("load")); }
  };
  loadTurn(model, "t", ["<p>yes</p>"], { pictures: SENT });
  const turn = panel.log.turns[0];
  turn.update();
  const buttons = [...turn.element.querySelectorAll(".fg-thumb")];
  assert.deepEqual(buttons.map((button) => button.getAttribute("aria-label")), ["Show the picture large: red.png", "Show the picture large: the sea"]);
  assert.deepEqual(model.sent.filter(({ kind }) => kind === "thumbnail").map(({ picture }) => picture), ["a1", "b2"]);

  const { id, page } = model.last("thumbnail");
  model.say({ kind: "answer", id, page }, [new DataView(new ArrayBuffer(4))]);
  while (!buttons[1].querySelector("img").src) await settled();
  buttons[1].focus();
  turn.update();
  assert.equal(panel.root.ownerDocument.activeElement, buttons[1]);
});

test("an edited prompt sends the pictures of its turn", async (t) => {
  const { page, model, panel } = await openPanel({ rows: [["t", 0, 10, "complete"]] });
  t.after(() => panel.close());
  loadTurn(model, "t", ["<p>yes</p>"], { pictures: SENT });
  const { elements } = panel.log.turns[0];
  elements.edit();
  await settled();
  elements.editor.element.querySelector("[aria-label='Remove red.png']").click();
  page.press(elements.editor.field, "Enter");

  assert.deepEqual(model.last("edit").pictures, [SENT[1]]);
});

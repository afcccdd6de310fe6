/** What is typed and not sent is kept. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { load, openPage, openPanel } from "./page.mjs";

const { drafts, Edits } = await load("drafts.js");

test("a draft is read as it was written, and forgotten when it is empty", () => {
  openPage();
  drafts.write("a", { text: "why", attached: [] });
  assert.deepEqual(drafts.read("a"), { text: "why", attached: [] });

  drafts.write("a", null);
  assert.equal(drafts.read("a"), null);
});

test("without a storage nothing is kept, and nothing fails", () => {
  openPage();
  globalThis.sessionStorage = { getItem() { throw new Error("denied"); }, setItem() { throw new Error("full"); }, removeItem() { throw new Error("denied"); } };
  drafts.write("a", { text: "why" });
  drafts.write("a", null);

  assert.equal(drafts.read("a"), null);
});

test("what is typed in turns outlives the page, also under another name", () => {
  openPage();
  const edits = new Edits("one");
  edits.set(2, { text: "what?", id: "t" });
  edits.move("two");

  assert.deepEqual([...new Edits("one")], []);
  assert.deepEqual([...new Edits("two")], [[2, { text: "what?", id: "t" }]]);

  edits.delete(2);
  assert.deepEqual([...new Edits("two")], []);
});

test("a panel that is opened again has what was typed and attached in the one before", async (t) => {
  const { page, panel } = await openPanel();
  page.type(panel.composer.field, "what is {x}");
  panel.composer.attach.value = "frame";
  panel.composer.addAttached();
  panel.close();

  const again = await openPanel({ page });
  t.after(() => again.panel.close());
  assert.equal(again.panel.composer.field.value, "what is {x}");
  assert.deepEqual(again.panel.composer.attached, ["frame"]);
});

test("each conversation has its draft, and a new name takes it along", async (t) => {
  const { page, model, panel } = await openPanel({ traits: { names: ["main", "side"] } });
  t.after(() => panel.close());
  page.type(panel.composer.field, "in main");
  model.set({ name: "better", names: ["better", "side"] }); // the same conversation
  assert.equal(panel.composer.field.value, "in main");
  assert.equal(drafts.read(panel.composer.draftOf("main")), null);

  drafts.write(panel.composer.draftOf("side"), { text: "in side", attached: [] });
  model.set({ name: "side", conversation_id: "2" });
  assert.equal(panel.composer.field.value, "in side");
});

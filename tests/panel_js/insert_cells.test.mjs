/** The widget without a view that puts cells below one cell of the notebook. */

import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./page.mjs";

const { default: widget } = await load("insert_cells.js");

/** A notebook with cells of these sources, whose ids are their sources; what the widget tells the kernel. */
function initialized(sources, { cell = "a", first = "1", others = ["2", "3"] } = {}) {
  const told = [];
  const cells = sources.map((source) => ({ id: source, getSource: () => source }));
  const sharedModel = {
    cells,
    insertCell(at, { source }) { const made = { id: source, getSource: () => source }; cells.splice(at, 0, made); return made; },
  };
  const traits = { cell, first, others };
  widget.initialize({ model: { get: (name) => traits[name], send: (message) => told.push(message), widget_manager: { context: { model: { sharedModel } } } } });
  return [cells.map(({ id }) => id).join(""), told];
}

test("the cells go below the cell, and the kernel is told", () => {
  assert.deepEqual(initialized(["a", "b"]), ["a23b", [{ inserted: true }]]);
});

test("they go below the first one, if that is there already", () => {
  assert.deepEqual(initialized(["a", "1", "b"]), ["a123b", [{ inserted: true }]]);
});

test("without the cell, or without a notebook, nothing is inserted and nothing is told", () => {
  assert.deepEqual(initialized(["b"]), ["b", []]);
  const told = [];
  widget.initialize({ model: { get: () => "a", send: (message) => told.push(message) } });

  assert.deepEqual(told, []);
});

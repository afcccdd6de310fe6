/** Prompt cells: how long the editor's rules take. That they are the kernel's is tested in Python. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./load.mjs";

const { findFirstLine, isPrompt } = await load("prompt_cells/first_line");
const { findReferences, findTools } = await load("prompt_cells/references");
const { looksMeant } = await load("prompt_cells/meant");

test("a cell is a prompt if its magic is ours", () => {
  assert.equal(isPrompt("%%flowgpt\nhi"), true);
  assert.equal(isPrompt("%%ai\nhi"), false);
  assert.equal(isPrompt("%%ai\nhi", ["flowgpt", "ai"]), true);
  assert.equal(isPrompt("x = 1\n%%flowgpt"), false);
});

test("no more of a long text is read than its first line", () => {
  const text = `${"# a comment\n".repeat(100)}%%flowgpt -t 1\n${"word ".repeat(100_000)}`;
  let read = 0;
  const sliceString = (from, to) => text.slice(from, (read = Math.max(read, to)));

  const { line } = findFirstLine({ length: text.length, sliceString });

  assert.equal(text.slice(line.start, line.end), "%%flowgpt -t 1");
  assert.ok(read < 3000);
});

test("a tool is found where it is named, and not in code", () => {
  const text = "Use &`load_sales` and &`chart.draw`; not &&`x`, `&`y``, R&`7`.";

  assert.deepEqual(
    findTools(text).map(({ name, inside }) => [name, inside]),
    [
      ["load_sales", "load_sales"],
      ["chart", "chart.draw"],
    ],
  );
});

const HARD = {
  "doubled braces": "{{ a\n\n",
  "open braces": "{a",
  quotes: "f\"'",
  "backslashes": "\\a[",
  fences: "```\n",
  "references": "{name[0].x} ",
};
for (const [name, piece] of Object.entries(HARD)) {
  test(`a long text of ${name} is read in time that grows with its length`, () => {
    const text = piece.repeat(400_000 / piece.length);
    const from = performance.now();

    looksMeant(text, findReferences(text));

    assert.ok(performance.now() - from < 5000);
  });
}

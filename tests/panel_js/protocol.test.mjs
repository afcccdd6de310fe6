/** What the kernel tells a page is read here as it is written there: `panel_changes.json` says both. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { CASES, load, loadTurn, openPanel } from "./page.mjs";

const { changedFrom } = await load("changes.js");
const { readRuns } = await load("runs.js");

/** A turn that arrives in an opened panel, with these blocks. */
async function arriving(blocks) {
  const opened = await openPanel({ rows: [["turn-1", 0, 5, "streaming 1/1"]] });
  loadTurn(opened.model, "turn-1", blocks, { status: "streaming", seconds: null, elapsed: 0 });
  opened.page.paint();
  return { ...opened, body: opened.panel.log.turns[0].body };
}

/** What a page shows of these blocks. */
const shown = (body) => [...body.element.querySelectorAll(".fg-block")].map((block) => block.innerHTML);

for (const { name, before, change, after } of CASES.changes) {
  test(`a change is applied: ${name}`, () => {
    const [keep, ...more] = change;

    assert.deepEqual([...before.slice(0, keep), ...changedFrom(before, keep, ...more)], after);
  });

  test(`a change is shown: ${name}`, async (t) => {
    const { page, model, panel, body } = await arriving(before);
    t.after(() => panel.close());
    model.say({ kind: "grow", number: 1, revision: 0, turns: [["turn", 1, ...change]] });
    page.paint();

    assert.deepEqual(body.blocks, after);
    assert.deepEqual(shown(body), after);
  });
}

for (const { name, changes, blocks } of CASES.replies) {
  test(`a reply that arrives looks at its end as one that was loaded: ${name}`, async (t) => {
    const { page, model, panel, body } = await arriving([]);
    let number = 0;
    for (const growth of changes.filter(Boolean)) {
      number += 1;
      model.say({ kind: "grow", number, revision: 0, turns: [growth] });
      page.paint();
    }
    const seen = shown(body);
    assert.deepEqual(body.blocks, blocks);
    panel.close();

    const whole = await arriving(blocks);
    t.after(() => whole.panel.close());

    assert.deepEqual(seen, shown(whole.body));
    assert.equal(seen.length, blocks.length);
  });
}

for (const { name, before, after, splice } of CASES.lists.filter((each) => each.splice)) {
  test(`a list of turns follows the kernel's: ${name}`, async (t) => {
    const { page, model, panel } = await openPanel({ rows: before });
    t.after(() => panel.close());
    model.say({ kind: "splice", revision: 1, ...splice });
    page.paint();

    assert.deepEqual(panel.log.turns.map((turn) => [turn.id, turn.place, turn.size, turn.mark]), after);
    assert.deepEqual([...panel.log.byId.keys()].sort(), after.map(([id]) => id).sort());
    const inPage = [...panel.log.sheet.children].sort((one, other) => parseFloat(one.style.top) - parseFloat(other.style.top));
    assert.deepEqual(inPage.map((element) => element.turn.id), after.map(([id]) => id));
  });
}

for (const { name, code, runs, pieces } of CASES.runs) {
  test(`runs of code are read: ${name}`, () => {
    const expected = pieces.map(([letter, piece]) => [CASES.kinds[letter] ?? "", piece]);

    assert.deepEqual(readRuns(code, runs).map(({ kind, start, end }) => [kind, code.slice(start, end)]), expected);
  });
}

test("every kind of run has its class, and others are plain", () => {
  for (const [letter, kind] of Object.entries(CASES.kinds)) assert.equal(readRuns("x", letter)[0].kind, kind);
  assert.equal(readRuns("x", "X")[0].kind, "");
});

test("runs that are longer than the code end with it", () => {
  assert.deepEqual(readRuns("ab", "Kz"), [{ kind: "keyword", start: 0, end: 2 }]);
  assert.deepEqual(readRuns("", "K2"), [{ kind: "", start: 0, end: 0 }]);
});

/** New code cells below the active one. */

import type { Notebook } from "@jupyterlab/notebook";

import { insertCells } from "../../../panel/src/cells.js";

/** The cell that was active at the last insertion, and the last cell inserted there; both by id. */
export interface Inserted {
  below: string;
  last: string;
}

/** Insert code below the active cell, or below what was inserted there before, so that it stays in order. */
export function insertBelow(notebook: Notebook, before: Inserted, sources: string[]): Inserted {
  const { model, activeCell } = notebook;
  if (!model) throw new Error("the notebook is closed");
  const below = activeCell?.model.id ?? "";
  let at = before.below === below ? model.sharedModel.cells.findIndex(({ id }) => id === before.last) : -1;
  if (at < 0) at = notebook.activeCellIndex;
  const last = insertCells(model.sharedModel as any, at + 1, sources) ?? "";
  void notebook.scrollToItem(at + sources.length);
  return { below, last };
}

/**
 * Insert cells below a cell of the notebook: the page of `CellInserter`, a widget that shows nothing.
 *
 * The kernel itself can put only one cell below the running one; it has done so with `first`, or does so a moment later.
 */

import { insertCells } from "./cells.js";

/** @import { Inserter } from "./types.js" */

export default {
  /** @param {{model: Inserter}} widget */
  initialize({ model }) {
    const notebook = model.widget_manager?.context?.model?.sharedModel;
    const cell = notebook?.cells.findIndex(({ id }) => id === model.get("cell")) ?? -1;
    if (!notebook || cell < 0) return;
    const below = notebook.cells[cell + 1]?.getSource?.() === model.get("first") ? cell + 2 : cell + 1;
    insertCells(notebook, below, model.get("others"));
    model.send({ inserted: true });
  },
};

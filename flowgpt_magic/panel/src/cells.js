/** New cells in the notebook of the front end. */

/** @import { Notebook } from "./types.js" */

/**
 * Insert code cells in their order; returns the id of the last one.
 * @param {Notebook["sharedModel"]} notebook
 * @param {number} at the number of the first new cell
 * @param {string[]} sources
 */
export function insertCells(notebook, at, sources) {
  const cells = sources.map((source, number) => notebook.insertCell(at + number, { cell_type: "code", source, metadata: {} }));
  const last = cells.at(-1);
  return last?.id ?? last?.getId?.();
}

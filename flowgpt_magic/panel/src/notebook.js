/**
 * The notebook around a panel, as far as the front end lets a widget see it: cells and their outputs.
 *
 * JupyterLab and Notebook show all of this; in other front ends there is nothing here to be found or changed.
 */

import { copy } from "./clipboard.js";

/** @import { Panel } from "./panel.js" */
/** @import { Cell, Notebook as Cells, Output, Outputs } from "./types.js" */

const VIEW = "application/vnd.jupyter.widget-view+json";

export class Notebook {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.inserted = /** @type {string | undefined} */ (undefined); // the id of the last cell that was put below
    this.covers = false; // does this page hide the transcript that stands before the panel?
  }

  get cells() {
    return this.panel.kernel.manager?.context?.model?.cells;
  }

  /** Tell the kernel, once, that this page hides the transcript that stands before the panel. */
  cover() {
    const before = this.panel.root.closest(".jp-OutputArea-child")?.previousElementSibling;
    if (this.covers || !before?.querySelector(".flowgpt-transcript")) return;
    if (getComputedStyle(before).display === "none") { this.covers = true; this.panel.link.tell("covers"); }
  }

  /**
   * A new cell below this one, or below the one put there before; where a widget may not do that, the code is copied.
   * @param {string} code
   */
  insert(code) {
    const { hint } = this.panel.composer;
    try {
      this.insertCell(/** @type {Cells} */ (this.panel.kernel.manager?.context?.model), code);
      hint.textContent = "There is a new cell below.";
    } catch {
      copy(code).then(() => { hint.textContent = "No cell can be inserted here: the code was copied."; });
    }
  }

  /**
   * @param {Cells} notebook
   * @param {string} code
   */
  insertCell(notebook, code) {
    const { cells } = notebook.sharedModel;
    let at = this.inserted ? cells.findIndex(({ id }) => id === this.inserted) : -1;
    if (at < 0) at = this.cellNumber(notebook);
    if (at < 0) throw new Error("this panel is in no cell of the notebook");
    const cell = notebook.sharedModel.insertCell(at + 1, { cell_type: "code", source: code, metadata: {} });
    this.inserted = cell?.id ?? cell?.getId?.();
  }

  /**
   * The number of the panel's cell; -1 if it is in none.
   * @param {Cells} notebook
   */
  cellNumber(notebook) {
    const mine = this.panel.root.closest(".jp-Cell");
    const inPage = [...(mine?.parentElement?.querySelectorAll(":scope > .jp-Cell") ?? [])];
    for (let number = 0; number < notebook.cells.length; number += 1) if (this.outputIn(notebook.cells.get(number)) >= 0) return number;
    return mine && inPage.length === notebook.cells.length ? inPage.indexOf(mine) : -1;
  }

  /**
   * Which output of a cell this panel is; -1 for none.
   * @param {Cell} cell
   */
  outputIn(cell) {
    for (let number = 0; number < (cell.outputs?.length ?? 0); number += 1) {
      const view = cell.outputs?.get(number).data?.[VIEW];
      if (view && view.model_id === this.panel.model.get("_flowgpt_id")) return number;
    }
    return -1;
  }

  /**
   * The kernel has brought the outputs up to date that stand for the panel in a saved notebook. A front end that was
   * loaded again does not know them for the kernel's any more: here they are written. With `data` the panel is closed.
   *
   * @param {Output} output
   */
  async keep({ data, metadata }) {
    if (!data && !this.stale(metadata)) return;
    const transcript = data ? { data, metadata } : await this.panel.link.ask("kept").catch(() => null);
    const place = transcript && (data ? this.place : this.stale(transcript.metadata));
    if (!place) return;
    const { outputs, at } = place;
    outputs.set(at - 1, { output_type: "display_data", data: transcript.data, metadata: transcript.metadata });
    if (data) outputs.set(at, { output_type: "display_data", data: { "text/plain": "" }, metadata: {} });
  }

  /**
   * Where this panel and its transcript stand, if that is another transcript than this.
   * @param {Output["metadata"]} metadata
   */
  stale(metadata) {
    const { place } = this;
    return place && place.outputs.get(place.at - 1).metadata?.flowgpt?.stamp !== metadata.flowgpt.stamp ? place : null;
  }

  /**
   * The outputs of the panel's cell and its number among them, behind a transcript; null where a widget may not see that.
   * @returns {{outputs: Outputs, at: number} | null}
   */
  get place() {
    const { cells } = this;
    for (let number = 0; number < (cells?.length ?? 0); number += 1) {
      const cell = /** @type {Cell} */ (cells?.get(number));
      const at = this.outputIn(cell);
      const { outputs } = cell;
      if (outputs && at > 0 && String(outputs.get(at - 1).data["text/html"]).includes("flowgpt-transcript")) return { outputs, at };
    }
    return null;
  }
}

/**
 * The notebook around a panel, if the front end gives a widget access to it: cells and their outputs.
 *
 * JupyterLab and Notebook do; in other front ends nothing is found here, and nothing is changed.
 */

import { insertCells } from "./cells.js";
import { copy } from "./clipboard.js";

/** @import { Panel } from "./panel.js" */
/** @import { Cell, Notebook as Cells, Output, Outputs } from "./types.js" */

const VIEW = "application/vnd.jupyter.widget-view+json";

export class Notebook {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.inserted = /** @type {string | undefined} */ (undefined); // the id of the last cell that was put below
    this.covers = false; // does this page hide the transcript before the panel?
  }

  get cells() {
    return this.panel.kernel.manager?.context?.model?.cells;
  }

  /** Tell the kernel, once, that this page hides the transcript before the panel. */
  cover() {
    const before = this.panel.root.closest(".jp-OutputArea-child")?.previousElementSibling;
    if (this.covers || !before?.querySelector(".flowgpt-transcript")) return;
    if (getComputedStyle(before).display === "none") { this.covers = true; this.panel.link.tell("covers"); }
  }

  /**
   * Add the code of a block below this cell, or below the last one added: as the kernel says, which turns shell commands
   * into a shell cell. Without access to the notebook, copy it instead.
   * @param {string} code
   * @param {string} language
   */
  async insert(code, language) {
    const { hint } = this.panel.composer;
    const cells = await this.panel.request("cells", { code, language });
    if (!cells) return;
    const { sources, said } = cells;
    if (!sources.length) { hint.textContent = said; return; }
    try {
      if (this.panel.surroundings) this.panel.surroundings.insert(sources);
      else this.insertCells(/** @type {Cells} */ (this.panel.kernel.manager?.context?.model), sources);
      hint.textContent = this.panel.surroundings ? "There is a new cell below the active one." : "There is a new cell below.";
    } catch {
      copy(sources.join("\n\n")).then(() => { hint.textContent = "No cell can be inserted here: the code was copied."; });
    }
  }

  /**
   * @param {Cells} notebook
   * @param {string[]} sources
   */
  insertCells(notebook, sources) {
    const { cells } = notebook.sharedModel;
    let at = this.inserted ? cells.findIndex(({ id }) => id === this.inserted) : -1;
    if (at < 0) at = this.cellNumber(notebook);
    if (at < 0) throw new Error("this panel is in no cell of the notebook");
    this.inserted = insertCells(notebook.sharedModel, at + 1, sources);
  }

  /**
   * The number of the panel's cell; -1 for none.
   * @param {Cells} notebook
   */
  cellNumber(notebook) {
    const mine = this.panel.root.closest(".jp-Cell");
    const inPage = [...(mine?.parentElement?.querySelectorAll(":scope > .jp-Cell") ?? [])];
    for (let number = 0; number < notebook.cells.length; number += 1) if (this.outputIn(notebook.cells.get(number)) >= 0) return number;
    return mine && inPage.length === notebook.cells.length ? inPage.indexOf(mine) : -1;
  }

  /**
   * The number of this panel among the outputs of a cell; -1 for none.
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
   * The kernel updated the outputs that represent the panel in a saved notebook. A reloaded front end no longer connects
   * them with the kernel, so they are written here. With `data`, the panel is closed.
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
   * The place of this panel and its transcript, if that transcript differs from this one.
   * @param {Output["metadata"]} metadata
   */
  stale(metadata) {
    const { place } = this;
    return place && place.outputs.get(place.at - 1).metadata?.flowgpt?.stamp !== metadata.flowgpt.stamp ? place : null;
  }

  /**
   * The outputs of the panel's cell and the panel's number among them, if it follows a transcript; null without access.
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

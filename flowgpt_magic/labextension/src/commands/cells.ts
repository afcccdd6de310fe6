/** What a command finds at the cells of a notebook: prompts, errors, and the text to work with. */

import type { Cell, ICellModel } from "@jupyterlab/cells";
import type { IError } from "@jupyterlab/nbformat";
import type { Notebook, NotebookPanel } from "@jupyterlab/notebook";

import type { Connection } from "../kernel/connection";
import { isPrompt } from "../prompt_cells/first_line";

/** A cell that a command is used on. */
export interface Place {
  panel: NotebookPanel;
  cell: Cell;
  connection: Connection;
}

export const sourceOf = (cell: Cell): string => cell.model.sharedModel.getSource();

/** Is the cell a prompt? Where the kernel has not said which magics are ours, only `%%flowgpt` makes one. */
export function isPromptCell({ cell, connection }: Place): boolean {
  return cell.model.type === "code" && isPrompt(sourceOf(cell), connection.hello?.magics);
}

/** The other cell magic that a source begins with, such as `%%bash`; empty if there is none. */
export const otherMagic = (source: string): string => /^\s*(%%!?[\w.]*)/.exec(source)?.[1] ?? "";

/** The cells that are selected, in their order; the active one is always among them. */
export const selectedCells = (notebook: Notebook): Cell[] =>
  notebook.widgets.filter((cell) => notebook.isSelectedOrActive(cell));

/** Can nobody change this notebook, or this cell of it? */
export function isReadOnly(panel: NotebookPanel, cell?: Cell): boolean {
  const { model, contentsModel } = panel.context;
  return model.readOnly || contentsModel?.writable === false || cell?.model.getMetadata("editable") === false;
}

const LANGUAGES = ["", "python", "ipython", "python3"];

/** Does the notebook say that its kernel runs another language? It is not asked. */
export function isForeign(panel: NotebookPanel): boolean {
  const model = panel.content.model;
  const kernel = model?.getMetadata("kernelspec") as { language?: string } | undefined;
  return !LANGUAGES.includes((kernel?.language || model?.defaultKernelLanguage || "").toLowerCase());
}

/** The Python error that a cell shows; null where it shows none, or one that no change of its code mends. */
export function errorOf(cell: Cell): IError | null {
  const outputs = (cell.model.toJSON().outputs ?? []) as IError[];
  const error = cell.model.type === "code" ? outputs.filter((output) => output.output_type === "error").at(-1) : undefined;
  return error && isCorrectable(error) ? error : null;
}

/** An error of this package is one line, which says what to do; an interrupt has nothing to correct. */
export const isCorrectable = ({ ename, traceback }: IError): boolean =>
  ename !== "KeyboardInterrupt" && traceback.join("\n").trim().includes("\n");

/** "cell [3]", or "the cell" where it was not run. */
export function nameOf(cell: Cell): string {
  const number = numberOf(cell);
  return number ? `cell [${number}]` : "the cell";
}

export function numberOf(cell: Cell): number | null {
  return cell.model.type === "code" ? ((cell.model as any).executionCount as number | null) : null;
}

/** Make `text` the source of a cell, as one step of undo. What stays at its beginning and end is not touched. */
export function replaceSource(model: ICellModel, text: string): void {
  const { sharedModel } = model;
  const before = sharedModel.getSource();
  const most = Math.min(before.length, text.length);
  let start = 0;
  while (start < most && before[start] === text[start]) start++;
  let end = 0;
  while (end < most - start && before.at(-1 - end) === text.at(-1 - end)) end++;
  asOneStep(model, () => sharedModel.updateSource(start, before.length - end, text.slice(start, text.length - end)));
}

/** Change a cell. Undo takes back this change, and neither more nor less. */
export function asOneStep(model: ICellModel, change: () => void): void {
  const { undoManager } = model.sharedModel as any; // not every release of the model names it
  undoManager?.stopCapturing();
  model.sharedModel.transact(change);
  undoManager?.stopCapturing();
}

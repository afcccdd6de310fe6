/** Turn cells into prompts, and back. */

import type { Cell } from "@jupyterlab/cells";
import type { Notebook } from "@jupyterlab/notebook";

import { isPrompt, readFirstLine } from "../prompt_cells/first_line";
import { asOneStep, isReadOnly, otherMagic, selectedCells, sourceOf, type Place } from "./cells";

const KEY = "flowgpt_magic"; // in the metadata of a cell
const LINE = "%%flowgpt";

/** What a cell was before, so that turning it back loses nothing. */
interface Before {
  line?: string; // the line of a prompt, with its options
  type?: "markdown" | "raw";
  attachments?: any;
}

/** Turn the selected cells into prompts. Returns why some stay as they are; empty if none does. */
export function toPrompts(place: Place): string {
  const { content } = place.panel;
  const magics = place.connection.hello?.magics;
  return each(place, (cell) => {
    const source = sourceOf(cell);
    if (cell.model.type === "code" && isPrompt(source, magics)) return "";
    const magic = cell.model.type === "code" ? otherMagic(source) : "";
    if (magic) return `A cell that begins with ${magic} cannot be a prompt: take that line away first.`;
    if (cell.model.type === "code") addLine(cell);
    else replaceCell(content, cell, "code");
    return "";
  });
}

/** Turn the selected prompts into what they were before: code, or Markdown. Returns why some stay as they are. */
export function toCode(place: Place): string {
  const magics = place.connection.hello?.magics;
  return each(place, (cell) => {
    if (cell.model.type !== "code" || !isPrompt(sourceOf(cell), magics)) return "";
    const { type } = beforeOf(cell);
    if (type) replaceCell(place.panel.content, cell, type);
    else takeLine(cell);
    return "";
  });
}

/** Apply a change to the selected cells; the same ones are selected afterwards. Returns the first refusal. */
function each({ panel }: Place, change: (cell: Cell) => string): string {
  const { content } = panel;
  const active = content.activeCellIndex;
  const numbers = selectedCells(content).map((cell) => content.widgets.indexOf(cell));
  const refusals = numbers.map((number) => {
    const cell = content.widgets[number];
    return isReadOnly(panel, cell) ? "This cell cannot be changed." : change(cell);
  });
  content.activeCellIndex = active;
  if (numbers.length > 1) for (const number of numbers) content.select(content.widgets[number]);
  return refusals.find((refusal) => refusal) ?? "";
}

const beforeOf = (cell: Cell): Before => (cell.model.getMetadata(KEY) as Before | undefined) ?? {};

function setBefore(cell: Cell, before: Before): void {
  if (Object.keys(before).length) cell.model.sharedModel.setMetadata(KEY, before as any);
  else cell.model.sharedModel.deleteMetadata(KEY);
}

function addLine(cell: Cell): void {
  const { line = LINE, ...before } = beforeOf(cell);
  edit(cell, 0, 0, `${line}\n`, before);
}

function takeLine(cell: Cell): void {
  const source = sourceOf(cell);
  const { line } = readFirstLine(source);
  if (!line) return;
  const text = source.slice(line.start, line.end);
  const end = source[line.end] === "\r" && source[line.end + 1] === "\n" ? line.end + 2 : line.end + 1;
  const kept = text.trimEnd() === LINE ? {} : { line: text };
  edit(cell, line.start, Math.min(end, source.length), "", { ...beforeOf(cell), ...kept });
}

/** Replace a part of the source, keep the selection at the text that it was at, and note what was there before. */
function edit(cell: Cell, start: number, end: number, text: string, before: Before): void {
  const { editor } = cell;
  const moved = (place: number): number =>
    place < start ? place : Math.max(start, place - (end - start)) + text.length;
  const range = editor?.getSelection();
  const offsets = editor && range ? [range.start, range.end].map((at) => moved(editor.getOffsetAt(at))) : null;
  asOneStep(cell.model, () => {
    cell.model.sharedModel.updateSource(start, end, text);
    setBefore(cell, before);
  });
  if (!editor || !offsets) return;
  const [from, to] = offsets.map((offset) => editor.getPositionAt(offset) ?? { line: 0, column: 0 });
  editor.setSelection({ start: from, end: to });
}

/** Put a cell of another type into the place of this one, with its text and metadata. */
function replaceCell(notebook: Notebook, cell: Cell, type: "code" | "markdown" | "raw"): void {
  const { sharedModel } = notebook.model!;
  const index = notebook.widgets.indexOf(cell);
  const { id: _id, ...data } = cell.model.toJSON() as any;
  const metadata = { ...data.metadata };
  const { line, attachments, ...before }: Before = metadata[KEY] ?? {};
  delete metadata[KEY];
  let source = sourceOf(cell);
  let fields: any = {};
  if (type === "code") {
    const kept = data.attachments ? { attachments: data.attachments } : {};
    metadata[KEY] = { ...before, ...kept, type: data.cell_type };
    source = `${line ?? LINE}\n${source}`;
    fields = { outputs: [], execution_count: null };
  } else {
    const first = readFirstLine(source).line!;
    const text = source.slice(first.start, first.end);
    if (text.trimEnd() !== LINE) metadata[KEY] = { line: text };
    source = source.slice(0, first.start) + source.slice(first.end + 1);
    fields = attachments ? { attachments } : {};
  }
  sharedModel.transact(() => {
    sharedModel.deleteCell(index);
    sharedModel.insertCell(index, { cell_type: type, source, metadata, ...fields });
  });
}

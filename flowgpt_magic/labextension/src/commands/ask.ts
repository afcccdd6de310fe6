/** Ask about the selected text or the selected cells: in the sidebar's panel, or in a prompt cell below. */

import type { CommandRegistry } from "@lumino/commands";
import type { Cell } from "@jupyterlab/cells";

import { errorOf, nameOf, selectedCells, sourceOf, type Place } from "./cells";
import { editAtEnd, insertBelow, runCells } from "./insert";

const PANEL = "flowgpt_magic:ask-in-panel"; // the sidebar's
const EXPLAIN = "Explain this from my notebook: what it is, what it does step by step, and what may surprise.";

/** Begin a prompt about what is selected, and leave the question to the person. */
export function askAbout(commands: CommandRegistry, place: Place): Promise<void> {
  return ask(commands, place, `${quoted(place)}\n\n`, false);
}

/** Ask for an explanation of what is selected. */
export function explain(commands: CommandRegistry, place: Place): Promise<void> {
  return ask(commands, place, `${EXPLAIN}\n\n${quoted(place)}`, true);
}

async function ask(commands: CommandRegistry, place: Place, text: string, send: boolean): Promise<void> {
  const prompt = { text, send, quotes: true };
  if (commands.hasCommand(PANEL) && commands.isEnabled(PANEL, prompt)) {
    await commands.execute(PANEL, prompt);
    return;
  }
  const { panel } = place;
  insertBelow(panel, selectedCells(panel.content).at(-1) ?? place.cell, `%%flowgpt --raw\n${text}`);
  if (send) await runCells(panel, [panel.content.activeCell!]);
  else editAtEnd(panel);
}

/** What is selected, as the prompt quotes it: a part of a cell or of its output, or whole cells with their errors. */
export function quoted({ panel, cell }: Place): string {
  const cells = selectedCells(panel.content);
  if (cells.length > 1) return cells.map(whole).join("\n\n");
  const code = selectedCode(cell);
  if (code) return `From ${nameOf(cell)}:\n\n${fenced(code, languageOf(cell))}`;
  const output = selectedOutput(cell);
  if (output) return `From the output of ${nameOf(cell)}:\n\n${fenced(output, "text")}`;
  return whole(cell);
}

function whole(cell: Cell): string {
  const name = nameOf(cell);
  const error = errorOf(cell);
  const parts = [`${name[0].toUpperCase()}${name.slice(1)}:`, fenced(sourceOf(cell), languageOf(cell))];
  if (error) parts.push("Its error:", fenced(`${error.ename}: ${error.evalue}`, "text"));
  return parts.join("\n\n");
}

const languageOf = (cell: Cell): string => ({ code: "python", markdown: "markdown" })[cell.model.type as string] ?? "text";

function selectedCode({ editor }: Cell): string {
  if (!editor) return "";
  const { start, end } = editor.getSelection();
  const [from, to] = [editor.getOffsetAt(start), editor.getOffsetAt(end)].sort((a, b) => a - b);
  return editor.model.sharedModel.getSource().slice(from, to).trim() && editor.model.sharedModel.getSource().slice(from, to);
}

function selectedOutput(cell: Cell): string {
  const selection = window.getSelection();
  const output = cell.node.querySelector(".jp-Cell-outputWrapper");
  return selection?.anchorNode && output?.contains(selection.anchorNode) ? selection.toString().trim() : "";
}

/** A block of code whose fence is longer than any in the text. */
export function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...(text.match(/`{3,}/g) ?? []).map((run) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\n+$/, "")}\n${fence}`;
}

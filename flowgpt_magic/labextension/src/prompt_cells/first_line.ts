/** Which cells are prompts, by the line of their magic: the rules of `magics/input_transforms.py`. */

import { LINE_ENDS, SPACES, WORD, matchAt } from "./python_text";

/** The line of the magic in a cell that is a prompt. */
export interface FirstLine {
  magic: string; // the name without the percent signs
  start: number; // of the percent signs
  options: number; // where the text after the name begins
  end: number; // of the line
}

const END = `(?:\\r\\n|[${LINE_ENDS}]|$)`;
// Magics that run the cell below their line, which may be a prompt.
const AROUND = new RegExp(`[${SPACES}]*%%(?:time|timeit|prun|capture)(?![${WORD}?])[^${LINE_ENDS}]*${END}`, "uy");
const ABOVE = new RegExp(`[${SPACES}]*(?:#[^${LINE_ENDS}]*${END}[${SPACES}]*)*`, "uy");
const MAGIC = new RegExp(`%%(flowgpt|ai)(?![${WORD}?])[^${LINE_ENDS}]*`, "uy");
const LONGEST_NAME = 12; // characters of a line that tell whether it begins a prompt

/** The line of the magic, null in every other cell, and the number of characters that decided it. */
export function readFirstLine(text: string): { line: FirstLine | null; read: number } {
  let place = 0;
  for (let around; (around = matchAt(AROUND, text, place)); ) place += around[0].length;
  const start = place + (matchAt(ABOVE, text, place)?.[0].length ?? 0);
  const magic = matchAt(MAGIC, text, start);
  if (!magic) return { line: null, read: start + LONGEST_NAME };
  const end = start + magic[0].length;
  return { line: { magic: magic[1], start, options: start + 2 + magic[1].length, end }, read: end + 1 };
}

/** A text that is read from its beginning, such as a document of the editor. */
export interface Beginning {
  length: number;
  sliceString(from: number, to: number): string;
}

/** The same for a long text, of which no more is read than that takes. */
export function findFirstLine(text: Beginning): { line: FirstLine | null; read: number } {
  for (let size = 500; ; size *= 4) {
    const found = readFirstLine(text.sliceString(0, Math.min(size, text.length)));
    if (found.read < size || size >= text.length) return found;
  }
}

/** Is a cell with this source a prompt? `magics` are the names of the cell magics that are ours. */
export function isPrompt(source: string, magics: readonly string[] = ["flowgpt"]): boolean {
  const { line } = readFirstLine(source);
  return line !== null && magics.includes(line.magic);
}

/** The parts of the line of a magic: the rules of `prompt/magic_line.py` and `prompt/parameter_syntax.py`. */

import { SPACES, WORD, isSpace, matchAt } from "./python_text";

export type PartKind = "variable" | "subcommand" | "option" | "value" | "model";

export interface Part {
  from: number;
  to: number;
  kind: PartKind;
}

/** A line whose parts are known up to `prompt`, where the prompt begins. */
export interface MagicLine {
  parts: Part[];
  prompt: number;
  raw: boolean; // are braces in the prompt sent as typed?
  bare: string; // the bare word that would be the model if the kernel has one of that name
}

/** Options that take a value, and those that take none; a Python test compares them with the kernel's. */
export const WITH_VALUE = (
  "model m temperature t think max-tokens param P system s chat c format f out o attach a schema timeout retries proxy"
).split(" ");
export const WITHOUT_VALUE = (
  "raw no-history append cache refresh dry-run next-cell no-stream quiet help h"
).split(" ");

const SUBCOMMAND = new RegExp(
  `[${SPACES}]*(?:(edit[${SPACES}]+-?\\d+)(?=[${SPACES}]+-|[${SPACES}]*$)|(system)[${SPACES}]*$` +
    `|(template[${SPACES}]+[${WORD}][${WORD}.-]*)(?=[${SPACES}]+(?:(?!\\d)[${WORD}]+=|-)|[${SPACES}]*$))`,
  "uy",
);
const SLOT = new RegExp(`(?!\\d)[${WORD}]+=`, "uy");
const ASSIGNED = new RegExp(`[${SPACES}]*([^${SPACES}\\d-][^${SPACES}]*)[${SPACES}]+<<(?=[${SPACES}]|$)`, "uy");
const INLINE = new RegExp(`--[${WORD}-]+=`, "uy");
const FORM = /^([A-Za-z0-9_.-]+)[:/]\S+$/;
const NO_MODEL = /^(?:\d+[:/]\d\S*|[A-Za-z]{1,3}\/[A-Za-z]{1,3}|\S+\.(?!gguf)[A-Za-z]{1,5}(?::\d+)*)$/;
const PAIRS = ["“”“", "„“”", "””", "‘’", "‚‘’", "«»", "»«"]; // opening quotation marks, and those that close them
const TYPOGRAPHIC = new RegExp(
  PAIRS.map(([opening, ...closing]) => `${opening}[^]*?[${closing.join("")}](?![^${SPACES}])`).join("|"),
  "uy",
);

/** Has this word the form of a model's name? */
export function hasModelForm(word: string): boolean {
  return !word.includes("://") && FORM.test(word) && !NO_MODEL.test(word);
}

/** The parts of `line`, the text after the name of the magic; `isModel` says which bare words name a model. */
export function readMagicLine(line: string, isModel: (word: string) => boolean): MagicLine {
  const result: MagicLine = { parts: [], prompt: 0, raw: false, bare: "" };
  let place = readSubcommand(line, result) || readAssignment(line, result);
  let hasModel = false;
  while ((place = skipSpaces(line, place)) < line.length) {
    const { text: word, end } = readWord(line, place);
    const typed = line.slice(place, end);
    if (typed === "--") {
      result.parts.push({ from: place, to: end, kind: "option" });
      place = skipSpaces(line, end);
      break;
    }
    if (/^--?[A-Za-z]/.test(typed)) {
      const after = readOption(line, place, end, result);
      if (!after) break; // the kernel refuses it, or it is still being typed
      hasModel ||= /^(?:-m|--model(?:=|$))/.test(typed);
      place = after;
    } else if (!hasModel && word && !isTypographic(line, place) && !/\s/.test(word) && isNamed(word, isModel, result)) {
      result.parts.push({ from: place, to: end, kind: "model" });
      hasModel = true;
      place = end;
    } else break;
  }
  result.prompt = place;
  return result;
}

function isNamed(word: string, isModel: (word: string) => boolean, result: MagicLine): boolean {
  result.bare = word;
  return isModel(word) || hasModelForm(word);
}

/** Where the line goes on after a subcommand that takes the lines below it; 0 if there is none. */
function readSubcommand(line: string, result: MagicLine): number {
  const match = matchAt(SUBCOMMAND, line, 0);
  const named = match?.[1] ?? match?.[2] ?? match?.[3];
  if (!match || named === undefined) return 0;
  let place = line.indexOf(named) + named.length;
  result.parts.push({ from: place - named.length, to: place, kind: "subcommand" });
  result.raw = match[2] !== undefined; // a system prompt
  while (match[3] !== undefined && matchAt(SLOT, line, skipSpaces(line, place))) {
    const from = skipSpaces(line, place);
    place = readWord(line, from).end;
    result.parts.push({ from, to: place, kind: "value" });
  }
  return place;
}

function readAssignment(line: string, result: MagicLine): number {
  const match = matchAt(ASSIGNED, line, 0);
  if (!match) return 0;
  const from = skipSpaces(line, 0);
  result.parts.push({ from, to: from + match[1].length, kind: "variable" });
  return match[0].length;
}

/** Where the line goes on after the option whose word ends at `end`; 0 if there is no such option or no value. */
function readOption(line: string, place: number, end: number, result: MagicLine): number {
  const typed = line.slice(place, end);
  const equals = typed.startsWith("--") ? typed.indexOf("=") : -1;
  const flag = equals < 0 ? typed : typed.slice(0, equals);
  const name = flag.startsWith("--") ? flag.slice(2) : flag.slice(1);
  if ((name.length > 1) !== flag.startsWith("--")) return 0;
  if (equals < 0 && WITHOUT_VALUE.includes(name)) {
    result.parts.push({ from: place, to: end, kind: "option" });
    result.raw ||= name === "raw";
    return end;
  }
  if (!WITH_VALUE.includes(name)) return 0;
  const inline = matchAt(INLINE, line, place);
  const start = inline ? place + inline[0].length : skipSpaces(line, end);
  result.parts.push({ from: place, to: inline ? start : end, kind: "option" });
  if (start >= line.length) return line.length;
  const to = name === "param" || name === "P" ? parameterEnd(line, start) : readWord(line, start).end;
  if (to > start) result.parts.push({ from: start, to, kind: /^(?:m|model)$/.test(name) ? "model" : "value" });
  return to;
}

/** The word of a shell at `place` without its quotes, and where it ends. */
export function readWord(line: string, place: number): { text: string; end: number } {
  const inline = matchAt(INLINE, line, place);
  const start = inline ? place + inline[0].length : place;
  const quoted = matchAt(TYPOGRAPHIC, line, start);
  if (quoted) return { text: line.slice(place, start) + quoted[0].slice(1, -1), end: start + quoted[0].length };
  let text = "";
  while (place < line.length && !isSpace(line[place])) {
    const character = line[place];
    const end = `"'`.includes(character) ? line.indexOf(character, place + 1) : -1;
    if (end > 0) {
      text += line.slice(place + 1, end);
      place = end + 1;
      continue;
    }
    if (character === "\\" && ["\\", '"', "'", " "].includes(line[place + 1])) place += 1;
    text += line[place];
    place += 1;
  }
  return { text, end: place };
}

const isTypographic = (line: string, place: number): boolean => matchAt(TYPOGRAPHIC, line, place) !== null;

function skipSpaces(line: string, place: number): number {
  while (place < line.length && isSpace(line[place])) place += 1;
  return place;
}

const PARAMETER = new RegExp(`(["']?)[A-Za-z_][${WORD}]*=(?=["']?[\\[{"])`, "uy");
const QUOTED = new RegExp(`"((?:[^"\\\\]|\\\\.)*)"(?![^${SPACES}])`, "uy");

/** Where the value of `-P` at `place` ends: it may be JSON with quotes and spaces of its own. */
function parameterEnd(line: string, place: number): number {
  const begin = matchAt(PARAMETER, line, place);
  if (begin) {
    const value = place + begin[0].length;
    for (const inside of ["", line[value].replace(/[[{]/, "")]) {
      const start = value + inside.length;
      const end = jsonEnd(line, start);
      const closed = end + inside.length + begin[1].length;
      const isClosed = line.slice(end, closed) === inside + begin[1] && (closed >= line.length || isSpace(line[closed]));
      if (end > start && isClosed) return closed;
    }
  }
  const quoted = matchAt(QUOTED, line, place);
  if (quoted?.[1].includes("\\")) {
    const text = quoted[1].replace(/\\(["\\])/g, "$1");
    if (isJson(text.slice(text.indexOf("=") + 1))) return place + quoted[0].length;
  }
  return readWord(line, place).end;
}

/** Where the JSON text, list or object at `start` ends; 0 if there is none. */
function jsonEnd(line: string, start: number): number {
  let depth = 0;
  for (let place = start; place < line.length; place += 1) {
    const character = line[place];
    if (character === '"') {
      while (++place < line.length && line[place] !== '"') if (line[place] === "\\") place += 1;
    } else if ("[{".includes(character)) depth += 1;
    else if ("]}".includes(character)) depth -= 1;
    if (depth <= 0) return isJson(line.slice(start, place + 1)) ? place + 1 : 0;
  }
  return 0;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

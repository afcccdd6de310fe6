/** The references in a prompt, such as `{name}`: the rules of `prompt/references.py`, where the reasons are. */

import { WORD, matchAt } from "./python_text";

export interface Reference {
  from: number;
  to: number;
  name: string; // the variable that the reference begins with
  inside: string; // what is between the braces
  method: string; // the method that is called first; empty if none is
}

const BEGIN = "[^\\x00-@\\[-^`{-\\x7f]";
const NAME = `${BEGIN}[^\\x00-/:-@\\[-^\`{-\\x7f]*`;
const INDEX = `\\[(?:-?(?:0|[1-9][0-9]{0,17})|"[^"\\\\\\n{}]*"|'[^'\\\\\\n{}]*')\\]`;
const CALL = `\\((?:[^(){}\\n"']|"[^"\\\\\\n{}]*"|'[^'\\\\\\n{}]*')*\\)`;
const TOKEN = new RegExp(
  `\\\\(?:[A-Za-z]+\\*?(?:\\[[^\\[\\]{}\\n]*\\])*|[\\s\\S])?` + // a backslash command with options, an escaped character
    `|\\{(?:\\{|(${NAME}(?:\\.${NAME}|${INDEX}|${CALL})*)\\}|(?=( ?${BEGIN}[^{}\\n]{0,200})\\}))` +
    `|(?<=(?<![${WORD}\\\\])(?:[fFtT]|[fFtT][rR]|[rR][fFtT]))["']`,
  "gu",
);
const LITERAL = new RegExp(
  `"{3}(?:[^\\\\]|\\\\[\\s\\S])*?"{3}|'{3}(?:[^\\\\]|\\\\[\\s\\S])*?'{3}` +
    `|"[^"\\\\\\n]*(?:\\\\.[^"\\\\\\n]*)*"|'[^'\\\\\\n]*(?:\\\\.[^'\\\\\\n]*)*'`,
  "uy",
);
const STEP = new RegExp(`(^|\\.)(${NAME})|${INDEX}|(${CALL})`, "gu");
const IDENTIFIER = /^[\p{ID_Start}_][\p{ID_Continue}]*$/u;
const FOREIGN = "$#%^_{}";

/** The references in this text, whether or not they lead to something. */
export function findReferences(text: string): Reference[] {
  const references: Reference[] = [];
  let paragraph = -1;
  let command = -1; // where the last one ended
  let reference = -1;
  let closing = -1; // where doubled braces end, as far as looked for
  let closable = true; // whether a doubled brace can still be closed in this paragraph
  TOKEN.lastIndex = 0;
  for (let token; (token = TOKEN.exec(text)); ) {
    const start = token.index;
    const end = start + token[0].length;
    if (token[1] !== undefined) {
      const before = start ? text[start - 1] : "";
      if (start !== command && (!before || !FOREIGN.includes(before) || start === reference)) {
        reference = end;
        const read = readReference(token[1], start);
        if (read) references.push(read);
      }
    } else if (text[start] === "\\") {
      command = end;
    } else if (text[start] !== "{") {
      TOKEN.lastIndex = end - 1 + (matchAt(LITERAL, text, start)?.[0].length ?? 1);
    } else if (token[2] === undefined) {
      if (start >= paragraph) {
        paragraph = text.indexOf("\n\n", start);
        if (paragraph < 0) paragraph = text.length;
        closable = true;
      }
      if (closable && closing < end) closing = text.indexOf("}}", end) >>> 0; // none is far beyond the end
      closable &&= closing + 2 <= paragraph;
      if (closable) TOKEN.lastIndex = closing + 2;
    }
  }
  return references;
}

/** The reference between braces that begin at `start`; null if one of its names is hidden or no name at all. */
function readReference(inside: string, start: number): Reference | null {
  let name = "";
  let method = "";
  let last = "";
  for (const step of inside.matchAll(STEP)) {
    if (step[3] && !method) method = last;
    last = step[2] ? step[2].normalize("NFKC") : "";
    if (!step[2]) continue;
    const isFirst = step.index === 0;
    const isHidden = isFirst ? /^__.+__$/.test(last) : last.startsWith("_");
    if (isHidden || !IDENTIFIER.test(last)) return null;
    if (isFirst) name = last;
  }
  return { from: start, to: start + inside.length + 2, name, inside, method };
}

/** The tools that a prompt names, as in `` &`load_sales` ``. */
export function findTools(text: string): Reference[] {
  const tools: Reference[] = [];
  for (const match of text.matchAll(TOOL)) {
    if (!IDENTIFIER.test(match[1].split(".")[0])) continue;
    const from = match.index;
    tools.push({ from, to: from + match[0].length, name: match[1].split(".")[0], inside: match[1], method: "" });
  }
  return tools;
}

const TOOL = new RegExp(`(?<![${WORD}&\`\\\\])&\`(${NAME}(?:\\.${NAME})*)\`(?!\`)`, "gu");

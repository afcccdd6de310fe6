/** Which braces that lead to nothing look meant as a reference: the rules of `prompt/unresolved.py`. */

import type { Reference } from "./references";

const CONTEXT = 400; // characters before and after braces that decide whether they belong to code
const FENCE = /^ {0,3}(`{3,}|~{3,})([^\n]*)/gm;
const LOOKS = ["head", "tail", "describe", "info", "sample", "value_counts"]; // methods that are called in braces
const CODE_BEFORE = /[A-Za-z0-9_/$=@.)\]>&|<~`\\]$|:\/\/\S*$/;
const CODE_OPENING = new RegExp(
  // what ends at the braces: the beginning of a block, an argument, or a text in code
  `(?:\\)|[\\p{L}\\p{N}_]\\((?:[^()"']*,)?|=>?|::)\\s*$` +
    `|(?<![\\p{L}\\p{N}_])(?:else|finally|try|(?:enum|interface|namespace|struct)\\s+[\\p{L}\\p{N}_]+)\\s*$` +
    `|(?:[\\p{L}\\p{N}_!]\\((?:[^()"']*,)?\\s*|[$@]|["']\\s*:\\s*|=\\s*)(?:"[^"]*|'[^']*)$`,
  "u",
);
const CODE_AFTER = /^(?:[/<(=[@`\\]|\.[A-Za-z0-9]|\s*=(?!=)|\s+from(?![\p{L}\p{N}_]))/u;
const CODE_LINE = new RegExp(
  `^(?: {4}|\\t)|\\\\[A-Za-z]|\\.format(?:_map)?\\(|[;{]\\s*$` +
    `|^\\s*(?:(?:const|var|def|class) |(?:print[\\p{L}\\p{N}_]*|console\\.[\\p{L}\\p{N}_]+) ?\\()`,
  "u",
);
const KEYWORDS = new Set(
  (
    "False None True and as assert async await break class continue def del elif else except finally for from global " +
    "if import in is lambda nonlocal not or pass raise return try while with yield"
  ).split(" "),
);

/** Those of the references in `text` that look meant even if there is no variable of that name. */
export function looksMeant(text: string, references: readonly Reference[]): Reference[] {
  const fences = findFences(text);
  let passed = 0;
  return references.filter((reference) => {
    while (passed < fences.length && fences[passed] <= reference.from) passed += 1;
    if (passed % 2 || KEYWORDS.has(reference.name)) return false;
    return !(reference.method && !LOOKS.includes(reference.method)) && !isCode(text, reference);
  });
}

/** Where fenced code blocks begin and end, by turns. */
export function findFences(text: string): number[] {
  const places: number[] = [];
  let fence = "";
  for (const match of text.matchAll(FENCE)) {
    if (!fence) fence = match[1];
    else if (match[1].startsWith(fence) && !match[2].trim()) fence = "";
    else continue;
    places.push(match.index);
  }
  return places;
}

/** Do the braces stand in code, a formula, a path or a template? Decided by the line around them. */
function isCode(text: string, { from, to }: Reference): boolean {
  const near = text.slice(Math.max(from - CONTEXT, 0), from);
  const before = near.slice(near.lastIndexOf("\n") + 1);
  const after = text.slice(to, to + CONTEXT).split("\n", 1)[0];
  return (
    CODE_BEFORE.test(before) ||
    CODE_OPENING.test(before) ||
    count(before, "{") > count(before, "}") ||
    CODE_AFTER.test(after) ||
    CODE_LINE.test(`${before}{}${after}`) ||
    ["`", "$"].some((mark) => count(before, mark) % 2 && after.includes(mark))
  );
}

const count = (text: string, mark: string): number => text.split(mark).length - 1;

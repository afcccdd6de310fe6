/** Which characters of a code block are keywords, strings, …; the Python half is `markdown/html/highlight.py`. */

/** The last part of the class name `fg-…` of each kind of run; other kinds are plain. */
const CLASSES = {
  K: "keyword", S: "string", C: "comment", N: "number", F: "def", B: "builtin", O: "operator", M: "meta", T: "tag",
  A: "attribute", V: "variable-2", L: "atom", E: "error",
};

/**
 * A piece of code with one colour: its range in the code, in UTF-16 code units; an empty `kind` is plain.
 * @typedef {{kind: string, start: number, end: number}} Run
 */

/**
 * Read the runs that the kernel appends to a code block: for each run a letter and its length in base 36, 1 if missing.
 *
 * @param {string} text the code
 * @param {string} runs
 * @returns {Run[]} at least one; together they cover the whole code
 */
export function readRuns(text, runs) {
  const found = [];
  let place = 0;
  for (const [, letter, length] of runs.matchAll(/([A-Z])([0-9a-z]*)/g)) {
    const end = Math.min(text.length, place + (length ? parseInt(length, 36) : 1));
    const kind = letter in CLASSES ? CLASSES[/** @type {keyof typeof CLASSES} */ (letter)] : "";
    if (end > place) found.push({ kind, start: place, end });
    place = end;
  }
  if (place < text.length || !found.length) found.push({ kind: "", start: place, end: text.length });
  return found;
}

/**
 * @param {Run} one
 * @param {Run} other
 */
export function sameRun(one, other) {
  return one.kind === other.kind && one.start === other.start && one.end === other.end;
}

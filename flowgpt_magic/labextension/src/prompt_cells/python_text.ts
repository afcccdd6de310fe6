/** Classes of characters as Python has them, for the patterns here: JavaScript's `\s` and `\w` are others. */

export const LINE_ENDS = "\\n\\v\\f\\r\\x1c-\\x1e\\x85\\u2028\\u2029"; // of `str.splitlines`
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
export const WORD = "\\p{L}\\p{N}_";

const SPACE = new RegExp(`[${SPACES}]`);

export const isSpace = (character: string): boolean => SPACE.test(character);

/** The match of a sticky pattern at this place. */
export function matchAt(pattern: RegExp, text: string, place: number): RegExpExecArray | null {
  pattern.lastIndex = place;
  return pattern.exec(text);
}

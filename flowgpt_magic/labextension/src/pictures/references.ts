/** Pictures in the text of a prompt, as in Markdown cells: the rules of `prompt/pictures.py`. */

/** `![description](attachment:name)`, and where in the text it stands. */
export interface Reference {
  name: string;
  description: string;
  start: number;
  end: number;
  descriptionStart: number;
  descriptionEnd: number;
}

const DIGITS = 12; // of the SHA-256 in a name
const LONGEST_STEM = 40; // characters
// A reference, or code, in which there are none.
const REFERENCE =
  /^ {0,3}(?<fence>`{3,}|~{3,})[^\n]*\n(?:[^]*?^ {0,3}\k<fence>[`~]*[ \t]*$|[^]*)|(?<![`\\])(?<ticks>`+)(?!`)(?:(?!\n\s*\n)[^])+?(?<!`)\k<ticks>(?!`)|(?<!\\)!\[(?<description>(?:\\.|[^[\]\\])*)\]\( *<?attachment:(?<name>[^\s()<>]+)>?(?: +(?:"[^"\n]*"|'[^'\n]*'))? *\)/gmu;

/** The pictures that a text names outside of code. */
export function referencesIn(text: string): Reference[] {
  if (!text.includes("attachment:")) return [];
  const references: Reference[] = [];
  for (const match of text.matchAll(REFERENCE)) {
    const { name, description } = match.groups as { name?: string; description?: string };
    if (!name || description === undefined) continue;
    const descriptionStart = match.index + 2;
    references.push({
      name: decoded(name),
      description: description.replace(/\\([^\w\s])/gu, "$1"),
      start: match.index,
      end: match.index + match[0].length,
      descriptionStart,
      descriptionEnd: descriptionStart + description.length,
    });
  }
  return references;
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** A description as it is written in Markdown. */
export function escaped(description: string): string {
  return description.replace(/\s+/gu, " ").replace(/([\\`[\]<>&*_$])/gu, "\\$1");
}

export function referenceTo(name: string, description = ""): string {
  return `![${escaped(description)}](attachment:${name})`;
}

/** The first digits of the picture's SHA-256 in a name; empty for a name of another kind. */
export function digitsOf(name: string): string {
  return /-([0-9a-f]{12})\.\w+$/u.exec(name)?.[1] ?? "";
}

/** The name of the attachment of a picture, as the kernel would call it. */
export function attachmentName(file: string, digest: string, suffix: string): string {
  const base = file.slice(Math.max(file.lastIndexOf("/"), file.lastIndexOf("\\")) + 1).replace(/\.[^.]*$/u, "");
  const stem = base.replace(/[^A-Za-z0-9]+/gu, "-").slice(0, LONGEST_STEM).replace(/^-+|-+$/gu, "");
  return `${stem || "picture"}-${digest.slice(0, DIGITS)}.${suffix}`;
}

/** A change of a text, as Yjs tells it. */
export type Delta = readonly { retain?: number; insert?: unknown; delete?: number }[];

/** Where the character at `offset` is after a change. */
export function movedBy(delta: Delta, offset: number): number {
  let place = 0; // in the new text
  for (const { retain, insert, delete: gone } of delta) {
    if (retain !== undefined) place += retain;
    else if (typeof insert === "string" && place <= offset) {
      offset += insert.length;
      place += insert.length;
    } else if (gone !== undefined && place < offset) offset = Math.max(place, offset - gone);
    if (place > offset) break;
  }
  return offset;
}

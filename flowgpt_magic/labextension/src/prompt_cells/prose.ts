/** What the editor of a prompt cell has that those of other cells have not. */

import { EditorState, Facet, StateEffect, StateField, type Extension, type Range } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, type DecorationSet, type ViewUpdate } from "@codemirror/view";

import { findFirstLine } from "./first_line";
import { readMagicLine, type Part } from "./magic_line";
import { looksMeant } from "./meant";
import type { KernelNames, Prompt } from "./names";
import { findReferences, findTools, type Reference } from "./references";

/** The kernel knows other names or magics than before, or the language has been loaded. */
export const refresh = StateEffect.define<null>();

/** The notebook of an editor: its kernel's names, null as long as they cannot be known. */
export interface Surroundings {
  readonly names: KernelNames | null;
  /** Call `run` as soon as `names` is there, and at once if it is. */
  whenThere(run: (names: KernelNames) => void): void;
}

const surroundingsOf = Facet.define<Surroundings, Surroundings>({ combine: ([surroundings]) => surroundings });

interface FoundReference extends Reference {
  isMeant: boolean; // does it look meant even if there is no such name?
}

/** What a text has in it, at its places in the whole cell. */
interface Content {
  command: { from: number; to: number };
  parts: readonly Part[];
  references: readonly FoundReference[];
  bare: string;
}

/** The content of a prompt, how it looks, and the names that the kernel does not have. */
interface Look {
  content: Content;
  decorations: DecorationSet;
  missing: readonly string[];
  isStale: boolean; // is `content` that of before the last changes?
}

const LONG = 10_000; // characters of a prompt that is not read again at each keystroke
const PAUSE = 500; // ms without a keystroke after which it is

const NOT_DEFINED = "not defined in the kernel";
const MARKS = Object.fromEntries(
  ["command", "variable", "subcommand", "option", "value", "model", "reference"].map((kind) => [
    kind,
    Decoration.mark({ class: `fg-prompt-${kind}` }),
  ]),
);
const MISSING = Decoration.mark({
  class: "fg-prompt-missing",
  attributes: { title: NOT_DEFINED, "aria-description": NOT_DEFINED },
});

const EMPTY: Content = { command: { from: 0, to: 0 }, parts: [], references: [], bare: "" };

function readContent(state: EditorState): Content {
  const { line } = findFirstLine(state.doc);
  if (!line) return EMPTY;
  const { names } = state.facet(surroundingsOf);
  const text = state.sliceDoc(line.options, line.end);
  const { parts, prompt, raw, bare } = readMagicLine(text, (word) => names?.isModel(word) ?? false);
  return {
    command: { from: line.start, to: line.options },
    parts: parts.map((part) => moved(part, line.options)),
    references: raw ? [] : findAll(state.sliceDoc(line.options + prompt), line.options + prompt),
    bare,
  };
}

/** The references and tools in a prompt that begins at `start`. */
function findAll(prompt: string, start: number): FoundReference[] {
  const braces = prompt.includes("{") ? findReferences(prompt) : [];
  const tools = prompt.includes("&`") ? findTools(prompt) : [];
  const meant = new Set([...looksMeant(prompt, braces), ...looksMeant(prompt, tools)]);
  return [...braces, ...tools].map((reference) => ({ ...moved(reference, start), isMeant: meant.has(reference) }));
}

function moved<Place extends { from: number; to: number }>(place: Place, by: number): Place {
  return { ...place, from: place.from + by, to: place.to + by };
}

function lookOf(content: Content, names: KernelNames | null): Look {
  const marks: Range<Decoration>[] = [];
  const missing = new Set<string>();
  const { command, parts, references } = content;
  if (command.to > command.from) marks.push(MARKS.command.range(command.from, command.to));
  for (const { from, to, kind } of parts) marks.push(MARKS[kind].range(from, to));
  for (const reference of references) {
    const { from, to, name, isMeant } = reference;
    if (names?.isMissing(name)) {
      if (!isMeant) continue;
      missing.add(name);
      marks.push(MISSING.range(from, to));
    } else if (names?.isKnown(name) || (isMeant && !names?.isAnswered(name))) {
      marks.push(MARKS.reference.range(from, to));
    }
  }
  return { content, decorations: Decoration.set(marks, true), missing: [...missing], isStale: false };
}

const lookField = StateField.define<Look>({
  create: (state) => lookOf(readContent(state), state.facet(surroundingsOf).names),
  update(look, { docChanged, changes, effects, state }) {
    const isRefreshed = effects.some((effect) => effect.is(refresh));
    if (!docChanged && !isRefreshed) return look;
    if (docChanged && !isRefreshed && state.doc.length > LONG) {
      return { ...look, decorations: look.decorations.map(changes), isStale: true };
    }
    const content = docChanged || look.isStale ? readContent(state) : readAgain(look.content, state);
    return lookOf(content, state.facet(surroundingsOf).names);
  },
  provide: (field) => [
    EditorView.decorations.from(field, ({ decorations }) => decorations),
    EditorView.contentAttributes.from(field, ({ missing }) => described(missing)),
  ],
});

/** The content of an unchanged text; another word may name a model now. */
function readAgain(content: Content, state: EditorState): Content {
  return content.bare ? readContent(state) : content;
}

function described(missing: readonly string[]): Record<string, string> {
  return missing.length ? { "aria-description": `${missing.join(", ")}: ${NOT_DEFINED}` } : {};
}

/** Keeps the kernel's names up to date while the editor shows a prompt. */
const watcher = ViewPlugin.define((view) => {
  let names: KernelNames | null = null;
  let isGone = false;
  let timer = 0;
  const look = (): Look => view.state.field(lookField);
  const prompt: Prompt = {
    get names() {
      return new Set(look().content.references.map(({ name }) => name));
    },
    get bare() {
      return look().content.bare;
    },
    refresh: () => view.dispatch({ effects: refresh.of(null) }),
  };
  const join = (found: KernelNames): void => {
    if (isGone) return;
    names = found;
    names.join(prompt);
  };
  // After this update, because `join` reads the state and the answer may dispatch.
  void Promise.resolve().then(() => isGone || view.state.facet(surroundingsOf).whenThere(join));
  return {
    update(update: ViewUpdate) {
      if (!update.docChanged && !update.startState.field(lookField).isStale) return;
      window.clearTimeout(timer);
      if (look().isStale) timer = window.setTimeout(prompt.refresh, PAUSE);
      else names?.look(prompt);
    },
    destroy() {
      isGone = true;
      window.clearTimeout(timer);
      names?.leave(prompt);
    },
  };
});

/** The extensions of the editor of a prompt, in the language that Lab has for them as soon as it is loaded. */
export function proseExtensions(surroundings: Surroundings): Extension {
  return [
    surroundingsOf.of(surroundings),
    lookField,
    watcher,
    EditorView.lineWrapping,
    EditorView.editorAttributes.of({ class: "fg-prompt-editor" }),
    EditorView.contentAttributes.of({ "aria-label": "Prompt" }),
    EditorState.languageData.of(() => [{ closeBrackets: { brackets: [] } }]),
  ];
}

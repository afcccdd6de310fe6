/** Makes an editor one of prose while its text is that of a prompt cell. */

import { Compartment, EditorState, Prec, type Extension } from "@codemirror/state";
import { ViewPlugin } from "@codemirror/view";

import { findFirstLine, type Beginning } from "./first_line";
import { proseExtensions, refresh, type Surroundings } from "./prose";

/** The language of prompts, which Lab loads when it is first needed. */
export interface ProseLanguage {
  readonly extension: Extension | null; // null before it is loaded
  load(): Promise<void>;
}

const NOTHING: Extension = [];

/**
 * The extension of the editor of one code cell. In the transaction that makes the first line that of a prompt, or of
 * another cell, the editor's configuration is changed too: undo history, selection and composition stay as they are.
 */
export function promptEditor(text: Beginning, surroundings: Surroundings, language: ProseLanguage): Extension {
  const prose = new Compartment();
  const plain = [proseExtensions(surroundings), loader(language)];
  let coloured: Extension | null = null;
  let isConsidered = false;

  // Ask whether the magic is ours, after the update of the editor, which the answer may change.
  const consider = (): void => {
    if (!isConsidered) void Promise.resolve().then(() => surroundings.whenThere((names) => names.consider()));
    isConsidered = true;
  };
  const wanted = (beginning: Beginning): Extension => {
    const { line } = findFirstLine(beginning);
    if (!line) return NOTHING;
    if (!(surroundings.names?.magics ?? ["flowgpt"]).includes(line.magic)) {
      consider();
      return NOTHING;
    }
    if (!language.extension) return plain;
    return (coloured ??= [plain[0], Prec.high(language.extension)]);
  };
  return [
    prose.of(wanted(text)),
    EditorState.transactionExtender.of((transaction) => {
      if (!transaction.docChanged && !transaction.effects.some((effect) => effect.is(refresh))) return null;
      const extension = wanted(transaction.newDoc);
      if (extension === prose.get(transaction.startState)) return null;
      return { effects: prose.reconfigure(extension) };
    }),
  ];
}

/** Loads the language, and then puts it into the editor. */
function loader(language: ProseLanguage): Extension {
  return ViewPlugin.define((view) => {
    let isGone = false;
    void language.load().then(() => isGone || view.dispatch({ effects: refresh.of(null) }));
    return { destroy: () => void (isGone = true) };
  });
}

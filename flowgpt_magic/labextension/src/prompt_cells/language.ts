/** The language of a prompt: JupyterLab's Markdown after the options, and nothing before. */

import { Language, type LanguageSupport } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { NodeType, Parser, Tree, parseMixed, type Input, type PartialParse, type TreeFragment } from "@lezer/common";

import { findFirstLine } from "./first_line";
import { readMagicLine } from "./magic_line";

const PROMPT = NodeType.define({ id: 0, name: "Prompt", top: true });

/** Where the prompt begins in a text; its length if that is no prompt. */
function promptStart(input: Input): number {
  const sliceString = (from: number, to: number): string => input.read(from, to);
  const { line } = findFirstLine({ length: input.length, sliceString });
  if (!line) return input.length;
  return line.options + readMagicLine(input.read(line.options, line.end), () => false).prompt;
}

/** A parse that makes one node of the whole text. */
class OneNode implements PartialParse {
  parsedPos = 0;
  stoppedAt: number | null = null;

  constructor(private readonly length: number) {}

  stopAt(place: number): void {
    this.stoppedAt = place;
  }

  advance(): Tree {
    return new Tree(PROMPT, [], [], this.stoppedAt ?? this.length);
  }
}

/**
 * Parses the whole text as one node, on which the Markdown is laid. So Lab's completer, which offers the nodes of a
 * text as completions, finds none.
 */
class PromptParser extends Parser {
  private readonly mixed;

  constructor(markdown: Parser) {
    super();
    this.mixed = parseMixed((node, input) => {
      const from = promptStart(input);
      return from < node.to ? { parser: markdown, overlay: [{ from, to: node.to }] } : null;
    });
  }

  createParse(
    input: Input,
    fragments: readonly TreeFragment[],
    ranges: readonly { from: number; to: number }[],
  ): PartialParse {
    return this.mixed(new OneNode(input.length), input, fragments, ranges);
  }
}

/** The language of prompts, with what Lab's Markdown has beside its grammar. */
export function promptLanguage({ language, support }: LanguageSupport): Extension {
  return [new Language(language.data, new PromptParser(language.parser), [], "prompt"), language.extension, support];
}

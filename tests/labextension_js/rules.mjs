/** Answers a line of JSON on stdin with a line of JSON: what the editor finds in a text, for a test in Python. */

import { createInterface } from "node:readline";

import { load } from "./load.mjs";

const { readFirstLine } = await load("prompt_cells/first_line");
const { findReferences } = await load("prompt_cells/references");
const { looksMeant } = await load("prompt_cells/meant");
const magicLine = await load("prompt_cells/magic_line");

const RULES = {
  firstLine: (text) => {
    const { line } = readFirstLine(text);
    return line && { ...line, text: text.slice(line.options, line.end), below: text.slice(line.end) };
  },
  references: (text) => findReferences(text).map(({ inside, name }) => ({ inside, name })),
  meant: (text) => looksMeant(text, findReferences(text)).map(({ inside }) => inside),
  magicLine: (text, models) => {
    const { parts, prompt, raw } = magicLine.readMagicLine(text, (word) => models.includes(word));
    return { prompt: text.slice(prompt), raw, parts: parts.map(({ from, to, kind }) => [kind, text.slice(from, to)]) };
  },
  options: () => ({ withValue: magicLine.WITH_VALUE, withoutValue: magicLine.WITHOUT_VALUE }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [rule, ...given] = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(RULES[rule](...given))}\n`);
}

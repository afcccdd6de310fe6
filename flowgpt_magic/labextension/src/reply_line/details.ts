/** What is known of a reply: what was sent, to whom, and what it cost. Everything is shown as text. */

import { button, make } from "../../../panel/src/dom.js";

import type { Facts } from "./outputs";

/** What the kernel answers to `details`. */
export interface Answer {
  started: number; // Unix seconds
  facts: [label: string, text: string][];
  sent: string[];
  unsent: string[];
  notices: string[];
  turns?: string[]; // the first lines of the earlier turns
  images: string[]; // data: URLs
  prompt: string;
  reasoning?: string; // older kernels do not send it
  system: string;
  earlier: string;
  schema: string;
}

export type Copy = (text: string) => unknown;

/** The details from the history. */
export function detailsOf(answer: Answer, copy: Copy): HTMLElement[] {
  const asked: [string, string] = ["asked", new Date(1000 * answer.started).toLocaleString()];
  return [
    table([answer.facts[0], asked, ...answer.facts.slice(1)]),
    ...list("Sent", answer.sent),
    ...list("Not sent", answer.unsent),
    ...list("Notes", answer.notices),
    ...folded("Earlier turns", answer.turns ?? []),
    ...text("Prompt as sent", answer.prompt, copy),
    ...pictures(answer.images),
    ...text("Reasoning", answer.reasoning ?? "", copy),
    ...text("System prompt", answer.system, copy),
    ...text("Earlier messages", answer.earlier, copy),
    ...text("Schema", answer.schema, copy),
  ];
}

/** What the output itself says, where the history cannot be asked or does not have the turn; `why` says so. */
export function detailsInFile(facts: Facts, why: string): HTMLElement[] {
  const { sent, prompt_tokens: before, completion_tokens: after, seconds } = facts;
  const turns = sent?.turns ? [`${sent.turns} ${sent.turns === 1 ? "turn" : "turns"}`] : [];
  const rows: [string, string][] = [
    ["model", [facts.provider, facts.model].filter(Boolean).join(":")],
    ["tokens", before == null ? "" : `${before} → ${after ?? "?"}`],
    ["time", seconds == null ? "" : `${seconds} s`],
    ["end", facts.status ?? ""],
    ["request id", facts.request_id ?? ""],
    ["id", facts.turn_id],
  ];
  return [
    make("p", { class: "flowgpt-popover-why", text: why }),
    table(rows.filter(([, value]) => value)),
    ...list("Sent", [...strings(sent?.included), ...turns]),
    ...list("Not sent", strings(sent?.unsent)),
  ];
}

/** Metadata of a file can be anything. */
function strings(values: unknown): string[] {
  return Array.isArray(values) ? values.map(String) : [];
}

function table(rows: [string, string][]): HTMLElement {
  return make("dl", {}, ...rows.map(([label, value]) =>
    make("div", {}, make("dt", { text: label }), make("dd", { text: value }))));
}

function list(title: string, items: string[]): HTMLElement[] {
  if (!items.length) return [];
  return [section(title, make("ul", {}, ...items.map((item) => make("li", { text: item }))))];
}

function folded(title: string, items: string[]): HTMLElement[] {
  if (!items.length) return [];
  return [make("details", {}, make("summary", { text: title }), make("ol", {}, ...items.map((item) => make("li", { dir: "auto", text: item }))))];
}

function text(title: string, content: string, copy: Copy): HTMLElement[] {
  if (!content) return [];
  const tool = button("copy", `Copy: ${title}`, () => copy(content));
  return [section(title, make("pre", { dir: "auto", tabindex: "0", role: "group", "aria-label": title, text: content }), tool)];
}

function pictures(images: string[]): HTMLElement[] {
  if (!images.length) return [];
  const shown = images.map((src, number) => make("img", { src, alt: `Picture ${number + 1} of the prompt` }));
  return [section("Pictures", make("div", { class: "flowgpt-popover-pictures" }, ...shown))];
}

function section(title: string, content: HTMLElement, tool?: HTMLElement): HTMLElement {
  const head = make("div", { class: "flowgpt-popover-title" }, make("h3", { text: title }), tool);
  return make("section", {}, head, content);
}

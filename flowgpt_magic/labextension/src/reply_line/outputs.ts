/** The replies among the outputs of a cell. Each output of a reply names its turn in its metadata. */

import type { IOutputAreaModel } from "@jupyterlab/outputarea";
import type { JSONObject } from "@lumino/coreutils";

const CAPTION = 'class="flowgpt-caption';

/** What the last output of a reply says of it, besides its text. */
export interface Facts {
  turn_id: string;
  format?: string;
  provider?: string;
  model?: string;
  status?: string; // missing until the reply has ended
  prompt_tokens?: number | null;
  completion_tokens?: number | null;
  seconds?: number | null;
  request_id?: string; // how the server names the request
  sent?: { included?: string[]; turns?: number; unsent?: string[]; tokens?: number };
}

/** The outputs of one reply, which follow each other. */
export interface Reply {
  turn: string;
  first: number; // the numbers of its outputs
  last: number;
  facts: Facts;
}

export type Outputs = Pick<IOutputAreaModel, "length" | "get">;

/** The replies of a cell, in order. */
export function repliesIn(outputs: Outputs): Reply[] {
  const replies: Reply[] = [];
  for (let number = 0; number < outputs.length; number += 1) {
    const facts = factsOf(outputs.get(number).metadata);
    const before = replies.at(-1);
    if (!facts) continue;
    if (before && before.last === number - 1 && before.turn === facts.turn_id && !before.facts.status) {
      Object.assign(before, { last: number, facts });
    } else {
      replies.push({ turn: facts.turn_id, first: number, last: number, facts });
    }
  }
  return replies;
}

/** The text of a reply, as the model wrote it; as it is shown, while it arrives. */
export function textOf(outputs: Outputs, { first, last }: Reply): string {
  let text = "";
  for (let number = first; number <= last; number += 1) {
    const { data } = outputs.get(number);
    text += data["text/plain"] ?? data["text/markdown"] ?? "";
  }
  return text;
}

/** The line below a reply. It is read from the file as text: nothing of its HTML gets into the page. */
export function captionOf(outputs: Outputs, { last }: Reply): string {
  const { data } = outputs.get(last);
  const html = String(data["text/markdown"] ?? data["text/html"] ?? "");
  const start = html.lastIndexOf(CAPTION);
  if (start < 0) return "";
  const page = new DOMParser().parseFromString(html.slice(html.lastIndexOf("<", start)), "text/html");
  return page.querySelector(".flowgpt-caption small")?.textContent ?? "";
}

/** The code blocks of a reply. */
export function codeIn(text: string): string[] {
  const blocks: string[] = [];
  let fence: { indent: number; mark: string; lines: string[] } | null = null;
  for (const line of text.split("\n")) {
    const match = /^( *)(`{3,}|~{3,})([^`]*)$/.exec(line);
    if (!fence) {
      if (match) fence = { indent: match[1].length, mark: match[2], lines: [] };
    } else if (match && match[2].startsWith(fence.mark) && !match[3].trim()) {
      blocks.push(fence.lines.join("\n"));
      fence = null;
    } else {
      fence.lines.push(line.slice(Math.min(fence.indent, /^ */.exec(line)![0].length)));
    }
  }
  if (fence) blocks.push(fence.lines.join("\n")); // a reply that was cut
  return blocks.filter((code) => code.trim());
}

function factsOf(metadata: unknown): Facts | null {
  const facts = (metadata as { flowgpt?: JSONObject } | undefined)?.flowgpt;
  return typeof facts?.turn_id === "string" && facts.turn_id ? (facts as unknown as Facts) : null;
}

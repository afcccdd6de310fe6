/** Show another reply in the place of one in a cell. */

import type { CodeCell } from "@jupyterlab/cells";
import type { IMimeBundle, IOutput } from "@jupyterlab/nbformat";
import type { JSONObject } from "@lumino/coreutils";

import { repliesIn } from "./outputs";

/** Put an output in the place of those of a turn. Does nothing if the cell no longer shows that turn. */
export function replaceReply(cell: CodeCell, turn: string, data: IMimeBundle, metadata: JSONObject): void {
  const { outputs } = cell.model;
  const reply = repliesIn(outputs).find((other) => other.turn === turn);
  if (!reply) return;
  const output: IOutput = { output_type: "display_data", data, metadata };
  if (reply.first === reply.last) {
    outputs.set(reply.first, output);
  } else {
    const all = outputs.toJSON();
    all.splice(reply.first, reply.last - reply.first + 1, output);
    outputs.fromJSON(all);
  }
}

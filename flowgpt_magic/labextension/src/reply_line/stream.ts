/** A prompt that was sent again: its reply arrives in the output of the cell. */

import type { CodeCell } from "@jupyterlab/cells";
import type { IMimeBundle } from "@jupyterlab/nbformat";
import type { JSONObject } from "@lumino/coreutils";

import type { Connection } from "../kernel/connection";
import type { Message } from "../kernel/protocol";
import { askKernel, type Wait } from "./reach";
import { replaceReply } from "./replace";

const LOST = "The kernel was restarted or has ended. The history has the text received so far.";

export class Stream {
  turn: string; // the one that the output shows
  private readonly name = `${Date.now()}-${performance.now()}`;
  private finish: (error: string) => void = () => undefined;

  constructor(
    private readonly connection: Connection,
    private readonly cell: CodeCell,
    turn: string,
    private readonly began: (turn: string) => void, // called when the output shows another turn
  ) {
    this.turn = turn;
  }

  /** Send the prompt again. Resolves at the end of the reply, to what went wrong; rejects if it was not sent. */
  async run(format: string, wait: Wait): Promise<string> {
    const ended = new Promise<string>((resolve) => (this.finish = resolve));
    const { messages, statusChanged } = this.connection;
    messages.connect(this.hear, this);
    statusChanged.connect(this.look, this);
    try {
      await askKernel(this.connection, "retry", { turn: this.turn, stream: this.name, format }, wait);
      return await ended;
    } finally {
      messages.disconnect(this.hear, this);
      statusChanged.disconnect(this.look, this);
    }
  }

  private hear(_connection: Connection, message: Message): void {
    if (message.stream !== this.name) return;
    if (message.data) this.show(message.data as IMimeBundle, message.metadata as JSONObject);
    if (message.kind === "turn_ended") this.finish(message.error as string);
  }

  private look(): void {
    if (this.connection.status !== "ready") this.finish(LOST);
  }

  private show(data: IMimeBundle, metadata: JSONObject): void {
    const next = (metadata.flowgpt as JSONObject).turn_id as string;
    const before = this.turn;
    this.turn = next;
    if (next !== before) this.began(next); // before the output changes, so that its line is made for this stream
    if (!this.cell.isDisposed) replaceReply(this.cell, before, data, metadata);
  }
}

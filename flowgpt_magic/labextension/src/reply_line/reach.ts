/** Asking a kernel that may not be connected yet. */

import type { JSONObject } from "@lumino/coreutils";

import type { Connection } from "../kernel/connection";
import { settled } from "../kernel/settled";
import { statusText } from "../kernel/status_text";

/** The kernel has the package, and has not loaded the extension: `connection.load` would help. */
export class NotLoaded extends Error {}

/** Takes a sentence about a kernel that is busy: what was asked is done when it has ended that. */
export type Wait = (text: string) => void;

/** Ask about a turn. Rejects with one sentence for the person. */
export async function askKernel(connection: Connection, action: string, request: JSONObject, wait: Wait): Promise<any> {
  await reach(connection, wait);
  return connection.ask("turn", { action, ...request });
}

/** Connect with the kernel. Rejects with what to do where that is not possible now. */
async function reach(connection: Connection, wait: Wait): Promise<void> {
  connection.connect();
  if (connection.status === "unknown") {
    wait(statusText("unknown", connection));
    await settled(connection);
    wait("");
  }
  const { status } = connection;
  if (status === "unloaded") throw new NotLoaded(statusText(status, connection));
  if (status !== "ready") throw new Error(statusText(status, connection));
}

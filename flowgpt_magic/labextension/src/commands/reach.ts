/** Reach the kernel of a notebook because a person used a command, or say in one sentence why that fails. */

import type { Connection } from "../kernel/connection";
import { settled } from "../kernel/settled";
import { statusText } from "../kernel/status_text";

/** Wait until requests can be sent; the extension is loaded if it is not. Rejects with one sentence. */
export async function reach(connection: Connection): Promise<void> {
  connection.connect();
  await settled(connection);
  if (connection.status === "unloaded") {
    await connection.load();
    await settled(connection, "unloaded");
  }
  if (connection.status !== "ready") throw new Error(statusText(connection.status, connection));
}

/** Reach the kernel of a notebook because a person used a command, or say in one sentence why that fails. */

import type { Connection } from "../kernel/connection";
import type { Status } from "../kernel/protocol";
import { statusText } from "../kernel/status_text";

/** Wait until requests can be sent; the extension is loaded if it is not. Rejects with one sentence. */
export async function reach(connection: Connection): Promise<void> {
  connection.connect();
  await known(connection);
  if (connection.status === "unloaded") {
    await connection.load();
    await known(connection, "unloaded");
  }
  if (connection.status !== "ready") throw new Error(statusText(connection.status, connection));
}

/** Wait while it is not known how the kernel can be reached, as while it starts or runs a cell. */
function known(connection: Connection, ...passing: Status[]): Promise<void> {
  const waits = (): boolean => ["unknown", ...passing].includes(connection.status);
  if (!waits()) return Promise.resolve();
  return new Promise((resolve) => {
    const look = (): void => {
      if (waits() && !connection.isDisposed) return;
      connection.statusChanged.disconnect(look);
      resolve();
    };
    connection.statusChanged.connect(look);
  });
}

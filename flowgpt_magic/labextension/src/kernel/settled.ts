/** Waiting until it is known how a kernel can be reached. */

import type { Connection } from "./connection";
import type { Status } from "./protocol";

/** Wait while it is not known how the kernel can be reached, as while it starts or runs a cell. */
export function settled(connection: Connection, ...passing: Status[]): Promise<void> {
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

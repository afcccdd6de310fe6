/** What the person can do where a kernel serves no panel. */

import type { NotebookPanel } from "@jupyterlab/notebook";

import type { Connection } from "../kernel/connection";
import type { Status } from "../kernel/protocol";
import { statusText } from "../kernel/status_text";

/** A sentence, and what a button with this label does about it. */
export interface Step {
  text: string;
  label?: string;
  run?: () => unknown; // a rejected promise says why not
}

/** What a panel needs of the application. */
export interface Front {
  run(command: string): Promise<unknown>;
  collapse(): void; // close the sidebar
  leave(notebook: NotebookPanel): void; // go to the notebook
}

const BUTTONS: Partial<Record<Status, [label: string, run: (connection: Connection, front: Front) => unknown]>> = {
  unloaded: ["Load it", (connection) => connection.load()],
  none: ["Choose a kernel", (_connection, front) => front.run("notebook:change-kernel")],
  shared: ["Choose another kernel", (_connection, front) => front.run("notebook:change-kernel")],
  foreign: ["Choose another kernel", (_connection, front) => front.run("notebook:change-kernel")],
  dead: ["Restart the kernel", (_connection, front) => front.run("notebook:restart-kernel")],
  older: ["Restart the kernel", (_connection, front) => front.run("notebook:restart-kernel")],
};

/** What to do about the kernel of this connection while it serves no panel. */
export function stepFor(connection: Connection, front: Front): Step {
  const { sessionContext } = connection;
  const starting = connection.status === "ready" || (connection.status === "none" && !sessionContext.isReady);
  const status = starting ? "unknown" : connection.status;
  const [label, run] = BUTTONS[status] ?? [];
  return { text: statusText(status, connection), label, run: run && (() => run(connection, front)) };
}

/** What the person can do where a kernel serves no panel. */

import type { NotebookPanel } from "@jupyterlab/notebook";

import type { Connection } from "../kernel/connection";
import type { Status } from "../kernel/protocol";

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

const TEXTS: Record<Exclude<Status, "ready">, string> = {
  none: "This notebook has no kernel.",
  dead: "The kernel has ended.",
  foreign: "This kernel does not run Python; flowgpt_magic needs one that does.",
  unknown: "The kernel is busy or starting: the panel is here as soon as the kernel answers.",
  absent: "The kernel's environment has no flowgpt_magic: run %pip install flowgpt_magic in a cell.",
  unloaded: "The extension flowgpt_magic is not loaded in this kernel.",
  older: "The kernel has an older flowgpt_magic than JupyterLab: update it in the kernel's environment, and restart the kernel.",
  newer: "The kernel has a newer flowgpt_magic than JupyterLab: update it in JupyterLab's environment, and reload the page.",
};

/** What to do about the kernel of this connection, which is not ready. */
export function stepFor(connection: Connection, front: Front): Step {
  const { status, sessionContext } = connection;
  const starting = status === "none" && !sessionContext.isReady;
  const text = status === "ready" || starting ? TEXTS.unknown : TEXTS[status];
  if (starting) return { text };
  if (status === "unloaded") return { text, label: "Load it", run: () => connection.load() };
  if (status === "none") return { text, label: "Choose a kernel", run: () => front.run("notebook:change-kernel") };
  if (status === "foreign") return { text, label: "Choose another kernel", run: () => front.run("notebook:change-kernel") };
  if (status === "dead" || status === "older") return { text, label: "Restart the kernel", run: () => front.run("notebook:restart-kernel") };
  return { text };
}

/** What to do about a kernel that cannot be talked to. */

import type { Connection } from "./connection";
import type { Status } from "./protocol";

const UPGRADE = "%pip install --upgrade flowgpt_magic";
const TEXTS: Record<Status, (connection: Connection) => string> = {
  none: () => "This notebook has no kernel: choose one in the Kernel menu.",
  dead: () => "The kernel has died: restart it in the Kernel menu.",
  shared: () => "Another notebook or console here uses this kernel: choose one of its own in the Kernel menu.",
  foreign: ({ language }) => `FlowGPT needs a Python kernel: the kernel of this notebook runs ${language}.`,
  unknown: () => "Waiting for the kernel, which is starting or busy.",
  absent: () => "This kernel has no package flowgpt_magic: run %pip install flowgpt_magic in a cell.",
  unloaded: () => "The extension flowgpt_magic is not loaded in this kernel: run %load_ext flowgpt_magic in a cell.",
  older: ({ hello, version }) =>
    `The kernel has ${named(hello?.version)}, which is too old for the extension of JupyterLab (${version}): ` +
    `run ${UPGRADE} in a cell, then restart the kernel.`,
  newer: ({ hello, version }) =>
    `The extension of JupyterLab (${version}) is too old for the kernel, which has ${named(hello?.version)}: ` +
    "upgrade flowgpt_magic in JupyterLab's environment, then reload the page.",
  ready: () => "",
};

/** One sentence or two that say what state the kernel is in, and what to do; nothing when it is ready. */
export function statusText(status: Status, connection: Connection): string {
  return TEXTS[status](connection);
}

function named(version: string | undefined): string {
  return version ? `flowgpt_magic ${version}` : "a flowgpt_magic";
}

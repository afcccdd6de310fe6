/** Stop the replies that arrive in a notebook: in its cells, in its panel, and that of a fix. */

import { Notification } from "@jupyterlab/apputils";
import type { NotebookPanel } from "@jupyterlab/notebook";

import type { Connection } from "../kernel/connection";
import { isPromptCell } from "./cells";
import { reach } from "./reach";

const PATIENCE = 500; // milliseconds for the kernel to answer while a cell runs

/**
 * Stop them. While a cell runs, a kernel without subshells hears nothing but an interrupt; it gets one if that cell is
 * a prompt, and no other cell is interrupted.
 */
export async function stop(panel: NotebookPanel, connection: Connection): Promise<void> {
  const asked = reach(connection).then(() => connection.ask("stop"));
  const prompt = runningPrompt(panel, connection);
  if (!prompt) return tell((await asked).stopped);
  const heard = await Promise.race([asked.catch(() => null), pause(PATIENCE)]);
  if (heard) tell(heard.stopped);
  else await connection.kernel?.interrupt();
}

function tell(count: number): void {
  if (!count) Notification.info("No reply is arriving in this notebook.", { autoClose: 3000 });
}

/** Is the cell that runs a prompt? The first one that waits is the one that runs. */
function runningPrompt(panel: NotebookPanel, connection: Connection): boolean {
  const cell = panel.content.widgets.find((other) => other.promptNode?.textContent?.includes("*"));
  return cell !== undefined && isPromptCell({ panel, cell, connection });
}

const pause = (milliseconds: number): Promise<null> =>
  new Promise((resolve) => setTimeout(() => resolve(null), milliseconds));

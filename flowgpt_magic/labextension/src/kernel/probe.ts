/** The Python that finds out, in any kernel, whether it has this package and has loaded the extension. */

import { TARGET, type Status } from "./protocol";

/**
 * Its value is a word that `probed` reads: "open" where the kernel still has the comm of this id. It imports nothing but
 * the standard library, and leaves no name behind.
 */
export const probe = (commId: string): string =>
  `(lambda shell, comms: 'open' if '${commId}' in comms.comms else 'ready' if '${TARGET}' in comms.targets ` +
  "else 'older' if 'flowgpt_magic' in __import__('sys').modules and 'flowgpt' in shell.magics_manager.magics['cell'] " +
  "else 'unloaded' if __import__('importlib.util', fromlist=['util']).find_spec('flowgpt_magic') else 'absent')" +
  "(get_ipython(), get_ipython().kernel.comm_manager)";

export const LOAD = "%load_ext flowgpt_magic";

/** What the kernel answered to `probe`. */
export function probed(answer: any): Status | "open" {
  const text: string = answer?.data?.["text/plain"] ?? "";
  const word = (["open", "ready", "older", "unloaded", "absent"] as const).find((word) => text === `'${word}'`);
  return word ?? "absent";
}

/** Whether a cell may have loaded or unloaded the extension, or installed the package. */
export function concerns(code: string): boolean {
  return /flowgpt|_ext\b|^\s*%{1,2}ai\b|\b(pip|uv|conda|mamba)\b|%run\b/m.test(code);
}

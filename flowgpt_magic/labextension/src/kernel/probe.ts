/** The Python that finds out, in any kernel, whether it has this package and has loaded the extension. */

import { TARGET, type Status } from "./protocol";

/** Its value is a word that `probed` reads. It imports nothing but the standard library, and leaves no name behind. */
export const PROBE =
  `(lambda shell: 'ready' if '${TARGET}' in shell.kernel.comm_manager.targets ` +
  "else 'older' if 'flowgpt' in shell.magics_manager.magics['cell'] " +
  "else 'unloaded' if __import__('importlib.util', fromlist=['util']).find_spec('flowgpt_magic') else 'absent')" +
  "(get_ipython())";

export const LOAD = "%load_ext flowgpt_magic";

/** What the kernel answered to `PROBE`. */
export function probed(answer: any): Status {
  const text: string = answer?.data?.["text/plain"] ?? "";
  const found = ["ready", "older", "unloaded", "absent"].find((word) => text.includes(word));
  return (found as Status | undefined) ?? "absent";
}

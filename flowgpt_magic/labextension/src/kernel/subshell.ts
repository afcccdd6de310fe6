/**
 * A way to a kernel while one of its cells runs.
 *
 * JupyterLab 4.4 and later send a comm's messages over a subshell, which answers while a cell runs. After a reload in the
 * middle of a cell they cannot make one, because they wait until the kernel has described itself, behind the cell. A
 * kernel that is known to take subshells is asked for one here.
 */

import { KernelMessage, type Kernel } from "@jupyterlab/services";
import type { JSONObject } from "@lumino/coreutils";

import { remember, remembered } from "./remembered";

/** Whether JupyterLab sends the messages of this kernel's comms over subshells. */
export function takesSubshells(kernel: Kernel.IKernelConnection): boolean {
  const { supportsSubshells, commsOverSubshells } = kernel as any; // JupyterLab 4.4 and later
  return supportsSubshells === true && commsOverSubshells !== "disabled";
}

/** The id of this tab's subshell of a kernel, which is made if it is not there; a reload finds it again. */
export async function subshell(kernel: Kernel.IKernelConnection): Promise<string> {
  const earlier = remembered(kernel.id)?.subshell ?? "";
  const { subshell_id: all } = await control(kernel, "list_subshell_request");
  if (earlier && (all as string[]).includes(earlier)) return earlier;
  const { subshell_id: id } = await control(kernel, "create_subshell_request");
  // The kernel may have been asked meanwhile, and have said that there is nothing to connect to.
  if (remembered(kernel.id)) remember(kernel.id, id as string);
  else void control(kernel, "delete_subshell_request", { subshell_id: id });
  return id as string;
}

async function control(kernel: Kernel.IKernelConnection, msgType: string, content: JSONObject = {}): Promise<JSONObject> {
  const { username, clientId: session } = kernel;
  const request: any = { msgType, channel: "control", username, session, content };
  const reply: any = await kernel.sendControlMessage(KernelMessage.createMessage<any>(request), true).done;
  return reply.content;
}

/** Open a comm over a subshell; JupyterLab chooses the way where there is none. */
export function openComm(comm: Kernel.IComm, kernel: Kernel.IKernelConnection, subshellId: string, data: JSONObject): void {
  const { commId: comm_id, targetName: target_name } = comm;
  if (subshellId) sendOver(subshellId, kernel, "comm_open", { comm_id, target_name, data });
  else comm.open(data);
}

/** Send what a comm says, in the way in which it was opened; nothing where the comm or the kernel has ended. */
export function sendOn(
  comm: Kernel.IComm,
  kernel: Kernel.IKernelConnection,
  subshellId: string,
  data: JSONObject,
  buffers: ArrayBuffer[] = [],
): void {
  if (comm.isDisposed || kernel.isDisposed) return;
  if (subshellId) sendOver(subshellId, kernel, "comm_msg", { comm_id: comm.commId, data }, buffers);
  else comm.send(data, {}, buffers);
}

/** Send what a comm says over a subshell. `msgType` is `comm_open` or `comm_msg`. */
function sendOver(
  subshellId: string,
  kernel: Kernel.IKernelConnection,
  msgType: string,
  content: JSONObject,
  buffers: ArrayBuffer[] = [],
): void {
  const { username, clientId: session } = kernel;
  const request: any = { msgType, channel: "shell", username, session, subshellId, content, buffers };
  kernel.sendShellMessage(KernelMessage.createMessage<any>(request), false, true);
}

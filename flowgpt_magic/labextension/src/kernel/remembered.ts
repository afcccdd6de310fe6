/** What this tab of the browser knows of kernels, and still knows when the page was reloaded. */

const KEY = "flowgpt_magic:kernels";
const MOST = 20; // kernels

export interface Remembered {
  id: string; // of the kernel
  subshell: string; // one that this extension has made in it; empty if there is none
}

/** Remember that a kernel was ready, and takes subshells. */
export function remember(id: string, subshell = ""): void {
  write([{ id, subshell }, ...read().filter((kernel) => kernel.id !== id)].slice(0, MOST));
}

export function remembered(id: string): Remembered | undefined {
  return read().find((kernel) => kernel.id === id);
}

export function forget(id: string): void {
  if (remembered(id)) write(read().filter((kernel) => kernel.id !== id));
}

function read(): Remembered[] {
  try {
    const kernels: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kernels) ? kernels : [];
  } catch {
    return []; // the browser keeps nothing for this page
  }
}

function write(kernels: Remembered[]): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kernels));
  } catch {
    // The browser keeps nothing for this page: after a reload it waits for the running cell.
  }
}

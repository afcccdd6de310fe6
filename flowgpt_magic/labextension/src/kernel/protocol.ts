/** What the page and the kernel say to each other: the other half is `flowgpt_magic/lab`. */

import type { JSONObject } from "@lumino/coreutils";

export const TARGET = "flowgpt_magic"; // the name under which the kernel takes connections
export const PROTOCOL = 1; // changes when a page and a kernel of different versions could misunderstand each other

/** What the kernel says of itself when a page connects. */
export interface Hello {
  kind: "hello";
  version: string; // of the package in the kernel
  protocol: number;
  magics: string[]; // names of the cell magics that are this package's
  preferences?: JSONObject; // what it got of JupyterLab's settings
  notice?: string; // why some of them are not used; empty if all are
}

export type Message = JSONObject & { kind: string };

/** How a notebook's kernel is to be reached. */
export type Status =
  | "none" // the notebook has no kernel
  | "dead"
  | "shared" // another notebook or console of this page has its comms
  | "foreign" // it runs another language
  | "unknown" // it was not asked yet, or is busy
  | "absent" // it has no package flowgpt_magic
  | "unloaded" // the package is there, and the extension was not loaded
  | "older" // its package is too old for this page
  | "newer" // this page is too old for its package
  | "ready";

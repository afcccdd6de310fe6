/** What the modules know of the front end, and of each other's messages. Types only: nothing of it is in the bundle. */

import type { Body } from "./blocks.js";
import type { Code } from "./code.js";
import type { Turn } from "./turn.js";

declare global {
  interface Element {
    turn?: Turn; // whose element this is
    body?: Body; // the reply whose block this is, and
    number?: number; // which of its blocks
    codeBlock?: Code; // whose element this is
    address?: string; // of the image that a click here loads, and its description
  }
}

/** What `model.get` returns: the traits of `ChatPanel`. */
export interface Traits {
  name: string;
  conversation_id: string;
  names: string[];
  model: string;
  alias: string;
  chosen: string;
  system: string;
  temperature: number | null;
  status: string;
  trouble: string;
  closed: boolean;
  _flowgpt_id: string;
}

/** The widget's model in the page, as anywidget hands it on. */
export interface Model {
  get<Name extends keyof Traits>(name: Name): Traits[Name];
  on(event: string, run: (...about: any[]) => void): void;
  off(event: string, run: (...about: any[]) => void): void;
  send(message: object, callbacks?: object, buffers?: ArrayBuffer[]): void;
  widget_manager?: Manager;
  surroundings?: Surroundings;
}

/** What the page does for a panel that is in no output of a cell, such as one in a sidebar. */
export interface Surroundings {
  name: string; // of the place, for what is typed there
  leave(): void; // go to the notebook
  hide(): void;
  insert(sources: string[]): void; // new code cells; throws an error where there can be none
}

/** The model of `CellInserter`. */
export interface Inserter {
  get(name: "cell" | "first"): string;
  get(name: "others"): string[];
  send(message: object): void;
  widget_manager?: Manager;
}

/** What JupyterLab's widget manager has; other front ends have less. */
export interface Manager {
  kernel?: FrontEndKernel;
  context?: {
    path?: string;
    save?: () => void;
    model?: Notebook;
    sessionContext?: {
      session?: { kernel?: FrontEndKernel };
      statusChanged?: Signal;
      connectionStatusChanged?: Signal;
      kernelChanged?: Signal;
    };
  };
}

export interface FrontEndKernel {
  status?: string;
  connectionStatus?: string;
  interrupt?: () => void;
}

export interface Signal {
  connect(slot: (sender: any, about: any) => void): void;
  disconnect(slot: (sender: any, about: any) => void): void;
}

export interface Notebook {
  cells: { length: number; get(number: number): Cell };
  sharedModel: {
    cells: { id: string; getSource?: () => string }[];
    insertCell(at: number, cell: object): { id?: string; getId?: () => string };
  };
}

export interface Cell {
  outputs?: Outputs;
}

export interface Outputs {
  length: number;
  get(number: number): { data: { [type: string]: any }; metadata?: { flowgpt?: { stamp: string } } };
  set(number: number, output: object): void;
}

/** A turn in the kernel's list: its id, its place, the length of its texts, and a mark that changes with it. */
export type Row = [id: string, place: number, size: number, mark: string];

/** A pause before another try: why, and the seconds that are left of it. */
export interface Pause {
  why: string;
  left: number;
}

/** What stands around a reply. */
export interface Facts {
  id: string;
  place: number;
  prompt: string;
  prompt_more: number;
  typed?: string;
  quotes?: boolean; // does it quote code of the notebook?
  attached?: string[];
  pictures?: AttachedPicture[];
  model: string;
  status: string;
  error: string;
  notices: string[];
  tokens?: string; // such as "12 → ≈34 tokens"
  cost?: string; // such as "≈ $0.004"
  sent?: string; // what was sent with the prompt
  version: number;
  versions: number;
  started: number;
  seconds: number | null;
  thought?: string; // such as "Thought for 12 s"; empty if the model did not reason
  thinks?: boolean; // does it reason now?
  thoughts?: string; // the last of its reasoning so far
  thought_seconds?: number;
  replayed: boolean;
  cell: boolean;
  empty: boolean;
  n: number; // of the last change to the reply
  total: number; // blocks of the reply
  elapsed?: number; // seconds since it was asked for, while nothing has come
  pause?: Pause;
  doing?: string;
  gone?: boolean; // no turn is left of it
  compared?: OtherReply[]; // with which it was compared
  before_edit?: boolean; // a turn above it was edited, or asked again, since it was asked
}

/** New reasoning of a reply that arrives. */
export interface Thoughts {
  add: string;
  anew: boolean; // was what came before something else?
  thinks: boolean;
  thought_seconds: number;
}

/** The reply of another model to the same prompt. */
export interface OtherReply {
  id: string;
  version: number;
  title: string; // its number and its model
  line: string; // tokens, time, and how it ended
  error: string;
  status: string;
  empty: boolean;
}

/** A picture of a prompt: the SHA-256 of its content, the name of the attachment, and its description. */
export interface AttachedPicture {
  picture: string;
  name: string;
  description: string;
  width?: number; // in pixels
  height?: number;
}

/** A picture of a draft, which the kernel has already. */
export interface Keepable extends AttachedPicture {
  bytes?: number;
  thumbnail?: string; // the address of a small copy
}

/** A change to a reply: the beginning of the turn's id, the number of the change, and the arguments of `changedFrom`. */
export type Growth = [id: string, number: number, keep: number, cut: number, added: string, blocks?: string[]];

/** A saved output: the transcript that stands for the panel. */
export interface Output {
  data?: object;
  metadata: { flowgpt: { stamp: string } };
}

/** What the kernel says without being asked. */
export type Message = { page?: string } & (
  | { kind: "outline"; revision: number; sent: number; rows: Row[]; first?: boolean }
  | { kind: "splice"; revision: number; at: number; gone: number; rows: Row[] }
  | { kind: "turn"; from: number; blocks: string[]; turn: Facts }
  | { kind: "pause"; turn: string; pause: Pause }
  | { kind: "doing"; turn: string; doing: string }
  | ({ kind: "thoughts"; turn: string } & Thoughts)
  | { kind: "ended"; turn: Facts }
  | { kind: "models" }
  | { kind: "note"; text: string }
  | { kind: "grow"; number: number; revision: number; turns: Growth[]; end?: Facts }
  | ({ kind: "kept" } & Output)
);

/** What the kernel answers to `models`: a model that can be chosen. */
export interface Choice {
  name: string;
  group: string;
  note: string;
  able: boolean;
}

/** A turn that was found in this conversation, or in another one. */
export interface Find {
  turn: string;
  number: number;
  text: string;
}

export interface FindElsewhere {
  name: string;
  notebook: string;
  text: string;
  turn: string;
}

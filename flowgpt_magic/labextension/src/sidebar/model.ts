/** The model of a panel that has no widget: its traits and its messages travel on a comm of their own. */

import type { JSONObject } from "@lumino/coreutils";

import type { Manager, Model, Surroundings, Traits } from "../../../panel/src/types";
import type { Message } from "../kernel/protocol";

type Deliver = (message: JSONObject, buffers: ArrayBuffer[]) => void;
type Slot = (...about: any[]) => void;

const EMPTY: Traits = {
  name: "",
  conversation_id: "",
  names: [],
  model: "",
  alias: "",
  chosen: "",
  system: "",
  temperature: null,
  status: "",
  trouble: "",
  closed: false,
  _flowgpt_id: "",
};

export class CommModel implements Model {
  private deliver: Deliver | null = null;
  private values = EMPTY;
  private readonly slots = new Map<string, Set<Slot>>();

  constructor(
    readonly widget_manager: Manager,
    readonly surroundings: Surroundings,
  ) {}

  /** Send this way from now on; null for none. */
  use(deliver: Deliver | null): void {
    this.deliver = deliver;
  }

  get<Name extends keyof Traits>(name: Name): Traits[Name] {
    return this.values[name];
  }

  on(event: string, run: Slot): void {
    const slots = this.slots.get(event) ?? new Set();
    this.slots.set(event, slots.add(run));
  }

  off(event: string, run: Slot): void {
    this.slots.get(event)?.delete(run);
  }

  send(message: object, _callbacks?: unknown, buffers: ArrayBuffer[] = []): void {
    this.deliver?.(message as JSONObject, buffers);
  }

  /** A message of the kernel. */
  hear(message: Message, buffers: (ArrayBuffer | ArrayBufferView)[] = []): void {
    if (message.kind === "state") this.change(message.values as unknown as Partial<Traits>);
    else this.emit("msg:custom", message, buffers);
  }

  emit(event: string, ...about: unknown[]): void {
    for (const slot of [...(this.slots.get(event) ?? [])]) slot(...about);
  }

  private change(values: Partial<Traits>): void {
    const names = (Object.keys(values) as (keyof Traits)[]).filter((name) => JSON.stringify(values[name]) !== JSON.stringify(this.values[name]));
    this.values = { ...this.values, ...values };
    for (const name of names) this.emit(`change:${name}`);
    if (names.length) this.emit("change");
  }
}

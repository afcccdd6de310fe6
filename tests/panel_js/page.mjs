/** A page for the panel's modules without a browser: a document without a layout, whose frames, sizes and clock a test moves. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const SOURCE = new URL("../../flowgpt_magic/panel/src/", import.meta.url);
const { JSDOM } = createRequire(new URL("package.json", SOURCE))("jsdom");

/** What pytest reads too: what the kernel tells a page, and what the page then has. */
export const CASES = JSON.parse(readFileSync(new URL("../panel_changes.json", import.meta.url), "utf-8"));

/** A module of the panel. */
export const load = (name) => import(new URL(name, SOURCE));

/** Sizes are those that a test tells. */
class Sizes {
  static all = new Set();

  constructor(tell) {
    this.tell = tell;
    this.observed = new Set();
    Sizes.all.add(this);
  }

  observe(element) { this.observed.add(element); }
  unobserve(element) { this.observed.delete(element); }
  disconnect() { this.observed.clear(); }
}

/** A new page; what belongs to the one before is gone. */
export function openPage() {
  const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://127.0.0.1/notebook.ipynb", pretendToBeVisual: true });
  let frames = new Map();
  let number = 0;
  let now = 1000;
  const timers = new Map();
  const own = {
    setTimeout: (run, delay = 0) => { timers.set(++number, { run, at: now + delay }); return number; },
    clearTimeout: (id) => timers.delete(id),
    performance: { now: () => now },
    ResizeObserver: Sizes,
    requestAnimationFrame: (run) => { frames.set(++number, run); return number; },
    cancelAnimationFrame: (id) => frames.delete(id),
  };
  Sizes.all.clear();
  window.Element.prototype.scrollIntoView = () => {};
  for (const name of ["document", "CustomEvent", "sessionStorage", "location", "getComputedStyle", "navigator"]) own[name] = window[name];
  for (const [name, value] of Object.entries(own)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  return {
    window,
    document: window.document,
    timers,

    /** Let milliseconds go by. */
    pass(milliseconds) {
      const end = now + milliseconds;
      for (;;) {
        const [next] = [...timers].sort(([, one], [, other]) => one.at - other.at);
        if (!next || next[1].at > end) break;
        timers.delete(next[0]);
        now = next[1].at;
        next[1].run();
      }
      now = end;
    },

    /** Make frames until nobody asks for another one. */
    paint() {
      for (let rounds = 0; frames.size; rounds += 1) {
        if (rounds > 100) throw new Error("the page asks for frames without an end");
        const now = frames;
        frames = new Map();
        for (const run of now.values()) run();
      }
    },

    /** Tell who observes an element that it has this size. */
    measure(element, height, width = 600) {
      const entry = { target: element, borderBoxSize: [{ blockSize: height }], contentRect: { width } };
      for (const sizes of Sizes.all) if (sizes.observed.has(element)) sizes.tell([entry]);
    },

    /** Somebody presses a key. */
    press(element, key, more = {}) {
      element.dispatchEvent(new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
    },

    /** Somebody types a text into a field, behind what is there. */
    type(field, text) {
      field.focus();
      field.setRangeText(text, field.value.length, field.value.length, "end");
      field.dispatchEvent(new window.Event("input", { bubbles: true }));
    },
  };
}

/** The widget's model, with a kernel that a test plays. */
export class Model {
  constructor(traits = {}, manager = undefined) {
    this.traits = {
      name: "main", conversation_id: "1", names: ["main"], model: "echo:words", alias: "", chosen: "", system: "", temperature: null,
      status: "", trouble: "", closed: false, _flowgpt_id: "panel", ...traits,
    };
    this.widget_manager = manager;
    this.listeners = new Map();
    this.sent = [];
  }

  get(name) { return this.traits[name]; }
  on(event, run) { this.listeners.set(event, [...(this.listeners.get(event) ?? []), run]); }
  off(event, run) { this.listeners.set(event, (this.listeners.get(event) ?? []).filter((other) => other !== run)); }
  send(message, _callbacks, buffers) { this.sent.push(message); this.buffers = buffers; }

  emit(event, ...about) {
    for (const run of this.listeners.get(event) ?? []) run(...about);
  }

  /** The kernel sets traits. */
  set(traits) {
    const changed = Object.keys(traits).filter((name) => traits[name] !== this.traits[name]);
    Object.assign(this.traits, traits);
    for (const name of changed) this.emit(`change:${name}`);
    this.emit("change");
  }

  /** The kernel sends a message. */
  say(message, buffers) {
    this.emit("msg:custom", structuredClone(message), buffers);
  }

  /** The last message of a kind that the page sent. */
  last(kind) {
    return this.sent.findLast((message) => message.kind === kind);
  }

  /** The kernel answers the last request of a kind; what waits for that runs. */
  async answer(kind, more = {}) {
    const { id, page } = this.last(kind);
    this.say({ kind: "answer", id, page, ...more });
    await settled();
  }
}

/** What waits for promises has run. */
export const settled = () => new Promise((resolve) => { setImmediate(resolve); });

/** A panel that is seen, with these turns. */
export async function openPanel({ rows = [], traits = {}, manager = undefined, page = openPage() } = {}) {
  const { Panel } = await load("panel.js");
  const model = new Model(traits, manager);
  const panel = new Panel(model, page.document.body);
  page.measure(panel.log.box, 600);
  model.say({ kind: "outline", page: panel.link.page, revision: 0, sent: 0, rows });
  page.paint();
  return { page, model, panel };
}

/** A turn is loaded, or a part of it. */
export function loadTurn(model, id, blocks, more = {}, from = 0) {
  model.say({ kind: "turn", from, blocks, turn: facts(id, { total: from + blocks.length, ...more }) });
}

/** What stands around a reply. */
export function facts(id, more = {}) {
  return {
    id, place: 0, prompt: "why?", prompt_more: 0, model: "echo:words", status: "complete", error: "", notices: [], version: 1,
    versions: 1, started: 0, seconds: 1.25, replayed: false, cell: false, empty: false, n: 0, total: 0, ...more,
  };
}

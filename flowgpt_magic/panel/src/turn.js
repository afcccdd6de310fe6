/** One turn as the page knows it; `turn_elements` shows it while it is visible. */

import { Body } from "./blocks.js";
import { changedFrom } from "./changes.js";
import { focused } from "./dom.js";
import { Thoughts } from "./thoughts.js";
import { TurnElements } from "./turn_elements.js";

/** @import { Panel } from "./panel.js" */
/** @import { Facts, Growth, Pause, Row } from "./types.js" */

export class Turn {
  /**
   * @param {Panel} panel
   * @param {Row} row
   */
  constructor(panel, row) {
    const [id, place, size, mark] = row;
    this.panel = panel;
    this.id = id;
    this.place = place;
    this.size = size; // length of its prompt and reply in characters
    this.mark = mark; // changes with the contents
    this.stale = false; // the kernel has another version of it
    this.reload = false; // request it again when it is visible
    this.body = new Body(panel);
    this.thoughts = new Thoughts(this);
    this.facts = /** @type {Facts | null} */ (null);
    this.number = -1; // number of the last change to a reply that arrives
    this.last = false; // is it the last one of the conversation?
    this.full = /** @type {string | undefined} */ (undefined); // a long prompt, when somebody wants to see all of it
    this.chosen = /** @type {number | undefined} */ (undefined); // the version that was clicked and is not there yet

    this.elements = /** @type {TurnElements | null} */ (null); // while it is in the page
    this.height = 0; // in pixels, measured when it was in the page
    this.into = 110; // pixels from its top to the reply
    this.position = 0; // its offset in the list
    this.top = /** @type {number | undefined} */ (undefined); // pixels from the top of the list, and
    this.put = /** @type {number | null} */ (null); // where its element is
    this.placed = false; // was its element measured?
    this.name = /** @type {string | null} */ (null); // of its element

    this.begun = /** @type {number | undefined} */ (undefined); // when the reply was asked for, by the clock of this page
    this.pause = /** @type {{why: string, until: number} | undefined} */ (undefined);
    this.progress = /** @type {string | undefined} */ (undefined); // what the provider does until the first text comes
  }

  /** @param {Row} row */
  take(row) {
    this.stale = this.mark !== row[3];
    [this.id, this.place, this.size, this.mark] = row;
  }

  get element() {
    return this.elements?.element ?? null;
  }

  get arriving() {
    return this.mark.startsWith("streaming");
  }

  /** Is it complete in the page? A long turn arrives in parts. */
  get loaded() {
    return this.facts !== null && this.body.blocks.length >= this.facts.total;
  }

  /**
   * Its height in pixels, measured or estimated.
   * @param {number} width of the page
   */
  guess(width) {
    return this.height || Math.min(20000, 96 + Math.ceil(this.size / Math.max(20, width / 7.5)) * 21);
  }

  /** The element, made when the turn comes into view. */
  mount() {
    if (this.elements) return this.elements.element;
    this.elements = new TurnElements(this);
    this.thoughts.show();
    this.update();
    if (this.panel.edits.has(this.place) && !this.panel.edits.get(this.place)?.sent) this.elements.edit();
    return this.elements.element;
  }

  unmount() {
    this.body.clear();
    this.thoughts.stop();
    this.elements?.remove();
    this.elements = null;
  }

  update() {
    this.elements?.update();
  }

  /**
   * The original prompt or reply, from the kernel.
   * @param {"prompt" | "text" | "reasoning"} part
   * @returns {Promise<string>}
   */
  async whole(part) {
    return (await this.panel.link.ask("whole", { turn: this.id }))[part];
  }

  async unfold() {
    try {
      this.full = await this.whole("prompt");
      this.update();
    } catch (error) {
      this.panel.noteError(error);
    }
  }

  /**
   * Two clicks are two steps, even if the first has not been answered yet.
   * @param {number} step
   */
  async choose(step) {
    if (!this.facts) return;
    const version = Math.min(this.facts.versions, Math.max(1, (this.chosen ?? this.facts.version) + step));
    this.chosen = version;
    if (!(await this.panel.act("choose", { place: this.place, version }))) this.chosen = undefined;
  }

  /** The line of a turn: which model answers, the time, and notices. */
  get caption() {
    if (!this.facts) return "";
    const { model, tokens, cost, status, seconds, replayed, notices } = this.facts;
    const ended = { cancelled: "interrupted", failed: "failed", elsewhere: "asked in another kernel" }[status] ?? "";
    const duration = seconds === null || this.arriving ? this.waited() : `${seconds.toFixed(1)} s`;
    const progress = this.waits && this.progress;
    return [model, tokens, cost, duration, progress, replayed ? "replayed" : "", ended, ...notices].filter(Boolean).join(" · ");
  }

  /** What was sent with the prompt; empty while the reply arrives. */
  get sent() {
    return this.facts?.sent ?? "";
  }

  /** Seconds without text; empty during a wait before a retry, and in the first moment. */
  waited() {
    if (this.begun === undefined) return "";
    const seconds = (performance.now() - this.begun) / 1000;
    return this.waits && !this.paused && seconds >= 0.5 ? `${Math.max(1, Math.round(seconds))} s` : "";
  }

  /** Is it waiting for the first text? */
  get waits() {
    return this.arriving && this.begun !== undefined && !this.body.blocks.length;
  }

  /** Seconds left of a wait before a retry. */
  get paused() {
    return this.pause ? Math.max(0, Math.ceil((this.pause.until - performance.now()) / 1000)) : 0;
  }

  /** The wait before a retry in words; empty if there is none. */
  get pauseText() {
    return this.waits && this.pause && this.paused ? `${this.pause.why}; asking again in ${this.paused} s` : "";
  }

  /** Milliseconds until `caption` or `pauseText` changes by itself. */
  get untilTick() {
    const next = this.pause && this.paused ? this.pause.until : (this.begun ?? 0) + 500; // the rounded seconds change at a half
    return 10 + ((((next - performance.now()) % 1000) + 1000) % 1000);
  }

  /**
   * All contents, or their first part, arrived.
   * @param {Facts} facts
   */
  load(facts) {
    this.facts = facts;
    this.thoughts.load(facts);
    this.begun = facts.elapsed === undefined ? undefined : performance.now() - 1000 * facts.elapsed;
    this.progress = facts.doing;
    this.setPause(facts.pause);
    this.chosen = undefined;
    this.number = facts.n;
    this.reload = this.stale = false;
    this.elements?.loaded();
  }

  /**
   * The provider's progress before the first text; empty afterwards.
   * @param {string} progress
   */
  setProgress(progress) {
    this.progress = progress;
    this.elements?.tick();
  }

  /**
   * A retry follows after a wait.
   * @param {Pause} [pause]
   */
  setPause(pause) {
    this.pause = pause && { why: pause.why, until: performance.now() + 1000 * pause.left };
    this.elements?.tick();
  }

  /**
   * Apply a change to the reply.
   * @param {Growth} growth
   */
  grow([, number, keep, cut, added, blocks]) {
    this.body.change(keep, changedFrom(this.body.blocks, keep, cut, added, blocks));
    this.number = number;
  }

  /**
   * Update the page; returns false if the time ran out first.
   * @param {number} deadline
   */
  paint(deadline) {
    if (!this.elements) return true;
    this.elements.showWhetherFilled();
    return this.body.paint(deadline);
  }

  /** Does it stay in the page outside the visible area, because it has the focus or a selection? */
  get held() {
    const { element } = this;
    if (!element) return false;
    if (this.panel.sending === this.place || element.contains(focused())) return true;
    const selected = document.getSelection();
    return Boolean(selected && !selected.isCollapsed && (element.contains(selected.anchorNode) || element.contains(selected.focusNode)));
  }
}

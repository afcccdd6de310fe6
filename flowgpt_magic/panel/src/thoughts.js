/** The reasoning above a reply: one line, which opens to it. It closes at the first word of the answer. */

import { make } from "./dom.js";

/** @import { Turn } from "./turn.js" */
/** @import { Facts, Thoughts as NewThoughts } from "./types.js" */

const LONGEST = 20_000; // characters that are shown; of more, the last ones

export class Thoughts {
  /** @param {Turn} turn */
  constructor(turn) {
    this.turn = turn;
    this.goesOn = false; // does the model reason now?
    this.text = "";
    this.complete = false; // is the text all of it?
    this.line = make("summary");
    this.body = make("div", { class: "fg-thoughts-text", dir: "auto" });
    this.element = make("details", { class: "fg-thoughts fg-who", hidden: true, ontoggle: () => this.toggled() }, this.line, this.body);
    this.of = ""; // the id of the turn with this reasoning
    this.begun = 0; // by the clock of this page
    this.ended = ""; // what is said of reasoning that has ended
    this.timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  }

  /**
   * The turn, with or without reasoning, as the kernel has it.
   * @param {Facts} facts
   */
  load({ id, thought = "", thinks = false, thoughts, thought_seconds: seconds = 0 }) {
    if (id !== this.of) [this.of, this.text, this.complete, this.element.open] = [id, "", false, false];
    if (!thinks && this.goesOn) this.element.open = false;
    this.ended = thought;
    this.goesOn = thinks;
    this.begun = performance.now() - 1000 * seconds;
    this.complete = thoughts === undefined && this.complete;
    if (thoughts !== undefined) this.text = thoughts;
    this.show();
  }

  /**
   * The model goes on reasoning, or its answer begins.
   * @param {NewThoughts} thoughts
   */
  add({ add, anew, thinks, thought_seconds: seconds }) {
    this.text = ((anew ? "" : this.text) + add).slice(-LONGEST);
    this.complete = false;
    this.begun = performance.now() - 1000 * seconds;
    if (this.goesOn && !thinks) this.close(seconds);
    this.goesOn = thinks;
    this.show();
  }

  /** @param {number} seconds */
  close(seconds) {
    this.ended = `Thought for ${Math.max(1, Math.round(seconds))} s`;
    this.element.open = false;
  }

  /** Show the line, and the reasoning where somebody reads it; once a second while it goes on. */
  show() {
    this.stop();
    if (!this.turn.elements) return;
    this.element.hidden = !this.goesOn && !this.ended;
    if (this.goesOn) {
      const milliseconds = performance.now() - this.begun;
      this.line.textContent = `Thinking… ${Math.max(1, Math.round(milliseconds / 1000))} s`;
      this.timer = setTimeout(() => this.show(), 10 + ((1500 - (milliseconds % 1000)) % 1000)); // it changes at a half
    } else {
      this.line.textContent = this.ended;
    }
    if (this.element.open) this.write();
  }

  /** Show no seconds any more. */
  stop() {
    clearTimeout(this.timer);
  }

  async toggled() {
    if (!this.element.open) return;
    this.write();
    if (this.goesOn || this.complete) return;
    try {
      this.text = await this.turn.whole("reasoning");
      this.complete = true;
      this.write();
    } catch (error) {
      this.turn.panel.noteError(error);
    }
  }

  /** Only what is new gets into the page: what somebody has selected stays selected. */
  write() {
    const shown = this.body.firstChild;
    if (shown instanceof Text && this.text.startsWith(shown.data)) shown.appendData(this.text.slice(shown.data.length));
    else this.body.textContent = this.text;
  }
}

/** A chat panel in the page: passes the kernel's messages to its parts, and the person's actions to the kernel. */

import { copy } from "./clipboard.js";
import { Composer } from "./composer.js";
import { focused, make } from "./dom.js";
import { Edits } from "./drafts.js";
import { messageOf } from "./error_text.js";
import { Head } from "./head.js";
import { Kernel } from "./kernel.js";
import { Link } from "./link.js";
import { Log } from "./log.js";
import { Notebook } from "./notebook.js";
import { Reading } from "./reading.js";
import { Search } from "./search.js";
import { Thumbnails } from "./thumbnails.js";
import { Tuning } from "./tuning.js";
import { Viewer } from "./viewer.js";

/** @import { Turn } from "./turn.js" */
/** @import { Facts, Keepable, Message, Model } from "./types.js" */

const BUDGET = 8; // milliseconds of work without a pause
const SLOW = 400; // milliseconds after which the reason for the kernel's delay is shown
const AHEAD = 4; // messages after which the kernel gets an acknowledgement
const PATIENCE = 3000; // milliseconds after which everything is requested again

const ARRIVES = "A reply is still arriving: stop it first, or wait for its end.";
const CLOSED = "This panel was closed: run its cell to open it again.";
const GONE = "The kernel was restarted or has ended: load the extension and run this panel's cell again. What is typed here is kept.";
const DISCONNECTED = "The connection to the kernel is lost. What is typed here is kept.";
const TAKEN_OUT = "The turn you were editing was removed from the conversation; your text is below.";

/** The description of the end of a reply, by its status. */
const ENDS = { complete: "The reply is complete.", cancelled: "The reply was stopped.", failed: "The reply failed." };

let panels = 0; // number of panels made in this page

export class Panel {
  /**
   * @param {Model} model
   * @param {HTMLElement} element it is shown in
   */
  constructor(model, element) {
    this.model = model;
    this.surroundings = model.surroundings;
    this.number = ++panels;
    this.cleanups = /** @type {(() => void)[]} */ ([]);
    this.closed = false;
    this.editsOf = /** @type {Map<string, Edits>} */ (new Map()); // by conversation what is typed in its turns
    this.sending = /** @type {number | null} */ (null); // the place of the turn whose prompt is on its way
    this.sent = false; // a prompt was sent, and its turn has not arrived yet
    this.pending = false; // the kernel has not answered a prompt yet
    this.requests = /** @type {Set<string>} */ (new Set()); // what else the kernel has not answered yet
    this.explanation = /** @type {HTMLElement | null} */ (null); // why that is
    this.error = ""; // shown until something is typed

    this.opening = 0; // timer while everything is requested
    this.revision = 0; // of the list of turns
    this.toShow = this.shown = 0; // numbers of messages with new text: to show, and shown
    this.unpainted = /** @type {Set<Turn>} */ (new Set());
    this.frameRequest = 0;
    this.wasReachable = /** @type {boolean | undefined} */ (undefined);
    this.before = { name: "", id: "", status: "", trouble: "" }; // the traits that were shown last
    this.lastEnded = ""; // id of a turn
    this.left = ""; // why no more prompts are accepted

    this.link = new Link(model, (message) => this.hear(message));
    this.kernel = new Kernel(model, () => this.reach());
    this.notebook = new Notebook(this);
    this.thumbnails = new Thumbnails(this);
    this.viewer = new Viewer(this);
    this.log = new Log(this);
    this.composer = new Composer(this);
    this.head = new Head(this);
    this.tuning = new Tuning(this);
    this.search = new Search(this);
    this.reading = new Reading(this);
    this.banner = make("div", { class: "fg-banner", role: "alert", hidden: true });
    this.state = make("div", { class: "fg-status", role: "status" });
    this.root = make("section", { class: "flowgpt-panel", "aria-label": "Chat panel" },
      this.head.element, this.search.element, this.tuning.element, make("div", { class: "fg-middle" }, this.log.box, this.log.toEnd, this.reading.element),
      this.banner, this.composer.element, this.viewer.element, this.state);
    element.append(this.root);
    this.listen();
    this.update();
    this.open();
    this.reach();
    const elsewhere = this.composer.field.value ? [] : this.composer.elsewhere();
    if (elsewhere.length) this.note(`What you typed is kept in ${elsewhere.join(", ")}.`);
  }

  /**
   * An id for an element of this panel.
   * @param {string} name
   */
  id(name) {
    return `flowgpt-${this.link.page}-${this.number}-${name}`;
  }

  listen() {
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.composer.tray.listen(this.root);
    if (!this.surroundings) this.suppressShortcuts();
    this.follow("change", () => this.update());
    this.follow("change:name", () => this.renamed());
    const seen = () => { if (!document.hidden) this.requestFrame(); };
    document.addEventListener("visibilitychange", seen);
    this.cleanups.push(() => document.removeEventListener("visibilitychange", seen));
    const attached = new ResizeObserver(() => this.notebook.cover());
    attached.observe(this.root);
    this.cleanups.push(() => attached.disconnect());
  }

  /** Keep the shortcuts of notebooks away. JupyterLab looks for them and for this attribute from the focused element upwards. */
  suppressShortcuts() {
    const suppress = (/** @type {Element} */ element) => element.setAttribute("data-lm-suppress-shortcuts", "true");
    suppress(this.root);
    this.root.addEventListener("focusin", ({ target }) => suppress(/** @type {Element} */ (target)));
    this.root.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") { // only this one passes
        event.preventDefault();
        this.kernel.manager?.context?.save?.();
      }
      event.stopPropagation();
    });
  }

  /**
   * Listen to the model.
   * @param {string} event
   * @param {() => void} run
   */
  follow(event, run) {
    this.model.on(event, run);
    this.cleanups.push(() => this.model.off(event, run));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Escape" && !event.defaultPrevented && !event.isComposing) this.leaveFocus(event);
  }

  /**
   * Escape leads outwards: from a field or a button to the conversation, from there to the notebook.
   * @param {KeyboardEvent} event
   */
  leaveFocus(event) {
    const { box } = this.log;
    const outer = focused() === box ? /** @type {HTMLElement | null} */ (this.root.closest(".jp-Cell")) : box;
    event.preventDefault();
    if (this.surroundings && outer !== box) this.surroundings.leave();
    else if (outer) outer.focus({ preventScroll: true });
    else focused()?.blur();
  }

  close() {
    this.closed = true;
    clearTimeout(this.opening);
    cancelAnimationFrame(this.frameRequest);
    for (const cleanup of this.cleanups) cleanup();
    this.kernel.close();
    this.link.close();
    this.log.close();
    this.root.remove();
  }

  /* what the traits say */

  update() {
    const [name, id] = [this.model.get("name"), this.model.get("conversation_id")];
    const [status, trouble] = [this.model.get("status"), this.model.get("trouble")];
    if (status && !this.before.status) this.announce("The reply begins.");
    this.root.classList.toggle("fg-arriving", status === "streaming");
    this.head.update();
    this.composer.showButton();
    if (trouble !== this.before.trouble) this.composer.hint.textContent = trouble;
    this.before = { name, id, status, trouble };
    if (!this.stoppable && this.banner.textContent === ARRIVES) this.note("");
    this.log.empty.update();
    if (this.model.get("closed")) this.leave(CLOSED);
  }

  /** The panel shows another conversation, or the conversation was renamed. */
  renamed() {
    const name = this.model.get("name");
    const { name: before, id } = this.before;
    const same = id === this.model.get("conversation_id"); // it was renamed
    this.reading.close();
    this.composer.change(before, same);
    if (this.model.get("names").includes(before)) return;
    const edits = this.editsOf.get(before);
    this.editsOf.delete(before);
    if (edits && same) {
      edits.move(this.composer.draftOf(name, "turns"));
      this.editsOf.set(name, edits);
    } else for (const [place, { text, pictures, quotes }] of [...(edits ?? [])]) { edits?.delete(place); this.rescueText(text, pictures, quotes); }
  }

  /** An empty panel was just opened: the person can type at once, unless they are in another cell by now. */
  invite() {
    const active = this.root.closest(".jp-Cell.jp-mod-active");
    const typing = focused()?.closest("input, textarea, select, [contenteditable=true]");
    if (active && !typing) this.composer.field.focus({ preventScroll: true });
  }

  /** Is there a reply to stop? */
  get stoppable() {
    return this.pending || this.model.get("status") === "streaming";
  }

  /* what the kernel says */

  /** Request everything, and again if the answer is lost. A kernel that runs a cell may only be late. */
  open() {
    if (!this.link.alive || this.closed) return;
    const lost = this.opening && this.kernel.kernel && this.kernel.reachable && !this.kernel.busy;
    if (!this.opening || lost) this.link.tell("open");
    clearTimeout(this.opening);
    this.opening = setTimeout(() => this.open(), PATIENCE);
  }

  opened() {
    clearTimeout(this.opening);
    this.opening = 0;
    this.link.giveUp();
  }

  /** @param {Extract<Message, { kind: "thoughts" }>} message */
  think(message) {
    const turn = this.log.byId.get(message.turn);
    if (message.thinks && turn && !turn.thoughts.goesOn) this.announce("The model is thinking.");
    turn?.thoughts.add(message);
  }

  /** @param {Message} message */
  hear(message) {
    switch (message.kind) {
      case "outline":
        this.opened();
        this.revision = message.revision;
        this.toShow = this.shown = message.sent;
        this.log.set(message.rows);
        if (message.first && !message.rows.length) this.invite();
        break;
      case "splice":
        if (message.revision === this.revision + 1) {
          this.revision = message.revision;
          this.log.splice(message.at, message.gone, message.rows);
        } else this.missed(message.revision);
        break;
      case "turn":
        this.log.loaded(message);
        break;
      case "pause":
        this.log.byId.get(message.turn)?.setPause(message.pause);
        this.announce(`${message.pause.why}; asking again in ${Math.ceil(message.pause.left)} s.`);
        break;
      case "thoughts":
        this.think(message);
        break;
      case "doing":
        this.log.byId.get(message.turn)?.setProgress(message.doing);
        break;
      case "grow":
        this.toShow = message.number;
        this.missed(message.revision);
        this.log.grow(message);
        if (message.end) this.announceEnd(message.end);
        if (document.hidden) this.acknowledge();
        this.requestFrame();
        break;
      case "ended":
        this.ended(message.turn); // also if the turn no longer exists
        break;
      case "note":
        this.note(message.text);
        break;
      case "kept":
        this.notebook.keep(message);
        break;
      case "models":
        if (this.head.picker.looked) this.head.picker.look(false);
        break;
    }
  }

  /**
   * A message about a change of the list was lost if the list has changed more often than this page knows.
   * @param {number} revision
   */
  missed(revision) {
    if (revision > this.revision && !this.opening) this.open();
  }

  /** @param {Facts} facts of a reply that has ended */
  ended(facts) {
    this.announceEnd(facts);
    if (facts.status === "failed" && facts.gone) this.note(facts.error);
  }

  /**
   * Handle the end of a reply once, whoever asked for it.
   * @param {Facts} facts
   */
  announceEnd({ id, status }) {
    if (id === this.lastEnded) return;
    this.lastEnded = id;
    this.announce(status in ENDS ? ENDS[/** @type {keyof typeof ENDS} */ (status)] : "");
  }

  /* painting */

  /** Acknowledge the messages that this page has shown. */
  acknowledge() {
    if (this.toShow === this.shown) return;
    this.shown = this.toShow;
    this.link.tell("shown", { number: this.shown });
  }

  /** @param {Turn} turn */
  paintSoon(turn) {
    this.unpainted.add(turn);
    this.requestFrame();
  }

  /** Paint before the next frame. A hidden page has no frames: it paints when it is visible again. */
  requestFrame() {
    if (this.frameRequest || this.closed) return;
    this.frameRequest = requestAnimationFrame(() => this.frame());
  }

  frame() {
    this.frameRequest = 0;
    const deadline = performance.now() + BUDGET;
    this.log.arrange();
    cancelAnimationFrame(this.frameRequest); // what that found to paint is painted now
    this.frameRequest = 0;
    for (const turn of [...this.unpainted]) {
      this.unpainted.delete(turn);
      if (turn.paint(deadline)) continue;
      this.unpainted.add(turn); // after the others, so that a long reply does not hold them up
      if (performance.now() > deadline) break;
    }
    if (this.unpainted.size) this.requestFrame();
    else if (this.toShow - this.shown >= AHEAD || !this.model.get("status")) this.acknowledge();
  }

  /* what the person does */

  /** While a reply arrives, no prompt can be sent: says so, and returns true. */
  refuseWhileArriving() {
    const arrives = this.stoppable && this.kernel.reachable;
    if (arrives) this.note(ARRIVES);
    return arrives;
  }

  /**
   * Ask the kernel for an action, once, and show an error. Returns true if it was done.
   * @param {string} kind
   * @param {object} about
   */
  async act(kind, about) {
    const answer = await this.request(kind, about);
    if (answer) this.composer.hint.textContent = this.model.get("trouble") || answer.said || "";
    return Boolean(answer);
  }

  /**
   * Ask the kernel for something, once, and show an error. Returns its answer, or null.
   * @param {string} kind
   * @param {object} about
   */
  async request(kind, about) {
    const request = kind + JSON.stringify(about);
    if (this.requests.has(request)) return null;
    this.requests.add(request);
    this.note("");
    const slow = setTimeout(() => this.explain(kind), SLOW);
    try {
      if (!this.kernel.reachable || !this.link.alive) throw new Error(`${this.unreachable()} Nothing was sent.`);
      return await this.link.ask(kind, about);
    } catch (error) {
      this.noteError(error);
      this.error = this.kernel.reachable && this.link.alive ? messageOf(error) : "";
      return null;
    } finally {
      this.requests.delete(request);
      clearTimeout(slow);
      this.removeExplanation();
    }
  }

  stop() {
    this.act("stop", {});
  }

  /**
   * Take a prompt that the page has: send it, or put it into the field below what is typed there. One that begins with
   * a slash is no command. Code blocks of one that `quotes` code go as they are, also where they have `{name}`.
   *
   * @param {{text: string, attached: string[], send: boolean, quotes: boolean}} prompt
   */
  async take({ text, attached, send, quotes }) {
    const prompt = text.startsWith("/") ? `/${text}` : text;
    if (!send || !(await this.composer.submit(prompt, attached, quotes))) this.composer.add(prompt, attached, quotes);
  }

  /**
   * Show why an action is not possible.
   * @param {string} kind of request
   */
  explain(kind) {
    const { kernel, busy } = this.kernel;
    const what = kind === "stop" ? "Stop takes effect when it has ended" : "this will be done when it has ended";
    const text = busy || !kernel ? `The kernel runs a cell; ${what}.` : "The kernel has not answered yet.";
    const interrupt = kind === "stop" && kernel?.interrupt
      && make("button", { type: "button", class: "fg-button", text: "Interrupt the cell", onclick: () => this.kernel.kernel?.interrupt?.() });
    this.explanation = make("div", { class: "fg-row" }, make("span", { text }), interrupt);
    this.banner.replaceChildren(this.explanation);
    this.banner.hidden = false;
  }

  removeExplanation() {
    if (!this.explanation) return;
    this.explanation.remove();
    this.explanation = null;
    if (!this.banner.childNodes.length) this.banner.hidden = true;
  }

  /** @param {string | Promise<string>} text */
  async copied(text) {
    try {
      const done = await copy(text);
      this.composer.hint.textContent = done ? "Copied." : "The browser does not allow this page to copy: select the text and copy it yourself.";
    } catch (error) {
      this.noteError(error);
    }
  }

  /**
   * Let the person save the conversation as a file.
   * @param {string} format
   */
  async save(format) {
    try {
      const { file, content } = await this.link.ask("export", { format });
      const address = URL.createObjectURL(new Blob([content]));
      make("a", { href: address, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
    } catch (error) {
      this.noteError(error);
    }
  }

  /* the kernel comes and goes */

  unreachable() {
    if (!this.link.alive) return this.left;
    return this.kernel.gone ? GONE : DISCONNECTED;
  }

  reach() {
    const { reachable, gone } = this.kernel;
    if (!reachable && this.wasReachable !== false) {
      if (this.link.alive || !this.surroundings) this.note(this.unreachable());
      if (gone) this.leave(GONE);
    } else if (gone && this.link.alive) this.leave(GONE);
    if (reachable && this.wasReachable === false && this.link.alive) {
      this.note("");
      this.link.interrupted(); // requests that are not answered before the outline arrives were lost
      this.opening = 0;
      this.open(); // messages from the meantime are lost
    }
    this.wasReachable = reachable;
  }

  /**
   * The panel accepts no more prompts.
   * @param {string} why
   */
  leave(why) {
    this.left = why;
    this.link.lost(why);
    this.note(this.surroundings ? "" : why); // which says it itself
    this.root.classList.add("fg-gone");
    this.root.classList.remove("fg-arriving");
  }

  /** The kernel knows this panel again: request everything. */
  revive() {
    this.link.alive = true;
    this.root.classList.remove("fg-gone");
    this.note("");
    this.opening = 0;
    this.open();
  }

  /* what the person is told */

  /**
   * Show a line above the composer; an empty text removes it.
   * @param {string} text
   */
  note(text) {
    this.banner.textContent = text;
    this.banner.hidden = !text;
  }

  /** @param {unknown} error */
  noteError(error) {
    this.note(messageOf(error));
  }

  /** The error has been read. */
  forgetError() {
    if (this.error && this.banner.textContent === this.error) this.note("");
    this.error = "";
  }

  /**
   * For screen readers: the start and the end of a reply, and what was attached or removed.
   * @param {string} text
   */
  announce(text) {
    this.state.textContent = text;
  }

  /* what is typed in turns */

  /** The texts typed in the turns of the conversation. */
  get edits() {
    const name = this.model.get("name");
    const edits = this.editsOf.get(name) ?? new Edits(this.composer.draftOf(name, "turns"));
    this.editsOf.set(name, edits);
    return edits;
  }

  /**
   * Text typed in a turn that no longer exists goes into the composer.
   * @param {Set<number>} places of the turns that are there
   */
  rescueEdits(places) {
    for (const [place, { text, pictures, quotes }] of [...this.edits]) {
      if (places.has(place) || this.sending === place) continue;
      this.edits.delete(place);
      this.rescueText(text, pictures, quotes);
    }
  }

  /**
   * @param {string} text
   * @param {Keepable[]} [pictures] with it
   * @param {boolean} [quotes] does it quote code?
   */
  rescueText(text, pictures = [], quotes = false) {
    const { composer } = this;
    const all = [...composer.tray.kept, ...pictures];
    composer.fill([composer.field.value, text].filter(Boolean).join("\n\n"), composer.attached, all, composer.quotes || quotes);
    composer.remember();
    this.note(TAKEN_OUT);
  }
}

/** The turns of the conversation. Only those near the visible area are in the page. Keeps the reader's position. */

import { focused, icon, make } from "./dom.js";
import { Empty } from "./empty.js";
import { Turn } from "./turn.js";

/** @import { Panel } from "./panel.js" */
/** @import { Facts, Growth, Row } from "./types.js" */

const MARGIN = 500; // pixels around the visible area in which turns are in the page
const NEAR = 32; // pixels from the end within which the view follows the end
const PATIENCE = 5000; // milliseconds after which a missing turn is requested again
const LATE = 3000; // milliseconds after which a finished reply is loaded if the message about its end is missing
const MARKED = 1600; // milliseconds for which a turn from the search is marked

/**
 * The turn or block that keeps its position in the view, and how many pixels of it are above the view.
 * @typedef {{turn: Turn, block: number, rest: number}} Anchor
 */

export class Log {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.turns = /** @type {Turn[]} */ ([]);
    this.byId = /** @type {Map<string, Turn>} */ (new Map());
    this.asked = /** @type {Map<string, number>} */ (new Map()); // by the id of a turn when it was asked for
    this.pinned = true; // the view follows the end
    this.anchor = /** @type {Anchor | null} */ (null); // else this does
    this.upwards = false; // the reader scrolled upwards
    this.focused = /** @type {{place: number, label: string | null, caret: number} | null} */ (null); // before its turn was changed
    this.seen = this.total = this.put = 0; // in pixels: the height of the box, the height of all turns, and the scroll position that was set here
    this.width = 600;
    this.sheet = make("div", { class: "fg-sheet" });
    this.empty = new Empty(panel);
    this.box = make("div", { class: "fg-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" }, this.empty.element, this.sheet);
    this.toEnd = make("button", { type: "button", class: "fg-down", title: "To the end", "aria-label": "To the end", hidden: true, onclick: () => this.follow() }, icon("down"));
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver((entries) => this.measured(entries)); // observes the box, the turns and their blocks
    this.sizes.observe(this.box);
  }

  /**
   * Scroll keys jump at once: turns that come into view are measured and rearranged, which would break the front end's
   * smooth scrolling.
   *
   * @param {KeyboardEvent} event
   */
  key(event) {
    const { box } = this;
    if (event.target !== box) return;
    this.focused = null; // a reader who moves on does not get the focus back to a button
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const page = 0.9 * box.clientHeight;
    const by = { PageUp: -page, PageDown: page, ArrowUp: -40, ArrowDown: 40, " ": page }[event.key];
    if (event.key === "Home") box.scrollTop = 0;
    else if (event.key === "End") this.follow();
    else if (by) box.scrollTop += by;
    else return;
    event.preventDefault();
  }

  /**
   * Replace all turns.
   * @param {Row[]} rows
   */
  set(rows) {
    const reading = this.pinned ? null : this.anchored();
    for (const turn of this.turns) this.drop(turn);
    this.turns = rows.map((row) => new Turn(this.panel, row));
    this.byId = new Map(this.turns.map((turn) => [turn.id, turn]));
    this.asked.clear();
    const turn = reading && this.byId.get(reading.turn.id);
    this.pinned = !turn;
    this.anchor = turn ? { ...reading, turn, block: -1 } : null;
    this.counted();
  }

  /**
   * Replace `gone` turns from number `at` on; some of the new turns may be among the old ones.
   * @param {number} at
   * @param {number} gone
   * @param {Row[]} rows
   */
  splice(at, gone, rows) {
    const before = new Map(this.turns.slice(at, at + gone).map((turn) => [turn.id, turn]));
    const turns = rows.map((row) => {
      const turn = before.get(row[0]);
      before.delete(row[0]);
      if (turn) return this.taken(turn, row);
      this.asked.delete(row[0]);
      return new Turn(this.panel, row);
    });
    for (const turn of before.values()) {
      this.byId.delete(turn.id);
      this.drop(turn);
    }
    this.turns.splice(at, gone, ...turns);
    for (const turn of turns) this.byId.set(turn.id, turn);
    if (at + rows.length >= this.turns.length && rows.length > gone && this.panel.sent) { this.pinned = true; this.panel.sent = false; }
    this.counted();
  }

  /**
   * Update a turn that stays with its new row.
   * @param {Turn} turn
   * @param {Row} row
   */
  taken(turn, row) {
    const arrived = turn.arriving;
    turn.take(row);
    if (turn.stale && arrived && turn.number >= 0) setTimeout(() => { if (turn.stale) this.lookAgain(turn); }, LATE); // the message about its end comes next
    else if (turn.stale) this.lookAgain(turn);
    return turn;
  }

  /**
   * Restore the focus, or set it as near as possible, after a turn was changed.
   * @param {Turn} turn
   */
  refocus(turn) {
    const before = this.focused;
    if (!before || before.place !== turn.place || !turn.element?.isConnected) return;
    const targets = /** @type {(HTMLButtonElement | HTMLTextAreaElement)[]} */ ([...turn.element.querySelectorAll("button[aria-label], textarea")]);
    const same = targets.filter((target) => target.getAttribute("aria-label") === before.label);
    const near = targets.filter((target) => target.closest(".fg-answer .fg-tools"));
    for (const target of [...same, ...near]) {
      if (focused() !== this.box) break; // done, or the focus has moved on
      target.focus({ preventScroll: true });
    }
    if (focused() === this.box) return;
    this.focused = null;
    const now = targets.find((target) => target === focused());
    if (now?.matches("textarea")) /** @type {HTMLTextAreaElement} */ (now).setSelectionRange(before.caret, before.caret);
  }

  /** @param {Turn} turn */
  lookAgain(turn) {
    turn.stale = false;
    this.asked.delete(turn.id);
    turn.reload = true;
    this.panel.requestFrame();
  }

  /**
   * Remove a turn from the page.
   * @param {Turn} turn
   */
  drop(turn) {
    const target = /** @type {HTMLTextAreaElement | null} */ (focused());
    if (target && turn.element?.contains(target)) {
      this.focused = { place: turn.place, label: target.getAttribute("aria-label"), caret: target.selectionStart };
      this.box.focus({ preventScroll: true }); // until its next version is in the page
    }
    if (turn.element) this.sizes.unobserve(turn.element);
    turn.unmount();
  }

  /** Stop showing and measuring, and stop all timers. */
  close() {
    this.sizes.disconnect();
    for (const turn of this.turns) turn.unmount();
  }

  /** The list of turns changed. */
  counted() {
    this.turns.forEach((turn, number) => {
      const last = number === this.turns.length - 1;
      if (turn.last !== last) { turn.last = last; turn.update(); }
      turn.position = number;
    });
    this.empty.show(!this.turns.length);
    this.panel.rescueEdits(new Set(this.turns.map((turn) => turn.place)));
    this.panel.requestFrame();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const moved = scrollTop - this.put;
    if (!moved) return; // set here, not by the reader
    this.put = scrollTop;
    this.upwards = moved < 0;
    if (Math.abs(clientHeight - this.seen) > 1) return; // the box was resized, and everything is arranged again
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.pinned = true;
    else if (moved < 0) this.pinned = false; // by the reader: replies only grow downwards
    this.anchor = null;
    this.panel.requestFrame();
  }

  /** Scroll to the end, and follow it. */
  follow() {
    this.pinned = true;
    this.anchor = null;
    this.put = this.box.scrollTop; // a scroll event from before this call may still arrive; it is ignored
    this.panel.requestFrame();
    this.box.focus({ preventScroll: true });
  }

  /** @param {ResizeObserverEntry[]} entries */
  measured(entries) {
    let changed = false;
    for (const { target, borderBoxSize, contentRect } of entries) {
      const height = borderBoxSize[0].blockSize;
      if (target === this.box) {
        changed = true;
        this.seen = height;
        if (this.width !== contentRect.width) this.resized(contentRect.width);
      } else if (height) changed = this.measuredOne(target, height) || changed;
    }
    if (changed) this.arrange();
  }

  /**
   * Record the height of a turn or a block; returns true if it changed.
   * @param {Element} target
   * @param {number} height
   */
  measuredOne({ turn, body, number }, height) {
    if (body && number !== undefined) {
      if (body.heights[number] === height) return false;
      body.heights[number] = height;
      return true;
    }
    if (!turn || (turn.height === height && turn.placed)) return false;
    turn.height = height;
    turn.into = turn.body.element.offsetTop || turn.into; // the turn is the offset parent
    turn.placed = true;
    return true;
  }

  /**
   * The width changed, so the heights of turns outside the page are unknown again.
   * @param {number} width
   */
  resized(width) {
    this.width = width;
    for (const turn of this.turns) {
      if (!turn.element) turn.height = 0;
      turn.body.resized();
    }
  }

  /** Compute the offset of every turn and the total height. */
  tops() {
    let top = 0;
    for (const turn of this.turns) {
      turn.top = top;
      top += turn.guess(this.width);
    }
    return top;
  }

  /** Set all offsets, and put the visible turns into the page. */
  arrange() {
    const { box, seen } = this;
    if (!seen) return;
    if (!this.pinned && !this.anchor) this.anchor = this.anchored();
    const total = this.tops();
    if (total !== this.total) this.sheet.style.height = `${total}px`;
    this.total = total;
    const top = this.pinned ? Math.max(0, total - seen) : Math.max(0, Math.min(this.anchorTop(), total - seen));
    this.mountAround(top, top + seen);
    if (Math.abs(box.scrollTop - top) >= 1) box.scrollTop = top;
    this.put = box.scrollTop; // also if the page moved it because the content got shorter: that was not the reader
    const away = total - top - seen > NEAR && !this.pinned;
    if (this.toEnd.hidden === away) this.toEnd.hidden = !away;
  }

  /**
   * The topmost visible turn or block. It keeps its position when turns above it change their height.
   * @returns {Anchor | null}
   */
  anchored() {
    const top = this.box.scrollTop;
    if (top <= 0) return null; // the very top stays at the top
    const turn = this.turns.find((candidate) => candidate.top !== undefined && candidate.top + candidate.guess(this.width) > top);
    if (!turn || turn.top === undefined) return null;
    const next = this.turns[turn.position + 1];
    if (this.upwards && next?.top !== undefined && !turn.loaded) return { turn: next, block: -1, rest: top - next.top }; // its height is a guess
    const inside = top - turn.top - turn.into;
    if (inside <= 0 || !turn.body.blocks.length) return { turn, block: -1, rest: top - turn.top };
    const block = turn.body.at(inside);
    return { turn, block, rest: inside - turn.body.top(block) };
  }

  /** The scroll position that keeps the anchor in place. */
  anchorTop() {
    const { anchor } = this;
    if (!anchor || this.byId.get(anchor.turn.id) !== anchor.turn) return this.box.scrollTop;
    const { turn, block, rest } = anchor;
    return (turn.top ?? 0) + rest + (block < 0 ? 0 : turn.into + turn.body.top(Math.min(block, turn.body.blocks.length)));
  }

  /**
   * Put the turns near the visible area into the page.
   * @param {number} top pixels
   * @param {number} bottom
   */
  mountAround(top, bottom) {
    const wanted = [];
    let before = /** @type {HTMLElement | null} */ (null);
    for (const turn of this.turns) {
      const place = turn.top ?? 0;
      const near = place + turn.guess(this.width) > top - MARGIN && place < bottom + MARGIN;
      if (!near && turn.element && !turn.held) this.drop(turn);
      if (!near && !turn.element) continue;
      /** @type {HTMLElement} */
      const element = turn.element ?? this.mount(turn, before);
      this.show(turn, element, place);
      const inside = place + turn.into;
      if (turn.body.look(top - inside - MARGIN, bottom - inside + MARGIN)) this.panel.paintSoon(turn);
      if (near && (!turn.facts || turn.reload)) wanted.push(turn);
      before = element;
    }
    this.load(wanted);
  }

  /**
   * Set a turn's offset and name; each only if it changed.
   * @param {Turn} turn
   * @param {HTMLElement} element
   * @param {number} place pixels
   */
  show(turn, element, place) {
    if (turn.put !== place) { turn.put = place; element.style.top = `${place}px`; }
    const name = `Turn ${turn.position + 1} of ${this.turns.length}`;
    if (turn.name !== name) { turn.name = name; element.setAttribute("aria-label", name); }
    if (!turn.facts) element.style.minHeight = `${turn.guess(this.width)}px`;
  }

  /**
   * Put a turn into the page.
   * @param {Turn} turn
   * @param {HTMLElement | null} before the element it stands behind
   */
  mount(turn, before) {
    const element = turn.mount();
    if (before) before.after(element);
    else this.sheet.prepend(element);
    turn.put = turn.name = null;
    turn.placed = false;
    this.sizes.observe(element);
    this.refocus(turn);
    return element;
  }

  /**
   * Request the contents of these turns.
   * @param {Turn[]} turns
   */
  load(turns) {
    const now = performance.now();
    const ids = turns.filter((turn) => now - (this.asked.get(turn.id) ?? -Infinity) > PATIENCE).map((turn) => turn.id);
    for (const id of ids) this.asked.set(id, now);
    if (!ids.length) return;
    this.panel.link.tell("need", { turns: ids });
    setTimeout(() => this.panel.requestFrame(), PATIENCE + 500); // a message may get lost
  }

  /**
   * The contents of a turn, or a part of them, arrived.
   * @param {{from: number, blocks: string[], turn: Facts}} message
   */
  loaded({ from, blocks, turn: facts }) {
    const turn = this.byId.get(facts.id);
    if (!turn) return;
    if (!from) turn.load(facts);
    turn.body.change(from, blocks);
    turn.update();
    this.panel.paintSoon(turn);
  }

  /**
   * Replies have grown, or one has ended.
   * @param {{turns: Growth[], end?: Facts}} message
   */
  grow({ turns, end }) {
    for (const growth of turns) {
      const [id, number] = growth;
      const turn = this.turns.findLast((candidate) => candidate.id.startsWith(id));
      if (!turn?.facts || number <= turn.number) continue; // not in this page: it is loaded whole when it comes into view
      if (number !== turn.number + 1) { if (!turn.reload) this.lookAgain(turn); continue; } // a change was lost
      turn.grow(growth);
      this.panel.paintSoon(turn);
    }
    if (end) this.end(end);
  }

  /** @param {Facts} facts of a reply that has ended */
  end(facts) {
    const turn = this.byId.get(facts.id);
    if (turn?.facts) {
      turn.stale = false;
      turn.facts = { ...turn.facts, ...facts };
      turn.thoughts.load(facts);
      turn.update();
    }
    this.panel.ended(facts);
  }

  /**
   * Go to a turn from the search, and mark it for a moment.
   * @param {string} id
   */
  reveal(id) {
    const turn = this.byId.get(id);
    if (!turn) return;
    this.tops();
    this.pinned = false;
    this.anchor = { turn, block: -1, rest: -8 };
    this.arrange();
    turn.element?.classList.add("fg-found");
    setTimeout(() => turn.element?.classList.remove("fg-found"), MARKED);
  }
}

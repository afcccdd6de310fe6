/** The blocks of one reply. Only blocks near the visible area are in the page; gaps of the right height replace the others. */

import { replaceFrom } from "./changes.js";
import { focused, make } from "./dom.js";
import { morph, parsed } from "./morph.js";

/** @import { Panel } from "./panel.js" */

const FEW = 8; // with at most this many blocks, all are in the page

/**
 * A block in the page: its element and the HTML in it.
 * @typedef {{element: HTMLElement, html: string}} Shown
 */

export class Body {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.blocks = /** @type {string[]} */ ([]); // their HTML
    this.heights = /** @type {(number | undefined)[]} */ ([]); // in pixels, of those that were in the page
    this.guesses = /** @type {number[]} */ ([]);
    this.shown = /** @type {Map<number, Shown>} */ (new Map()); // by the number of a block
    this.from = this.to = 0; // the range of blocks that should be in the page
    this.above = make("div");
    this.below = make("div");
    this.element = make("div", { class: "fg-blocks jp-RenderedHTMLCommon" }, this.above, this.below);
  }

  /**
   * Replace the blocks from number `from` on.
   * @param {number} from
   * @param {string[]} blocks
   */
  change(from, blocks) {
    replaceFrom(this.blocks, from, blocks);
    this.heights.length = Math.min(this.heights.length, from + 1);
    this.guesses.length = Math.min(this.guesses.length, from);
  }

  /** The width of the page changed, so the heights of blocks outside the page are unknown again. */
  resized() {
    this.guesses = [];
    this.heights = this.heights.map((height, number) => (this.shown.has(number) ? height : undefined));
  }

  /** @param {number} number */
  height(number) {
    return this.heights[number] ?? (this.guesses[number] ??= this.guess(this.blocks[number]));
  }

  /** @param {string} html */
  guess(html) {
    if (html.startsWith("<pre")) return Math.min(530, 62 + 17 * (html.split("\n").length - 1));
    return 14 + 21 * Math.ceil(html.length / Math.max(20, this.panel.log.width / 7.5));
  }

  /**
   * The offset of a block in pixels; one past the last block gives the total height.
   * @param {number} number
   */
  top(number) {
    let top = 0;
    for (let before = 0; before < number; before += 1) top += this.height(before);
    return top;
  }

  /**
   * The number of the block at an offset.
   * @param {number} place pixels from the top
   */
  at(place) {
    let number = 0;
    for (let top = this.height(0); top <= place && number < this.blocks.length - 1; top += this.height(number)) number += 1;
    return number;
  }

  /**
   * Choose the blocks between two offsets; returns true if the page has to be painted.
   * @param {number} top
   * @param {number} bottom
   */
  look(top, bottom) {
    const last = this.blocks.length;
    let [from, to] = [0, last];
    if (last > FEW) {
      from = this.at(Math.max(0, top));
      to = Math.min(last, this.at(Math.max(0, bottom)) + 1);
    }
    [this.from, this.to] = this.hold(from, to);
    if (this.shown.size !== this.to - this.from) return true;
    for (let number = this.from; number < this.to; number += 1) if (this.shown.get(number)?.html !== this.blocks[number]) return true;
    return false;
  }

  /**
   * Extend the range by blocks that have the focus or a selection, so that they stay in the page.
   * @param {number} from
   * @param {number} to
   */
  hold(from, to) {
    const selected = document.getSelection();
    const nodes = selected && !selected.isCollapsed ? [selected.anchorNode, selected.focusNode] : [];
    for (const node of [...nodes, focused()]) {
      if (!node || !this.element.contains(node)) continue;
      const element = node.nodeType === 1 ? /** @type {Element} */ (node) : node.parentElement;
      const number = element?.closest(".fg-block")?.number;
      if (number === undefined || number >= this.blocks.length) continue;
      from = Math.min(from, number);
      to = Math.max(to, number + 1);
    }
    return [from, to];
  }

  /**
   * Update the page; returns false if the time ran out first.
   * @param {number} deadline by the clock of `performance.now`; one block is made at least
   */
  paint(deadline) {
    for (const [number, { element }] of this.shown) if (number < this.from || number >= this.to) this.remove(number, element);
    let before = /** @type {HTMLElement} */ (this.above);
    let number = this.from;
    for (let done = 0; number < this.to; number += 1) {
      const html = this.blocks[number];
      let block = this.shown.get(number);
      if (block?.html !== html) {
        if (done && performance.now() > deadline) break;
        block = this.show(number, html, block);
        done += 1;
      }
      if (before.nextSibling !== block.element) before.after(block.element);
      before = block.element;
    }
    this.above.style.height = `${this.top(this.from)}px`;
    this.below.style.height = `${this.top(this.blocks.length) - this.top(number)}px`;
    return number === this.to;
  }

  /**
   * @param {number} number
   * @param {string} html
   * @param {Shown} [before] the block as it is in the page
   * @returns {Shown}
   */
  show(number, html, before) {
    const element = before?.element ?? make("div", { class: "fg-block", dir: "auto" });
    if (!before) {
      Object.assign(element, { number, body: this });
      this.panel.log.sizes.observe(element);
    }
    morph(this.panel, element, parsed(html));
    const block = { element, html };
    this.shown.set(number, block);
    return block;
  }

  /**
   * @param {number} number
   * @param {HTMLElement} element
   */
  remove(number, element) {
    this.panel.log.sizes.unobserve(element);
    element.remove();
    this.shown.delete(number);
  }

  /** Remove all blocks from the page. */
  clear() {
    for (const [number, { element }] of this.shown) this.remove(number, element);
  }

  /**
   * A long code block comes as several blocks: returns all of its code, from this block on.
   * @param {number} number of the block
   * @param {string} text of its code
   */
  code(number, text) {
    for (let next = number + 1; next < this.blocks.length && /^<pre[^>]* data-part="/.test(this.blocks[next]); next += 1) {
      text += parsed(this.blocks[next]).querySelector("code")?.textContent ?? "";
    }
    return text;
  }
}

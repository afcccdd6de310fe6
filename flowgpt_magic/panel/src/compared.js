/** The replies of the other models that a prompt was sent to: each opens below the live one, and can be kept instead. */

import { make } from "./dom.js";
import { morph, parsed } from "./morph.js";

/** @import { Turn } from "./turn.js" */
/** @import { OtherReply } from "./types.js" */

export class Compared {
  /** @param {Turn} turn */
  constructor(turn) {
    this.turn = turn;
    this.shown = "[]"; // which replies these are
    this.element = make("div", { class: "fg-compared", role: "group", "aria-label": "Replies of other models", hidden: true });
  }

  /** @param {OtherReply[]} others */
  show(others) {
    const shown = JSON.stringify(others);
    if (shown === this.shown) return; // the focus may be on one of them
    const open = new Set([...this.element.querySelectorAll("details[open]")].map((details) => details.getAttribute("data-turn")));
    this.shown = shown;
    this.element.hidden = !others.length;
    this.element.replaceChildren(...others.map((other) => this.row(other, open.has(other.id))));
  }

  /**
   * @param {OtherReply} other
   * @param {boolean} open
   */
  row(other, open) {
    const { turn } = this;
    const { panel } = turn;
    const line = [other.title, other.line].filter(Boolean).join(" · ");
    const body = make("div", { class: "fg-blocks jp-RenderedHTMLCommon" });
    const details = make("details", { "data-turn": other.id, open, ontoggle: () => details.open && this.fill(other, body) },
      make("summary", { class: "fg-who", text: line }), other.error && make("div", { class: "fg-trouble", text: other.error }), body);
    const keep = make("button", { type: "button", class: "fg-button", text: "Keep", "aria-label": `Keep ${other.title}`,
      disabled: other.empty || other.status === "streaming",
      onclick: () => panel.refuseWhileArriving() || panel.act("choose", { place: turn.place, version: other.version }) });
    return make("div", { class: "fg-other" }, details, keep);
  }

  /**
   * @param {OtherReply} other
   * @param {HTMLElement} body
   */
  async fill(other, body) {
    const { panel, id } = this.turn;
    try {
      const { blocks } = await panel.link.ask("other", { turn: id, other: other.id });
      body.replaceChildren(...blocks.map((/** @type {string} */ html) => {
        const block = make("div", { class: "fg-block", dir: "auto" });
        morph(panel, block, parsed(html));
        return block;
      }));
    } catch (error) { panel.noteError(error); }
  }
}

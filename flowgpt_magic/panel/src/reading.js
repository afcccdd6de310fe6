/** A conversation of another notebook, to read: it covers the conversation of this one until the person goes back. */

import { button, focused, make } from "./dom.js";
import { morph, parsed } from "./morph.js";
import { Turn } from "./turn.js";

/** @import { Panel } from "./panel.js" */
/** @import { Facts, FindElsewhere } from "./types.js" */

export class Reading {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.back = make("button", { type: "button", class: "fg-button", onclick: () => this.close() });
    this.where = make("span", { class: "fg-about" });
    this.turns = make("div", { class: "fg-pages", tabindex: "0", role: "group" });
    this.element = make("section", { class: "fg-reading", "aria-label": "Another notebook's conversation, to read", hidden: true },
      make("div", { class: "fg-row fg-readinghead" }, this.back, this.where), this.turns);
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); this.close(); } });
  }

  /**
   * Show the conversation of a turn that was found.
   * @param {FindElsewhere} find
   */
  async open({ turn, name, notebook }) {
    try {
      const { turns } = await this.panel.link.ask("elsewhere", { turn });
      this.turns.replaceChildren(...turns.map((/** @type {Facts & {blocks: string[]}} */ facts) => this.turn(facts, facts.id === turn)));
    } catch (error) { this.panel.noteError(error); return; }
    this.back.textContent = `Back to ${this.panel.model.get("name")}`;
    this.where.textContent = `${notebook} · ${name} · read-only`;
    this.turns.setAttribute("aria-label", `${notebook}, ${name}`);
    this.element.hidden = false;
    this.panel.root.classList.add("fg-elsewhere");
    this.turns.querySelector(".fg-found")?.scrollIntoView({ block: "start" });
    this.back.focus();
  }

  close() {
    if (this.element.hidden) return;
    const within = this.element.contains(focused());
    this.element.hidden = true;
    this.turns.replaceChildren();
    this.panel.root.classList.remove("fg-elsewhere");
    if (within) this.panel.log.box.focus({ preventScroll: true });
  }

  /**
   * @param {Facts & {blocks: string[]}} facts
   * @param {boolean} found
   */
  turn(facts, found) {
    const { panel } = this;
    const known = new Turn(panel, [facts.id, facts.place, 0, facts.status]);
    known.load(facts);
    const blocks = facts.blocks.map((html) => {
      const block = make("div", { class: "fg-block", dir: "auto" });
      morph(panel, block, parsed(html));
      return block;
    });
    const copy = (/** @type {string} */ text) => () => panel.copied(text);
    return make("article", { class: found ? "fg-page fg-found" : "fg-page", "aria-label": found ? "The turn that was found" : "Turn" },
      make("div", { class: "fg-question" }, make("div", { class: "fg-bubble" }, make("div", { class: "fg-prompt", dir: "auto", tabindex: "0", role: "group", "aria-label": "The prompt", text: facts.prompt })),
        make("div", { class: "fg-foot" }, make("div", { class: "fg-tools" }, button("copy", "Copy the prompt", copy(facts.prompt))))),
      make("div", { class: "fg-answer" }, make("div", { class: "fg-blocks jp-RenderedHTMLCommon" }, ...blocks),
        facts.status === "failed" && make("div", { class: "fg-trouble", text: facts.error }),
        make("div", { class: "fg-foot" }, make("div", { class: "fg-caption fg-who", text: known.caption }))));
  }
}

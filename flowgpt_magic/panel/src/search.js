/** The drawer that searches the conversations. */

import { make } from "./dom.js";
import { Drawer } from "./drawer.js";

/** @import { Panel } from "./panel.js" */
/** @import { Find, FindElsewhere } from "./types.js" */

export class Search {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.request = /** @type {object | null} */ (null); // stands for the last one
    this.words = make("input", { class: "fg-field", type: "search", "aria-label": "Words to look for", placeholder: "Search the conversations" });
    this.finds = make("div", { class: "fg-finds", role: "group", "aria-label": "Found" });
    this.drawer = new Drawer(() => panel.head.searchButton, [this.words, this.finds], this.words);
    this.element = this.drawer.element;
    this.words.addEventListener("input", () => this.look());
    this.words.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.finds.querySelector("button")?.click(); } });
  }

  toggle() {
    if (this.drawer.toggle()) this.look();
  }

  /** @param {string} words to look for */
  open(words) {
    if (this.element.hidden) this.drawer.toggle();
    this.words.value = words;
    this.look();
  }

  async look() {
    const words = this.words.value;
    const request = (this.request = {});
    let answer = { found: /** @type {Find[]} */ ([]), elsewhere: /** @type {FindElsewhere[]} */ ([]) };
    try { if (words.trim()) answer = await this.panel.link.ask("search", { words }); } catch (error) { this.panel.noteError(error); return; }
    if (request !== this.request) return;
    const finds = [...answer.found.map((find) => this.here(find)), ...answer.elsewhere.map((find) => this.elsewhere(find))];
    if (words.trim() && !finds.length) finds.push(make("div", { class: "fg-hint", text: "Nothing found." }));
    this.finds.replaceChildren(...finds);
  }

  /**
   * @param {Find} find
   * @returns {HTMLElement}
   */
  here({ turn, number, text }) {
    return this.line(`turn ${number}`, text, () => { this.panel.reading.close(); this.panel.log.reveal(turn); });
  }

  /**
   * A turn of another conversation: a click switches to it, or shows that of another notebook to read.
   * @param {FindElsewhere} find
   * @returns {HTMLElement}
   */
  elsewhere(find) {
    const { name, notebook, text } = find;
    if (!notebook) return this.line(name, text, () => this.panel.act("use", { name }));
    return this.line(`${notebook} · ${name}`, text, () => this.panel.reading.open(find));
  }

  /**
   * @param {string} where
   * @param {string} text
   * @param {() => unknown} onclick
   */
  line(where, text, onclick) {
    return make("button", { type: "button", class: "fg-find", onclick }, where && make("span", { class: "fg-about", text: where }), make("span", { text }));
  }
}

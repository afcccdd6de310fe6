/** What an empty conversation shows: prompts to begin with, about the person's own variables. A click fills the field. */

import { make } from "./dom.js";

/** @import { Panel } from "./panel.js" */

export class Empty {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.asked = false; // is the kernel's answer on its way?
    this.title = make("p", { class: "fg-title" });
    this.list = make("div", { class: "fg-examples", role: "group", "aria-label": "Examples" });
    this.element = make("div", { class: "fg-empty" }, this.title, this.list);
  }

  /** @param {boolean} shown */
  show(shown) {
    const before = !this.element.hidden && this.list.childNodes.length > 0;
    this.element.hidden = !shown;
    if (shown && !before) this.look();
  }

  /** Ask the kernel for examples: what there is to ask about changes with each cell. */
  async look() {
    if (this.asked || this.element.hidden || !this.panel.link.alive) return;
    this.asked = true;
    try {
      const { examples } = await this.panel.link.ask("examples");
      const known = [...this.list.children].map((button) => button.textContent);
      if (known.join("\n") !== examples.join("\n")) this.list.replaceChildren(...examples.map((/** @type {string} */ text) => this.example(text)));
    } catch { /* the field is there all the same */ } finally { this.asked = false; }
  }

  /** @param {string} text */
  example(text) {
    const { composer } = this.panel;
    return make("button", { type: "button", class: "fg-example", text, onclick: () => {
      composer.fill(composer.field.value.trim() ? `${composer.field.value}\n${text}` : text, composer.attached);
      composer.remember();
      composer.field.focus();
    } });
  }

  /** What is shown above the examples; `trouble` is said elsewhere. */
  update() {
    const { model } = this.panel;
    this.title.textContent = model.get("trouble") ? "" : `Nothing was asked in ${model.get("name")} yet. You could begin with:`;
    this.list.hidden = Boolean(model.get("trouble"));
  }
}

/** The drawer for the system prompt and the temperature. */

import { make } from "./dom.js";
import { Drawer } from "./drawer.js";

/** @import { Panel } from "./panel.js" */

export class Tuning {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.name = ""; // the conversation in which it was opened
    this.before = { system: "", temperature: "" }; // the values when it was opened
    this.typed = false; // has unsaved text
    this.system = make("textarea", { class: "fg-field", id: panel.id("system"), rows: "3", dir: "auto" });
    this.temperature = make("input", { class: "fg-field fg-narrow", id: panel.id("temperature"), type: "number", min: "0", max: "2", step: "0.1", placeholder: "default" });
    this.drawer = new Drawer(() => panel.head.tuningButton, [
      make("label", { for: panel.id("system"), text: "System prompt" }), this.system,
      make("div", { class: "fg-row" }, make("label", { for: panel.id("temperature"), text: "Temperature" }), this.temperature,
        make("div", { class: "fg-row fg-last" },
          make("button", { type: "button", class: "fg-button fg-main", text: "Save", onclick: () => this.save() }),
          make("button", { type: "button", class: "fg-button", text: "Cancel", onclick: () => { this.typed = false; this.toggle(); } }))),
    ], this.system);
    this.element = this.drawer.element;
    this.element.addEventListener("input", () => { this.typed = true; });
  }

  toggle() {
    if (!this.drawer.toggle()) return;
    const { model } = this.panel;
    if (this.typed && this.name === model.get("name")) return; // unsaved text of this conversation stays
    this.typed = false;
    this.name = model.get("name");
    this.before = { system: model.get("system"), temperature: String(model.get("temperature") ?? "") };
    this.system.value = this.before.system;
    this.temperature.value = this.before.temperature;
  }

  /** Save only what was changed here: the rest may have changed elsewhere. */
  async save() {
    const { panel, before } = this;
    const name = panel.model.get("name");
    if (name !== this.name) {
      panel.note(`The panel shows another conversation now: Save again changes ${name}, Cancel changes nothing.`);
      this.name = name;
      return;
    }
    for (const setting of /** @type {const} */ (["system", "temperature"])) {
      const { value } = this[setting];
      if (value !== before[setting] && !(await panel.act("set", { setting, value }))) return;
    }
    this.typed = false;
    this.toggle();
  }
}

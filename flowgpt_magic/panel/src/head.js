/** The line above the conversation: its name, its model, and buttons. */

import { button, make } from "./dom.js";
import { Menu } from "./menu.js";
import { Picker } from "./picker.js";

/** @import { Panel } from "./panel.js" */

export class Head {
  /** @param {Panel} panel */
  constructor(panel) {
    const { model } = panel;
    this.panel = panel;
    this.chats = make("select", { class: "fg-select", "aria-label": "Conversation", onchange: () => this.use() });
    this.name = make("input", { class: "fg-field fg-name", type: "text", "aria-label": "New name of the conversation", hidden: true });
    this.name.addEventListener("keydown", (event) => this.keyInName(event));
    this.name.addEventListener("blur", () => { if (!this.name.hidden) this.rename(this.name.value.trim() !== model.get("name")); });
    this.picker = new Picker(panel);
    this.pencil = button("pencil", "Rename the conversation", () => this.beginRename());
    this.searchButton = button("search", "Search", () => panel.search.toggle(), { "aria-expanded": "false" });
    this.tuningButton = button("sliders", "System prompt and temperature", () => panel.tuning.toggle(), { "aria-expanded": "false" });
    this.menu = new Menu("More", [
      ["Undo the last change", () => panel.act("undo", {})],
      ["Redo", () => panel.act("redo", {})],
      ["Clear the conversation", () => panel.act("clear", {})],
      ["Export as Markdown", () => panel.save("md")],
      ["Export as JSON", () => panel.save("json")],
      ["Export as a notebook", () => panel.save("ipynb")],
      ["Export as a page", () => panel.save("html")],
      ["Close the panel", () => (panel.surroundings ? panel.surroundings.hide() : panel.link.tell("close"))],
    ]);
    this.element = make("div", { class: "fg-head" },
      make("div", { class: "fg-group" }, this.chats, this.name, this.pencil,
        button("plus", "New conversation", ({ detail }) => detail > 1 || this.begin())), // a double click counts once
      make("div", { class: "fg-group fg-side" }, this.picker.element, this.searchButton, this.tuningButton, this.menu.element));
    this.update();
  }

  /** Show the values of the traits. */
  update() {
    const { model } = this.panel;
    const [name, names] = [model.get("name"), model.get("names")];
    this.chats.replaceChildren(...names.map((other) => make("option", { value: other, text: other, selected: other === name })));
    this.chats.value = name;
    this.picker.update();
  }

  async use() {
    if (!(await this.panel.act("use", { name: this.chats.value }))) this.update();
  }

  /** Start a new conversation, and let the person type. */
  async begin() {
    if (await this.panel.act("new", {})) this.panel.composer.field.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  keyInName(event) {
    if (!["Enter", "Escape"].includes(event.key) || event.isComposing) return;
    event.preventDefault();
    this.rename(event.key === "Enter");
    this.pencil.focus();
  }

  beginRename() {
    this.name.value = this.panel.model.get("name");
    this.name.hidden = false;
    this.chats.hidden = true;
    this.name.focus();
    this.name.select();
  }

  /** @param {boolean} really or leave it as it was */
  async rename(really) {
    const name = this.name.value;
    this.name.hidden = true;
    this.chats.hidden = false;
    if (really) await this.panel.act("rename", { name });
  }
}

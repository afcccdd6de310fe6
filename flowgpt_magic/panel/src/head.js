/** The line above the conversation: its name, its model, and buttons. */

import { button, make } from "./dom.js";
import { Menu } from "./menu.js";

/** @import { Panel } from "./panel.js" */
/** @import { Choice } from "./types.js" */

export class Head {
  /** @param {Panel} panel */
  constructor(panel) {
    const { model } = panel;
    this.panel = panel;
    this.choices = /** @type {Choice[]} */ ([]); // models
    this.known = ""; // the same as JSON
    this.looked = false; // was the kernel asked for the models?
    this.chats = make("select", { class: "fg-select", "aria-label": "Conversation", onchange: () => this.use() });
    this.name = make("input", { class: "fg-field fg-name", type: "text", "aria-label": "New name of the conversation", hidden: true });
    this.name.addEventListener("keydown", (event) => this.keyInName(event));
    this.name.addEventListener("blur", () => { if (!this.name.hidden) this.rename(this.name.value.trim() !== model.get("name")); });
    this.models = make("select", { class: "fg-select", "aria-label": "Model", onchange: () => this.setModel() });
    this.models.addEventListener("focus", () => this.look(true));
    this.models.addEventListener("pointerenter", () => { if (!this.looked) this.look(false); }); // before the list is opened
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
      ["Close the panel", () => panel.link.tell("close")],
    ]);
    this.element = make("div", { class: "fg-head" },
      make("div", { class: "fg-group" }, this.chats, this.name, this.pencil,
        button("plus", "New conversation", ({ detail }) => detail > 1 || panel.act("new", {}))), // a double click counts once
      make("div", { class: "fg-group fg-right" }, this.models, this.searchButton, this.tuningButton, this.menu.element));
    this.update();
  }

  /** Show the values of the traits. */
  update() {
    const { model } = this.panel;
    const [name, names] = [model.get("name"), model.get("names")];
    this.chats.replaceChildren(...names.map((other) => make("option", { value: other, text: other, selected: other === name })));
    this.chats.value = name;
    this.fillModels();
  }

  async use() {
    if (!(await this.panel.act("use", { name: this.chats.value }))) this.update();
  }

  async setModel() {
    if (!(await this.panel.act("set", { setting: "model", value: this.models.value }))) this.update();
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

  /**
   * Ask the kernel for the models.
   * @param {boolean} anew ask the servers again
   */
  async look(anew) {
    this.looked = true;
    try {
      const { models } = await this.panel.link.ask("models", { anew });
      const known = JSON.stringify(models);
      if (known !== this.known) { this.known = known; this.choices = models; this.fillModels(); }
    } catch { /* the model that is asked is there all the same */ }
  }

  fillModels() {
    const { model } = this.panel;
    const [chosen, asked] = [model.get("chosen"), model.get("model")];
    const own = chosen ? "as in the settings" : asked || "no model";
    const options = [make("option", { value: "", text: own })];
    if (chosen && !this.choices.some(({ name }) => name === chosen)) options.push(make("option", { value: chosen, text: chosen }));
    this.models.replaceChildren(...options, ...this.groups());
    this.models.value = chosen;
    this.models.title = asked ? `Asked: ${asked}` : model.get("trouble");
  }

  /** The available models in groups. */
  groups() {
    const groups = /** @type {Map<string, HTMLOptGroupElement>} */ (new Map());
    for (const { name, group, note, able } of this.choices) {
      const text = group === "aliases" ? `${name} → ${note}` : note ? `${name} (${note})` : name;
      const element = groups.get(group) ?? make("optgroup", { label: group });
      groups.set(group, element);
      element.append(make("option", { value: name, text: text || note, disabled: !able }));
    }
    return groups.values();
  }
}

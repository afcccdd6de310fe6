/** The button that names the model, and the list from which another one is chosen. */

import { icon, make } from "./dom.js";

/** @import { Panel } from "./panel.js" */
/** @import { Choice } from "./types.js" */

/**
 * A line of the list: the name, what is said beside it, and the value that is chosen; none cannot be chosen.
 * @typedef {{name: string, about: string, value?: string, more?: boolean}} Line
 */

export class Picker {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.choices = /** @type {Choice[]} */ ([]);
    this.known = ""; // the same as JSON
    this.looked = false; // was the kernel asked for the models?
    this.all = false; // are those shown that cannot answer?
    this.lines = /** @type {Line[]} */ ([]);
    this.marked = 0; // the number of the marked line
    this.alias = make("span", { class: "fg-alias" });
    this.name = make("span", { class: "fg-model" });
    this.button = make("button", {
      type: "button", class: "fg-select fg-pick", "aria-haspopup": "listbox", "aria-expanded": "false", onclick: () => this.toggle(Boolean(this.popup.hidden)),
    }, this.alias, this.name, icon("below"));
    this.button.addEventListener("pointerenter", () => { if (!this.looked) this.look(false); }); // before the list is opened
    this.words = make("input", {
      class: "fg-field", type: "text", role: "combobox", "aria-label": "Find a model", "aria-expanded": "true", "aria-autocomplete": "list",
      "aria-controls": panel.id("models"), placeholder: "Find a model", spellcheck: "false", autocomplete: "off",
    });
    this.list = make("div", { class: "fg-options", role: "listbox", id: panel.id("models"), "aria-label": "Models" });
    this.popup = make("div", { class: "fg-popup", hidden: true }, this.words, this.list);
    this.element = make("div", { class: "fg-picker" }, this.button, this.popup);
    this.listen();
  }

  listen() {
    this.words.addEventListener("input", () => this.fill());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusout", ({ relatedTarget }) => {
      if (!this.element.contains(/** @type {Node | null} */ (relatedTarget))) this.toggle(false, false);
    });
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
    this.list.addEventListener("click", ({ target }) => {
      const option = /** @type {HTMLElement | null} */ (/** @type {Element} */ (target).closest("[role=option]"));
      if (option) this.take(Number(option.dataset.number));
    });
  }

  /** Show the values of the traits: the alias first, then the model that is asked. */
  update() {
    const { model } = this.panel;
    const [alias, asked] = [model.get("alias"), model.get("model")];
    this.alias.textContent = alias;
    this.alias.hidden = !alias;
    this.name.textContent = asked || "no model";
    this.button.setAttribute("aria-label", `Model: ${[alias, asked || "none"].filter(Boolean).join(", ")}`);
    this.button.title = asked ? `Asked: ${asked}` : model.get("trouble");
    if (!this.popup.hidden) this.fill();
  }

  /**
   * @param {boolean} open
   * @param {boolean} [focus] let the focus go along
   */
  toggle(open, focus = true) {
    if (this.popup.hidden === !open) return;
    this.popup.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    this.all = false;
    if (open) {
      this.words.value = "";
      this.fill();
      this.look(true);
    }
    if (focus) (open ? this.words : this.button).focus();
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
      if (known === this.known) return;
      this.known = known;
      this.choices = models;
      if (!this.popup.hidden) this.fill();
    } catch { /* the model that is asked is there all the same */ }
  }

  /** The lines that have all words that were typed. Models that cannot answer come when they are wanted. */
  find() {
    const words = this.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { model } = this.panel;
    const chosen = model.get("chosen");
    /** @type {Line[]} */
    const lines = [{ name: "as in the settings", about: chosen ? "" : model.get("model"), value: "" }];
    if (chosen && !this.choices.some(({ name, able }) => able && name === chosen)) lines.push({ name: chosen, about: "", value: chosen });
    lines.push(...this.choices.filter(({ able }) => able).map(({ name, note, group }) => ({ name, about: group === "aliases" ? `→ ${note}` : note, value: name })));
    const others = this.choices.filter(({ able }) => !able).map(({ name, note, group }) => ({ name: name || group, about: note }));
    const fits = (/** @type {Line} */ { name, about }) => words.every((word) => `${name} ${about}`.toLowerCase().includes(word));
    const more = others.filter(fits);
    return [...lines.filter(fits), ...(this.all ? more : more.length ? [{ name: `more (${more.length})`, about: "cannot answer as things are", more: true }] : [])];
  }

  fill() {
    this.lines = this.find();
    const chosen = this.panel.model.get("chosen");
    this.list.replaceChildren(...this.lines.map(({ name, about, value, more }, number) => make("div", {
      role: "option", class: "fg-option", id: this.panel.id(`model${number}`), "data-number": number, "aria-selected": "false",
      "aria-disabled": value === undefined && !more ? "true" : null, "aria-current": value === chosen && !more ? "true" : null,
    }, make("span", { text: name }), make("span", { class: "fg-about", text: about }))));
    const at = this.lines.findIndex(({ value }) => value === chosen);
    this.mark(this.words.value || at < 0 ? 0 : at);
  }

  /** @param {number} number of a line */
  mark(number) {
    this.marked = number;
    [...this.list.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === number)));
    const option = this.list.children[number];
    if (option) this.words.setAttribute("aria-activedescendant", option.id);
    else this.words.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  }

  /** @param {number} number of a line */
  take(number) {
    const line = this.lines[number];
    if (line?.more) {
      this.all = true;
      this.fill();
      this.mark(number);
    } else if (line?.value !== undefined) {
      const { value } = line;
      this.toggle(false);
      this.panel.act("set", { setting: "model", value });
    }
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.lines.length - 1;
    if (this.popup.hidden) {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      this.toggle(true);
    } else if (event.key === "ArrowDown") this.mark(this.marked >= last ? 0 : this.marked + 1);
    else if (event.key === "ArrowUp") this.mark(this.marked > 0 ? this.marked - 1 : last);
    else if (event.key === "PageDown") this.mark(Math.min(last, this.marked + 8));
    else if (event.key === "PageUp") this.mark(Math.max(0, this.marked - 8));
    else if (event.key === "Escape") this.toggle(false);
    else if (event.key === "Enter" && event.target === this.words) this.take(this.marked);
    else return;
    event.preventDefault();
  }
}

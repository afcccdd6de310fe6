/** A button with a menu. */

import { button, focused, make } from "./dom.js";

export class Menu {
  /**
   * @param {string} label
   * @param {[text: string, run: () => unknown][]} items
   */
  constructor(label, items) {
    this.items = items.map(([text, run]) => make("button", {
      type: "button", role: "menuitem", tabindex: "-1", text, onclick: () => { this.toggle(false); run(); },
    }));
    this.list = make("div", { class: "fg-menu", role: "menu", "aria-label": label, hidden: true }, ...this.items);
    this.button = button("more", label, () => this.toggle(Boolean(this.list.hidden)), { "aria-haspopup": "menu", "aria-expanded": "false" });
    this.element = make("div", { class: "fg-menubox" }, this.button, this.list);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(/** @type {Node | null} */ (event.relatedTarget))) this.toggle(false, false);
    });
  }

  /**
   * @param {boolean} open
   * @param {boolean} [focus] let the focus go along
   */
  toggle(open, focus = true) {
    this.list.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (focus) (open ? this.items[0] : this.button).focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { items } = this;
    const at = items.findIndex((item) => item === focused());
    if (event.key === "Escape" && !this.list.hidden) this.toggle(false);
    else if (event.key === "ArrowDown") { if (this.list.hidden) this.toggle(true); else items[(at + 1) % items.length].focus(); }
    else if (event.key === "ArrowUp" && !this.list.hidden) items[(at + items.length - 1) % items.length].focus();
    else if (event.key === "Home" && at >= 0) items[0].focus();
    else if (event.key === "End" && at >= 0) items[items.length - 1].focus();
    else return;
    event.preventDefault();
  }
}

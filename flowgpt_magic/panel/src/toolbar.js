/** The buttons of a turn are one tab stop; arrow keys move between them. */

import { focused } from "./dom.js";

export class Toolbar {
  /** @param {HTMLElement} element holds the buttons, in elements of the class `fg-tools` */
  constructor(element) {
    this.element = element;
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("focusin", ({ target }) => this.select(/** @type {HTMLElement} */ (target)));
  }

  /** The buttons that can be pressed now. */
  get buttons() {
    const all = /** @type {NodeListOf<HTMLButtonElement>} */ (this.element.querySelectorAll(".fg-tools button"));
    return [...all].filter((button) => !button.disabled && !button.closest("[hidden], .fg-quiet"));
  }

  /** The buttons changed: exactly one of them is a tab stop. */
  update() {
    const { buttons } = this;
    this.select(buttons.find((button) => button === focused()) ?? buttons.find((button) => button.tabIndex === 0) ?? buttons[0]);
  }

  /** @param {HTMLElement | undefined} target the tab stop, if it is one of the buttons */
  select(target) {
    const { buttons } = this;
    if (!buttons.some((button) => button === target)) return;
    for (const button of this.element.querySelectorAll(".fg-tools button")) button.setAttribute("tabindex", button === target ? "0" : "-1");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { buttons } = this;
    const at = buttons.findIndex((button) => button === focused());
    const last = buttons.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last }[event.key];
    if (at < 0 || to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    buttons[to].focus();
  }
}

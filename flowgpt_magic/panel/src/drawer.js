/** A drawer below the head, opened by a button. Only one is open at a time. */

import { focused, make } from "./dom.js";

export class Drawer {
  /**
   * @param {() => HTMLElement} opener the button that opens it
   * @param {(Node | string)[]} inside
   * @param {HTMLElement} first what gets the focus
   */
  constructor(opener, inside, first) {
    this.opener = opener;
    this.first = first;
    this.element = make("div", { class: "fg-drawer", hidden: true }, ...inside);
    this.element.addEventListener("fg-leave", () => this.toggle());
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); this.toggle(); } });
  }

  /** Open or close it; returns true if it is open. */
  toggle() {
    const open = this.element.hidden;
    if (open) this.closeOthers();
    const within = this.element.contains(focused()); // otherwise the focus is elsewhere by now
    this.element.hidden = !open;
    const opener = this.opener();
    opener.setAttribute("aria-expanded", String(open));
    if (open) this.first.focus();
    else if (within) opener.focus();
    return open;
  }

  closeOthers() {
    for (const other of this.element.parentNode?.querySelectorAll(":scope > .fg-drawer:not([hidden])") ?? []) {
      other.dispatchEvent(new CustomEvent("fg-leave"));
    }
  }
}

/** A picture as large as the panel. */

import { button, make } from "./dom.js";
import { dataUrl } from "./pictures.js";

/** @import { Panel } from "./panel.js" */
/** @import { AttachedPicture } from "./types.js" */

export class Viewer {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.back = /** @type {() => HTMLElement | null} */ (() => null);
    this.shown = 0; // number of the picture that was opened last
    this.image = make("img", { class: "fg-large", alt: "" });
    this.caption = make("div", { class: "fg-about", dir: "auto" });
    this.leave = button("close", "Close the picture", () => this.close());
    this.element = make("div", { class: "fg-viewer", role: "dialog", "aria-modal": "true", "aria-label": "Picture", hidden: true },
      make("div", { class: "fg-row" }, this.caption, this.leave), this.image);
    this.element.addEventListener("click", ({ target }) => { if (target === this.element) this.close(); });
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || event.key === "Tab") event.preventDefault(); // its button is all that is there
      if (event.key === "Escape") this.close();
    });
  }

  /**
   * Show a picture.
   * @param {AttachedPicture} about
   * @param {Blob | null} content null to get it from the kernel
   * @param {() => HTMLElement | null} back what gets the focus afterwards
   */
  async open({ picture, name, description }, content, back) {
    const number = ++this.shown;
    this.back = back;
    this.image.removeAttribute("src");
    this.image.alt = description || name;
    this.caption.textContent = description || name;
    this.element.setAttribute("aria-label", description || name);
    this.element.hidden = false;
    this.leave.focus();
    try {
      const url = await dataUrl(content ?? (await this.panel.thumbnails.content(picture)));
      if (number === this.shown && !this.element.hidden) this.image.src = url;
    } catch (error) {
      if (number === this.shown) this.close();
      this.panel.noteError(error);
    }
  }

  close() {
    this.element.hidden = true;
    this.image.removeAttribute("src");
    (this.back() ?? this.panel.log.box).focus({ preventScroll: true });
  }
}

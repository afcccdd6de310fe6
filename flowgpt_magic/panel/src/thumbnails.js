/** The pictures of turns, as the kernel has them: their thumbnails, and the pictures themselves. */

import { make } from "./dom.js";
import { inspect } from "./picture_files.js";
import { dataUrl } from "./pictures.js";

/** @import { Panel } from "./panel.js" */
/** @import { AttachedPicture } from "./types.js" */

export class Thumbnails {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.urls = /** @type {Map<string, Promise<string>>} */ (new Map()); // by the SHA-256 of a picture
  }

  /**
   * A picture from the kernel.
   * @param {string} picture
   * @param {object} [more]
   */
  async content(picture, more = { large: true }) {
    const { buffers } = await this.panel.link.ask("thumbnail", { picture, ...more });
    if (!buffers?.length) throw new Error("The kernel no longer has this picture.");
    const content = new Blob([buffers[0]]);
    const facts = await inspect(content);
    return content.slice(0, content.size, facts && facts !== "svg" ? facts.type : "");
  }

  /** @param {string} picture */
  url(picture) {
    const known = this.urls.get(picture);
    if (known) return known;
    const url = this.content(picture, {}).then(dataUrl);
    this.urls.set(picture, url);
    url.catch(() => this.urls.delete(picture)); // it is requested again when it is shown again
    return url;
  }

  /**
   * Buttons that show pictures small, and when pressed, large.
   * @param {AttachedPicture[]} pictures
   */
  buttons(pictures) {
    return pictures.map((about) => {
      const image = make("img", { alt: "" });
      const label = about.description || about.name;
      const shown = make("button", { type: "button", class: "fg-thumb", title: label, "aria-label": `Show the picture large: ${label}`,
        onclick: () => this.panel.viewer.open(about, null, () => shown) }, image);
      this.url(about.picture).then((url) => { image.src = url; }, () => shown.classList.add("fg-missing"));
      return shown;
    });
  }
}

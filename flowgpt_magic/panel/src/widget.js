/**
 * The page of a chat panel, as anywidget loads it.
 *
 * The kernel says what is true in the model's traits, and what happens in messages: an outline of the turns, what is in
 * those that this page asks for, and of a reply that arrives the new text only. HTML comes from the kernel as blocks that
 * were made harmless there; every other text is put in as text.
 */

import { Panel } from "./panel.js";

/** @import { Model } from "./types.js" */

export default {
  /** @param {{model: Model, el: HTMLElement}} widget */
  render({ model, el }) {
    const panel = new Panel(model, el);
    return () => panel.close();
  },
};

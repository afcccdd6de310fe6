/**
 * The page of a chat panel, as anywidget loads it.
 *
 * State comes from the kernel in the model's traits, and events in messages: an outline of the turns, the contents of
 * the turns that this page requests, and only the new text of a reply that arrives. HTML comes from the kernel as
 * sanitized blocks; all other text is inserted as text.
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

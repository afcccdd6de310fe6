/** Copies text, also where the front end blocks the clipboard for widgets. */

import { focused, make } from "./dom.js";

/**
 * Copy a text; returns true if it worked.
 * @param {string | Promise<string>} text
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(await text);
    return true;
  } catch {
    const field = make("textarea", { style: "position:fixed;opacity:0" });
    field.value = await text;
    const before = focused();
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus?.();
    return done;
  }
}

/** Text that the person has not sent yet. It survives the widget and a reload of the page. */

/**
 * The text typed in a turn with its pictures, the id of that turn, whether a command quoted code in it, and whether it
 * is on its way to the kernel.
 * @typedef {{text: string, id: string, pictures?: Keepable[], quotes?: boolean, sent?: boolean}} Edit
 */

/** @import { Keepable } from "./types.js" */

/** Storage of text by name; reading returns what was written, or null. */
export const drafts = {
  /** @param {string} name */
  read(name) {
    try { return JSON.parse(sessionStorage.getItem(name) ?? "null"); } catch { return null; }
  },

  /**
   * @param {string} name
   * @param {unknown} draft nothing, to forget it
   */
  write(name, draft) {
    try {
      if (draft) sessionStorage.setItem(name, JSON.stringify(draft));
      else sessionStorage.removeItem(name);
    } catch { /* no storage here: then it lives as long as the panel */ }
  },
};

/**
 * The texts typed in the turns of a conversation, by the number of the turn.
 * @extends {Map<number, Edit>}
 */
export class Edits extends Map {
  /** @param {string} name of the draft */
  constructor(name) {
    super();
    this.name = name;
    for (const [place, { sent, ...edit }] of drafts.read(name) ?? []) super.set(place, edit);
  }

  /**
   * @param {number} place
   * @param {Edit} edit
   */
  set(place, edit) {
    super.set(place, edit);
    this.remember();
    return this;
  }

  /** @param {number} place */
  delete(place) {
    const was = super.delete(place);
    this.remember();
    return was;
  }

  remember() {
    drafts.write(this.name, this.size ? [...this] : null);
  }

  /**
   * The conversation was renamed.
   * @param {string} name
   */
  move(name) {
    drafts.write(this.name, null);
    this.name = name;
    this.remember();
  }
}

/** Text of the person's that is not sent yet. It outlives the page's widgets, and a reload. */

/**
 * What is typed in a turn: its text, the turn it was there, and whether it is on its way to the kernel.
 * @typedef {{text: string, id: string, sent?: boolean}} Edit
 */

/** What is typed, by name; read back it is what was written, or null. */
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
 * What is typed in the turns of a conversation, by the place of the turn.
 * @extends {Map<number, Edit>}
 */
export class Edits extends Map {
  /** @param {string} name of the draft */
  constructor(name) {
    super();
    this.name = name;
    for (const [place, { text, id }] of drafts.read(name) ?? []) super.set(place, { text, id });
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
   * The conversation is called something else.
   * @param {string} name
   */
  move(name) {
    drafts.write(this.name, null);
    this.name = name;
    this.remember();
  }
}

/** A field to edit the prompt of a turn: it is asked again as a new version, or left unchanged. */

import { Tray } from "./attachments.js";
import { focused, make } from "./dom.js";

/** @import { Edit } from "./drafts.js" */
/** @import { TurnElements } from "./turn_elements.js" */

const HIGHEST = 320; // pixels

export class PromptEditor {
  /**
   * @param {TurnElements} elements of the turn
   * @param {Edit} edit what is typed there
   */
  constructor(elements, edit) {
    this.elements = elements;
    this.turn = elements.turn;
    this.edit = edit;
    this.field = make("textarea", { class: "fg-field", "aria-label": "The prompt of this turn", dir: "auto", rows: "3" });
    this.field.value = edit.text;
    this.tray = new Tray(this.turn.panel, { draft: () => this.edit.id, changed: () => this.picturesChanged(), attach: null, field: this.field });
    this.tray.set(edit.pictures ?? this.turn.facts?.pictures ?? []);
    this.field.addEventListener("input", () => { edit.text = this.field.value; this.turn.panel.edits.remember(); this.fit(); });
    this.field.addEventListener("keydown", (event) => this.key(event));
    const changed = edit.id !== this.turn.id && make("div", { class: "fg-hint", text: "This turn has changed since you began to edit it; Ask adds another version." });
    this.element = make("div", { class: "fg-editor" }, this.tray.element, this.field, changed,
      make("div", { class: "fg-row" }, this.tray.clip, this.tray.input,
        make("button", { type: "button", class: "fg-button fg-main", text: "Ask", onclick: () => this.send() }),
        make("button", { type: "button", class: "fg-button", text: "Cancel", onclick: () => elements.leaveEditor() })));
    this.tray.listen(this.element);
  }

  /**
   * The field is in the page now.
   * @param {boolean} fresh did somebody just open it?
   */
  begin(fresh) {
    if (fresh) { this.field.focus(); this.fit(); } else requestAnimationFrame(() => this.fit());
  }

  fit() {
    const { field } = this;
    field.style.height = "auto";
    field.style.height = `${Math.min(HIGHEST, field.scrollHeight + 2)}px`;
  }

  /** Does the prompt have pictures, or did it have some? */
  get hasPictures() {
    return Boolean(this.tray.items.length || this.turn.facts?.pictures?.length);
  }

  picturesChanged() {
    this.edit.pictures = this.tray.kept;
    this.turn.panel.edits.remember();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.send(); }
    else if (event.key === "Escape") { event.preventDefault(); if (!this.field.readOnly) this.elements.leaveEditor(); }
  }

  async send() {
    const { elements, field, edit, turn: { panel, place, id } } = this;
    if (panel.sending === place || panel.refuseWhileArriving()) return;
    const { edits } = panel; // of the conversation that is shown now
    edit.sent = true; // the edit does not apply to the new turn
    panel.sending = place;
    field.readOnly = true;
    if (this.tray.pending) await this.tray.work;
    const pictures = this.tray.ready();
    const done = pictures && (await panel.act("edit", { place, text: field.value, ...(this.hasPictures ? { pictures } : {}) }));
    field.readOnly = edit.sent = false;
    panel.sending = null;
    if (done) {
      edits.delete(place);
      if (elements.element.contains(focused())) elements.leaveEditor();
      panel.composer.field.focus({ preventScroll: true });
    } else if (!panel.log.byId.has(id)) {
      edits.delete(place);
      panel.rescueText(field.value, this.tray.kept, edit.quotes);
    }
  }
}

/** The field for the next prompt, with its attachments, completions and earlier prompts. */

import { Tray } from "./attachments.js";
import { button, focused, icon, make } from "./dom.js";
import { drafts } from "./drafts.js";

/** @import { Panel } from "./panel.js" */
/** @import { Keepable } from "./types.js" */

const HIGHEST = 220; // pixels

/**
 * Completions with their descriptions. They replace the text of `field` from `start` on, and `close` asks for a closing
 * brace after them.
 * @typedef {{field: HTMLTextAreaElement | HTMLInputElement, start: number, items: [text: string, about: string][], close: boolean}} Offer
 */

/**
 * What is attached, for the reader: the kernel keeps uploaded files under names of its own.
 * @param {string} name
 */
function labelOf(name) {
  return name.replace(/^dropped:[0-9a-f]+\//, "");
}

export class Composer {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.attached = /** @type {string[]} */ ([]);
    this.back = 0; // how many turns ↑ has gone back
    this.quotes = false; // has a command quoted code here? Then the kernel reads no {name} in code blocks
    this.unsent = { text: "", quotes: false }; // the draft before ↑
    this.typing = 0; // increases when an answer of the kernel becomes outdated: by typing, or by another draft
    this.recalls = /** @type {Promise<unknown>} */ (Promise.resolve());
    this.offered = /** @type {Offer | null} */ (null);
    this.marked = 0; // number of the marked completion
    this.wanted = /** @type {object | null} */ (null); // stands for the last request for completions
    this.isStop = /** @type {boolean | undefined} */ (undefined); // what the button does
    this.list = make("div", { class: "fg-list", role: "listbox", id: panel.id("list"), "aria-label": "Completions", tabindex: "0", hidden: true });
    this.chips = make("div", { class: "fg-chips", role: "group", "aria-label": "Attached", hidden: true });
    this.field = make("textarea", {
      class: "fg-field", rows: "1", dir: "auto", "aria-label": "Prompt", placeholder: "Ask; / for commands, {name} for a variable",
      "aria-autocomplete": "list", "aria-controls": panel.id("list"), "aria-describedby": panel.id("hint"),
    });
    this.attach = make("input", { class: "fg-field", type: "text", "aria-label": "What to attach: a variable, a file, cell:3, out:3 or err",
      placeholder: "variable, file, cell:3, out:3 or err", "aria-autocomplete": "list", "aria-controls": panel.id("list"), spellcheck: "false" });
    this.attachRow = make("div", { class: "fg-row fg-attach", hidden: true }, this.attach,
      make("button", { type: "button", class: "fg-button", text: "Attach", onclick: () => this.addAttached() }));
    this.values = button("braces", "Attach a value or a file by name", () => this.toggleAttach(), { "aria-expanded": "false" });
    this.tray = new Tray(panel, { draft: () => this.draft, changed: (draft, pictures) => this.picturesChanged(draft, pictures), attach: (name) => this.attachNamed(name), field: this.field });
    this.send = make("button", { type: "button", class: "fg-send", "aria-label": "Send", title: "Send (Enter)", onclick: () => this.pressed() }, icon("send"));
    this.hint = make("div", { class: "fg-hint", id: panel.id("hint") });
    this.element = make("div", { class: "fg-composer" }, this.list, this.attachRow, this.tray.element, this.chips,
      make("div", { class: "fg-input" }, this.tray.clip, this.values, this.field, this.send), this.tray.input, this.hint);
    this.listen();
    this.restore();
  }

  listen() {
    this.field.addEventListener("input", () => this.typed());
    this.field.addEventListener("focus", () => { this.panel.link.tell("look"); this.panel.log.empty.look(); });
    this.attach.addEventListener("input", () => this.complete(this.attach));
    for (const field of [this.field, this.attach]) {
      field.addEventListener("keydown", (event) => this.key(/** @type {KeyboardEvent} */ (event)));
      field.addEventListener("blur", (event) => { if (/** @type {FocusEvent} */ (event).relatedTarget !== this.list) this.offer(null); });
    }
    this.list.addEventListener("keydown", (event) => { // with the focus in the list its keys are those of the field
      if (this.offered && this.keyInList(event, this.offered)) { event.preventDefault(); this.field.focus(); }
    });
    this.list.addEventListener("blur", ({ relatedTarget }) => { if (relatedTarget !== this.offered?.field) this.offer(null); });
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const option = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[role=option]"));
      if (option) this.take(Number(option.dataset.number));
    });
  }

  typed() {
    this.typing += 1;
    this.back = 0;
    this.fit();
    this.remember();
    this.complete(this.field);
    this.panel.forgetError();
  }

  /* what is typed is kept */

  get draft() {
    return this.draftOf(this.panel.model.get("name"));
  }

  /**
   * The key of a draft of a conversation of this notebook.
   * @param {string} name of the conversation
   */
  draftOf(name, kind = "prompt") {
    const place = this.panel.surroundings ? `${this.panel.surroundings.name}:` : "";
    return `flowgpt-${kind}:${place}${this.panel.kernel.manager?.context?.path ?? location.pathname}:${name}`;
  }

  remember(draft = this.draft, text = this.field.value, attached = this.attached, pictures = this.tray.kept, quotes = this.quotes) {
    drafts.write(draft, text || attached.length || pictures.length ? { text, attached, pictures, ...(text && quotes ? { quotes } : {}) } : null);
  }

  /**
   * The pictures changed: those of the draft that is shown, or more of them in another draft.
   * @param {string} draft
   * @param {Keepable[] | null} more
   */
  picturesChanged(draft, more) {
    if (!more) { this.remember(); return; }
    const { text = "", attached = [], pictures = [], quotes = false } = drafts.read(draft) ?? {};
    this.remember(draft, text, attached, [...pictures, ...more], quotes);
  }

  /** The other conversations of the notebook with a draft. */
  elsewhere() {
    const names = this.panel.model.get("names");
    return names.filter((name) => name !== this.panel.model.get("name") && drafts.read(this.draftOf(name))?.text);
  }

  /** Load the draft of the conversation; returns true if there is one. */
  restore() {
    const draft = drafts.read(this.draft);
    if (draft) this.fill(String(draft.text), draft.attached.map(String), draft.pictures ?? [], Boolean(draft.quotes));
    return Boolean(draft);
  }

  /**
   * The conversation changed: load its draft, or keep the typed text, as for the `same` conversation.
   * @param {string} before the name of the conversation until now
   * @param {boolean} same
   */
  change(before, same) {
    if (!same && this.restore()) return;
    this.tray.move(this.draftOf(before));
    this.remember(this.draftOf(before), "", [], []);
    this.remember();
  }

  /**
   * The text of the field changed.
   * @param {string} text
   * @param {string[]} attached
   * @param {Keepable[]} [pictures] those that are there, if none are given
   * @param {boolean} [quotes] has a command quoted code in it?
   */
  fill(text, attached, pictures = this.tray.kept, quotes = this.quotes) {
    this.typing += 1;
    this.field.value = text;
    this.quotes = quotes;
    this.attached = attached;
    this.tray.set(pictures);
    this.back = 0;
    this.showChips();
    this.fit();
    this.offer(null);
  }

  /**
   * Put a text below what is typed, and attach more.
   * @param {string} text
   * @param {string[]} attached
   * @param {boolean} [quotes] does it quote code?
   */
  add(text, attached, quotes = false) {
    const all = [...new Set([...this.attached, ...attached])];
    this.fill([this.field.value, text].filter(Boolean).join("\n\n"), all, this.tray.kept, this.quotes || quotes);
    this.remember();
    this.field.focus();
  }

  /** Fit the height to the text. The surroundings keep their height meanwhile, so that the transcript does not move. */
  fit() {
    const { element, field } = this;
    element.style.minHeight = `${element.offsetHeight}px`;
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight + 2, HIGHEST)}px`;
    element.style.minHeight = "";
  }

  /* sending */

  /** The button is Stop while a reply arrives, and Send otherwise. */
  showButton() {
    const stop = this.panel.stoppable;
    if (this.isStop !== stop) {
      this.isStop = stop;
      this.send.replaceChildren(icon(stop ? "stop" : "send"));
      this.send.classList.toggle("fg-stop", stop);
      this.send.setAttribute("aria-label", stop ? "Stop" : "Send");
      this.send.title = stop ? "Stop the reply" : "Send (Enter)";
    }
  }

  pressed() {
    if (this.panel.stoppable) this.panel.stop();
    else this.submit();
  }

  /**
   * Send what is typed, or another prompt; what is typed stays then. Returns true if it was sent.
   * @param {string} text
   * @param {string[]} attached
   * @param {boolean} quotes does it quote code?
   */
  async submit(text = this.field.value, attached = this.attached, quotes = this.quotes && text === this.field.value) {
    const { panel } = this;
    if (!text.trim() && this.tray.items.length) this.hint.textContent = "Type what to ask about the picture.";
    if (!text.trim() || this.field.readOnly) return false;
    if (text.trim().startsWith("/search ")) { panel.search.open(text.trim().slice(8)); this.sent(this.draft, text, attached, this.tray.kept); return true; }
    const command = text.startsWith("/") && !text.startsWith("//") && !/^\/template\s+\S/.test(text); // which asks
    if (!command && panel.refuseWhileArriving()) return false;
    const { draft } = this;
    const typed = attached === this.attached;
    panel.pending = !command;
    this.field.readOnly = true;
    this.showButton();
    const withPictures = typed && !command;
    if (withPictures && this.tray.pending) await this.tray.work;
    const pictures = withPictures ? this.tray.ready() : [];
    panel.sent = pictures !== null;
    const done = pictures !== null && (await panel.act("ask", { text, attached, ...(quotes ? { quotes } : {}), ...(pictures.length ? { pictures } : {}) }));
    panel.pending = false;
    this.field.readOnly = false;
    if (done && typed) this.sent(draft, text, command ? this.attached : this.attached.filter((name) => !attached.includes(name)), this.unsentOf(pictures));
    if (!done) panel.sent = false;
    this.showButton();
    return done;
  }

  /**
   * The pictures that are there besides these.
   * @param {{picture: string}[]} pictures that were sent
   */
  unsentOf(pictures) {
    return this.tray.kept.filter(({ picture }) => !pictures.some((sent) => sent.picture === picture));
  }

  /**
   * A sent text is no draft any more. A command keeps the attachments, and may have loaded another draft.
   * @param {string} draft its name
   * @param {string} text
   * @param {string[]} attached what stays attached
   * @param {Keepable[]} pictures that stay
   */
  sent(draft, text, attached, pictures) {
    const here = this.field.value === text;
    if (draft !== this.draft) this.remember(draft, "", here ? [] : attached, here ? [] : pictures);
    if (!here) return;
    this.fill("", attached, pictures, false);
    this.remember();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (this.offered && this.keyInList(event, this.offered)) { event.preventDefault(); return; }
    if (event.target === this.attach) {
      if (event.key === "Enter") { event.preventDefault(); this.addAttached(); }
      if (event.key === "Escape") { event.preventDefault(); this.toggleAttach(); }
      return;
    }
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) { event.preventDefault(); this.submit(); }
    else if (event.key === "ArrowUp" && this.field.selectionEnd === 0) { event.preventDefault(); this.recall(1); }
    else if (event.key === "ArrowDown" && this.back && this.field.selectionStart === this.field.value.length) { event.preventDefault(); this.recall(-1); }
  }

  /* earlier prompts */

  /**
   * ↑: go back one prompt at a time, until something is typed.
   * @param {number} step
   */
  recall(step) {
    const { typing } = this;
    this.recalls = this.recalls.then(() => (this.typing === typing ? this.recalled(step, typing) : undefined));
  }

  /**
   * @param {number} step
   * @param {number} typing
   */
  async recalled(step, typing) {
    const back = Math.max(0, this.back + step);
    if (!this.back) this.unsent = { text: this.field.value, quotes: this.quotes };
    let { text, quotes } = /** @type {{text?: string, quotes?: boolean}} */ (back ? {} : this.unsent);
    if (back) {
      try { ({ text, quotes } = await this.panel.link.ask("recall", { back })); } catch (error) { this.panel.noteError(error); }
    }
    if (text === undefined || this.typing !== typing || this.field.readOnly) return;
    this.field.value = text;
    this.quotes = Boolean(quotes);
    this.back = back;
    this.fit();
    this.remember();
    const place = step > 0 ? 0 : text.length;
    this.field.setSelectionRange(place, place);
  }

  /* what is attached */

  toggleAttach() {
    const open = this.attachRow.hidden;
    this.attachRow.hidden = !open;
    this.values.setAttribute("aria-expanded", String(open));
    (open ? this.attach : this.field).focus();
  }

  addAttached() {
    const name = this.attach.value.trim();
    this.attach.value = "";
    if (name) this.attachNamed(name);
    this.toggleAttach();
  }

  /** @param {string} name of a value or a file */
  attachNamed(name) {
    if (!this.attached.includes(name)) this.attached.push(name);
    this.showChips();
    this.remember();
  }

  showChips() {
    this.chips.hidden = !this.attached.length;
    this.chips.replaceChildren(...this.attached.map((name) => make("span", { class: "fg-chip" }, make("span", { text: labelOf(name), title: name }),
      button("close", `Do not attach ${labelOf(name)}`, () => this.removeAttached(name)))));
  }

  /** @param {string} name */
  removeAttached(name) {
    this.attached = this.attached.filter((other) => other !== name);
    this.showChips();
    this.remember();
    this.field.focus();
  }

  /* completions */

  /** @param {HTMLTextAreaElement | HTMLInputElement} field */
  async complete(field) {
    const text = field.value.slice(0, field.selectionEnd ?? 0);
    const line = text.slice(text.lastIndexOf("\n") + 1);
    const command = text.startsWith("/") && !text.startsWith("//") && line === text;
    const name = line.lastIndexOf("{") > line.lastIndexOf("}");
    const wanted = (this.wanted = {});
    if (field === this.field && !command && !name) { this.offer(null); return; }
    let answer;
    try { answer = await this.panel.link.ask("complete", { text, attach: field === this.attach }); } catch { return; }
    if (wanted !== this.wanted || focused() !== field) return;
    const { start, items } = answer;
    const complete = items.length === 1 && items[0][0] === text.slice(start);
    this.offer(items.length && !complete ? { field, start, items, close: name && !command && field === this.field } : null);
  }

  /** @param {Offer | null} offered */
  offer(offered) {
    this.offered = offered;
    this.list.hidden = !offered;
    if (!offered) { this.wanted = null; this.field.removeAttribute("aria-activedescendant"); this.attach.removeAttribute("aria-activedescendant"); return; }
    this.list.replaceChildren(...offered.items.map(([text, about], number) => make("div", { role: "option", id: this.panel.id(`option${number}`), "data-number": number, class: "fg-option" },
      make("span", { text }), make("span", { class: "fg-about", text: about }))));
    this.mark(0);
  }

  /**
   * Handle a key while completions are shown; returns true if it was handled.
   * @param {KeyboardEvent} event
   * @param {Offer} offered
   */
  keyInList({ key, shiftKey, altKey, ctrlKey, metaKey }, { field, start, items }) {
    if (shiftKey || altKey || ctrlKey || metaKey || (field.selectionEnd ?? 0) < start) { this.offer(null); return false; }
    const last = items.length - 1;
    if (key === "ArrowDown") this.mark(this.marked === last ? 0 : this.marked + 1);
    else if (key === "ArrowUp") this.mark(this.marked ? this.marked - 1 : last);
    else if (key === "Escape") this.offer(null);
    else if (key === "Tab") this.take(this.marked);
    else if (key === "Enter") {
      if (field.value.slice(start, field.selectionEnd ?? 0) === items[this.marked][0]) { this.offer(null); return false; }
      this.take(this.marked);
    } else return false;
    return true;
  }

  /** @param {number} number of a completion */
  mark(number) {
    this.marked = number;
    [...this.list.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === number)));
    this.list.children[number]?.scrollIntoView({ block: "nearest" });
    this.offered?.field.setAttribute("aria-activedescendant", this.panel.id(`option${number}`));
  }

  /** @param {number} number of a completion */
  take(number) {
    if (!this.offered) return;
    const { field, start, items, close } = this.offered;
    const end = Math.max(start, field.selectionEnd ?? 0);
    const closing = close && field.value[end] !== "}" ? "}" : "";
    field.setRangeText(items[number][0] + closing, start, end, "end");
    const place = (field.selectionEnd ?? 0) - closing.length;
    field.setSelectionRange(place, place);
    this.offer(null);
    this.fit();
    this.remember();
  }
}

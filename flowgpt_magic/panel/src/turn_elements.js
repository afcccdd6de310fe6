/** The elements of a turn that is in the page. */

import { Compared } from "./compared.js";
import { button, make } from "./dom.js";
import { PromptEditor } from "./prompt_editor.js";
import { Toolbar } from "./toolbar.js";

/** @import { Turn } from "./turn.js" */
/** @import { AttachedPicture } from "./types.js" */

const LONG = 400; // characters, and
const LINES = 12; // lines of a prompt that may be higher than its place
const SCROLLS = [["tabindex", "0"], ["role", "group"], ["aria-label", "The prompt"]];

/**
 * The time of day, with the date if it is not today.
 * @param {number} seconds since 1970
 */
function clock(seconds) {
  const then = new Date(seconds * 1000);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString()} ${time}`;
}

export class TurnElements {
  /** @param {Turn} turn */
  constructor(turn) {
    const { panel } = turn;
    this.turn = turn;
    this.timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    this.editor = /** @type {PromptEditor | null} */ (null);

    this.asker = make("span", { class: "fg-who" });
    this.prompt = make("div", { class: "fg-prompt", dir: "auto" });
    this.rest = make("button", { type: "button", class: "fg-rest", text: "Show all of it", hidden: true, onclick: () => turn.unfold() });
    this.chips = make("div", { class: "fg-chips" });
    this.pictures = make("div", { class: "fg-pictures", role: "group", "aria-label": "Pictures", hidden: true });
    this.picturesShown = "[]"; // which these are
    this.editButton = button("pencil", "Edit and ask again", () => this.edit());
    this.promptTools = make("div", { class: "fg-tools", role: "toolbar", "aria-label": "The prompt" }, this.editButton,
      button("copy", "Copy the prompt", () => panel.copied(turn.whole("prompt"))));
    this.bubble = make("div", { class: "fg-bubble" }, this.pictures, this.prompt, this.rest, this.chips);
    this.question = make("div", { class: "fg-question" }, this.bubble,
      make("div", { class: "fg-foot" }, this.promptTools, this.asker));

    this.line = make("summary");
    this.sent = make("div");
    this.caption = make("details", { class: "fg-caption fg-who" }, this.line, this.sent);
    this.pause = make("span", { class: "fg-who" });
    this.waiting = make("div", { class: "fg-waiting", "aria-hidden": "true" }, make("i"), make("i"), make("i"), this.pause);
    this.error = make("div", { class: "fg-trouble" });
    this.older = button("back", "Earlier version", () => turn.choose(-1));
    this.newer = button("forth", "Later version", () => turn.choose(1));
    this.count = make("span", { class: "fg-count" });
    this.versions = make("span", { class: "fg-versions", role: "group", "aria-label": "Versions" }, this.older, this.count, this.newer);
    this.goOn = button("go", "Continue the reply", () => panel.refuseWhileArriving() || panel.act("continue", {}));
    this.tools = make("div", { class: "fg-tools", role: "toolbar", "aria-label": "The reply" }, this.versions,
      button("retry", "Ask again", () => panel.refuseWhileArriving() || panel.act("retry", { place: turn.place })), this.goOn,
      button("copy", "Copy the reply", () => panel.copied(turn.whole("text"))),
      button("branch", "Branch from here", () => panel.act("branch", { place: turn.place })));
    this.before = make("div", { class: "fg-before", hidden: true }, make("span", { class: "fg-who", text: "asked before the edit above" }),
      make("div", { class: "fg-tools", role: "toolbar", "aria-label": "Asked before the edit above" },
        make("button", { type: "button", class: "fg-link", text: "ask again from here", onclick: () => panel.refuseWhileArriving() || panel.act("following", { place: turn.place }) })));
    this.compared = new Compared(turn);
    this.element = make("article", { class: "fg-turn" }, this.before, this.question,
      make("div", { class: "fg-answer" }, turn.thoughts.element, turn.body.element, this.waiting, this.error,
        make("div", { class: "fg-foot" }, this.caption, this.tools), this.compared.element));
    this.element.turn = turn;
    this.toolbar = new Toolbar(this.element);
  }

  /** Show the texts around prompt and reply. */
  update() {
    const { facts, arriving, last, full } = this.turn;
    this.element.classList.toggle("fg-loading", !facts);
    this.element.classList.toggle("fg-arriving", arriving);
    if (!facts) return;
    this.asker.textContent = [clock(facts.started), facts.cell ? "asked in a cell" : ""].filter(Boolean).join(" · ");
    const prompt = full ?? facts.typed ?? facts.prompt;
    this.prompt.textContent = prompt;
    for (const [name, value] of SCROLLS) { // a long one scrolls by itself, also with the keyboard
      if (prompt.length > LONG || prompt.split("\n").length > LINES) this.prompt.setAttribute(name, value);
      else this.prompt.removeAttribute(name);
    }
    this.rest.hidden = Boolean(full) || facts.typed !== undefined || !facts.prompt_more;
    this.chips.replaceChildren(...(facts.attached ?? []).map((text) => make("span", { class: "fg-chip", text })));
    this.showPictures(facts.pictures ?? []);
    this.compared.show(facts.compared ?? []);
    this.error.textContent = facts.status === "failed" ? facts.error : "";
    this.error.hidden = facts.status !== "failed" || !facts.error;
    this.showWhetherFilled();
    this.tick();
    this.before.hidden = !facts.before_edit;
    this.versions.hidden = facts.versions < 2;
    this.count.textContent = `${facts.version}/${facts.versions}`;
    this.count.setAttribute("aria-label", `version ${facts.version} of ${facts.versions}`);
    this.older.disabled = facts.version < 2 || arriving;
    this.newer.disabled = facts.version >= facts.versions || arriving;
    this.tools.classList.toggle("fg-quiet", arriving);
    this.goOn.hidden = !last || facts.empty;
    this.toolbar.update();
    this.turn.panel.log.refocus(this.turn);
  }

  /** @param {AttachedPicture[]} pictures */
  showPictures(pictures) {
    const shown = JSON.stringify(pictures);
    if (shown === this.picturesShown) return; // the focus may be on one of them
    this.picturesShown = shown;
    this.pictures.hidden = !pictures.length;
    this.pictures.replaceChildren(...this.turn.panel.thumbnails.buttons(pictures));
  }

  /** The contents have arrived: the element gets its natural height. */
  loaded() {
    this.element.style.minHeight = "";
  }

  /** Show the reply, or that it is awaited. */
  showWhetherFilled() {
    const { body, arriving } = this.turn;
    const waited = !this.waiting.hidden;
    this.waiting.hidden = !arriving || body.blocks.length > 0;
    body.element.hidden = !body.blocks.length;
    if (waited !== !this.waiting.hidden) this.tick();
  }

  /** Show how long nothing has arrived, or when the retry starts; once a second. */
  tick() {
    clearTimeout(this.timer);
    if (!this.turn.facts) return;
    this.line.textContent = this.turn.caption;
    this.showSent();
    this.pause.textContent = this.turn.pauseText;
    if (this.turn.waits) this.timer = setTimeout(() => this.tick(), this.turn.untilTick);
  }

  /** Let the line below the reply open to what was sent, once that is known. */
  showSent() {
    const { sent } = this.turn;
    this.sent.textContent = sent;
    this.line.tabIndex = sent ? 0 : -1;
    this.caption.classList.toggle("fg-closed", !sent);
    if (!sent) this.caption.removeAttribute("open");
  }

  /** Show the prompt as a field. Typed text stays if the turn changes elsewhere. */
  async edit() {
    const { turn } = this;
    const { panel, facts, full } = turn;
    const fresh = !panel.edits.has(turn.place);
    if (fresh && facts) {
      let text = full ?? facts.typed ?? facts.prompt;
      if (facts.prompt_more && facts.typed === undefined && !full) {
        try { text = await turn.whole("prompt"); } catch (error) { panel.noteError(error); return; }
      }
      panel.edits.set(turn.place, { text, id: turn.id, ...(facts.quotes ? { quotes: true } : {}) });
    }
    const edit = panel.edits.get(turn.place);
    if (!edit) return;
    const editor = new PromptEditor(this, edit);
    (this.editor?.element ?? this.prompt).replaceWith(editor.element);
    this.editor = editor;
    this.promptTools.hidden = true;
    this.toolbar.update();
    editor.begin(fresh);
  }

  /** Show the original prompt again. */
  leaveEditor() {
    this.turn.panel.edits.delete(this.turn.place);
    this.editor?.element.replaceWith(this.prompt);
    this.editor = null;
    this.promptTools.hidden = false;
    this.toolbar.update();
    this.editButton.focus();
  }

  remove() {
    clearTimeout(this.timer);
    this.element.remove();
    this.editor = null;
  }
}

/** The pictures that go with a prompt: a tray above its field, which pictures and files are pasted and dropped into. */

import { button, focused, make } from "./dom.js";
import { messageOf } from "./error_text.js";
import { isPicture, MAX_MESSAGE, prepare, sizeText } from "./pictures.js";
import { bringsFiles, CONTENTS, fileOf, folderText, held, RICH_CONTENTS, TEXT_WINS } from "./transfers.js";

/** @import { Panel } from "./panel.js" */
/** @import { AttachedPicture, Keepable } from "./types.js" */
/** @import { Picture } from "./pictures.js" */

/**
 * A picture in the tray. `state` says what is done with it; it is empty when the kernel has the picture.
 * @typedef {Partial<Keepable> & {number: number, name: string, description: string, state: string, failed: boolean, file?: File, prepared?: Picture, element?: HTMLElement}} Item
 */

/**
 * The draft to which something belongs that is under way.
 * @typedef {{draft: string}} Target
 */

/**
 * Who has the tray: its draft, what to do when it has changed, how to attach a file that is no picture (null if that is
 * not possible), and the field that gets the focus when the tray is empty.
 * @typedef {{draft: () => string, changed: (draft: string, items: Keepable[] | null) => void, attach: ((name: string) => void) | null, field: HTMLElement}} Owner
 */

let numbers = 0; // of pictures in this page

export class Tray {
  /**
   * @param {Panel} panel
   * @param {Owner} owner
   */
  constructor(panel, owner) {
    this.panel = panel;
    this.owner = owner;
    this.items = /** @type {Item[]} */ ([]);
    this.targets = /** @type {Target[]} */ ([]); // of what is under way
    this.pending = 0; // how much of it is left:
    this.work = /** @type {Promise<void>} */ (Promise.resolve()); // one file after the other: a photo needs much memory
    this.element = make("ul", { class: "fg-tray", role: "list", "aria-label": "Pictures to send", hidden: true });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.input = make("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true", onchange: () => this.chosen() });
    this.clip = button("clip", "Attach a picture or a file", () => this.input.click());
  }

  /* what comes in */

  /**
   * Take what is pasted and dropped there.
   * @param {HTMLElement} element
   */
  listen(element) {
    const away = () => element.classList.remove("fg-drop");
    element.addEventListener("paste", (event) => this.pasted(event));
    for (const name of ["dragenter", "dragover"]) {
      element.addEventListener(name, (event) => {
        const { dataTransfer } = /** @type {DragEvent} */ (event);
        if (!dataTransfer || !bringsFiles(dataTransfer)) return;
        take(event);
        dataTransfer.dropEffect = "copy";
        element.classList.add("fg-drop");
      });
    }
    element.addEventListener("dragleave", (event) => { if (!element.contains(/** @type {Node | null} */ (event.relatedTarget))) away(); });
    element.addEventListener("drop", (event) => {
      away();
      if (!bringsFiles(event.dataTransfer)) return;
      take(event);
      const { files, folders } = held(event.dataTransfer);
      this.add(files, folders.length ? folderText(folders) : "");
    });
    this.listenToLab(element, away);
  }

  /**
   * JupyterLab's own drags, such as those out of its file browser.
   * @param {HTMLElement} element
   * @param {() => void} away
   */
  listenToLab(element, away) {
    for (const name of ["lm-dragenter", "lm-dragover"]) {
      element.addEventListener(name, (event) => {
        const drag = /** @type {any} */ (event);
        if (!drag.mimeData.hasData(CONTENTS)) return;
        take(event);
        drag.dropAction = drag.proposedAction;
        element.classList.add("fg-drop");
      });
    }
    element.addEventListener("lm-dragleave", away);
    element.addEventListener("lm-drop", (event) => {
      const drag = /** @type {any} */ (event);
      away();
      if (!drag.mimeData.hasData(CONTENTS)) return;
      take(event);
      drag.dropAction = drag.proposedAction;
      this.addPaths(drag.mimeData.getData(CONTENTS), drag.mimeData.getData(RICH_CONTENTS));
    });
  }

  /** @param {ClipboardEvent} event */
  pasted(event) {
    const { files, folders, text } = held(event.clipboardData);
    if (!files.length && !folders.length) return;
    event.stopPropagation();
    if (text) { this.panel.composer.hint.textContent = TEXT_WINS; return; }
    event.preventDefault();
    this.add(files, folders.length ? folderText(folders) : "");
  }

  chosen() {
    const files = [...(this.input.files ?? [])];
    this.input.value = ""; // so that the same file can be chosen again
    this.owner.field.focus();
    this.add(files);
  }

  /**
   * Attach files.
   * @param {File[]} files
   * @param {string} [trouble] what else was not attached, and why
   */
  add(files, trouble = "") {
    const target = this.target();
    this.panel.note("");
    if (trouble) this.refuse(trouble);
    for (const file of files) this.soon(() => this.addOne(file, target));
  }

  /**
   * Attach files of Jupyter's server.
   * @param {string[]} paths
   * @param {{model: {path: string, type: string}, withContent: () => Promise<any>} | undefined} rich the only one, or the last one
   */
  addPaths(paths, rich) {
    const target = this.target();
    this.panel.note("");
    for (const path of paths) {
      const model = rich?.model.path === path ? rich.model : null;
      if (model?.type === "directory") this.refuse(folderText([path]));
      else if (model && /\.(png|jpe?g|gif|webp|bmp|avif|svg)$/i.test(path)) this.soon(async () => this.addOne(fileOf(await rich?.withContent()), target));
      else this.soon(() => this.addFile("file_path", { path }));
    }
  }

  target() {
    const target = { draft: this.owner.draft() };
    this.targets.push(target);
    return target;
  }

  /**
   * The draft has another name now: what is under way goes with it.
   * @param {string} before
   */
  move(before) {
    for (const target of this.targets) if (target.draft === before) target.draft = this.owner.draft();
  }

  /**
   * Do something when what was begun before it is done.
   * @param {() => Promise<void>} run
   */
  soon(run) {
    this.pending += 1;
    this.work = this.work.then(run).catch((error) => this.refuse(messageOf(error))).finally(() => {
      this.pending -= 1;
      if (!this.pending) this.targets = [];
    });
  }

  /** @param {string} why something was not attached */
  refuse(why) {
    const { panel } = this;
    panel.note([panel.banner.hidden ? "" : panel.banner.textContent, why].filter(Boolean).join(" "));
    panel.error = panel.banner.textContent ?? "";
  }

  /**
   * @param {File} file
   * @param {Target} target
   */
  async addOne(file, target) {
    if (!(await isPicture(file))) {
      if (!this.owner.attach) throw new Error(`${file.name} is not a picture: an earlier prompt takes only pictures.`);
      if (file.size > MAX_MESSAGE) throw new Error(`${file.name} has ${sizeText(file.size)}, and ${sizeText(MAX_MESSAGE)} can be uploaded: put it beside the notebook, and attach its name.`);
      await this.addFile("file", { name: file.name }, [await file.arrayBuffer()]);
      return;
    }
    const item = { number: ++numbers, name: file.name, description: "", state: "scaling…", failed: false, file };
    this.items.push(item);
    this.show();
    try {
      await this.scale(item);
      if (this.items.includes(item)) await this.upload(item, target);
    } catch (error) {
      if (!item.failed) this.drop(item);
      throw error;
    }
  }

  /**
   * Send a file that is no picture to the kernel, or have the kernel take one that it can reach.
   * @param {"file" | "file_path"} kind
   * @param {object} about
   * @param {ArrayBuffer[]} [buffers]
   */
  async addFile(kind, about, buffers) {
    const { attach } = this.owner;
    if (!attach) throw new Error("An earlier prompt takes only pictures.");
    const { attached, about: said } = await this.panel.link.ask(kind, about, buffers);
    attach(attached);
    this.panel.announce("File added.");
    this.panel.composer.hint.textContent = said ?? "";
  }

  /** @param {Item} item */
  async scale(item) {
    if (this.panel.kernel.busy) this.become(item, "waiting for the kernel…");
    const limits = await this.panel.link.ask("pictures_taken");
    if (limits.able === false) throw new Error(limits.why);
    this.become(item, "scaling…");
    item.prepared = await prepare(/** @type {File} */ (item.file), limits);
    const { url, width, height, bytes } = item.prepared;
    Object.assign(item, { thumbnail: url, width, height, bytes: bytes.byteLength, file: undefined });
  }

  /**
   * Send the picture to the kernel.
   * @param {Item} item
   * @param {Target} target
   */
  async upload(item, target) {
    const { bytes, thumbnail, type } = /** @type {Picture} */ (item.prepared);
    this.become(item, "sending to the kernel…");
    try {
      const { picture, name } = await this.panel.link.ask("picture", { name: item.name, type }, [bytes, thumbnail]);
      Object.assign(item, { picture, name });
    } catch (error) {
      item.failed = true;
      this.become(item, "not sent");
      throw error;
    }
    item.failed = false;
    this.become(item, "");
    this.arrived(item, target.draft);
  }

  /**
   * The kernel has the picture: it is shown, or kept for the conversation in which it was attached.
   * @param {Item} item
   * @param {string} draft
   */
  arrived(item, draft) {
    const twin = this.items.find((other) => other !== item && other.picture === item.picture);
    if (!this.items.includes(item)) return; // it was removed meanwhile
    if (twin || draft !== this.owner.draft()) this.drop(item);
    if (draft !== this.owner.draft()) this.owner.changed(draft, [keepable(item)]);
    else this.owner.changed(draft, null);
    this.panel.announce(twin ? `${item.name} is attached already.` : `Picture added: ${item.name}`);
  }

  /** @param {Item} item */
  tryAgain(item) {
    this.panel.note("");
    this.soon(() => this.upload(item, this.target()));
  }

  /* what is there */

  /** The pictures that the kernel has, for a draft. */
  get kept() {
    return this.items.filter(({ picture }) => picture).map(keepable);
  }

  /**
   * Replace the pictures; those on their way stay.
   * @param {Keepable[]} kept
   */
  set(kept) {
    const under = this.items.filter(({ picture, failed }) => !picture && !failed);
    this.items = [...kept.map((picture) => ({ ...picture, number: ++numbers, state: "", failed: false })), ...under];
    this.show();
  }

  /**
   * The pictures to send. Null, and a note, if one of them is not with the kernel.
   * @returns {AttachedPicture[] | null}
   */
  ready() {
    const failed = this.items.find((item) => item.failed);
    if (failed) { this.refuse(`${failed.name} was not sent to the kernel: try it again, or remove it.`); return null; }
    return this.items.map(({ picture, name, description }) => ({ picture: String(picture), name, description }));
  }

  /* what is shown */

  /**
   * @param {Item} item
   * @param {string} state
   */
  become(item, state) {
    item.state = state;
    if (!item.element) return;
    const before = item.element;
    const within = before.contains(focused());
    before.replaceWith(this.row(item));
    if (within) this.focus(item);
  }

  show() {
    this.element.hidden = !this.items.length;
    this.element.replaceChildren(...this.items.map((item) => item.element ?? this.row(item)));
  }

  /** @param {Item} item */
  row(item) {
    const { name, thumbnail, state, failed, width, height, bytes } = item;
    const about = state || [bytes && sizeText(bytes), width && `${width} × ${height}`].filter(Boolean).join(" · ");
    if (item.picture && !thumbnail) this.load(item);
    const picture = thumbnail ? make("img", { src: thumbnail, alt: "" }) : make("span", { class: "fg-blank" });
    item.element = make("li", { class: "fg-picture", "aria-busy": state && !failed ? "true" : null },
      make("button", { type: "button", class: "fg-thumb", "aria-label": `Show ${name} large`, title: name, disabled: !(thumbnail || item.picture), onclick: () => this.large(item) }, picture),
      make("div", { class: "fg-abouts" },
        this.descriptionOf(item), make("span", { class: failed ? "fg-about fg-failed" : "fg-about", title: name, text: about })),
      failed && make("button", { type: "button", class: "fg-button", "aria-label": `Send ${name} again`, text: "Try again", onclick: () => this.tryAgain(item) }),
      button("close", `Remove ${name}`, () => this.remove(item)));
    return item.element;
  }

  /** @param {Item} item of which the kernel has the thumbnail */
  load(item) {
    this.panel.thumbnails.url(String(item.picture)).then((url) => {
      item.thumbnail = url;
      item.element?.querySelector(".fg-blank")?.replaceWith(make("img", { src: url, alt: "" }));
    }, () => {});
  }

  /** @param {Item} item */
  descriptionOf(item) {
    const field = make("input", { type: "text", class: "fg-field", dir: "auto", maxlength: "300", "aria-label": `Description of ${item.name}`, placeholder: "Description (optional)" });
    field.value = item.description;
    field.addEventListener("input", () => { item.description = field.value; this.panel.forgetError(); this.owner.changed(this.owner.draft(), null); });
    field.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); this.owner.field.focus(); } });
    return field;
  }

  /** @param {Item} item */
  large(item) {
    const { prepared, picture, name, description, element } = item;
    const bytes = prepared?.bytes;
    const content = bytes && new Blob([bytes], { type: prepared.type });
    this.panel.viewer.open({ picture: picture ?? "", name, description }, content ?? null, () => /** @type {HTMLElement | null} */ ((item.element ?? element)?.querySelector(".fg-thumb")));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = /** @type {Element} */ (event.target);
    const item = this.items.find(({ element }) => element?.contains(target));
    if (!item || !["Delete", "Backspace"].includes(event.key) || target.matches("input")) return;
    event.preventDefault();
    this.remove(item);
  }

  /** @param {Item} item */
  remove(item) {
    const at = this.items.indexOf(item);
    this.drop(item);
    const next = this.items[Math.min(at, this.items.length - 1)];
    if (next) this.focus(next);
    else this.owner.field.focus();
    this.owner.changed(this.owner.draft(), null);
    this.panel.forgetError();
    this.panel.announce(`Picture removed: ${item.name}`);
  }

  /** @param {Item} item */
  focus(item) {
    /** @type {HTMLElement | null | undefined} */ (item.element?.querySelector("[aria-label^='Remove']"))?.focus();
  }

  /** @param {Item} item */
  drop(item) {
    this.items = this.items.filter((other) => other !== item);
    item.element?.remove();
    this.element.hidden = !this.items.length;
  }
}

/**
 * @param {Item} item
 * @returns {Keepable}
 */
function keepable({ picture, name, description, width, height, bytes, thumbnail }) {
  return { picture: String(picture), name, description, width, height, bytes, thumbnail };
}

/** @param {Event} event */
function take(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** What is shown below the editor of a prompt cell: its pictures, and what was said of the last one. */

import { Widget } from "@lumino/widgets";

import { sizeText } from "../../../panel/src/pictures.js";
import type { Reference } from "./references";
import type { Stored } from "./store";

/** What the person does in the tray. */
export interface TrayActions {
  describe(name: string, description: string): void;
  remove(name: string): void;
  leave(): void; // the focus goes to the editor
}

/** A picture that the text names; `content` is missing where this page does not have it. */
export interface Shown {
  reference: Reference;
  content: Stored | undefined;
}

const READING = 3000; // milliseconds

interface Row {
  element: HTMLElement;
  description: HTMLInputElement;
  content: Stored | undefined;
}

export class Tray extends Widget {
  private readonly list = document.createElement("ul");
  private readonly status = document.createElement("div");
  private readonly rows = new Map<string, Row>();
  private saidAt = 0;

  constructor(private readonly actions: TrayActions) {
    super();
    this.addClass("flowgpt-pictures");
    this.node.setAttribute("data-lm-suppress-shortcuts", "true");
    this.list.setAttribute("role", "list");
    this.list.setAttribute("aria-label", "Pictures of this prompt");
    this.status.className = "flowgpt-pictures-status";
    this.status.setAttribute("role", "status");
    this.node.append(this.list, this.status);
    for (const name of ["keydown", "mousedown", "paste", "copy", "cut"]) this.node.addEventListener(name, (event) => event.stopPropagation());
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.hide();
  }

  /** Be hidden while the input is, whose parts are in this node: no signal says that a cell was collapsed. */
  follow(input: HTMLElement, isHidden: () => boolean): void {
    const look = (): void => void this.toggleClass("flowgpt-pictures-collapsed", isHidden());
    const parts = new MutationObserver(look);
    parts.observe(input, { childList: true });
    this.disposed.connect(() => parts.disconnect());
    look();
  }

  /** Show these pictures, in this order. */
  showPictures(pictures: readonly Shown[], editable: boolean): void {
    const names = new Set(pictures.map(({ reference }) => reference.name));
    for (const [name, { element }] of this.rows) {
      if (names.has(name)) continue;
      element.remove();
      this.rows.delete(name);
    }
    pictures.forEach((picture, place) => {
      const { element } = this.rowOf(picture, editable);
      if (this.list.children[place] !== element) this.list.insertBefore(element, this.list.children[place] ?? null);
    });
    this.list.hidden = !pictures.length;
    this.adapt();
  }

  /** Tell screen readers something, and everybody if it is trouble. */
  say(text: string, trouble = false): void {
    this.saidAt = performance.now();
    this.status.classList.toggle("flowgpt-pictures-trouble", trouble);
    this.status.textContent = text;
    this.adapt();
  }

  get trouble(): string {
    return this.status.classList.contains("flowgpt-pictures-trouble") ? (this.status.textContent ?? "") : "";
  }

  /** The person goes on: what was said some time ago has been read. */
  forget(): void {
    if (this.status.textContent && performance.now() - this.saidAt > READING) this.say("");
  }

  private adapt(): void {
    this.setHidden(this.list.hidden && !this.status.textContent);
  }

  private rowOf({ reference, content }: Shown, editable: boolean): Row {
    const { name, description } = reference;
    let row = this.rows.get(name);
    if (!row || row.content !== content) {
      const made = this.make(name, content, editable);
      row?.element.replaceWith(made.element);
      this.rows.set(name, (row = made));
    }
    if (document.activeElement !== row.description && row.description.value !== description) row.description.value = description;
    row.description.readOnly = !editable;
    row.element.querySelector("button")?.toggleAttribute("hidden", !editable);
    return row;
  }

  private make(name: string, content: Stored | undefined, editable: boolean): Row {
    const element = document.createElement("li");
    const description = document.createElement("input");
    const about = document.createElement("span");
    const remove = document.createElement("button");
    Object.assign(description, { type: "text", placeholder: "Description (optional)", dir: "auto", maxLength: 300, readOnly: !editable });
    description.setAttribute("aria-label", `Description of ${name}`);
    description.addEventListener("input", () => this.actions.describe(name, description.value));
    about.className = "flowgpt-pictures-about";
    about.title = name;
    about.textContent = content ? `${name} · ${sizeText(content.size)}` : `${name} · not in this notebook`;
    Object.assign(remove, { type: "button", className: "flowgpt-pictures-remove", title: `Remove ${name}`, textContent: "×" });
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.addEventListener("click", () => this.remove(name));
    const texts = document.createElement("div");
    texts.append(description, about);
    element.append(picture(name, content), texts, remove);
    return { element, description, content };
  }

  private remove(name: string): void {
    const names = [...this.rows.keys()];
    const at = names.indexOf(name);
    const next = names[at + 1] ?? names[at - 1];
    this.actions.remove(name);
    const button = next && this.rows.get(next)?.element.querySelector("button");
    if (button) button.focus();
    else this.actions.leave();
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as Element;
    if (event.key === "Escape" || (event.key === "Enter" && target instanceof HTMLInputElement && !event.isComposing)) {
      event.preventDefault();
      this.actions.leave();
      return;
    }
    if (event.key !== "Delete" || target instanceof HTMLInputElement) return;
    const [name] = [...this.rows].find(([, { element }]) => element.contains(target)) ?? [];
    if (!name) return;
    event.preventDefault();
    this.remove(name);
  }
}

function picture(name: string, content: Stored | undefined): HTMLElement {
  const frame = document.createElement("span");
  frame.className = "flowgpt-pictures-thumbnail";
  void content?.thumbnail().then(
    (url) => {
      const image = document.createElement("img");
      Object.assign(image, { src: url, alt: name });
      frame.append(image);
    },
    () => frame.classList.add("flowgpt-pictures-broken"),
  );
  return frame;
}

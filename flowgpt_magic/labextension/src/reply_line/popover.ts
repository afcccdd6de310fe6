/** A dialog beside a button. It does not block the page: Escape, a click elsewhere or scrolling away closes it. */

import { button, make } from "../../../panel/src/dom.js";

const GAP = 4; // pixels between the button and the dialog
const EDGE = 8; // and between the dialog and the edges of the window
const LOWEST = 160; // pixels; with less room below the button than that, the dialog opens above it
const FOCUSABLE = "button:not(:disabled), [tabindex='0'], summary";

export class Popover {
  readonly node: HTMLElement;
  readonly body = make("div", { class: "flowgpt-popover-body" });
  private readonly watcher: IntersectionObserver;
  private isOpen = true;

  constructor(
    private readonly anchor: HTMLElement,
    title: string,
    private readonly closed: () => void,
  ) {
    const name = `flowgpt-popover-${performance.now()}`.replace(".", "-");
    const head = make("div", { class: "flowgpt-popover-head" },
      make("h2", { id: name, text: title }), button("close", "Close", () => this.close()));
    this.node = make("div", { class: "flowgpt-popover", role: "dialog", "aria-labelledby": name, tabindex: "-1" }, head, this.body);
    this.node.addEventListener("keydown", this.key);
    document.body.append(this.node);
    document.addEventListener("pointerdown", this.elsewhere, true);
    window.addEventListener("resize", this.place);
    document.addEventListener("scroll", this.place, true);
    anchor.setAttribute("aria-expanded", "true");
    this.watcher = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) this.close();
    });
    this.watcher.observe(anchor);
    this.place();
    this.node.focus({ preventScroll: true });
  }

  /** Show this instead of what is there. */
  fill(...content: (Node | null)[]): void {
    this.body.replaceChildren(...content.filter((node) => node !== null));
    this.place();
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const focused = this.node.contains(document.activeElement);
    this.watcher.disconnect();
    document.removeEventListener("pointerdown", this.elsewhere, true);
    window.removeEventListener("resize", this.place);
    document.removeEventListener("scroll", this.place, true);
    this.anchor.setAttribute("aria-expanded", "false");
    this.node.remove();
    this.closed();
    if (focused) this.anchor.focus({ preventScroll: true });
  }

  private readonly elsewhere = ({ target }: Event): void => {
    if (!this.node.contains(target as Node) && !this.anchor.contains(target as Node)) this.close();
  };

  private readonly place = (event?: Event): void => {
    if (event && this.node.contains(event.target as Node)) return; // its own content scrolls
    const { top, bottom, right } = this.anchor.getBoundingClientRect();
    const below = window.innerHeight - bottom - GAP - EDGE;
    const above = top - GAP - EDGE;
    const isBelow = below >= LOWEST || below >= above;
    const { style } = this.node;
    style.maxHeight = `${Math.max(isBelow ? below : above, LOWEST)}px`;
    style.top = isBelow ? `${bottom + GAP}px` : "";
    style.bottom = isBelow ? "" : `${window.innerHeight - top + GAP}px`;
    const left = Math.min(right - this.node.offsetWidth, window.innerWidth - this.node.offsetWidth - EDGE);
    style.left = `${Math.max(EDGE, left)}px`;
  };

  private readonly key = (event: KeyboardEvent): void => {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    } else if (event.key === "Tab") {
      this.keep(event);
    }
  };

  /** Let Tab stay in the dialog, which is at the end of the page and not beside its button. */
  private keep(event: KeyboardEvent): void {
    const stops = [...this.node.querySelectorAll<HTMLElement>(FOCUSABLE)];
    const edge = event.shiftKey ? stops[0] : stops.at(-1);
    const { activeElement } = document;
    if (activeElement !== edge && !(event.shiftKey && activeElement === this.node)) return;
    event.preventDefault();
    (event.shiftKey ? stops.at(-1) : stops[0])?.focus();
  }
}

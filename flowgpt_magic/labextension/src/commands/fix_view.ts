/** The correction of a cell, shown below it: while it arrives, and then as the difference to the cell. */

import { Widget } from "@lumino/widgets";

import { keepPlainKeys } from "./keys";

/** What the kernel says of a reply that has ended. */
export interface Ending {
  explanation: string[]; // blocks of harmless HTML
  whole: string[]; // those of the whole reply
  caption: string;
  trouble?: string; // why there is no correction
  failed?: string;
  corrected?: string;
  label?: string; // of the cell that is corrected, such as In[3]
  rows?: [" " | "-" | "+", string][];
  remarks?: string[];
}

export type Correction = Ending & { failed: string; corrected: string; rows: [" " | "-" | "+", string][] };

export interface Actions {
  stop(): void;
  apply(): void;
  applyAndRun(): void;
  insert(): void;
  copy(): void;
  discard(): void;
}

const CONTEXT = 3; // unchanged lines that are shown around a change
const WORDS = { " ": "", "-": "removed: ", "+": "added: " };
const CLASSES = { " ": "same", "-": "removed", "+": "added" };

export class FixView extends Widget {
  private readonly status = element("span", "status", "", { role: "status" });
  private readonly body = element("div", "body");
  private readonly actions = element("div", "actions");
  private readonly note = element("p", "note", "", { role: "status" });
  private readonly begun = Date.now();
  private readonly clock = setInterval(() => this.tick(), 1000);
  private reply = "";
  private doing = "";
  private model = "";

  constructor(
    name: string,
    private readonly on: Actions,
  ) {
    super();
    this.addClass("flowgpt-fix");
    const { node } = this;
    node.tabIndex = -1;
    node.setAttribute("role", "region");
    node.setAttribute("aria-label", `Correction of ${name}`);
    keepPlainKeys(node);
    node.append(element("div", "head", `Fix ${name}`), this.status, this.body, this.note, this.actions);
    node.querySelector(".flowgpt-fix-head")!.append(this.status);
    node.addEventListener("keydown", (event) => this.key(event));
    this.actions.append(button("Stop", on.stop));
    this.tick();
  }

  /** This model is asked. */
  asks(model: string): void {
    this.model = model;
    this.tick();
  }

  /** `text` stands from this character of the reply on. */
  grow(from: number, text: string, doing: string): void {
    this.doing = doing;
    this.reply = this.reply.slice(0, from) + text;
    const [line] = this.body.children;
    if (line) line.textContent = this.reply;
    else if (this.reply) this.body.append(element("div", "arriving", this.reply));
    this.body.scrollTop = this.body.scrollHeight;
  }

  /** The reply has ended. The focus comes here if it was at the cell, and stays where the person went meanwhile. */
  end(ending: Ending): void {
    clearInterval(this.clock);
    this.status.textContent = ending.caption;
    this.body.replaceChildren(html("explanation", ending.explanation));
    this.actions.replaceChildren();
    if (ending.rows) this.body.append(difference(ending.rows));
    if (ending.rows && ending.whole.length > ending.explanation.length + 1) this.body.append(more(ending.whole));
    for (const remark of ending.remarks ?? []) this.body.append(element("p", "remark", sentence(remark)));
    if (ending.trouble) this.fail(ending.trouble);
    this.takeFocus();
  }

  /** Say whether the correction can be applied, with what the person should know of that. */
  offer(applies: boolean, note: string, inserts: boolean): void {
    const had = this.actions.contains(document.activeElement);
    const buttons = [
      ...(applies ? [button("Apply", this.on.apply, "Put the corrected code into the cell")] : []),
      ...(applies ? [button("Apply and run", this.on.applyAndRun)] : []),
      ...(applies || !inserts ? [] : [button("Insert below", this.on.insert, "Put the corrected code into a new cell")]),
      ...(applies ? [] : [button("Copy", this.on.copy, "Copy the corrected code")]),
      button("Discard", this.on.discard),
    ];
    const labels = (nodes: Iterable<Element>): string => [...nodes].map((node) => node.textContent).join();
    if (labels(this.actions.children) !== labels(buttons)) {
      this.actions.replaceChildren(...buttons);
      if (had) buttons[0].focus();
    }
    this.note.textContent = note;
  }

  override dispose(): void {
    clearInterval(this.clock);
    if (this.node.contains(document.activeElement)) (document.activeElement as HTMLElement).blur();
    super.dispose();
  }

  private fail(trouble: string): void {
    this.note.textContent = sentence(trouble);
    this.note.classList.add("flowgpt-fix-trouble");
    this.actions.replaceChildren(button("Close", this.on.discard));
  }

  private takeFocus(): void {
    const { activeElement } = document;
    const cell = this.node.closest(".jp-Cell");
    const isHere = !activeElement || activeElement === document.body || cell?.contains(activeElement);
    if (!isHere || activeElement?.closest(".cm-editor")) return;
    this.node.focus({ preventScroll: true });
    this.node.scrollIntoView({ block: "nearest" });
  }

  private tick(): void {
    const seconds = Math.floor((Date.now() - this.begun) / 1000);
    const asked = this.model ? `${this.model} is asked` : "waits for the kernel";
    this.status.textContent = [this.doing || asked, `${seconds} s`].join(" · ");
  }

  private key(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    const [first] = this.actions.children;
    if (first?.textContent === "Stop") this.on.stop();
    else this.on.discard();
  }
}

/** The lines of both cells. Of those that stay the same, only those near a change are shown. */
function difference(rows: [" " | "-" | "+", string][]): HTMLElement {
  const count = (mark: string): number => rows.filter(([other]) => other === mark).length;
  const summary = `${lines(count("+"))} added, ${lines(count("-"))} removed`;
  const list = element("div", "lines", "", { role: "list", "aria-label": summary, tabindex: "0" });
  const near = rows.map((_row, at) => rows.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(([mark]) => mark !== " "));
  for (let at = 0; at < rows.length; at++) {
    let end = at;
    while (end < rows.length && !near[end]) end++;
    if (end > at + 1) list.append(element("div", "skipped", `… ${end - at} unchanged lines`, { role: "listitem" }));
    else if (end === at) list.append(lineOf(...rows[at]));
    else list.append(lineOf(...rows[at]));
    at = Math.max(at, end - 1);
  }
  const box = element("div", "difference");
  box.append(element("div", "summary", summary), list);
  return box;
}

function lineOf(mark: " " | "-" | "+", text: string): HTMLElement {
  const line = element("div", CLASSES[mark], "", { role: "listitem" });
  line.append(
    element("span", "mark", mark === "-" ? "−" : mark, { "aria-hidden": "true" }),
    element("span", "word", WORDS[mark]),
    element("code", "text", text),
  );
  return line;
}

function more(blocks: string[]): HTMLElement {
  const details = document.createElement("details");
  details.append(Object.assign(document.createElement("summary"), { textContent: "The whole reply" }), html("whole", blocks));
  return details;
}

/** Blocks that the kernel has made harmless: see `markdown/html/sanitize.py`. */
function html(name: string, blocks: string[]): HTMLElement {
  const box = element("div", name);
  box.classList.add("jp-RenderedHTMLCommon");
  box.innerHTML = blocks.join("\n");
  return box;
}

function element(tag: string, name: string, text = "", attributes: Record<string, string> = {}): HTMLElement {
  const node = document.createElement(tag);
  node.className = `flowgpt-fix-${name}`;
  node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function button(label: string, run: () => void, title = ""): HTMLButtonElement {
  const node = document.createElement("button");
  node.type = "button";
  node.className = "jp-mod-styled jp-mod-minimal flowgpt-fix-button";
  node.textContent = label;
  node.title = title;
  node.addEventListener("click", () => run());
  return node;
}

const lines = (count: number): string => (count === 1 ? "1 line" : `${count} lines`);

function sentence(text: string): string {
  const whole = text[0].toUpperCase() + text.slice(1);
  return /[.?!]$/.test(whole) ? whole : `${whole}.`;
}

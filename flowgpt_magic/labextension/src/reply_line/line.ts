/** The line below a reply in a cell: who answered, and what can be done with the reply. */

import type { CodeCell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";

import { insertCells } from "../../../panel/src/cells.js";
import { copy } from "../../../panel/src/clipboard.js";
import { button, make } from "../../../panel/src/dom.js";
import { messageOf } from "../../../panel/src/error_text.js";
import { Toolbar } from "../../../panel/src/toolbar.js";
import type { Connection } from "../kernel/connection";
import { detailsInFile, detailsOf } from "./details";
import { captionOf, codeIn, textOf, type Reply } from "./outputs";
import { Popover } from "./popover";
import { NotLoaded, askKernel } from "./reach";
import { replaceReply } from "./replace";
import { Stream } from "./stream";
import type { Count, Versions } from "./versions";

const NO_COPY = "The browser does not allow this page to copy: select the text and copy it yourself.";
const NOT_THERE = "This reply is not in the history of this kernel. This is what the notebook itself says of it.";

/** What the lines of one notebook share. */
export interface Notebook {
  readonly panel: NotebookPanel;
  readonly connection: Connection;
  readonly versions: Versions;
  readonly streams: Map<string, Stream>; // by the turn that their output shows
  /** The line of a turn in a cell, after its outputs have changed. */
  lineOf(cell: CodeCell, turn: string): ReplyLine | undefined;
}

export class ReplyLine {
  readonly node = make("div", { class: "flowgpt-line" });
  private readonly caption = make("span", { class: "flowgpt-line-caption" });
  private readonly note = make("span", { class: "flowgpt-line-note", role: "status" });
  private tools: Tools | null = null;
  private popover: Popover | null = null;
  private isBusy = false;

  constructor(
    private readonly notebook: Notebook,
    private readonly cell: CodeCell,
    private reply: Reply,
  ) {
    this.node.append(make("div", { class: "flowgpt-line-text" }, this.caption, this.note));
    this.show(reply);
  }

  get turn(): string {
    return this.reply.turn;
  }

  /** Does the output say the same as the line? */
  get hasCaption(): boolean {
    return Boolean(this.caption.textContent);
  }

  /** The outputs show this reply now. */
  show(reply: Reply): void {
    if (reply.turn !== this.turn) this.notebook.versions.forget(this.turn, this.count);
    this.reply = reply;
    this.caption.textContent = captionOf(this.cell.model.outputs, reply);
    if (this.tools) this.update();
  }

  /** Make the buttons: the line came into view. */
  fill(): void {
    if (this.tools) return;
    this.tools = new Tools(this);
    this.node.append(this.tools.node);
    this.node.classList.add("flowgpt-line-filled");
    this.update();
  }

  /** Somebody is here: from now on the kernel may be asked. */
  attend(): void {
    this.fill();
    if (this.isArriving) return;
    this.notebook.connection.connect();
    this.notebook.versions.want(this.turn, this.count);
  }

  /** Focus the button with this label, as another line had it in this place. */
  focus(label: string): void {
    this.fill();
    this.tools?.focus(label);
  }

  /** Show a line of text until the next action. */
  say(text: string, more?: HTMLElement): void {
    this.note.replaceChildren(text, ...(more ? [" ", more] : []));
    this.node.classList.toggle("flowgpt-line-says", Boolean(text));
  }

  dispose(): void {
    this.popover?.close();
    this.notebook.versions.forget(this.turn, this.count);
    this.node.remove();
  }

  // What the buttons do

  async choose(step: number): Promise<void> {
    const label = step < 0 ? "Earlier version" : "Later version";
    await this.act(() => this.choose(step), async () => {
      const version = (this.tools?.version ?? 1) + step;
      const { data, metadata, ...count } = await this.ask("choose", { turn: this.turn, version, format: this.format });
      replaceReply(this.cell, this.turn, data, metadata);
      const line = this.notebook.lineOf(this.cell, count.turn) ?? this;
      line.count(count.turn, count);
      line.focus(label);
    });
  }

  async retry(): Promise<void> {
    await this.act(() => this.retry(), async () => {
      const { streams } = this.notebook;
      const stream = new Stream(this.notebook.connection, this.cell, this.turn, (turn) => streams.set(turn, stream));
      const focused = this.node.contains(document.activeElement);
      this.say("Asking again.");
      const failure = await stream.run(this.format, this.wait).finally(() => this.forget(stream));
      const line = this.notebook.lineOf(this.cell, stream.turn) ?? this;
      line.ended(failure, focused);
    });
  }

  async stop(): Promise<void> {
    try {
      await this.ask("stop", { turn: this.turn });
    } catch (error) {
      this.complain(error, () => this.stop());
    }
  }

  async copyReply(): Promise<void> {
    await this.copied(this.text);
  }

  async copyCode(): Promise<void> {
    await this.copied(codeIn(this.text).join("\n\n"));
  }

  async insert(): Promise<void> {
    await this.act(() => this.insert(), async () => {
      const { sources, said } = (await this.ask("cells", { text: this.text })) as { sources: string[]; said: string };
      this.say([this.inserted(sources), said && `${said[0].toUpperCase()}${said.slice(1)}.`].filter(Boolean).join(" "));
    });
  }

  async details(anchor: HTMLElement): Promise<void> {
    if (this.popover?.node.isConnected) return this.popover.close();
    const popover = (this.popover = new Popover(anchor, "Details", () => this.node.classList.remove("flowgpt-line-open")));
    this.node.classList.add("flowgpt-line-open");
    try {
      const answer = await this.ask("details", { turn: this.turn });
      const shown = answer.missing ? detailsInFile(this.reply.facts, NOT_THERE) : detailsOf(answer, (text) => this.copied(text));
      popover.fill(...shown);
    } catch (error) {
      popover.fill(...detailsInFile(this.reply.facts, messageOf(error)), this.loader(error, () => this.details(anchor)));
    }
  }

  // What the line knows

  get isArriving(): boolean {
    return !this.reply.facts.status;
  }

  get isReadOnly(): boolean {
    const { model, context } = this.notebook.panel;
    return Boolean(model?.readOnly) || context.contentsModel?.writable === false;
  }

  get hasCode(): boolean {
    return codeIn(this.text).length > 0;
  }

  private get text(): string {
    return textOf(this.cell.model.outputs, this.reply);
  }

  private get format(): string {
    return this.reply.facts.format ?? "";
  }

  private readonly wait = (text: string): void => this.say(text);
  private readonly count = (turn: string, count: Count | undefined): void => {
    if (turn === this.turn) this.tools?.count(count); // else the outputs show another one by now
  };

  private update(): void {
    this.tools?.update();
    if (!this.isArriving) this.notebook.versions.want(this.turn, this.count);
  }

  private ask(action: string, request: { [name: string]: string | number }): Promise<any> {
    return askKernel(this.notebook.connection, action, request, this.wait);
  }

  /** Do one thing at a time, and say why it failed. `again` does it once more. */
  private async act(again: () => unknown, run: () => Promise<void>): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    this.say("");
    try {
      await run();
    } catch (error) {
      this.complain(error, again);
    } finally {
      this.isBusy = false;
    }
  }

  private complain(error: unknown, again: () => unknown): void {
    this.say(messageOf(error), this.loader(error, again) ?? undefined);
  }

  /** A button that loads the extension into the kernel, if that would help, and does it again. */
  private loader(error: unknown, again: () => unknown): HTMLElement | null {
    if (!(error instanceof NotLoaded)) return null;
    const load = async (): Promise<void> => {
      this.popover?.close();
      try {
        await this.notebook.connection.load();
        await again();
      } catch (failure) {
        this.say(messageOf(failure));
      }
    };
    return make("button", { type: "button", class: "flowgpt-line-load", text: "Load FlowGPT", onclick: load });
  }

  private ended(failure: string, focus: boolean): void {
    this.say(failure);
    if (focus) this.focus("Ask again");
  }

  private forget(stream: Stream): void {
    for (const [turn, other] of this.notebook.streams) if (other === stream) this.notebook.streams.delete(turn);
    this.notebook.lineOf(this.cell, stream.turn);
  }

  private async copied(text: string): Promise<void> {
    this.say((await copy(text)) ? "Copied." : NO_COPY);
  }

  /** Insert cells below this one, unless they are there; returns what was done. */
  private inserted(sources: string[]): string {
    const notebook = this.notebook.panel.model?.sharedModel;
    const at = notebook ? notebook.cells.findIndex(({ id }) => id === this.cell.model.id) + 1 : 0;
    if (!notebook || !at || !sources.length) return "";
    const below = notebook.cells.slice(at, at + sources.length).map((cell) => cell.getSource());
    if (sources.every((source, number) => source === below[number])) return "This code is below already.";
    insertCells(notebook, at, sources);
    return sources.length === 1 ? "There is a new cell below." : `There are ${sources.length} new cells below.`;
  }
}

/** The buttons of a line: those of the panel, in its order. */
class Tools {
  readonly node: HTMLElement;
  version = 1;
  private versions = 1;
  private readonly older: HTMLButtonElement;
  private readonly newer: HTMLButtonElement;
  private readonly number = make("span", { class: "fg-count" });
  private readonly versionTools: HTMLElement;
  private readonly stop: HTMLButtonElement;
  private readonly retry: HTMLButtonElement;
  private readonly copyCode: HTMLButtonElement;
  private readonly insert: HTMLButtonElement;
  private readonly toolbar: Toolbar;

  constructor(private readonly line: ReplyLine) {
    this.older = button("back", "Earlier version", () => line.choose(-1));
    this.newer = button("forth", "Later version", () => line.choose(1));
    this.versionTools = make("span", { class: "fg-versions", role: "group", "aria-label": "Versions", hidden: true },
      this.older, this.number, this.newer);
    this.stop = button("stop", "Stop the reply", () => line.stop());
    this.retry = button("retry", "Ask again", () => line.retry());
    this.copyCode = button("code", "Copy the code", () => line.copyCode());
    this.insert = button("insert", "Insert a cell below with the code", () => line.insert());
    const more = { "aria-haspopup": "dialog", "aria-expanded": "false" };
    const details = button("info", "Details", ({ currentTarget }) => line.details(currentTarget as HTMLElement), more);
    this.node = make("div", { class: "fg-tools", role: "toolbar", "aria-label": "The reply" }, this.versionTools, this.stop,
      this.retry, button("copy", "Copy the reply", () => line.copyReply()), this.copyCode, this.insert, details);
    this.toolbar = new Toolbar(line.node);
  }

  /** The reply is another one, or its state has changed. */
  update(): void {
    const { isArriving, isReadOnly, hasCode } = this.line;
    this.stop.hidden = !isArriving;
    this.retry.hidden = isArriving;
    this.copyCode.hidden = !hasCode;
    this.insert.hidden = !hasCode || isReadOnly;
    this.line.node.classList.toggle("flowgpt-line-arriving", isArriving);
    this.showVersions();
  }

  count(count: Count | undefined): void {
    this.version = count?.version ?? 1;
    this.versions = count?.versions ?? 1;
    this.showVersions();
  }

  focus(label: string): void {
    const wanted = this.toolbar.buttons.find((other) => other.title === label);
    (wanted ?? this.toolbar.buttons[0])?.focus({ preventScroll: true });
  }

  private showVersions(): void {
    const { version, versions } = this;
    this.versionTools.hidden = versions < 2 || this.line.isArriving;
    this.number.textContent = `${version}/${versions}`;
    this.number.setAttribute("aria-label", `version ${version} of ${versions}`);
    this.older.disabled = version < 2;
    this.newer.disabled = version >= versions;
    this.toolbar.update();
  }
}

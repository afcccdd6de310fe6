/** The lines below the replies of one notebook. Cells that were never shown have none. */

import { CodeCell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { OutputArea } from "@jupyterlab/outputarea";
import type { IDisposable } from "@lumino/disposable";
import { Signal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";

import type { Connection } from "../kernel/connection";
import { ReplyLine, type Notebook } from "./line";
import { repliesIn, type Reply } from "./outputs";
import type { Stream } from "./stream";
import { Thoughts } from "./thoughts";
import { Versions } from "./versions";

const REPLY = "flowgpt-reply"; // the class of each output of a reply
const LINED = "flowgpt-lined"; // that of an output with a line below it
const CAPTIONED = "flowgpt-captioned"; // and of one whose caption the line takes the place of
const MARGIN = "200px"; // so far outside of the visible part a line gets its buttons
const EVENTS = ["pointerenter", "focusin"];

export class NotebookLines implements Notebook, IDisposable {
  readonly versions: Versions;
  readonly streams = new Map<string, Stream>();
  private readonly cells = new WeakMap<OutputArea, CodeCell>();
  private readonly known = new WeakSet<CodeCell>();
  private readonly fresh: CodeCell[] = []; // drawn, and not looked at yet
  private readonly lines = new WeakMap<Widget, ReplyLine>(); // by the output that they are below
  private readonly byNode = new WeakMap<Element, ReplyLine>();
  private readonly thoughts = new Map<Widget, Thoughts>(); // by the output of a reply that arrives
  private readonly inView: IntersectionObserver;
  private _isDisposed = false;

  constructor(
    readonly panel: NotebookPanel,
    readonly connection: Connection,
  ) {
    this.versions = new Versions(connection);
    const root = panel.content.node.querySelector(".jp-WindowedPanel-outer");
    this.inView = new IntersectionObserver((entries) => this.filled(entries), { root, rootMargin: MARGIN });
    panel.content.modelChanged.connect(this.follow, this);
    panel.disposed.connect(() => this.dispose());
    this.follow();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) return;
    this._isDisposed = true;
    this.inView.disconnect();
    Signal.clearData(this);
  }

  lineOf(cell: CodeCell, turn: string): ReplyLine | undefined {
    if (cell.isDisposed) return undefined;
    this.look(cell.outputArea);
    const reply = repliesIn(cell.model.outputs).find((other) => other.turn === turn);
    const output = reply && cell.outputArea.widgets[reply.last];
    return output && this.lines.get(output);
  }

  private follow(): void {
    this.panel.content.model?.cells.changed.connect((_cells, { type }) => {
      if (type === "add" || type === "set") this.adopt();
    });
    this.adopt();
  }

  /** Wait for the outputs of all cells that are new. */
  private adopt(): void {
    for (const cell of this.panel.content.widgets) {
      if (cell instanceof CodeCell && !this.known.has(cell)) {
        this.known.add(cell);
        void cell.ready.then(() => this.watch(cell));
      }
    }
  }

  private watch(cell: CodeCell): void {
    if (cell.isDisposed || this._isDisposed) return;
    this.cells.set(cell.outputArea, cell);
    cell.outputArea.outputLengthChanged.connect(this.look, this); // emitted after each change of an output
    this.fresh.push(cell);
    // A line between two cells that Lab draws would have the browser lay out the page for each of them.
    if (this.fresh.length === 1) requestAnimationFrame(() => this.lookAtFresh());
  }

  /** Look at the cells that were drawn since the last frame. */
  private lookAtFresh(): void {
    for (const cell of this.fresh.splice(0)) if (!cell.isDisposed && !this._isDisposed) this.look(cell.outputArea);
  }

  /** Let each reply of a cell have its line, and nothing else have one. */
  private look(area: OutputArea): void {
    const replies = repliesIn(area.model);
    if (!replies.length && !area.node.querySelector(`:scope > .${REPLY}`)) return;
    let next = 0;
    area.widgets.forEach((output, number) => {
      while (replies[next] && replies[next].last < number) next += 1;
      const reply = replies[next]?.first <= number ? replies[next] : undefined;
      output.toggleClass(REPLY, reply !== undefined);
      this.watchThoughts(output, reply !== undefined && !reply.facts.status);
      this.place(area, output, reply?.last === number ? reply : undefined);
    });
  }

  /** Keep reasoning open that somebody reads, while a reply arrives. */
  private watchThoughts(output: Widget, arrives: boolean): void {
    const thoughts = this.thoughts.get(output);
    if (arrives && !thoughts) {
      this.thoughts.set(output, new Thoughts(output.node));
      output.disposed.connect(() => this.watchThoughts(output, false));
    } else if (!arrives && thoughts) {
      this.thoughts.delete(output);
      thoughts.dispose();
    }
  }

  private place(area: OutputArea, output: Widget, reply: Reply | undefined): void {
    const line = this.lines.get(output);
    const isLined = reply !== undefined && (reply.facts.status || this.streams.has(reply.turn));
    if (!isLined) {
      if (line) this.remove(output, line);
    } else if (line) {
      line.show(reply);
    } else {
      this.add(area, output, reply);
    }
    output.toggleClass(CAPTIONED, Boolean(this.lines.get(output)?.hasCaption));
  }

  private add(area: OutputArea, output: Widget, reply: Reply): void {
    const line = new ReplyLine(this, this.cells.get(area)!, reply);
    this.lines.set(output, line);
    this.byNode.set(line.node, line);
    output.node.append(line.node);
    output.addClass(LINED);
    for (const event of EVENTS) output.node.addEventListener(event, this.attend);
    output.disposed.connect(() => this.remove(output, line));
    this.inView.observe(line.node);
  }

  private remove(output: Widget, line: ReplyLine): void {
    this.lines.delete(output);
    this.inView.unobserve(line.node);
    if (!output.isDisposed) output.removeClass(LINED);
    for (const event of EVENTS) output.node.removeEventListener(event, this.attend);
    line.dispose();
  }

  private readonly attend = ({ currentTarget }: Event): void => {
    const node = (currentTarget as Element).querySelector(":scope > .flowgpt-line");
    if (node) this.byNode.get(node)?.attend();
  };

  private filled(entries: IntersectionObserverEntry[]): void {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      this.inView.unobserve(target);
      this.byNode.get(target)?.fill();
    }
  }
}

/** Correct a failed cell: ask the kernel for the correction, show the difference, and put it into the cell. */

import { Clipboard, Notification } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import { UUID } from "@lumino/coreutils";
import type { PanelLayout } from "@lumino/widgets";

import type { Connection } from "../kernel/connection";
import type { Message, Status } from "../kernel/protocol";
import { errorOf, isReadOnly, nameOf, numberOf, replaceSource, sourceOf, type Place } from "./cells";
import { FixView, type Correction, type Ending } from "./fix_view";
import { insertBelow, runCells } from "./insert";
import { reach } from "./reach";

const LOST = "The kernel was restarted or has ended. The conversation has what arrived until then.";
const GONE = "The cell that failed was deleted. Its correction is in the conversation.";

/** The corrections that are asked for or shown, by the cell that failed. */
export class Fixes {
  private readonly views = new Map<string, Fix>();

  /** Ask for the correction of a cell. While one is shown there, that gets the focus; only one is asked at a time. */
  start(place: Place): void {
    const id = place.cell.model.id;
    const shown = this.views.get(id);
    if (shown) return shown.view.node.focus();
    const other = [...this.views.values()].find(({ place: { panel }, arriving }) => panel === place.panel && arriving);
    if (other) {
      other.view.node.scrollIntoView({ block: "nearest" });
      Notification.warning(`The correction of ${nameOf(other.place.cell)} is still arriving: wait, or stop it.`, { autoClose: 5000 });
      return;
    }
    const fix = new Fix(place);
    this.views.set(id, fix);
    fix.view.disposed.connect(() => this.views.delete(id));
    void fix.ask();
  }
}

/** One correction: from the request until the person has decided. */
class Fix {
  readonly view: FixView;
  arriving = true;
  private readonly id = UUID.uuid4();
  private turn: Promise<string> = Promise.resolve("");
  private correction: Correction | null = null;
  private target: Cell | null = null; // the cell that is corrected: mostly the one that failed

  constructor(readonly place: Place) {
    this.view = new FixView(nameOf(place.cell), {
      stop: () => this.stop(),
      apply: () => this.apply(false),
      applyAndRun: () => this.apply(true),
      insert: () => this.insert(),
      copy: () => this.copy(),
      discard: () => this.close(),
    });
    (place.cell.layout as PanelLayout).addWidget(this.view);
    this.view.node.focus();
    this.view.node.scrollIntoView({ block: "nearest" });
    this.view.disposed.connect(() => this.leave());
  }

  async ask(): Promise<void> {
    const { connection, cell } = this.place;
    const error = errorOf(cell)!;
    const { ename, evalue, traceback } = error;
    const request = { source: sourceOf(cell), number: numberOf(cell), ename, evalue, traceback: traceback.join("\n") };
    connection.messages.connect(this.hear, this);
    try {
      await reach(connection);
      connection.statusChanged.connect(this.lose, this);
      const answer = connection.ask("fix", { fix: this.id, ...request });
      this.turn = answer.then(({ turn }) => turn as string, () => "");
      this.view.asks((await answer).model);
    } catch (failure) {
      this.end({ trouble: (failure as Error).message, explanation: [], whole: [], caption: "" });
    }
  }

  private hear(_connection: Connection, message: Message): void {
    if (message.kind !== "fix" || message.fix !== this.id) return;
    if (message.ending) this.end(message.ending as unknown as Ending);
    else this.view.grow(message.from as number, message.text as string, message.doing as string);
  }

  private lose(_connection: Connection, status: Status): void {
    if (this.arriving && status !== "ready") this.end({ trouble: LOST, explanation: [], whole: [], caption: "" });
  }

  private end(ending: Ending): void {
    if (!this.arriving) return;
    this.arriving = false;
    if (this.view.isDisposed) {
      if (this.place.cell.isDisposed && !this.place.panel.isDisposed) Notification.info(GONE, { autoClose: 8000 });
      return this.leave();
    }
    this.view.end(ending);
    if (ending.corrected === undefined) return;
    this.correction = ending as Correction;
    this.target = this.findTarget(this.correction);
    const { content } = this.place.panel;
    content.model?.contentChanged.connect(this.look, this);
    this.look();
  }

  /** The cell whose code was corrected: the one that failed, or one with a function that it called. */
  private findTarget({ failed, label }: Correction): Cell {
    const { cell, panel } = this.place;
    const isIt = (other: Cell): boolean => other.model.type === "code" && same(sourceOf(other), failed);
    if (isIt(cell) || !label || label === `In[${numberOf(cell)}]`) return cell;
    return panel.content.widgets.find(isIt) ?? cell;
  }

  /** Say whether the correction can be applied: not to a cell that was changed since. */
  private look(): void {
    const { target, correction } = this;
    const { panel, cell } = this.place;
    if (isReadOnly(panel, target ?? cell)) return this.view.offer(false, "This notebook cannot be changed.", false);
    if (!target || target.isDisposed || !same(sourceOf(target), correction!.failed)) {
      return this.view.offer(false, "The cell was changed since it failed, so it is not overwritten.", true);
    }
    const other = target === cell ? "" : `This corrects another cell, ${correction!.label || nameOf(target)}.`;
    this.view.offer(true, other, true);
  }

  private async stop(): Promise<void> {
    const { connection } = this.place;
    const turn = await this.turn;
    if (turn) await connection.ask("stop", { turn }).catch(() => null); // its end is told, or lost
    else this.close();
  }

  private apply(run: boolean): void {
    const { target } = this;
    const { panel, cell } = this.place;
    if (!target || !this.correction || !same(sourceOf(target), this.correction.failed)) return;
    replaceSource(target.model, this.correction.corrected);
    this.close();
    if (run) void runCells(panel, target === cell ? [cell] : [target, cell]);
  }

  private insert(): void {
    const { panel, cell } = this.place;
    const { corrected } = this.correction!;
    this.view.dispose();
    insertBelow(panel, cell, corrected);
    panel.content.activate();
  }

  private copy(): void {
    Clipboard.copyToSystem(this.correction!.corrected);
    Notification.success("The corrected cell was copied.", { autoClose: 2000 });
  }

  private close(): void {
    const { panel, cell } = this.place;
    this.view.dispose();
    if (cell.isDisposed) return;
    panel.content.activeCellIndex = panel.content.widgets.indexOf(cell);
    panel.content.activate();
  }

  /** Listen no longer. While the reply arrives its end is of interest, even where nothing shows it. */
  private leave(): void {
    this.place.panel.content.model?.contentChanged.disconnect(this.look, this);
    if (this.arriving) return;
    this.place.connection.messages.disconnect(this.hear, this);
    this.place.connection.statusChanged.disconnect(this.lose, this);
  }
}

const same = (one: string, other: string): boolean => trimmed(one) === trimmed(other);
const trimmed = (source: string): string => source.replace(/^\n+|\n+$/g, "");

/** The pictures of one cell: in its text, in its metadata, and in the tray below its editor. */

import type { CodeCell } from "@jupyterlab/cells";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import type { IDisposable } from "@lumino/disposable";
import type { PanelLayout } from "@lumino/widgets";

import { readFirstLine } from "../prompt_cells/first_line";
import { attachmentsOf, hasAttachments, setAttachments } from "./metadata";
import { digitsOf, escaped, movedBy, referencesIn, referenceTo, type Delta, type Reference } from "./references";
import type { Store, Stored } from "./store";
import { Tray } from "./tray";

const PAUSE = 200; // milliseconds after typing until the pictures are looked at
const READ_ONLY = "This notebook is read-only: nothing was added.";

/** What a cell needs to know of its notebook. */
export interface Surroundings {
  readonly store: Store;
  readonly readOnly: boolean;
  isPrompt(source: string): boolean;
  /** Give the kernel these pictures, if it can take them now. */
  upload(names: readonly string[]): void;
  /** Look for a picture in the kernel; nothing if it does not have it, or cannot be asked. */
  find(digits: string): Promise<Stored | null>;
}

/** A stretch of the text, wherever the text around it goes. */
export class Place implements IDisposable {
  private _isDisposed = false;

  constructor(
    private readonly cell: CodeCell,
    public start: number,
    public end: number,
  ) {
    cell.model.sharedModel.changed.connect(this.follow, this);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this.cell.model.sharedModel.changed.disconnect(this.follow, this);
  }

  private follow(_sender: unknown, { sourceChange }: { sourceChange?: Delta }): void {
    if (!sourceChange) return;
    this.start = movedBy(sourceChange, this.start);
    this.end = Math.max(this.start, movedBy(sourceChange, this.end));
  }
}

export class CellPictures implements IDisposable {
  private tray: Tray | null = null;
  private timer = 0;
  private _isDisposed = false;
  private readonly sought = new Set<string>(); // names that the kernel was asked for

  constructor(
    readonly cell: CodeCell,
    private readonly around: Surroundings,
  ) {
    cell.model.contentChanged.connect(this.later, this);
    cell.model.metadataChanged.connect(this.later, this);
    cell.disposed.connect(this.dispose, this);
    if (hasAttachments(cell.model) || this.isPrompt) this.look(false);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) return;
    this._isDisposed = true;
    window.clearTimeout(this.timer);
    this.tray?.dispose();
  }

  get source(): string {
    return this.cell.model.sharedModel.getSource();
  }

  get isPrompt(): boolean {
    return this.around.isPrompt(this.source);
  }

  /** Why nothing can be added; empty if it can. */
  get locked(): string {
    return this.around.readOnly || this.cell.readOnly ? READ_ONLY : "";
  }

  /** The names of the pictures that this cell would send. */
  get names(): string[] {
    return this.isPrompt ? referencesIn(this.source).map(({ name }) => name) : [];
  }

  /** The selection of the editor, or the end of the text. */
  placeAtCursor(): Place {
    const { editor, source } = this;
    const selection = editor?.getSelection();
    const offsets = selection && editor ? [editor.getOffsetAt(selection.start), editor.getOffsetAt(selection.end)] : [source.length, source.length];
    return new Place(this.cell, Math.min(...offsets), Math.max(...offsets));
  }

  /** The place where something was dropped, or the end of the text. */
  placeAtPoint(x: number, y: number): Place {
    const { editor, source } = this;
    const position = editor?.host.contains(document.elementFromPoint(x, y)) ? editor.getPositionForCoordinate({ left: x, top: y, right: x, bottom: y, width: 0, height: 0 } as CodeEditor.ICoordinate) : null;
    const offset = position && editor ? editor.getOffsetAt(position) : source.length;
    return new Place(this.cell, offset, offset);
  }

  /** Put a picture into the text, and its content into the metadata: one step to undo. */
  insert(name: string, picture: Stored, place: Place, following: boolean): void {
    const { model } = this.cell;
    this.around.store.add(name, picture);
    const attachments = attachmentsOf(model).set(name, picture.bundle);
    const line = readFirstLine(this.source).line?.end ?? -1; // the picture belongs below this line
    const above = place.start <= line;
    const text = (following || above ? "\n" : "") + referenceTo(name);
    const end = this.replace(above ? line : place.start, Math.max(line, place.end), text, () => setAttachments(model, attachments));
    place.start = place.end = end;
    this.look(false);
  }

  /** Attach a file: it is named in the line of the magic. */
  attach(spec: string): void {
    const { line } = readFirstLine(this.source);
    if (!line) return;
    const word = /[\s,"'\\]/u.test(spec) ? `"${spec.replace(/(["\\])/gu, "\\$1")}"` : spec;
    this.replace(line.end, line.end, `${/\s$/u.test(this.source.slice(0, line.end)) ? "" : " "}-a ${word}`);
  }

  /** The trouble that is shown. */
  get trouble(): string {
    return this.tray?.trouble ?? "";
  }

  /** Say something below the editor. */
  say(text: string, trouble = false): void {
    if (text) this.shownTray().say(text, trouble);
    else this.tray?.say("");
  }

  private get editor(): CodeEditor.IEditor | null {
    return this.cell.editor;
  }

  /** Replace a part of the text, as a step of its own. Returns the end of the new text; the cursor goes there if it was there. */
  private replace(start: number, end: number, text: string, also: () => void = () => {}): number {
    const { editor } = this;
    const { sharedModel } = this.cell.model;
    const cursor = editor?.hasFocus() ? editor.getOffsetAt(editor.getCursorPosition()) : -1;
    const history = (sharedModel as { undoManager?: { stopCapturing?(): void } | null }).undoManager;
    history?.stopCapturing?.();
    sharedModel.transact(() => {
      sharedModel.updateSource(start, end, text);
      also();
    });
    history?.stopCapturing?.();
    const behind = start + text.length;
    const position = editor && cursor >= 0 && cursor <= end && cursor >= Math.min(start, end) ? editor.getPositionAt(behind) : undefined;
    if (position) editor?.setSelection({ start: position, end: position });
    return behind;
  }

  private later(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.look(true), PAUSE);
  }

  /** Compare text, metadata and tray. `changed`: the text is another one, so what it no longer names is taken out. */
  look(changed: boolean): void {
    if (this._isDisposed) return;
    const { cell, source, isPrompt } = this;
    const attachments = attachmentsOf(cell.model);
    if (!isPrompt && !attachments.size) return this.tray?.showPictures([], false);
    for (const [name, bundle] of attachments) this.around.store.take(name, bundle);
    const references = isPrompt ? firstOfEach(referencesIn(source)) : [];
    if (changed && !this.locked) this.tidy(attachments, references, source);
    if (changed) this.tray?.forget();
    this.showPictures(references);
    if (isPrompt && references.length) this.around.upload(references.map(({ name }) => name));
  }

  /** Keep in the metadata what the text names, and nothing else. */
  private tidy(attachments: Map<string, { [type: string]: string }>, references: Reference[], source: string): void {
    const wanted = new Map([...attachments].filter(([name]) => source.includes(name)));
    for (const { name } of references) {
      const picture = this.around.store.get(name);
      if (picture && !wanted.has(name)) wanted.set(name, picture.bundle);
      if (!picture) void this.seek(name);
    }
    const same = wanted.size === attachments.size && [...wanted.keys()].every((name) => attachments.has(name));
    if (!same) setAttachments(this.cell.model, wanted);
  }

  /** A picture that no cell of this page has may be in the kernel. */
  private async seek(name: string): Promise<void> {
    const digits = digitsOf(name);
    if (!digits || this.sought.has(name)) return;
    this.sought.add(name);
    const picture = await this.around.find(digits);
    if (!picture || this._isDisposed) return;
    this.around.store.add(name, picture);
    this.look(true);
  }

  private showPictures(references: readonly Reference[]): void {
    if (!references.length && !this.tray) return;
    const pictures = references.map((reference) => ({ reference, content: this.around.store.get(reference.name) }));
    this.shownTray().showPictures(pictures, !this.locked);
  }

  private shownTray(): Tray {
    if (this.tray) return this.tray;
    const tray = new Tray({
      describe: (name, description) => this.describe(name, description),
      remove: (name) => this.remove(name),
      leave: () => this.editor?.focus(),
    });
    this.tray = tray;
    void this.cell.ready.then(() => {
      if (tray.isDisposed || this.cell.isDisposed) return;
      const layout = this.cell.layout as PanelLayout;
      const input = layout.widgets.findIndex((widget) => widget.hasClass("jp-Cell-inputWrapper"));
      layout.insertWidget(input + 1, tray);
      tray.follow(layout.widgets[input].node, () => this.cell.inputHidden);
    });
    return tray;
  }

  private describe(name: string, description: string): void {
    const { sharedModel } = this.cell.model;
    sharedModel.transact(() => {
      for (const reference of referencesIn(this.source).reverse()) {
        if (reference.name === name) sharedModel.updateSource(reference.descriptionStart, reference.descriptionEnd, escaped(description));
      }
    });
  }

  private remove(name: string): void {
    const { model } = this.cell;
    const attachments = attachmentsOf(model);
    attachments.delete(name);
    model.sharedModel.transact(() => {
      for (const reference of referencesIn(this.source).reverse()) {
        if (reference.name !== name) continue;
        const { start, end } = alone(this.source, reference);
        model.sharedModel.updateSource(start, end, "");
      }
      setAttachments(model, attachments);
    });
    this.look(false);
    this.say(`Picture removed: ${name}`);
  }
}

/** The reference with the end of its line before it, if it has the line for itself. */
function alone(source: string, { start, end }: Reference): { start: number; end: number } {
  const isAlone = source[start - 1] === "\n" && (end === source.length || source[end] === "\n");
  return isAlone ? { start: start - 1, end } : { start, end };
}

function firstOfEach(references: readonly Reference[]): Reference[] {
  return [...new Map(references.map((reference) => [reference.name, reference] as const).reverse()).values()].reverse();
}

/** The pictures of one notebook: what is pasted and dropped into its prompt cells, and what its kernel has of it. */

import { CodeCell, type Cell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Contents } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import type { Drag } from "@lumino/dragdrop";

import { messageOf } from "../../../panel/src/error_text.js";
import { isPicture, MAX_MESSAGE, prepare, sizeText, SUFFIXES, USUAL, type Limits } from "../../../panel/src/pictures.js";
import { inspect } from "../../../panel/src/picture_files.js";
import { bringsFiles, CONTENTS, fileOf, folderText, held, TEXT_WINS } from "../../../panel/src/transfers.js";
import type { Connection } from "../kernel/connection";
import { settled } from "../kernel/settled";
import { isPrompt, readFirstLine } from "../prompt_cells/first_line";
import { CellPictures, type Place, type Surroundings } from "./cell";
import { attachmentName } from "./references";
import { stored, type Store, type Stored } from "./store";

const PATIENCE = 1500; // milliseconds that a kernel has to say what its model takes; it may run a cell
const IMAGES = /\.(?:png|jpe?g|gif|webp|bmp|avif|svg)$/iu;
const NO_KERNEL = "the kernel cannot take files now: run %load_ext flowgpt_magic, or wait until it is idle";
const DRAGS = ["dragenter", "dragover", "drop", "lm-dragenter", "lm-dragover", "lm-drop"];

export class NotebookPictures implements Surroundings, IDisposable {
  private readonly cells = new Map<Cell, CellPictures>();
  private work: Promise<unknown> = Promise.resolve(); // one picture after the other
  private readonly given = new Set<string>(); // digests that this kernel has
  private timer = 0;
  private _isDisposed = false;

  constructor(
    private readonly panel: NotebookPanel,
    private readonly connection: Connection,
    private readonly contents: Contents.IManager,
    readonly store: Store,
  ) {
    panel.node.addEventListener("paste", this.paste, true);
    for (const name of DRAGS) panel.node.addEventListener(name, this.drag, true);
    panel.disposed.connect(this.dispose, this);
    connection.statusChanged.connect(this.kernelChanged, this);
    void panel.context.ready.then(() => {
      if (this._isDisposed) return;
      panel.content.model?.cells.changed.connect(this.lookSoon, this);
      this.look();
    });
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) return;
    this._isDisposed = true;
    this.panel.node.removeEventListener("paste", this.paste, true);
    for (const name of DRAGS) this.panel.node.removeEventListener(name, this.drag, true);
    this.connection.statusChanged.disconnect(this.kernelChanged, this);
    for (const cell of this.cells.values()) cell.dispose();
    this.cells.clear();
  }

  get readOnly(): boolean {
    return this.panel.content.model?.readOnly ?? false;
  }

  isPrompt(source: string): boolean {
    return isPrompt(source, this.connection.hello?.magics ?? ["flowgpt"]);
  }

  /** The prompt cell that is active; null if another cell is. */
  get active(): CellPictures | null {
    return this.promptOf(this.panel.content.activeCell);
  }

  /** The pictures of a cell that is about to run go to the kernel first. */
  running(cell: Cell): void {
    const { names } = this.promptOf(cell) ?? {};
    if (names) this.upload(names);
  }

  /** Add files to a prompt. */
  add(cell: CellPictures, files: readonly File[], place: Place, trouble = ""): void {
    cell.say(trouble, true);
    let following = false;
    for (const file of files) {
      this.soon(cell, async () => {
        if (await this.addOne(cell, file, place, following)) following = true;
      });
    }
    this.work = this.work.then(() => place.dispose());
  }

  upload(names: readonly string[]): void {
    const pictures = new Map<string, string>(); // names by digests
    for (const name of names) {
      const picture = this.store.get(name);
      if (picture?.bytes.length) pictures.set(picture.digest, name);
    }
    if (!pictures.size) return;
    this.connection.connect();
    if (this.connection.status === "ready") void this.give(pictures);
  }

  async find(digits: string): Promise<Stored | null> {
    if (this.connection.status !== "ready") return null;
    try {
      const { buffers } = await this.connection.ask("thumbnail", { picture: digits, large: true });
      if (!buffers?.length) return null;
      const facts = await inspect(new Blob([buffers[0]]));
      return facts && facts !== "svg" ? await stored(bytesOf(buffers[0]), facts.type, "") : null;
    } catch {
      return null; // the cell says that the notebook does not have it
    }
  }

  /** Cells came or went: their widgets follow. */
  private lookSoon(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.look());
  }

  /** Each cell that is there has its pictures. */
  private look(): void {
    if (this._isDisposed) return;
    const { widgets } = this.panel.content;
    const there = new Set<Cell>(widgets);
    for (const [cell, pictures] of this.cells) {
      if (there.has(cell)) continue;
      pictures.dispose();
      this.cells.delete(cell);
    }
    for (const cell of widgets) this.of(cell);
  }

  private of(cell: Cell): CellPictures | null {
    const known = this.cells.get(cell);
    if (known || !(cell instanceof CodeCell)) return known ?? null;
    const pictures = new CellPictures(cell, this);
    this.cells.set(cell, pictures);
    return pictures;
  }

  private promptOf(cell: Cell | null): CellPictures | null {
    const pictures = cell && this.of(cell);
    return pictures?.isPrompt ? pictures : null;
  }

  /* from the person */

  private cellAt(target: EventTarget | null): CellPictures | null {
    const node = target instanceof Element ? target.closest(".jp-Cell-inputWrapper, .flowgpt-pictures")?.closest(".jp-Cell") : null;
    return node ? this.promptOf(this.panel.content.widgets.find((widget) => widget.node === node) ?? null) : null;
  }

  private readonly paste = (event: ClipboardEvent): void => {
    const target = event.target instanceof Element ? event.target : null;
    const cell = target?.closest(".cm-editor") ? this.cellAt(target) : null;
    if (!cell) return;
    const { files, folders, text } = held(event.clipboardData);
    if (!files.length && !folders.length) return;
    if (text) return cell.say(TEXT_WINS, true);
    take(event);
    if (cell.locked) return cell.say(cell.locked, true);
    this.add(cell, files, cell.placeAtCursor(), folders.length ? folderText(folders) : "");
  };

  private readonly drag = (event: Event): void => {
    const cell = this.cellAt(event.target);
    if (!cell) return;
    if (event.type.startsWith("lm-")) this.labDrag(cell, event as Drag.Event);
    else this.fileDrag(cell, event as DragEvent);
  };

  private fileDrag(cell: CellPictures, event: DragEvent): void {
    if (!event.dataTransfer || !bringsFiles(event.dataTransfer)) return;
    take(event);
    if (event.type !== "drop") {
      event.dataTransfer.dropEffect = cell.locked ? "none" : "copy";
      return;
    }
    if (cell.locked) return cell.say(cell.locked, true);
    const { files, folders } = held(event.dataTransfer);
    this.add(cell, files, cell.placeAtPoint(event.clientX, event.clientY), folders.length ? folderText(folders) : "");
  }

  private labDrag(cell: CellPictures, event: Drag.Event): void {
    if (!event.mimeData.hasData(CONTENTS)) return;
    take(event);
    event.dropAction = event.proposedAction;
    if (event.type !== "lm-drop") return;
    if (cell.locked) return cell.say(cell.locked, true);
    void this.addPaths(cell, event.mimeData.getData(CONTENTS) as string[], cell.placeAtPoint(event.clientX, event.clientY));
  }

  /* files */

  private soon(cell: CellPictures, run: () => Promise<void>): void {
    this.work = this.work.then(run).catch((error) => cell.say(messageOf(error), true));
  }

  /** Add files of the server: pictures as if they came from the desktop, others by their paths. */
  private async addPaths(cell: CellPictures, paths: readonly string[], place: Place): Promise<void> {
    const files: File[] = [];
    for (const path of paths) {
      if (IMAGES.test(path)) {
        this.soon(cell, async () => void files.push(fileOf(await this.contents.get(path, { content: true, type: "file", format: "base64" }))));
      } else {
        this.soon(cell, async () => {
          const { attached } = await this.asked("file_path", { path });
          cell.attach(attached);
        });
      }
    }
    await this.work;
    this.add(cell, files, place, cell.trouble);
  }

  /** Ask the kernel something that only it can do. */
  private async asked(kind: string, about: { [name: string]: string }, buffers: ArrayBuffer[] = []): Promise<any> {
    if (!(await this.reach())) throw new Error(`${Object.values(about)[0]}: ${NO_KERNEL}.`);
    return this.connection.ask(kind, about, buffers);
  }

  /** Connect with the kernel, if that does not take long; returns true if it is reached. */
  private async reach(): Promise<boolean> {
    const { connection } = this;
    connection.connect();
    await Promise.race([settled(connection), new Promise((resolve) => window.setTimeout(resolve, PATIENCE))]);
    return connection.status === "ready";
  }

  /** Returns true if it was a picture. */
  private async addOne(cell: CellPictures, file: File, place: Place, following: boolean): Promise<boolean> {
    if (!(await isPicture(file))) {
      if (file.size > MAX_MESSAGE) throw new Error(`${file.name} has ${sizeText(file.size)}, and ${sizeText(MAX_MESSAGE)} can be uploaded: put it beside the notebook, and attach its name.`);
      const { attached } = await this.asked("file", { name: file.name }, [await file.arrayBuffer()]);
      cell.attach(attached);
      cell.say(`File added: ${file.name}`);
      return false;
    }
    cell.say(`${file.name} is being scaled.`);
    const limits = await this.limits(cell);
    if (limits.able === false) throw new Error(limits.why);
    const { bytes, type, url } = await prepare(file, limits);
    const picture = await stored(bytes, type, url);
    const name = attachmentName(file.name, picture.digest, SUFFIXES[type]);
    cell.insert(name, picture, place, following);
    cell.say(`Picture added: ${name}`);
    return true;
  }

  /** What the model of this cell takes, as far as the kernel can say it now. */
  private async limits(cell: CellPictures): Promise<Limits> {
    if (!(await this.reach())) return USUAL;
    const late = new Promise<Limits>((resolve) => window.setTimeout(() => resolve(USUAL), PATIENCE));
    return Promise.race([this.connection.ask("pictures_taken", { model: modelOf(cell.source) }), late]).catch(() => USUAL);
  }

  /* to the kernel */

  private kernelChanged(): void {
    this.given.clear();
    if (this.connection.status !== "ready") return;
    for (const cell of this.cells.values()) cell.look(false);
  }

  private async give(pictures: ReadonlyMap<string, string>): Promise<void> {
    const digests = [...pictures.keys()].filter((digest) => !this.given.has(digest));
    if (!digests.length) return;
    for (const digest of digests) this.given.add(digest);
    try {
      const { missing } = await this.connection.ask("pictures_missing", { pictures: digests });
      for (const digest of missing as string[]) await this.giveOne(pictures.get(digest) ?? "");
    } catch {
      for (const digest of digests) this.given.delete(digest); // they are offered again before the cell runs
    }
  }

  private async giveOne(name: string): Promise<void> {
    const picture = this.store.get(name);
    if (!picture) return;
    const thumbnail = await picture.thumbnail().then(bytesOfUrl, () => new ArrayBuffer(0));
    await this.connection.ask("picture", { name, type: picture.type }, [picture.bytes.slice().buffer, thumbnail]);
  }
}

/** The model that the line of the magic names; empty for none. */
function modelOf(source: string): string {
  const { line } = readFirstLine(source);
  const words = line ? source.slice(line.options, line.end).trim().split(/\s+/u) : [];
  const at = words.findIndex((word) => word === "-m" || word === "--model");
  if (at >= 0) return words[at + 1] ?? "";
  const [, named] = /(?:^|\s)--model=(\S+)/u.exec(words.join(" ")) ?? [];
  return named ?? (words[0]?.startsWith("-") ? "" : (words[0] ?? ""));
}

function bytesOf(buffer: ArrayBuffer | DataView): ArrayBuffer {
  return buffer instanceof ArrayBuffer ? buffer : (buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength) as ArrayBuffer);
}

function bytesOfUrl(url: string): ArrayBuffer {
  return Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (char) => char.charCodeAt(0)).buffer;
}

function take(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}

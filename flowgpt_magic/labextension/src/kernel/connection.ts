/** The connection to one notebook's kernel: what state it is in, requests and their answers. */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { JSONObject } from "@lumino/coreutils";
import type { IDisposable } from "@lumino/disposable";
import { Signal, type ISignal } from "@lumino/signaling";

import { LOAD, PROBE, probed } from "./probe";
import { PROTOCOL, TARGET, type Hello, type Message, type Status } from "./protocol";

interface Waiting {
  resolve: (answer: JSONObject) => void;
  reject: (error: Error) => void;
}

const GONE = ["dead", "terminating", "restarting", "autorestarting"];
const LOST = "The kernel was restarted or has ended.";

/** One kernel as one notebook of this page sees it. It is asked nothing before `connect` is called. */
export class Connection implements IDisposable {
  readonly messages: ISignal<this, Message>;
  readonly statusChanged: ISignal<this, Status>;
  private readonly _messages = new Signal<this, Message>(this);
  private readonly _statusChanged = new Signal<this, Status>(this);
  private readonly waiting = new Map<number, Waiting>(); // by the id of a request
  private next = 1;
  private comm: Kernel.IComm | null = null;
  private wanted = false; // has somebody called `connect`?
  private probing = false;
  private kernelId = "";
  private _language = "";
  private _status: Status = "none";
  private _hello: Hello | null = null;
  private _isDisposed = false;

  constructor(
    readonly sessionContext: ISessionContext,
    readonly version: string, // of this extension
  ) {
    this.messages = this._messages;
    this.statusChanged = this._statusChanged;
    sessionContext.kernelChanged.connect(this.look, this);
    sessionContext.statusChanged.connect(this.look, this);
    sessionContext.iopubMessage.connect(this.overhear, this);
    this.look();
  }

  get status(): Status {
    return this._status;
  }

  /** What the kernel said of itself; null until it is ready, or known to be of another version. */
  get hello(): Hello | null {
    return this._hello;
  }

  /** The language of a kernel that is "foreign". */
  get language(): string {
    return this._language;
  }

  get kernel(): Kernel.IKernelConnection | null {
    return this.sessionContext.session?.kernel ?? null;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Ask the kernel whether it can be talked to, now and whenever that may have changed. */
  connect(): void {
    this.wanted = true;
    this.look();
  }

  /** Load the extension into the kernel. Rejects with what to do if it cannot be loaded. */
  async load(): Promise<void> {
    const failure = await this.run(LOAD);
    if (failure) throw new Error(failure);
    await this.probe();
  }

  /**
   * Ask the kernel something. Rejects with one sentence for the person if it cannot answer.
   * `buffers` are sent as they are, beside the message.
   */
  ask(kind: string, more: JSONObject = {}, buffers: ArrayBuffer[] = []): Promise<any> {
    const { comm } = this;
    if (!comm || this._status !== "ready") return Promise.reject(new Error("The kernel cannot be reached."));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      comm.send({ kind, id, ...more }, {}, buffers);
    });
  }

  dispose(): void {
    if (this._isDisposed) return;
    this._isDisposed = true;
    this.disconnect();
    Signal.clearData(this);
  }

  /** Find out what has become of the kernel. */
  private look(): void {
    const { kernel } = this;
    if (kernel?.id !== this.kernelId || (kernel && GONE.includes(kernel.status))) this.disconnect();
    this.kernelId = kernel?.id ?? "";
    if (!kernel || this.sessionContext.hasNoKernel) return this.become("none");
    if (kernel.status === "dead") return this.become("dead");
    if (["none", "dead"].includes(this._status)) this.become("unknown");
    if (this.wanted && this._status === "unknown" && !this.comm && kernel.status === "idle") void this.probe();
  }

  /** Another cell has run: it may have loaded or unloaded the extension. */
  private overhear(_context: ISessionContext, message: KernelMessage.IMessage): void {
    if (!["absent", "unloaded", "older"].includes(this._status) || message.header.msg_type !== "execute_input") return;
    this.become("unknown"); // and as soon as the kernel is idle, it is asked
  }

  private async probe(): Promise<void> {
    const { kernel } = this;
    if (!kernel || this.probing) return;
    this.probing = true;
    try {
      const { language_info } = await kernel.info;
      this._language = language_info.name;
      if (this._language !== "python") return this.become("foreign");
      const found = probed(await this.evaluate(kernel, PROBE));
      if (kernel.id !== this.kernelId || this._isDisposed) return;
      if (found === "ready") this.open(kernel);
      else this.become(found);
    } catch {
      // The kernel was restarted, or its connection broke: it is asked again when it is idle.
    } finally {
      this.probing = false;
    }
  }

  private async evaluate(kernel: Kernel.IKernelConnection, expression: string): Promise<unknown> {
    const content = { code: "", silent: true, store_history: false, user_expressions: { answer: expression } };
    const reply = await kernel.requestExecute(content).done;
    return reply.content.status === "ok" ? reply.content.user_expressions?.answer : undefined;
  }

  /** Run code beside the history of the notebook. Returns what went wrong, nothing if nothing did. */
  private async run(code: string): Promise<string> {
    const { kernel } = this;
    if (!kernel) throw new Error("There is no kernel.");
    const reply = await kernel.requestExecute({ code, silent: true, store_history: false }).done;
    const { content } = reply;
    return content.status === "error" ? `${content.ename}: ${content.evalue}` : "";
  }

  private open(kernel: Kernel.IKernelConnection): void {
    this.disconnect();
    this.become("unknown"); // until the kernel has greeted
    const comm = kernel.createComm(TARGET);
    comm.onMsg = (message) => this.hear(message.content.data as Message);
    comm.onClose = () => {
      if (comm !== this.comm) return;
      this.disconnect();
      this.become("unloaded");
    };
    this.comm = comm;
    comm.open({ purpose: "page", version: this.version, protocol: PROTOCOL });
  }

  private hear(message: Message): void {
    if (message.kind === "answer") this.answered(message);
    else if (message.kind === "hello") this.greeted(message as unknown as Hello);
    else this._messages.emit(message);
  }

  private greeted(hello: Hello): void {
    this._hello = hello;
    if (hello.protocol === PROTOCOL) this.become("ready");
    else this.become(hello.protocol < PROTOCOL ? "older" : "newer");
  }

  private answered(answer: Message): void {
    const waiting = this.waiting.get(answer.id as number);
    this.waiting.delete(answer.id as number);
    if (answer.error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(answer.error as string));
  }

  private disconnect(): void {
    const { comm } = this;
    this.comm = null;
    this._hello = null;
    for (const { reject } of this.waiting.values()) reject(new Error(LOST));
    this.waiting.clear();
    if (this._status === "ready") this.become("unknown");
    if (comm && !comm.isDisposed) comm.dispose();
  }

  private become(status: Status): void {
    if (status === this._status) return;
    this._status = status;
    this._statusChanged.emit(status);
  }
}

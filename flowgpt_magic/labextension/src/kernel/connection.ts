/** The connection to one notebook's kernel: what state it is in, requests and their answers. */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import { PromiseDelegate, type JSONObject } from "@lumino/coreutils";
import type { IDisposable } from "@lumino/disposable";
import { Signal, type ISignal } from "@lumino/signaling";

import { LOAD, concerns, probe, probed } from "./probe";
import { PROTOCOL, TARGET, type Hello, type Message, type Status } from "./protocol";
import { forget, remember, remembered } from "./remembered";
import { statusText } from "./status_text";
import { openComm, sendOn, subshell, takesSubshells } from "./subshell";

type Buffers = readonly (ArrayBuffer | ArrayBufferView)[];

interface Waiting {
  resolve: (answer: JSONObject) => void;
  reject: (error: Error) => void;
}

const GONE = ["dead", "terminating", "restarting", "autorestarting"];
const STARTING = ["initializing", "starting", "connecting", "restarting", "autorestarting"];
const ATTEMPTS = 3; // at asking a kernel that does not answer; then something must change first
const LOST = "The kernel was restarted or has ended.";

/** One kernel as one notebook of this page sees it. It is asked nothing before `connect` is called. */
export class Connection implements IDisposable {
  readonly messages: ISignal<this, Message>;
  readonly statusChanged: ISignal<this, Status>;
  private readonly _messages = new Signal<this, Message>(this);
  private readonly _statusChanged = new Signal<this, Status>(this);
  private readonly waiting = new Map<number, Waiting>(); // by the id of a request
  private next = 1;
  private known: Kernel.IKernelConnection | null = null; // what `look` saw last
  private comm: Kernel.IComm | null = null;
  private subshellId = ""; // what the comm's messages are sent over, if this extension had to make it
  private greeting = new PromiseDelegate<void>(); // ends with the hello, or without one
  private refused = 0; // how often the kernel has closed the comm without a hello
  private failures = 0; // how often it was asked in vain
  private wanted = false; // has somebody called `connect`?
  private stale = true; // may the status have changed since the kernel was asked?
  private probing: { kernel: Kernel.IKernelConnection; done: Promise<void> } | null = null;
  private reaching: Kernel.IKernelConnection | null = null;
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
    sessionContext.sessionChanged.connect(this.look, this);
    sessionContext.kernelChanged.connect(this.look, this);
    sessionContext.statusChanged.connect(this.look, this);
    sessionContext.connectionStatusChanged.connect(this.reconnected, this);
    sessionContext.iopubMessage.connect(this.overhear, this);
    void sessionContext.ready.then(() => this.look());
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

  /** The id of the subshell that answers while a cell runs, where JupyterLab has none of its own; otherwise empty. */
  get ownSubshell(): string {
    return this.subshellId;
  }

  /** Ask the kernel whether it can be talked to, now and whenever that may have changed. */
  connect(): void {
    this.wanted = true;
    if (this._status !== "ready") this.stale = true;
    this.failures = 0;
    this.look();
  }

  /** Load the extension into the kernel. Rejects with what to do if it cannot be loaded. */
  async load(): Promise<void> {
    const { kernel } = this;
    if (!kernel || kernel.status === "dead") throw new Error(statusText(this._status, this));
    const failure = await this.run(kernel, LOAD);
    if (failure) throw new Error(failure);
    this.wanted = true;
    await this.probing?.done;
    if (this._status !== "ready") await this.probe(kernel);
    if (this._status !== ("ready" as Status)) throw new Error(statusText(this._status, this));
  }

  /**
   * Ask the kernel something. Rejects with one sentence for the person if it cannot answer.
   * `buffers` are sent as they are, beside the message; those of the answer are its `buffers`.
   */
  ask(kind: string, more: JSONObject = {}, buffers: ArrayBuffer[] = []): Promise<any> {
    if (this._status !== "ready") return Promise.reject(new Error(statusText(this._status, this)));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      if (this.send({ kind, id, ...more }, buffers)) return;
      this.waiting.delete(id);
      reject(new Error(LOST));
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
    if (this._isDisposed) return;
    const gone = kernel !== null && GONE.includes(kernel.status);
    if (gone) forget(kernel.id);
    if (gone || kernel !== this.known) this.lose();
    this.known = kernel;
    if (!kernel) return this.become(STARTING.includes(this.sessionContext.kernelDisplayStatus) ? "unknown" : "none");
    if (kernel.status === "dead") return this.become("dead");
    if (["none", "dead"].includes(this._status)) this.become("unknown");
    if (!this.wanted || !this.stale || this.failures >= ATTEMPTS) return;
    if (kernel.status !== "idle" && !this.comm && remembered(kernel.id)) void this.reach(kernel);
    // A kernel may stay "unknown" or "starting" for JupyterLab, which misses messages while it connects.
    if (kernel.status !== "busy" && kernel.connectionStatus === "connected") void this.probe(kernel);
  }

  /** The kernel is another one, or starts anew: nothing is known of it. */
  private lose(): void {
    this.disconnect();
    this.stale = true;
    this.probing = null; // its answer may be lost
    this.refused = this.failures = 0;
    this.become("unknown");
  }

  /** The page has its connection to the server again: the kernel may have been restarted meanwhile. */
  private reconnected(_context: ISessionContext, status: Kernel.ConnectionStatus): void {
    if (status === "connected") {
      this.stale = true;
      this.probing = null;
      this.failures = 0;
    }
    this.look();
  }

  /** A cell runs. If it may have loaded the extension, the kernel is asked as soon as it is idle. */
  private overhear(_context: ISessionContext, message: KernelMessage.IMessage): void {
    if (!["absent", "unloaded", "older", "newer"].includes(this._status)) return;
    if (message.header.msg_type !== "execute_input") return;
    if (concerns((message.content as { code: string }).code)) this.stale = true;
  }

  private probe(kernel: Kernel.IKernelConnection): Promise<void> {
    if (this.probing?.kernel === kernel) return this.probing.done;
    this.stale = false;
    const done = this.findOut(kernel).finally(() => {
      if (this.probing?.done !== done) return;
      this.probing = null;
      if (this.stale) this.look(); // something has happened meanwhile
    });
    this.probing = { kernel, done };
    return done;
  }

  private async findOut(kernel: Kernel.IKernelConnection): Promise<void> {
    let found: Status | "open" = "foreign";
    const { comm } = this;
    try {
      this._language = (await kernel.info).language_info.name;
      if (this._language === "python") found = probed(await this.evaluate(kernel, probe(comm?.commId ?? "")));
      this.failures = 0;
    } catch {
      // It was restarted, or its connection broke.
      this.failures += 1;
      this.stale = true;
      return;
    }
    if (kernel !== this.known || comm !== this.comm || this._isDisposed || found === "open") return;
    if (found === "ready") return this.open(kernel);
    forget(kernel.id);
    this.disconnect();
    this.become(found);
  }

  private async evaluate(kernel: Kernel.IKernelConnection, expression: string): Promise<unknown> {
    const user_expressions = { answer: expression };
    const content = { code: "", silent: true, store_history: false, allow_stdin: false, user_expressions };
    const reply = await replied(kernel.requestExecute(content));
    if (reply.content.status !== "ok") throw new Error("The kernel has refused the question.");
    return reply.content.user_expressions?.answer;
  }

  /** Run code beside the history of the notebook. Returns what went wrong, nothing if nothing did. */
  private async run(kernel: Kernel.IKernelConnection, code: string): Promise<string> {
    const content = { code, silent: true, store_history: false, allow_stdin: false };
    const reply = await replied(kernel.requestExecute(content));
    return reply.content.status === "error" ? `${reply.content.ename}: ${reply.content.evalue}` : "";
  }

  /** Connect while a cell runs, if this kernel was ready before the page was reloaded. */
  private async reach(kernel: Kernel.IKernelConnection): Promise<void> {
    if (this.reaching === kernel || kernel.connectionStatus !== "connected") return;
    this.reaching = kernel;
    try {
      const id = await subshell(kernel);
      // The answer to this request makes the kernel look idle, even where the cell still runs.
      // The kernel may have been asked meanwhile, and have said that the extension is unloaded.
      if (kernel === this.known && !this.comm && remembered(kernel.id)) await this.open(kernel, id);
    } catch {
      // The kernel has ended: `look` sees it.
    } finally {
      this.reaching = null;
    }
  }

  /** Connect; returns when the kernel has said hello, or that it takes no connection. */
  private open(kernel: Kernel.IKernelConnection, subshellId = ""): Promise<void> {
    this.disconnect();
    if (!kernel.handleComms) {
      this.become("shared");
      return Promise.resolve();
    }
    this.become("unknown"); // until the kernel has greeted
    const comm = kernel.createComm(TARGET);
    comm.onMsg = (message) => this.hear(comm, message.content.data as Message, message.buffers);
    comm.onClose = () => this.closed(comm);
    this.comm = comm;
    this.subshellId = subshellId;
    this.greeting = new PromiseDelegate();
    const data = { purpose: "page", version: this.version, protocol: PROTOCOL };
    openComm(comm, kernel, subshellId, data);
    return this.greeting.promise;
  }

  /** Send a message; false if there is no way to the kernel. */
  private send(data: JSONObject, buffers: ArrayBuffer[] = []): boolean {
    const { comm, known, subshellId } = this;
    if (!comm || comm.isDisposed || !known || GONE.includes(known.status)) return false;
    sendOn(comm, known, subshellId, data, buffers);
    return true;
  }

  private hear(comm: Kernel.IComm, message: Message, buffers: Buffers = []): void {
    if (comm !== this.comm) return;
    if (message.kind === "answer") this.answered(message, buffers);
    else if (message.kind === "hello") this.greeted(message as unknown as Hello);
    else if (message.kind === "ping") this.send({ kind: "pong" });
    else if (message.kind === "closed") this.closed(comm);
    else this._messages.emit(message);
  }

  private greeted(hello: Hello): void {
    this._hello = hello;
    this.refused = 0;
    this.stale = false;
    const { known } = this;
    if (known && takesSubshells(known) && !this.subshellId) remember(known.id, remembered(known.id)?.subshell);
    if (hello.protocol === PROTOCOL) this.become("ready");
    else this.become(hello.protocol < PROTOCOL ? "older" : "newer");
    this.greeting.resolve();
  }

  /** The kernel has closed the comm: the extension was unloaded, or it took this page for gone. */
  private closed(comm: Kernel.IComm): void {
    if (comm !== this.comm || this._isDisposed) return;
    comm.dispose();
    if (this.subshellId && this.known) forget(this.known.id); // it is asked when it is idle
    else if (!this._hello) this.refused += 1;
    this.disconnect();
    if (this.refused > 1) return this.become("newer"); // it does not know what a page is to this one
    this.stale = true;
    this.look();
  }

  private answered(answer: Message, buffers: Buffers): void {
    const waiting = this.waiting.get(answer.id as number);
    this.waiting.delete(answer.id as number);
    if (answer.error === undefined) waiting?.resolve(buffers.length ? ({ ...answer, buffers } as any) : answer);
    else waiting?.reject(new Error(answer.error as string));
  }

  private disconnect(): void {
    const { comm, known } = this;
    this.comm = null;
    this._hello = null;
    this.greeting.resolve();
    for (const { reject } of this.waiting.values()) reject(new Error(LOST));
    this.waiting.clear();
    if (this._status === "ready") this.become("unknown");
    if (!comm || comm.isDisposed) return;
    if (known && !known.isDisposed && !GONE.includes(known.status)) comm.close();
    else comm.dispose();
  }

  private become(status: Status): void {
    if (status === this._status) return;
    this._status = status;
    if (!this._isDisposed) this._statusChanged.emit(status);
  }
}

/** The reply to a request; `done` would also wait for a message that may be lost while the page connects. */
function replied(request: Kernel.IShellFuture<KernelMessage.IExecuteRequestMsg, KernelMessage.IExecuteReplyMsg>) {
  return new Promise<KernelMessage.IExecuteReplyMsg>((resolve, reject) => {
    request.onReply = resolve;
    request.done.then(resolve, reject);
  });
}

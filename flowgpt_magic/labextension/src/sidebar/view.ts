/** The panel of one notebook in the sidebar, and what to do where its kernel cannot serve one. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Kernel } from "@jupyterlab/services";
import type { Message as LuminoMessage } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";

import { Panel } from "../../../panel/src/panel.js";
import type { Manager } from "../../../panel/src/types";
import type { Connection } from "../kernel/connection";
import { TARGET, type Message } from "../kernel/protocol";
import { openComm, sendOn } from "../kernel/subshell";
import { insertBelow } from "./insert";
import { CommModel } from "./model";
import { Notice } from "./notice";
import { stepFor, type Front, type Step } from "./steps";
import { WaitingField } from "./waiting_field";

/** A prompt that a command wants to have in the panel. */
export interface Prompt {
  text: string;
  attached: string[];
  send: boolean; // at once, or let the person see it first
  quotes: boolean; // does it quote code, which is not read for {name}?
}

const CLOSED = "The kernel has closed this panel.";
const SERVED = "ready"; // the status in which the kernel serves panels
const GONE = ["dead", "terminating", "restarting", "autorestarting"];

export class NotebookView extends Widget {
  private readonly model: CommModel;
  private readonly notice = new Notice();
  private readonly waiting = new WaitingField();
  private panel: Panel | null = null; // once the kernel has served it; it stays when the kernel ends
  private comm: Kernel.IComm | null = null;
  private kernel: Kernel.IKernelConnection | null = null; // of the comm
  private refused = false; // has the kernel closed the last comm?
  private prompts: Prompt[] = []; // wait for the panel
  private inserted = { below: "", last: "" }; // ids of cells

  constructor(
    readonly notebook: NotebookPanel,
    private readonly connection: Connection,
    private readonly front: Front,
  ) {
    super();
    this.addClass("flowgpt-sidebar-view");
    this.node.append(this.notice.node, this.waiting.node);
    this.model = new CommModel(this.manager(), {
      name: "sidebar",
      leave: () => front.leave(notebook),
      hide: () => front.collapse(),
      insert: (sources) => { this.inserted = insertBelow(notebook.content, this.inserted, sources); },
    });
    connection.statusChanged.connect(this.look, this);
    notebook.sessionContext.connectionStatusChanged.connect(this.connectionChanged, this);
    window.addEventListener("pagehide", this.leaveKernel);
    this.look();
    connection.connect();
    void notebook.sessionContext.ready.then(() => { if (!this.isDisposed) this.look(); });
  }

  /** Put the cursor into a field, or go to the button that leads there. */
  focus(): void {
    if (this.panel && (this.comm || !this.notice.hasButton)) this.panel.composer.field.focus();
    else if (this.waiting.shown) this.waiting.node.focus();
    else this.notice.focus();
  }

  /** Put a prompt into the field, as soon as there is one, and send it if that is wanted. */
  ask(prompt: Prompt): void {
    this.prompts.push(prompt);
    this.askNext();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.connection.statusChanged.disconnect(this.look, this);
    this.notebook.sessionContext.connectionStatusChanged.disconnect(this.connectionChanged, this);
    window.removeEventListener("pagehide", this.leaveKernel);
    this.panel?.close();
    this.leaveKernel();
    super.dispose();
  }

  protected override onAfterShow(message: LuminoMessage): void {
    super.onAfterShow(message);
    this.panel?.requestFrame();
  }

  /** What the panel sees of JupyterLab; the kernel is always the present one. */
  private manager(): Manager {
    const { notebook, connection } = this;
    const { context } = notebook;
    return {
      get kernel() { return (connection.kernel ?? undefined) as Manager["kernel"]; },
      context: { get path() { return context.path; } },
    };
  }

  /** The kernel need not serve this panel any more. */
  private readonly leaveKernel = (): void => {
    const { comm, kernel } = this;
    this.forget();
    if (comm && !comm.isDisposed && kernel && !kernel.isDisposed && !GONE.includes(kernel.status)) comm.close();
  };

  private connectionChanged(): void {
    this.model.emit("comm_live_update");
  }

  /** The kernel's status has changed. */
  private look(): void {
    if (this.connection.status === SERVED && !this.refused) this.open();
    else this.lose();
  }

  private open(): void {
    const { kernel, ownSubshell } = this.connection;
    if (this.comm || !kernel) return;
    const comm = kernel.createComm(TARGET);
    comm.onMsg = ({ content, buffers }) => { if (comm === this.comm) this.hear(comm, content.data as Message, buffers); };
    comm.onClose = () => this.closed(comm);
    this.comm = comm;
    this.kernel = kernel;
    this.model.use((data, buffers) => sendOn(comm, kernel, ownSubshell, data, buffers));
    if (!this.panel) this.say(this.step()); // the connection may have been there before this view
    openComm(comm, kernel, ownSubshell, { purpose: "panel" });
  }

  /** The kernel has closed the panel. */
  private closed(comm: Kernel.IComm): void {
    if (comm !== this.comm) return;
    this.forget();
    this.refused = this.connection.status === SERVED;
    this.look();
  }

  /** The first message has the traits; only then there is something to show. */
  private hear(comm: Kernel.IComm, message: Message, buffers: (ArrayBuffer | ArrayBufferView)[] = []): void {
    if (message.kind === "ping") return this.model.send({ kind: "pong" });
    if (message.kind === "closed") return this.dismissed(comm);
    this.model.hear(message, buffers);
    if (!this.notice.shown) return;
    const focused = this.hasFocus;
    const typed = this.waiting.take();
    this.notice.hide();
    if (this.panel) this.panel.revive();
    else this.panel = new Panel(this.model, this.node);
    const { composer } = this.panel;
    const isFresh = !composer.field.value; // no draft that the person could not see
    this.askNext();
    if (typed.text) this.fillIn(typed.text);
    if (focused) this.focus();
    if (typed.send && isFresh) void composer.submit();
  }

  /** Is the cursor in what stands here without a panel, or above one? */
  private get hasFocus(): boolean {
    const { activeElement } = document;
    return this.notice.node.contains(activeElement) || activeElement === this.waiting.node;
  }

  /** Put what was typed before the panel was there below what is in its field. */
  private fillIn(text: string): void {
    const { composer } = this.panel!;
    const before = composer.field.value;
    const gap = !before || before.endsWith("\n\n") ? "" : "\n\n";
    composer.fill(`${before}${gap}${text}`, composer.attached);
    composer.remember();
  }

  /** The kernel took this page for gone, or the extension is being unloaded: then the connection says so, too. */
  private dismissed(comm: Kernel.IComm): void {
    comm.dispose();
    this.forget();
    this.look();
  }

  /** There is no panel to talk to: say what to do. What was shown and typed stays. */
  private lose(): void {
    this.leaveKernel();
    const step = this.step();
    if (this.panel?.link.alive) {
      this.model.hear({ kind: "state", values: { status: "" } });
      this.panel.leave(step.text);
    }
    this.say(step);
  }

  private say(step: Step): void {
    const hadFocus = this.hasFocus;
    this.notice.show(step, this.panel !== null);
    this.waiting.showWhile(!this.panel && !step.label);
    if (hadFocus) this.focus();
  }

  private step(): Step {
    if (this.refused) return { text: CLOSED, label: "Open it again", run: () => this.again() };
    return stepFor(this.connection, this.front);
  }

  private again(): void {
    this.refused = false;
    this.look();
  }

  private forget(): void {
    this.comm = null;
    this.kernel = null;
    this.model.use(null);
  }

  private askNext(): void {
    if (!this.panel || !this.comm) return;
    for (const prompt of this.prompts.splice(0)) void this.panel.take(prompt);
  }
}

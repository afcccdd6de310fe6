/** The sidebar: the panel of the notebook in front. Each notebook keeps its own, also while another one is in front. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import type { Message } from "@lumino/messaging";
import { Panel } from "@lumino/widgets";

import type { IConnections } from "../kernel/plugin";
import { chatIcon } from "./icon";
import { Notice } from "./notice";
import type { Front } from "./steps";
import { NotebookView, type Prompt } from "./view";

/** What the shells of JupyterLab and Notebook have in common. */
type Collapsible = JupyterFrontEnd.IShell & { collapseRight?: () => void };

const NOTHING = "Open a notebook, or click into one: its conversation is shown here.";

export class Sidebar extends Panel implements Front {
  private readonly views = new Map<NotebookPanel, NotebookView>();
  private readonly nothing = new Notice();
  private shownView: NotebookView | null = null;
  private mode: "command" | "edit" = "command"; // of the notebook before the cursor came here

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly notebooks: INotebookTracker,
    private readonly connections: IConnections,
  ) {
    super();
    this.id = "flowgpt-sidebar";
    this.addClass("flowgpt-sidebar");
    this.title.icon = chatIcon;
    this.title.caption = "Chat panel";
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", "Chat panel of the notebook in front");
    this.node.append(this.nothing.node);
    notebooks.currentChanged.connect(this.follow, this);
    app.shell.currentChanged?.connect(this.follow, this);
    this.follow();
  }

  /** Put the cursor into the panel's field; from there, back into the notebook. */
  toggle(): void {
    const { shownView } = this;
    if (shownView && this.node.contains(document.activeElement)) this.leave(shownView.notebook);
    else this.open();
  }

  open(): void {
    if (!this.node.contains(document.activeElement)) this.mode = this.notebookInFront?.content.mode ?? "command";
    const palette = document.activeElement?.closest(".lm-CommandPalette");
    this.app.shell.activateById(this.id);
    if (palette) requestAnimationFrame(() => setTimeout(() => this.focus())); // JupyterLab goes back to the notebook first
    if (this.isVisible) this.focus(); // now, and not a moment later
  }

  /** Open the panel with a prompt in its field, below what is typed there. Rejects without a notebook. */
  ask(prompt: Prompt): void {
    this.open();
    if (!this.shownView) throw new Error("There is no notebook in front.");
    this.shownView.ask(prompt);
  }

  /** Close the sidebar; the panel stays as it is for the next time. */
  collapse(): void {
    (this.app.shell as Collapsible).collapseRight?.();
    if (this.shownView) this.leave(this.shownView.notebook);
  }

  run(command: string): Promise<unknown> {
    return this.app.commands.execute(command);
  }

  leave({ content }: NotebookPanel): void {
    content.mode = this.mode;
    content.activate(); // which focuses the cell, or its editor in edit mode
    this.mode = "command";
  }

  override dispose(): void {
    this.notebooks.currentChanged.disconnect(this.follow, this);
    this.app.shell.currentChanged?.disconnect(this.follow, this);
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.follow();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.focus();
  }

  private focus(): void {
    this.follow();
    if (this.shownView) this.shownView.focus();
    else this.nothing.focus();
  }

  private get notebookInFront(): NotebookPanel | null {
    const notebook = this.notebooks.currentWidget;
    return notebook && (notebook.isVisible || notebook === this.app.shell.currentWidget) ? notebook : null;
  }

  /** Show the panel of the notebook in front. It is made when it is seen for the first time: no kernel is asked before. */
  private follow(): void {
    const notebook = this.notebookInFront;
    const view = notebook && (this.views.get(notebook) ?? (this.isVisible ? this.viewOf(notebook) : null));
    this.shownView = view;
    for (const other of this.views.values()) other.setHidden(other !== view);
    if (view) this.nothing.hide();
    else this.nothing.show({ text: NOTHING });
  }

  private viewOf(notebook: NotebookPanel): NotebookView {
    const view = new NotebookView(notebook, this.connections.of(notebook), this);
    this.views.set(notebook, view);
    this.addWidget(view);
    notebook.disposed.connect(() => {
      this.views.delete(notebook);
      view.dispose();
      this.follow();
    });
    return view;
  }
}

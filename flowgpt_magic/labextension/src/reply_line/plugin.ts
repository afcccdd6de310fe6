/** The line below the replies in cells, with its buttons. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";

import { IConnections } from "../kernel/plugin";
import { NotebookLines } from "./lines";

export const replyLinePlugin: JupyterFrontEndPlugin<void> = {
  id: "flowgpt_magic:reply-line",
  description: "Below a reply in a cell: what was sent, its versions, ask again, copy, insert the code.",
  autoStart: true,
  requires: [INotebookTracker, IConnections],
  activate: (_app: JupyterFrontEnd, notebooks: INotebookTracker, connections: IConnections) => {
    const open = (panel: NotebookPanel): NotebookLines => new NotebookLines(panel, connections.of(panel));
    notebooks.forEach(open);
    notebooks.widgetAdded.connect((_tracker, panel) => void open(panel));
  },
};

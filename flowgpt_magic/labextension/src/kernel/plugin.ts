/** The connections to the kernels of the notebooks that are open, for the other plugins. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { Token } from "@lumino/coreutils";

import { Connection } from "./connection";

declare const __VERSION__: string; // webpack's

export interface IConnections {
  /** The connection to a notebook's kernel. It is made once, and goes with the notebook. */
  of(notebook: NotebookPanel): Connection;
}

export const IConnections = new Token<IConnections>("flowgpt_magic:connections", "Connections to the kernels of notebooks");

class Connections implements IConnections {
  private readonly byNotebook = new WeakMap<NotebookPanel, Connection>();

  of(notebook: NotebookPanel): Connection {
    let connection = this.byNotebook.get(notebook);
    if (!connection) {
      connection = new Connection(notebook.sessionContext, __VERSION__);
      this.byNotebook.set(notebook, connection);
      // Before the notebook's own end, which takes the connection to the kernel with it.
      notebook.content.disposed.connect(() => connection?.dispose());
    }
    return connection;
  }
}

export const connectionsPlugin: JupyterFrontEndPlugin<IConnections> = {
  id: "flowgpt_magic:connections",
  description: "Connects notebooks with the package in their kernels.",
  autoStart: true,
  requires: [INotebookTracker],
  provides: IConnections,
  activate: (_app: JupyterFrontEnd, _notebooks: INotebookTracker) => new Connections(),
};

/** Pictures and files in prompt cells: pasted, dropped, or chosen. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { INotebookTracker, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";

import { IConnections } from "../kernel/plugin";
import { NotebookPictures } from "./notebook";
import { Store } from "./store";

const COMMAND = "flowgpt_magic:attach";

/** Let the person choose files. Some browsers do not tell when nothing is chosen. */
function choose(run: (files: File[]) => void): void {
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  input.addEventListener("change", () => run([...(input.files ?? [])]));
  input.click();
}

export const picturesPlugin: JupyterFrontEndPlugin<void> = {
  id: "flowgpt_magic:pictures",
  description: "Takes pictures and files into prompt cells.",
  autoStart: true,
  requires: [INotebookTracker, IConnections],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, tracker: INotebookTracker, connections: IConnections, palette: ICommandPalette | null) => {
    const store = new Store();
    const notebooks = new WeakMap<NotebookPanel, NotebookPictures>();
    const add = (panel: NotebookPanel): void => {
      notebooks.set(panel, new NotebookPictures(panel, connections.of(panel), app.serviceManager.contents, store));
    };
    const current = (): NotebookPictures | null => (tracker.currentWidget && notebooks.get(tracker.currentWidget)) ?? null;
    tracker.forEach(add);
    tracker.widgetAdded.connect((_tracker, panel) => add(panel));
    NotebookActions.executionScheduled.connect((_sender, { notebook, cell }) => {
      const panel = tracker.find((panel) => panel.content === notebook);
      if (panel) notebooks.get(panel)?.running(cell);
    });
    app.commands.addCommand(COMMAND, {
      label: "Attach a Picture or File…",
      caption: "Add a picture or a file to this prompt",
      isEnabled: () => Boolean(current()?.active),
      isVisible: () => Boolean(current()?.active),
      execute: () => {
        const notebook = current();
        const cell = notebook?.active;
        if (!notebook || !cell) return;
        if (cell.locked) return cell.say(cell.locked, true);
        const place = cell.placeAtCursor();
        choose((files) => notebook.add(cell, files, place));
      },
    });
    app.contextMenu.addItem({ command: COMMAND, selector: ".jp-Notebook .jp-CodeCell", rank: 11 });
    palette?.addItem({ command: COMMAND, category: "Notebook Cell Operations" });
  },
};

/** The plugin of the panel in the sidebar: its place, its commands, its shortcut. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { INotebookTracker } from "@jupyterlab/notebook";

import { IConnections } from "../kernel/plugin";
import { chatIcon } from "./icon";
import { Sidebar } from "./sidebar";

const OPEN = "flowgpt_magic:open-panel"; // the schema has its shortcut and its place in the menu
const ASK = "flowgpt_magic:ask-in-panel"; // {text, attached?, send?, quotes?}; for other plugins

function activate(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  connections: IConnections,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null,
): void {
  const sidebar = new Sidebar(app, notebooks, connections);
  app.commands.addCommand(OPEN, {
    label: "Chat Panel",
    caption: "Go to the chat panel of this notebook, and back",
    icon: chatIcon,
    execute: () => sidebar.toggle(),
  });
  app.commands.addCommand(ASK, {
    label: "Ask in the Chat Panel",
    execute: ({ text, attached, send, quotes }) =>
      sidebar.ask({
        text: String(text),
        attached: Array.isArray(attached) ? attached.map(String) : [],
        send: Boolean(send),
        quotes: Boolean(quotes),
      }),
  });
  palette?.addItem({ command: OPEN, category: "FlowGPT" });
  app.shell.add(sidebar, "right", { rank: 900, type: "Chat Panel" });
  restorer?.add(sidebar, sidebar.id);
}

export const sidebarPlugin: JupyterFrontEndPlugin<void> = {
  id: "flowgpt_magic:sidebar",
  description: "The chat panel of the notebook in front, in the sidebar.",
  autoStart: true,
  requires: [INotebookTracker, IConnections],
  optional: [ICommandPalette, ILayoutRestorer],
  activate,
};

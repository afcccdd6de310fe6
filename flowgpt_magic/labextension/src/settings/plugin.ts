/** The page of settings, and their way to the kernels that use them. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { INotebookTracker, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IFormRendererRegistry } from "@jupyterlab/ui-components";

import { IConnections } from "../kernel/plugin";
import { Delivery } from "./delivery";
import { chosen, mayAsk } from "./preferences";
import { shortcutsField } from "./shortcuts";

const ID = "flowgpt_magic:settings"; // also the name of its schema

/** The settings; null, and a notice, if their file is damaged. */
async function loaded(registry: ISettingRegistry): Promise<ISettingRegistry.ISettings | null> {
  try {
    return await registry.load(ID);
  } catch {
    Notification.warning("The settings of FlowGPT cannot be read, so none of them is used: see Settings → Settings Editor.");
    return null;
  }
}

async function activate(
  app: JupyterFrontEnd,
  connections: IConnections,
  notebooks: INotebookTracker,
  registry: ISettingRegistry,
  forms: IFormRendererRegistry | null,
): Promise<void> {
  forms?.addRenderer(`${ID}.shortcuts`, { fieldRenderer: shortcutsField(app) });
  const settings = await loaded(registry);
  if (!settings) return;
  const deliveries = new Map<NotebookPanel, Delivery>();
  const warned = new Set<string>(); // once for all notebooks, until the settings change
  const warn = (notice?: string): void => {
    if (!notice || warned.has(notice)) return;
    warned.add(notice);
    Notification.warning(notice, { autoClose: false });
  };
  const follow = (notebook: NotebookPanel): void => {
    deliveries.set(notebook, new Delivery(connections.of(notebook), () => chosen(settings), warn));
    notebook.disposed.connect(() => deliveries.delete(notebook));
  };

  notebooks.forEach(follow);
  notebooks.widgetAdded.connect((_notebooks, notebook) => follow(notebook));
  settings.changed.connect(() => {
    warned.clear();
    for (const delivery of deliveries.values()) void delivery.deliver();
  });
  NotebookActions.executionScheduled.connect((_actions, { notebook, cell }) => {
    if (!mayAsk(cell.model.sharedModel.getSource())) return;
    const panel = notebooks.find((other) => other.content === notebook);
    if (panel) deliveries.get(panel)?.deliverEarly();
  });
}

export const settingsPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Brings the settings of JupyterLab's settings editor to the kernels.",
  autoStart: true,
  requires: [IConnections, INotebookTracker, ISettingRegistry],
  optional: [IFormRendererRegistry],
  activate,
};

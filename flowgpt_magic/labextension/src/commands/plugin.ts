/** The commands on cells, in the command palette, the menus and the cells' context menu. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, Notification, showErrorMessage } from "@jupyterlab/apputils";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { CommandRegistry } from "@lumino/commands";

import { IConnections } from "../kernel/plugin";
import { statusText } from "../kernel/status_text";
import { askAbout, explain } from "./ask";
import { errorOf, isForeign, isPromptCell, isReadOnly, selectedCells, sourceOf, type Place } from "./cells";
import { toCode, toPrompts } from "./convert";
import { Fixes } from "./fix";
import { addButtons } from "./fix_button";
import { runWithModel } from "./models";
import { stop } from "./stop";

/** A command on the active cell. */
interface CellCommand {
  label: string;
  caption: string;
  run: (place: Place) => unknown;
  why?: (place: Place) => string; // it cannot be used on this cell; empty if it can
}

function commandsOnCells(commands: CommandRegistry, fixes: Fixes): Record<string, CellCommand> {
  const models = new Map<string, string>(); // by notebook: the one that was chosen last
  return {
    "ask-about": {
      label: "Ask About Selection or Cell",
      caption: "Begin a prompt about the selected text, or else about the cell",
      run: (place) => askAbout(commands, place),
      why: needsText,
    },
    explain: {
      label: "Explain Selection or Cell",
      caption: "Ask what the selected text, or else the cell, does",
      run: (place) => explain(commands, place),
      why: needsText,
    },
    fix: {
      label: "Fix Error",
      caption: "Ask for a correction of the cell, and show it as a difference",
      run: (place) => fixes.start(place),
      why: (place) => (errorOf(place.cell) && !isPromptCell(place) ? "" : "This cell shows no Python error."),
    },
    "to-prompt": {
      label: "Turn Cell into Prompt",
      caption: "Put %%flowgpt above the text of the selected cells",
      run: (place) => warn(toPrompts(place)),
      why: (place) => noChange(place) || (selectedPlaces(place).every(isPromptCell) ? "This cell is a prompt already." : ""),
    },
    "to-code": {
      label: "Turn Prompt Back into Cell",
      caption: "Take the %%flowgpt line of the selected cells away; its options are kept for the way back",
      run: (place) => warn(toCode(place)),
      why: (place) => noChange(place) || (selectedPlaces(place).some(isPromptCell) ? "" : NO_PROMPT),
    },
    "run-with-model": {
      label: "Run Prompt with Another Model…",
      caption: "Choose a model, and let it answer the prompt of this cell once; the text of the cell stays",
      run: (place) => runWithModel(place, models),
      why: (place) => (isPromptCell(place) ? "" : NO_PROMPT),
    },
    stop: {
      label: "Stop Replies",
      caption: "Stop the replies that arrive in this notebook, in its cells and in its panel",
      run: ({ panel, connection }) => stop(panel, connection),
    },
  };
}

const NO_PROMPT = "This cell is no prompt: a prompt begins with %%flowgpt.";
const needsText = ({ cell }: Place): string => (sourceOf(cell).trim() ? "" : "This cell is empty.");
const noChange = ({ panel, cell }: Place): string => (isReadOnly(panel, cell) ? "This notebook cannot be changed." : "");
const selectedPlaces = (place: Place): Place[] => selectedCells(place.panel.content).map((cell) => ({ ...place, cell }));

const LONGEST_NOTE = 140; // characters that a notification shows

function warn(text: string): void {
  if (text.length > LONGEST_NOTE) void showErrorMessage("FlowGPT", text);
  else if (text) Notification.warning(text, { autoClose: 6000 });
}

/** Add a command. `args.menu`: in a menu it is hidden where it cannot be used; elsewhere it is grey and says why. */
function add(registry: CommandRegistry, id: string, command: CellCommand, place: () => Place | null): void {
  const why = (): string => {
    const at = place();
    if (!at) return "No notebook is open.";
    if (isForeign(at.panel)) return "The kernel of this notebook does not run Python.";
    const { connection } = at;
    const isUseless = ["foreign", "absent"].includes(connection.status);
    return isUseless ? statusText(connection.status, connection) : (command.why?.(at) ?? "");
  };
  registry.addCommand(id, {
    label: command.label,
    caption: () => why() || command.caption,
    isEnabled: () => !why(),
    isVisible: (args) => !args.menu || !why(),
    describedBy: { args: { type: "object", properties: { menu: { type: "boolean" } } } },
    execute: async () => {
      const at = place();
      try {
        if (at) await command.run(at);
      } catch (error) {
        warn((error as Error).message);
      }
    },
  });
}

/** Keep the classes of a notebook that say what can be used there. */
function mark(panel: NotebookPanel, connections: IConnections): void {
  const connection = connections.of(panel);
  const look = (): void => {
    const { classList } = panel.content.node;
    const isForeignKernel = isForeign(panel) || ["foreign", "absent"].includes(connection.status);
    classList.toggle("flowgpt-commands", !isForeignKernel);
    classList.toggle("flowgpt-can-fix", ["ready", "unloaded"].includes(connection.status) && !isReadOnly(panel));
  };
  connection.statusChanged.connect(look);
  void panel.context.ready.then(() => {
    panel.content.model?.metadataChanged.connect(look);
    look();
  });
}

/** Ask the kernel of a notebook with an error whether it has the package, if the notebook itself uses it. */
function acquaintance(connections: IConnections): (panel: NotebookPanel) => void {
  const waiting = new Set<NotebookPanel>(); // a notebook that is opened shows many errors at once
  const known = new WeakSet<NotebookPanel>();
  return (panel) => {
    if (known.has(panel) || waiting.has(panel)) return;
    waiting.add(panel);
    setTimeout(() => {
      waiting.delete(panel);
      if (panel.isDisposed || !usesPackage(panel)) return;
      known.add(panel);
      connections.of(panel).connect();
    });
  };
}

const usesPackage = ({ content }: NotebookPanel): boolean =>
  content.widgets.some((cell) => cell.model.type === "code" && /%flowgpt|flowgpt_magic/.test(sourceOf(cell)));

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: "flowgpt_magic:commands",
  description: "Commands on cells: ask, explain, fix, turn into a prompt, run with another model, stop.",
  autoStart: true,
  requires: [INotebookTracker, IConnections, IRenderMimeRegistry],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    connections: IConnections,
    rendermime: IRenderMimeRegistry,
    palette: ICommandPalette | null,
  ) => {
    const fixes = new Fixes();
    const commands = commandsOnCells(app.commands, fixes);
    const active = (): Place | null => {
      const panel = notebooks.currentWidget;
      const cell = panel?.content.activeCell;
      return panel && cell ? { panel, cell, connection: connections.of(panel) } : null;
    };
    for (const [name, command] of Object.entries(commands)) {
      const id = `flowgpt_magic:${name}`;
      add(app.commands, id, command, active);
      palette?.addItem({ command: id, category: "FlowGPT" });
      const changed = (): void => app.commands.notifyCommandChanged(id);
      notebooks.currentChanged.connect(changed);
      notebooks.activeCellChanged.connect(changed);
    }
    notebooks.widgetAdded.connect((_, panel) => mark(panel, connections));
    const meet = acquaintance(connections);
    addButtons(rendermime, (node) => {
      const panel = notebooks.find((other) => other.node.contains(node));
      const cell = panel?.content.widgets.find((other) => other.node === node.closest(".jp-Cell"));
      if (!panel || !cell) return null;
      const place = { panel, cell, connection: connections.of(panel) };
      if (isPromptCell(place)) return null;
      meet(panel);
      return () => fixes.start(place);
    });
  },
};

/** The shortcuts on the page of settings: those in force now, and the way to change them. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { CommandRegistry } from "@lumino/commands";
import { createElement, type ReactElement } from "react";

const PREFIX = "flowgpt_magic:"; // of our commands
const EDITOR = "settingeditor:open";

interface Shortcut {
  label: string;
  keys: string;
}

/** A component that lists them. It is given the properties of a field of the form, and needs none of them. */
export function shortcutsField({ commands, shell }: JupyterFrontEnd): () => ReactElement {
  const change = (): void => {
    shell.currentWidget?.close(); // before JupyterLab 4.4, an editor that is open shows the page that it showed before
    void commands.execute(EDITOR, { query: "Keyboard Shortcuts" });
  };
  const button = { type: "button" as const, className: "jp-mod-styled jp-mod-reject", onClick: change };
  return () =>
    createElement(
      "section",
      { className: "flowgpt-shortcuts", "aria-labelledby": "flowgpt-shortcuts-title" },
      createElement("h3", { id: "flowgpt-shortcuts-title" }, "Shortcuts"),
      createElement("dl", null, shortcuts(commands).flatMap(row)),
      createElement("button", button, "Change shortcuts"),
    );
}

/** Our commands that have keys, by their labels. */
function shortcuts(commands: CommandRegistry): Shortcut[] {
  const rows = commands.keyBindings
    .filter((binding) => binding.command.startsWith(PREFIX) && commands.hasCommand(binding.command))
    .map(({ command, keys, args }) => ({ label: labelOf(commands, command, args), keys: keys.map(formatted).join(" ") }));
  return rows.sort((one, other) => one.label.localeCompare(other.label));
}

function labelOf(commands: CommandRegistry, command: string, args: CommandRegistry.IKeyBinding["args"]): string {
  return commands.label(command, args) || command;
}

function formatted(keystroke: string): string {
  return keystroke.split(" ").join("+");
}

function row({ label, keys }: Shortcut): ReactElement[] {
  return [
    createElement("dt", { key: `${label} ${keys} label` }, label),
    createElement("dd", { key: `${label} ${keys}` }, createElement("kbd", null, keys)),
  ];
}

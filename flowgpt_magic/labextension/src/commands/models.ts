/** Run a prompt cell once with a model that is chosen from a list. */

import { Dialog, showDialog } from "@jupyterlab/apputils";
import { CodeCell } from "@jupyterlab/cells";
import { UUID } from "@lumino/coreutils";
import { Widget } from "@lumino/widgets";

import type { Connection } from "../kernel/connection";
import type { Message } from "../kernel/protocol";
import type { Place } from "./cells";
import { insertBelow } from "./insert";
import { reach } from "./reach";

/** A model that can be chosen; without a name, a note about its group. */
interface Choice {
  name: string;
  group: string;
  note: string;
  able: boolean;
}

const FOR_THIS_RUN = "flowgpt_model_for_this_run"; // where the kernel looks for the name of the model

/** Ask which model, and run the cell with it. The text of the cell stays; its turn gets another version. */
export async function runWithModel(place: Place, before: Map<string, string>): Promise<void> {
  const { cell, connection, panel } = place;
  await reach(connection);
  const list = UUID.uuid4();
  const early: Message[] = []; // what a server answered before the list was there
  const keep = (_: Connection, message: Message): void => void early.push(message);
  connection.messages.connect(keep);
  const { models } = await connection.ask("models", { list }).finally(() => connection.messages.disconnect(keep));
  const body = new ModelList(models, before.get(panel.id) ?? "");
  const hear = (_: Connection, message: Message): void => {
    if (message.kind === "models" && message.list === list) body.offer(message.models as unknown as Choice[]);
  };
  early.forEach((message) => hear(connection, message));
  connection.messages.connect(hear);
  const buttons = [Dialog.cancelButton(), Dialog.okButton({ label: "Run" })];
  const result = await showDialog({ title: "Run with another model", body, buttons, focusNodeSelector: "input" });
  connection.messages.disconnect(hear);
  if (!result.button.accept || !result.value || cell.isDisposed) return;
  before.set(panel.id, result.value);
  await runOnce(place, result.value);
}

async function runOnce({ cell, panel }: Place, model: string): Promise<void> {
  const reply = await CodeCell.execute(cell as CodeCell, panel.sessionContext, { [FOR_THIS_RUN]: model });
  if (reply?.content.status !== "ok") return;
  for (const { source, text, replace } of (reply.content.payload ?? []) as any[]) {
    if (source === "set_next_input" && !replace) insertBelow(panel, cell, text); // as of `--next-cell`
  }
}

/** The models in a dialog: a field that narrows the list, and the list, in which the arrows move. */
class ModelList extends Widget implements Dialog.IBodyWidget<string> {
  private readonly field = document.createElement("input");
  private readonly list = document.createElement("div");
  private readonly note = document.createElement("div");
  private readonly ids = UUID.uuid4();
  private choices: Choice[] = [];

  constructor(
    choices: Choice[],
    private chosen: string,
  ) {
    super();
    this.addClass("flowgpt-models");
    const { field, list, note } = this;
    field.type = "search";
    field.placeholder = "Filter";
    for (const [name, value] of Object.entries(COMBOBOX)) field.setAttribute(name, value);
    field.setAttribute("aria-controls", (list.id = this.ids));
    list.className = "flowgpt-models-list";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Models");
    note.setAttribute("role", "status");
    this.node.append(field, list, note);
    field.addEventListener("input", () => this.narrow());
    field.addEventListener("keydown", (event) => this.move(event));
    list.addEventListener("click", (event) => this.pick(event));
    list.addEventListener("dblclick", () => this.accept());
    this.offer(choices);
  }

  getValue(): string {
    return this.chosen;
  }

  /** Offer these models: a server may have named its own meanwhile. */
  offer(choices: Choice[]): void {
    this.choices = choices;
    this.narrow();
  }

  private narrow(): void {
    const words = this.field.value.toLowerCase().split(/\s+/);
    const matching = this.choices.filter(({ name, group, note }) => {
      const text = `${group} ${name} ${note}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const groups = new Map<string, HTMLElement>();
    for (const [number, choice] of matching.entries()) {
      if (!groups.has(choice.group)) groups.set(choice.group, groupOf(choice.group));
      groups.get(choice.group)!.append(optionOf(choice, `${this.ids}-${number}`));
    }
    this.list.replaceChildren(...groups.values());
    const names = this.options().map(({ dataset }) => dataset.name!);
    this.choose(names.includes(this.chosen) ? this.chosen : (names[0] ?? ""));
    this.note.textContent = names.length ? "" : "No model that can be chosen matches.";
  }

  private options(): HTMLElement[] {
    return [...this.list.querySelectorAll<HTMLElement>("[role=option]:not([aria-disabled=true])")];
  }

  private choose(name: string): void {
    this.chosen = name;
    this.field.removeAttribute("aria-activedescendant");
    for (const option of this.options()) {
      const isChosen = option.dataset.name === name;
      option.setAttribute("aria-selected", String(isChosen));
      if (!isChosen) continue;
      this.field.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    }
  }

  private move(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const options = this.options();
    const next = options[options.findIndex(({ dataset }) => dataset.name === this.chosen) + step];
    if (next) this.choose(next.dataset.name!);
    event.preventDefault();
  }

  private pick(event: MouseEvent): void {
    const option = (event.target as Element).closest<HTMLElement>("[role=option]");
    if (option && this.options().includes(option)) this.choose(option.dataset.name!);
  }

  private accept(): void {
    if (this.chosen) this.node.closest(".jp-Dialog")?.querySelector<HTMLElement>(".jp-mod-accept")?.click();
  }
}

const COMBOBOX = { role: "combobox", "aria-expanded": "true", "aria-autocomplete": "list", "aria-label": "Model" };

function groupOf(label: string): HTMLElement {
  const group = document.createElement("div");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", label);
  const title = document.createElement("div");
  title.className = "flowgpt-models-group";
  title.setAttribute("role", "presentation");
  title.textContent = label;
  group.append(title);
  return group;
}

function optionOf({ name, note, able }: Choice, id: string): HTMLElement {
  const option = document.createElement("div");
  option.id = id;
  option.dataset.name = name;
  option.setAttribute("role", "option");
  if (!able || !name) option.setAttribute("aria-disabled", "true");
  option.textContent = [name, note].filter(Boolean).join(" – ");
  return option;
}

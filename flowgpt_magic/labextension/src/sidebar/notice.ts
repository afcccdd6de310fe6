/** A sentence in the sidebar that says what to do, with a button that does it. */

import { messageOf } from "../../../panel/src/error_text.js";
import type { Step } from "./steps";

export class Notice {
  readonly node = document.createElement("div");
  private readonly text = document.createElement("p");
  private readonly button = document.createElement("button");
  private readonly failure = document.createElement("p");
  private run: Step["run"];
  private running = false;

  constructor() {
    this.node.className = "flowgpt-sidebar-notice";
    this.node.tabIndex = -1;
    this.text.setAttribute("role", "status");
    this.failure.setAttribute("role", "alert");
    this.failure.className = "flowgpt-sidebar-failure";
    this.button.type = "button";
    this.button.className = "jp-mod-styled jp-mod-accept";
    this.button.addEventListener("click", () => void this.press());
    this.node.append(this.text, this.button, this.failure);
    this.hide();
  }

  get shown(): boolean {
    return !this.node.hidden;
  }

  get hasButton(): boolean {
    return this.shown && !this.button.hidden;
  }

  /** Show what to do; `above` a panel that is there already, or alone. */
  show({ text, label, run }: Step, above = false): void {
    if (this.text.textContent !== text) this.failure.textContent = "";
    const focused = this.node.contains(document.activeElement);
    this.text.textContent = text;
    this.button.hidden = !label;
    if (label) this.button.textContent = label;
    this.run = run;
    this.node.classList.toggle("flowgpt-sidebar-alone", !above);
    this.node.hidden = false;
    if (focused) this.focus();
  }

  hide(): void {
    this.node.hidden = true;
    this.failure.textContent = "";
  }

  focus(): void {
    (this.button.hidden ? this.node : this.button).focus();
  }

  private async press(): Promise<void> {
    if (this.running) return;
    this.running = true;
    this.failure.textContent = "";
    try {
      await this.run?.();
    } catch (error) {
      this.failure.textContent = messageOf(error);
    } finally {
      this.running = false;
    }
  }
}

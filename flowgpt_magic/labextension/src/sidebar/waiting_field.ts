/** A field for what is typed while the panel is not there yet. */

/** What was typed, and whether Enter was pressed after it. */
export interface TypedAhead {
  text: string;
  send: boolean;
}

export class WaitingField {
  readonly node = document.createElement("textarea");
  private send = false;

  constructor() {
    const { node } = this;
    node.className = "flowgpt-sidebar-waiting";
    node.rows = 3;
    node.placeholder = "Type your question meanwhile";
    node.setAttribute("aria-label", "Question, for the panel that opens");
    node.addEventListener("input", () => { this.send = false; });
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.altKey || event.isComposing) return;
      event.preventDefault();
      this.send = true;
    });
    node.hidden = true;
  }

  get shown(): boolean {
    return !this.node.hidden;
  }

  /** Show the field while there is nothing to do but wait. What is typed in it stays in view. */
  showWhile(waiting: boolean): void {
    if (!waiting) this.send = false; // the person has to act first
    this.node.hidden = !waiting && !this.node.value;
  }

  /** Take the text out, and hide the field. */
  take(): TypedAhead {
    const typed = { text: this.node.value, send: this.send };
    this.node.value = "";
    this.showWhile(false);
    return typed;
  }
}

/** The reasoning of a reply that arrives: a line that opens. It stays open, and keeps the focus, when it is drawn again. */

const FOLD = "details.flowgpt-reasoning";
const COLUMN = "[role=group]"; // of a reply of several models

export class Thoughts {
  private readonly open = new Set<string>(); // the columns whose line is open
  private focused: Element | null = null;
  private readonly observer = new MutationObserver(() => this.restore());

  /** Watch an output until the reply has ended. */
  constructor(private readonly output: HTMLElement) {
    output.addEventListener("toggle", this.toggled, true);
    output.addEventListener("focusin", this.entered);
    output.addEventListener("focusout", this.left);
    this.observer.observe(output, { childList: true, subtree: true });
  }

  dispose(): void {
    this.observer.disconnect();
    this.output.removeEventListener("toggle", this.toggled, true);
    this.output.removeEventListener("focusin", this.entered);
    this.output.removeEventListener("focusout", this.left);
  }

  private readonly toggled = ({ target }: Event): void => {
    if (!(target instanceof HTMLDetailsElement) || !target.matches(FOLD) || !target.isConnected) return;
    if (target.open) this.open.add(columnOf(target));
    else this.open.delete(columnOf(target));
  };

  private readonly entered = ({ target }: FocusEvent): void => {
    this.focused = target as Element;
  };

  /** Also said of an element that is about to be removed: that one has not lost the focus for good. */
  private readonly left = ({ target }: FocusEvent): void => {
    setTimeout(() => {
      if (this.focused === target && this.focused?.isConnected) this.focused = null;
    });
  };

  private restore(): void {
    const before = this.focused?.closest(FOLD) ?? null;
    const isLost = before !== null && !before.isConnected && document.activeElement === document.body;
    for (const fold of this.output.querySelectorAll<HTMLDetailsElement>(FOLD)) {
      const column = columnOf(fold);
      if (this.open.has(column) && !fold.open) fold.open = true;
      if (isLost && columnOf(before) === column) fold.querySelector("summary")?.focus({ preventScroll: true });
    }
  }
}

/** The name of the column that an element is in; empty for a reply of one model. */
function columnOf(element: Element): string {
  return element.closest(COLUMN)?.getAttribute("aria-label") ?? "";
}

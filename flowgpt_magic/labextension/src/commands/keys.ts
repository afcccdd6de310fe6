/** The keyboard in a part of a notebook that is no cell. */

const SUPPRESSED = "data-lm-suppress-shortcuts"; // Lumino's: it runs no command for keys from such an element

/**
 * Let keys without a modifier mean in `node` what they mean in any page: Enter presses a button, and letters are no
 * commands of the notebook. Shortcuts such as Ctrl+S work as everywhere.
 */
export function keepPlainKeys(node: HTMLElement): void {
  const decide = ({ ctrlKey, metaKey, altKey }: KeyboardEvent): void =>
    void node.toggleAttribute(SUPPRESSED, !(ctrlKey || metaKey || altKey));
  node.addEventListener("focusin", () => window.addEventListener("keydown", decide, true)); // before Lumino hears of it
  node.addEventListener("focusout", () => window.removeEventListener("keydown", decide, true));
}

/** A code block in the page: its language, its buttons, and its highlighted text. */

import { button, make } from "./dom.js";
import { readRuns, sameRun } from "./runs.js";

/** @import { Panel } from "./panel.js" */
/** @import { Run } from "./runs.js" */

/** The text is stored run by run, so that only the end of a growing block is made again. */
export class Code {
  /**
   * @param {Panel} panel
   * @param {Element} pre the block as the kernel sends it
   */
  constructor(panel, pre) {
    this.runs = /** @type {(Run & {node: Node})[]} */ ([]);
    this.text = /** @type {string | undefined} */ (undefined);
    this.language = "";
    this.code = make("code");
    this.label = make("span", { class: "fg-language" });
    /** @type {HTMLElement} */
    this.element = make("div", { class: "fg-code" },
      make("div", { class: "fg-codebar" }, this.label,
        button("copy", "Copy the code", () => panel.copied(this.whole)),
        button("insert", "Insert a cell below with the code", () => panel.notebook.insert(this.whole, this.language))),
      make("pre", { dir: "ltr", tabindex: "0", role: "group", "aria-label": "Code" }, this.code));
    this.element.codeBlock = this;
    this.update(pre);
  }

  /**
   * Show the current code.
   * @param {Element} pre
   */
  update(pre) {
    const text = pre.querySelector("code")?.textContent ?? pre.textContent ?? "";
    const runs = readRuns(text, pre.querySelector("[data-runs]")?.getAttribute("data-runs") ?? "");
    this.language = pre.getAttribute("data-language") || "";
    this.label.textContent = this.language || "text";
    this.element.classList.toggle("fg-part", pre.hasAttribute("data-part"));
    const same = this.text === undefined || text.startsWith(this.text) ? this.keep(text, runs) : 0;
    for (const run of this.runs.splice(same)) /** @type {ChildNode} */ (run.node).remove();
    for (const run of runs.slice(same)) {
      const piece = text.slice(run.start, run.end);
      const node = run.kind ? make("span", { class: `fg-${run.kind}`, text: piece }) : document.createTextNode(piece);
      this.code.append(node);
      this.runs.push({ ...run, node });
    }
    this.text = text;
  }

  /**
   * How many runs of growing code can stay. The last of them may continue: it gets its new text here.
   * @param {string} text
   * @param {Run[]} runs
   */
  keep(text, runs) {
    let same = 0;
    while (same < runs.length && same < this.runs.length && sameRun(runs[same], this.runs[same])) same += 1;
    const [next, last] = [runs[same], this.runs[same]];
    if (!next || !last || next.kind !== last.kind || next.start !== last.start || next.end < last.end) return same;
    /** @type {Text} */ (last.node.firstChild ?? last.node).appendData(text.slice(last.end, next.end));
    last.end = next.end;
    return same + 1;
  }

  /**
   * The whole code, also if it comes as several blocks.
   * @returns {string}
   */
  get whole() {
    const block = this.element.closest(".fg-block");
    return block?.body ? block.body.code(block.number ?? 0, this.text ?? "") : this.text ?? "";
  }
}

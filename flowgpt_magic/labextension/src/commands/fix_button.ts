/** A button at the error below a cell that asks for its correction. */

import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import type { IError } from "@jupyterlab/nbformat";
import type { Message } from "@lumino/messaging";
import { PanelLayout, Widget } from "@lumino/widgets";

import { isCorrectable } from "./cells";
import { keepPlainKeys } from "./keys";

const ERROR = "application/vnd.jupyter.error"; // the whole error; the other type is its traceback as text
const TEXT = "application/vnd.jupyter.stderr";
const BEFORE_TEXT = 90; // rank

/** What the button does at an output of this node; null where it has no place. */
export type Offer = (node: HTMLElement) => (() => void) | null;

/** Show errors as before, with a button. It is seen only in notebooks that have the class `flowgpt-can-fix`. */
export function addButtons(rendermime: IRenderMimeRegistry, offer: Offer): void {
  const factory = rendermime.getFactory(ERROR) ?? rendermime.getFactory(TEXT);
  if (!factory) return;
  const mimeType = rendermime.getFactory(ERROR) ? ERROR : TEXT;
  const createRenderer = (options: IRenderMime.IRendererOptions): IRenderMime.IRenderer =>
    new ErrorWithButton(factory.createRenderer({ ...options, mimeType }), offer);
  rendermime.addFactory({ safe: factory.safe, mimeTypes: [ERROR], createRenderer }, BEFORE_TEXT);
}

class ErrorWithButton extends Widget implements IRenderMime.IRenderer {
  private readonly button = document.createElement("button");
  private error: IError | undefined;

  constructor(
    private readonly inner: IRenderMime.IRenderer,
    private readonly offer: Offer,
  ) {
    super();
    this.addClass("flowgpt-error");
    (this.layout = new PanelLayout()).addWidget(inner);
    const { button } = this;
    button.type = "button";
    button.className = "flowgpt-fix-this";
    button.textContent = "Fix";
    button.title = "Ask for a correction of this cell";
    button.setAttribute("aria-label", "Fix this error");
    keepPlainKeys(button);
    button.addEventListener("click", () => this.offer(this.node)?.());
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.error = model.data[ERROR] as unknown as IError | undefined;
    this.place();
    return this.inner.renderModel(model);
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.place();
  }

  private place(): void {
    const { error } = this;
    if (error && isCorrectable(error) && this.isAttached && this.offer(this.node)) this.node.append(this.button);
    else this.button.remove();
  }
}

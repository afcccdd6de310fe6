/** New cells in a notebook. */

import type { Cell } from "@jupyterlab/cells";
import { NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";

/** Insert a code cell below another one, or at the end where that is gone, and make it the active one. */
export function insertBelow({ content }: NotebookPanel, cell: Cell, source: string): void {
  const above = content.widgets.indexOf(cell);
  const at = above < 0 ? content.widgets.length : above + 1;
  content.model!.sharedModel.insertCell(at, { cell_type: "code", source, metadata: {} });
  content.activeCellIndex = at;
  content.deselectAll();
}

/** Put the cursor behind the text of the active cell. */
export function editAtEnd({ content }: NotebookPanel): void {
  content.mode = "edit";
  const editor = content.activeCell?.editor;
  const end = editor?.getPositionAt(editor.model.sharedModel.getSource().length);
  if (editor && end) editor.setCursorPosition(end);
}

/** Run these cells, one after the other, as by hand. */
export async function runCells(panel: NotebookPanel, cells: Cell[]): Promise<void> {
  const { content } = panel;
  for (const cell of cells) {
    content.deselectAll();
    content.activeCellIndex = content.widgets.indexOf(cell);
    if (!(await NotebookActions.run(content, panel.sessionContext))) return;
  }
}

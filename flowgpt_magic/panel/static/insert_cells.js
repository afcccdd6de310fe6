/* Made of the modules in panel/src: change those, and run npm run build there. */

// cells.js
function insertCells(notebook, at, sources) {
  const cells = sources.map((source, number) => notebook.insertCell(at + number, { cell_type: "code", source, metadata: {} }));
  const last = cells.at(-1);
  return last?.id ?? last?.getId?.();
}

// insert_cells.js
var insert_cells_default = {
  /** @param {{model: Inserter}} widget */
  initialize({ model }) {
    const notebook = model.widget_manager?.context?.model?.sharedModel;
    const cell = notebook?.cells.findIndex(({ id }) => id === model.get("cell")) ?? -1;
    if (!notebook || cell < 0) return;
    const below = notebook.cells[cell + 1]?.getSource?.() === model.get("first") ? cell + 2 : cell + 1;
    insertCells(notebook, below, model.get("others"));
    model.send({ inserted: true });
  }
};
export {
  insert_cells_default as default
};

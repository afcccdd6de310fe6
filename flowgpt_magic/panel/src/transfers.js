/** What is pasted or dropped. It can be read only while the event is handled. */

/**
 * @typedef {{files: File[], folders: string[], text: string}} Held
 */

/**
 * Files, names of folders, and text. Text that only names the files, as file managers add it, is none.
 * @param {DataTransfer | null} transfer
 * @returns {Held}
 */
export function held(transfer) {
  const [files, folders] = [/** @type {File[]} */ ([]), /** @type {string[]} */ ([])];
  for (const item of transfer?.items ?? []) {
    if (item.kind !== "file") continue;
    const entry = item.webkitGetAsEntry?.();
    const file = entry?.isDirectory ? null : item.getAsFile();
    if (entry?.isDirectory) folders.push(entry.name);
    else if (file) files.push(file);
  }
  const text = files.length + folders.length ? besides(transfer?.getData("text/plain") ?? "", [...files.map(({ name }) => name), ...folders]) : "";
  return { files, folders, text };
}

/**
 * @param {string} text
 * @param {string[]} names
 */
function besides(text, names) {
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  return lines.every((line) => names.includes(line.split(/[\\/]/).at(-1) ?? "") || line.startsWith("file:")) ? "" : text;
}

/**
 * Does a drag bring files from outside of the page?
 * @param {DataTransfer | null} transfer
 */
export function bringsFiles(transfer) {
  return Boolean(transfer?.types.includes("Files"));
}

export const TEXT_WINS = "The clipboard held text and a picture, and the text was pasted: to attach the picture, copy it alone.";

/**
 * What to say of dropped folders.
 * @param {string[]} names
 */
export function folderText(names) {
  return `${names.join(", ")} ${names.length > 1 ? "are folders" : "is a folder"}: attach the files in it instead.`;
}

/** The paths that are dragged out of JupyterLab's file browser. */
export const CONTENTS = "application/x-jupyter-icontents";
/** The last one of them, with what reads it. */
export const RICH_CONTENTS = "application/x-jupyter-icontentsrich";

/**
 * A file as Jupyter's server sends it.
 * @param {{name: string, type: string, format: string | null, mimetype?: string | null, content: any}} model
 */
export function fileOf({ name, format, mimetype, content }) {
  const bytes = format === "base64" ? Uint8Array.from(atob(content), (char) => char.charCodeAt(0)) : typeof content === "string" ? content : JSON.stringify(content);
  return new File([bytes], name, { type: mimetype ?? "" });
}

/* The page of a chat panel: made of the modules in panel/src, so change those, and run npm run build there. */

// dom.js
var ICONS = {
  plus: "M12 5v14M5 12h14",
  pencil: "M4 20h4L19 9l-4-4L4 16v4M13 7l4 4",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5L20 20",
  sliders: "M4 7h9M17 7h3M15 4.5v5M4 17h3M11 17h9M9 14.5v5",
  more: "M5 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M17 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0",
  send: "M4 12l16-8-5 16-3.5-6.5L4 12M11.500 13.500L20 4",
  stop: "M7 7h10v10H7z",
  clip: "M19 11l-7.500 7.500a4.500 4.500 0 0 1-6.400-6.400L13 4.200a3 3 0 0 1 4.300 4.300l-7.800 7.800a1.500 1.500 0 0 1-2.100-2.100L14.500 7",
  braces: "M9 4c-2.500 0-3 1-3 3v2.500c0 1.500-1 2.500-2 2.500 1 0 2 1 2 2.500V17c0 2 .5 3 3 3M15 4c2.500 0 3 1 3 3v2.500c0 1.500 1 2.500 2 2.500-1 0-2 1-2 2.500V17c0 2-.5 3-3 3",
  copy: "M9 9h10v11H9zM6 15H5V4h10v2",
  retry: "M19 12a7 7 0 1 1-2.200-5.100M19 4v4h-4",
  go: "M6 5l9 7-9 7zM19 5v14",
  branch: "M7 4v16M7 14c0-4 10-2 10-8M17 6V4M15 6l2-3 2 3",
  back: "M14 6l-6 6 6 6",
  forth: "M10 6l6 6-6 6",
  below: "M7 10l5 5 5-5",
  down: "M12 5v13M6 12l6 6 6-6",
  insert: "M5 5h14v6H5zM12 14v6M9 17h6",
  close: "M6 6l12 12M18 6L6 18",
  code: "M9 7l-5 5 5 5M15 7l5 5-5 5",
  info: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 11v5M12 8v.1"
};
function make(tag, about = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (value === void 0 || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const each of inside) if (each) node.append(each);
  return node;
}
function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "fg-icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
function button(name, label, onclick, more = {}) {
  return make("button", { type: "button", class: "fg-tool", title: label, "aria-label": label, onclick, ...more }, icon(name));
}
function focused() {
  return (
    /** @type {HTMLElement | null} */
    document.activeElement
  );
}

// clipboard.js
async function copy(text) {
  try {
    await navigator.clipboard.writeText(await text);
    return true;
  } catch {
    const field = make("textarea", { style: "position:fixed;opacity:0" });
    field.value = await text;
    const before = focused();
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus?.();
    return done;
  }
}

// error_text.js
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

// picture_files.js
var HEAD = 4 << 20;
var ORIENTATION = 274;
var NEUTRAL_PNG = ["IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD", "pHYs"];
var NEUTRAL_JPEG = { 224: "JFIF\0", 226: "ICC_PROFILE\0", 238: "Adobe" };
var NEUTRAL_WEBP = ["VP8 ", "VP8L", "VP8X", "ALPH", "ICCP"];
function ascii(bytes, at, length) {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
async function inspect(file) {
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (isSvg(file, head)) return "svg";
  const read = reader(head);
  if (!read) return null;
  const facts = read(head);
  if (file.size <= HEAD || facts?.width) return facts && { ...facts, bare: facts.bare && file.size <= HEAD };
  return read(new Uint8Array(await file.arrayBuffer()));
}
function isSvg(file, head) {
  return file.type === "image/svg+xml" || /^\uFEFF?\s*(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]/i.test(new TextDecoder().decode(head.subarray(0, 4096)));
}
function reader(bytes) {
  if (bytes[0] === 255 && bytes[1] === 216 && bytes[2] === 255) return jpeg;
  if (ascii(bytes, 0, 8) === "PNG\r\n\n") return png;
  if (/^GIF8[79]a/.test(ascii(bytes, 0, 6))) return gif;
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 4) === "WEBP") return webp;
  if (ascii(bytes, 0, 2) === "BM" && bytes.length > 26) return bmp;
  const brand = ascii(bytes, 4, 4) === "ftyp" ? ascii(bytes, 8, 4) : "";
  if (/^(avif|avis)$/.test(brand)) return () => unknownSize("image/avif");
  if (/^(hei[cx]|hev[cx]|mif1|msf1)$/.test(brand)) return () => unknownSize("image/heic");
  if (/^(II\*\0|MM\0\*)/.test(ascii(bytes, 0, 4))) return () => unknownSize("image/tiff");
  return null;
}
function unknownSize(type) {
  return { type, width: 0, height: 0, turned: false, bare: false };
}
var viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
function png(bytes) {
  if (bytes.length < 33) return null;
  const view = viewOf(bytes);
  let [at, bare, last] = [8, true, ""];
  while (at + 12 <= bytes.length) {
    last = ascii(bytes, at + 4, 4);
    if (!NEUTRAL_PNG.includes(last)) bare = false;
    at += 12 + view.getUint32(at);
    if (last === "IEND") break;
  }
  return { type: "image/png", width: view.getUint32(16), height: view.getUint32(20), turned: false, bare: bare && last === "IEND" && at === bytes.length };
}
function gif(bytes) {
  const view = viewOf(bytes);
  return { type: "image/gif", width: view.getUint16(6, true), height: view.getUint16(8, true), turned: false, bare: false };
}
function bmp(bytes) {
  const view = viewOf(bytes);
  return { type: "image/bmp", width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)), turned: false, bare: false };
}
function webp(bytes) {
  if (bytes.length < 30) return null;
  const view = viewOf(bytes);
  let [at, bare] = [12, true];
  for (; at + 8 <= bytes.length; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
    if (!NEUTRAL_WEBP.includes(ascii(bytes, at, 4))) bare = false;
  }
  const kind = ascii(bytes, 12, 4);
  const bits = view.getUint32(21, true);
  const [width, height] = kind === "VP8X" ? [1 + (view.getUint32(24, true) & 16777215), 1 + (view.getUint32(26, true) >>> 8)] : kind === "VP8L" ? [1 + (bits & 16383), 1 + (bits >>> 14 & 16383)] : [view.getUint16(26, true) & 16383, view.getUint16(28, true) & 16383];
  return { type: "image/webp", width, height, turned: false, bare: bare && at === bytes.length };
}
function jpeg(bytes) {
  const view = viewOf(bytes);
  const facts = { type: "image/jpeg", width: 0, height: 0, turned: false, bare: true };
  let at = 2;
  while (at + 2 <= bytes.length) {
    if (bytes[at] !== 255) {
      at = bytes.indexOf(255, at);
      if (at < 0) break;
      continue;
    }
    const marker = bytes[at + 1];
    if (marker === 255) {
      at += 1;
      continue;
    }
    if (marker === 0 || marker === 1 || marker >= 208 && marker <= 216) {
      at += 2;
      continue;
    }
    if (marker === 217 || at + 4 > bytes.length) break;
    segment(bytes, view, at, marker, facts);
    at += 2 + view.getUint16(at + 2);
  }
  facts.bare &&= bytes[at + 1] === 217 && at + 2 === bytes.length;
  return facts;
}
function segment(bytes, view, at, marker, facts) {
  const isSize = marker >= 192 && marker <= 207 && ![196, 200, 204].includes(marker);
  if (isSize && at + 9 <= bytes.length) [facts.height, facts.width] = [view.getUint16(at + 5), view.getUint16(at + 7)];
  const neutral = ascii(bytes, at + 4, 12).startsWith(
    /** @type {{[marker: number]: string}} */
    NEUTRAL_JPEG[marker] ?? "no"
  );
  if ((marker >= 224 && marker <= 239 || marker === 254) && !neutral) facts.bare = false;
  if (marker === 225 && ascii(bytes, at + 4, 6) === "Exif\0\0") facts.turned ||= orientation(view, at + 10) > 1;
}
function orientation(view, start) {
  try {
    const little = view.getUint16(start) === 18761;
    const table = start + view.getUint32(start + 4, little);
    for (let number = 0; number < view.getUint16(table, little); number += 1) {
      const entry = table + 2 + 12 * number;
      if (view.getUint16(entry, little) === ORIENTATION) return view.getUint16(entry + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

// pictures.js
var MAX_MESSAGE = 9e6;
var MAX_PIXELS = 15e7;
var STRIP = 8e6;
var THUMBNAIL_SIDE = 160;
var THUMBNAIL_BYTES = 2e4;
var SMALL = 3e5;
var FEW_COLOURS = 256;
var LOOKED_AT = 128;
var QUALITY = 0.85;
var SUFFIXES = (
  /** @type {{[type: string]: string}} */
  { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif" }
);
function sizeText(bytes) {
  if (bytes < 1e3) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
async function isPicture(file) {
  if (!file.size) throw new Error(`${file.name} is empty.`);
  const facts = await inspect(file);
  if (facts === "svg") throw new Error(`${file.name} is an SVG drawing, which may contain scripts: save it as PNG, and attach that.`);
  if (!facts && file.type.startsWith("image/")) throw new Error(notReadable(file.name));
  return facts !== null;
}
function notReadable(name) {
  return `${name} is not a picture that this browser can read: save it as PNG or JPEG first.`;
}
async function prepare(file, limits) {
  const facts = await inspect(file);
  if (!facts || facts === "svg") throw new Error(notReadable(file.name));
  if (facts.width * facts.height > MAX_PIXELS) {
    throw new Error(`${file.name} has ${facts.width.toLocaleString("en")} × ${facts.height.toLocaleString("en")} pixels, which is too much for a page: make it smaller first.`);
  }
  let bitmap = await decode(file);
  try {
    const ready = usable(file, facts, bitmap, limits);
    if (!ready) bitmap = await reduced(bitmap, limits.max_side);
    const { blob, width, height } = ready ?? await smaller(file, bitmap, facts.type === "image/jpeg", limits);
    const small = await thumbnail(bitmap);
    return {
      name: `${stem(file.name)}.${SUFFIXES[blob.type]}`,
      type: blob.type,
      bytes: await blob.arrayBuffer(),
      width,
      height,
      thumbnail: await small.arrayBuffer(),
      url: await dataUrl(small)
    };
  } finally {
    bitmap.close();
  }
}
function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "picture";
}
async function decode(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(notReadable(file.name));
  }
}
var mostBytes = ({ max_bytes }) => Math.min(max_bytes, MAX_MESSAGE);
function usable(file, facts, { width, height }, limits) {
  const fits = Math.max(width, height) <= limits.max_side && file.size <= mostBytes(limits) && limits.types.includes(facts.type);
  if (!fits || !facts.bare || facts.turned) return null;
  return { blob: file.type === facts.type ? file : file.slice(0, file.size, facts.type), width, height };
}
async function reduced(bitmap, side) {
  const factor = side / Math.max(bitmap.width, bitmap.height);
  if (factor >= 1) return bitmap;
  try {
    return await createImageBitmap(await scaled(bitmap, factor));
  } finally {
    bitmap.close();
  }
}
async function smaller(file, bitmap, photo, limits) {
  const most = mostBytes(limits);
  let smallest = (
    /** @type {Encoded | null} */
    null
  );
  for (let factor = 1; ; factor *= 0.7) {
    const encoded = await encode(await scaled(bitmap, factor), photo, limits.types, most);
    if (encoded && (!smallest || encoded.blob.size < smallest.blob.size)) smallest = encoded;
    if (smallest && smallest.blob.size <= most) return smallest;
    if (Math.max(bitmap.width, bitmap.height) * factor < 256) break;
  }
  throw new Error(`${file.name} has ${sizeText(smallest?.blob.size ?? file.size)} even when it is scaled; ${sizeText(most)} can be sent: make it smaller first.`);
}
async function encode(canvas, photo, types, most) {
  const transparent = !photo && isTransparent(canvas);
  const blobs = [];
  if (!photo && types.includes("image/png")) {
    const png2 = await toBlob(canvas, "image/png");
    if (png2 && (png2.size <= Math.min(SMALL, most) || (transparent || hasFewColours(canvas)) && png2.size <= most)) return sized(png2, canvas);
    blobs.push(png2);
  }
  if (types.includes("image/jpeg") && !transparent) blobs.push(await toBlob(canvas, "image/jpeg"));
  if (types.includes("image/webp") && !blobs.some((blob) => blob && blob.size <= most)) blobs.push(await toBlob(canvas, "image/webp"));
  if (types.includes("image/jpeg") && transparent) blobs.push(await toBlob(onWhite(canvas), "image/jpeg"));
  const [smallest] = blobs.filter((blob) => blob !== null).sort((one, other) => one.size - other.size);
  return smallest ? sized(smallest, canvas) : null;
}
function sized(blob, { width, height }) {
  return { blob, width, height };
}
function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = (
    /** @type {CanvasRenderingContext2D} */
    canvas.getContext("2d", { willReadFrequently: true })
  );
  return { canvas, context };
}
async function scaled(bitmap, factor) {
  const [width, height] = [bitmap.width, bitmap.height].map((size) => Math.max(1, Math.round(size * factor)));
  const { canvas, context } = canvasOf(width, height);
  if (bitmap.width === width && bitmap.height === height) {
    context.drawImage(bitmap, 0, 0);
    return canvas;
  }
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / bitmap.width * (height / bitmap.height))));
  for (let top = 0; top < height; top += rows) {
    const bottom = Math.min(height, top + rows);
    const [first, last] = [top, bottom].map((row) => Math.round(row * bitmap.height / height));
    const strip = await createImageBitmap(bitmap, 0, first, bitmap.width, last - first, { resizeWidth: width, resizeHeight: bottom - top, resizeQuality: "high" });
    context.drawImage(strip, 0, top);
    strip.close();
    if (bottom < height) await new Promise((resolve) => {
      setTimeout(resolve);
    });
  }
  return canvas;
}
function pixels(canvas) {
  return (
    /** @type {CanvasRenderingContext2D} */
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
  );
}
function isTransparent(canvas) {
  const data = pixels(canvas);
  for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return true;
  return false;
}
function hasFewColours(whole) {
  const { canvas, context } = canvasOf(LOOKED_AT, LOOKED_AT);
  context.imageSmoothingEnabled = false;
  context.drawImage(whole, 0, 0, LOOKED_AT, LOOKED_AT);
  return new Set(new Uint32Array(pixels(canvas).buffer)).size <= FEW_COLOURS;
}
function onWhite(picture) {
  const { canvas, context } = canvasOf(picture.width, picture.height);
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
  return canvas;
}
function toBlob(canvas, type, quality = QUALITY) {
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(blob?.type === type ? blob : null), type, quality);
  });
}
async function thumbnail(bitmap) {
  const canvas = await scaled(bitmap, Math.min(1, THUMBNAIL_SIDE / Math.max(bitmap.width, bitmap.height)));
  const png2 = await toBlob(canvas, "image/png");
  if (png2 && png2.size <= THUMBNAIL_BYTES / 2) return png2;
  for (const quality of [0.8, 0.6, 0.4]) {
    const jpeg2 = await toBlob(onWhite(canvas), "image/jpeg", quality);
    if (jpeg2 && jpeg2.size <= THUMBNAIL_BYTES) return jpeg2;
  }
  return (
    /** @type {Blob} */
    await toBlob(onWhite(canvas), "image/jpeg", 0.2)
  );
}
function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader2 = new FileReader();
    reader2.addEventListener("load", () => resolve(String(reader2.result)));
    reader2.addEventListener("error", () => reject(reader2.error));
    reader2.readAsDataURL(blob);
  });
}

// transfers.js
function held(transfer) {
  const [files, folders] = [
    /** @type {File[]} */
    [],
    /** @type {string[]} */
    []
  ];
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
function besides(text, names) {
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  return lines.every((line) => names.includes(line.split(/[\\/]/).at(-1) ?? "") || line.startsWith("file:")) ? "" : text;
}
function bringsFiles(transfer) {
  return Boolean(transfer?.types.includes("Files"));
}
var TEXT_WINS = "The clipboard held text and a picture, and the text was pasted: to attach the picture, copy it alone.";
function folderText(names) {
  return `${names.join(", ")} ${names.length > 1 ? "are folders" : "is a folder"}: attach the files in it instead.`;
}
var CONTENTS = "application/x-jupyter-icontents";
var RICH_CONTENTS = "application/x-jupyter-icontentsrich";
function fileOf({ name, format, mimetype, content }) {
  const bytes = format === "base64" ? Uint8Array.from(atob(content), (char) => char.charCodeAt(0)) : typeof content === "string" ? content : JSON.stringify(content);
  return new File([bytes], name, { type: mimetype ?? "" });
}

// attachments.js
var numbers = 0;
var Tray = class {
  /**
   * @param {Panel} panel
   * @param {Owner} owner
   */
  constructor(panel, owner) {
    this.panel = panel;
    this.owner = owner;
    this.items = /** @type {Item[]} */
    [];
    this.targets = /** @type {Target[]} */
    [];
    this.pending = 0;
    this.work = /** @type {Promise<void>} */
    Promise.resolve();
    this.element = make("ul", { class: "fg-tray", role: "list", "aria-label": "Pictures to send", hidden: true });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.input = make("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true", onchange: () => this.chosen() });
    this.clip = button("clip", "Attach a picture or a file", () => this.input.click());
  }
  /* what comes in */
  /**
   * Take what is pasted and dropped there.
   * @param {HTMLElement} element
   */
  listen(element) {
    const away = () => element.classList.remove("fg-drop");
    element.addEventListener("paste", (event) => this.pasted(event));
    for (const name of ["dragenter", "dragover"]) {
      element.addEventListener(name, (event) => {
        const { dataTransfer } = (
          /** @type {DragEvent} */
          event
        );
        if (!dataTransfer || !bringsFiles(dataTransfer)) return;
        take(event);
        dataTransfer.dropEffect = "copy";
        element.classList.add("fg-drop");
      });
    }
    element.addEventListener("dragleave", (event) => {
      if (!element.contains(
        /** @type {Node | null} */
        event.relatedTarget
      )) away();
    });
    element.addEventListener("drop", (event) => {
      away();
      if (!bringsFiles(event.dataTransfer)) return;
      take(event);
      const { files, folders } = held(event.dataTransfer);
      this.add(files, folders.length ? folderText(folders) : "");
    });
    this.listenToLab(element, away);
  }
  /**
   * JupyterLab's own drags, such as those out of its file browser.
   * @param {HTMLElement} element
   * @param {() => void} away
   */
  listenToLab(element, away) {
    for (const name of ["lm-dragenter", "lm-dragover"]) {
      element.addEventListener(name, (event) => {
        const drag = (
          /** @type {any} */
          event
        );
        if (!drag.mimeData.hasData(CONTENTS)) return;
        take(event);
        drag.dropAction = drag.proposedAction;
        element.classList.add("fg-drop");
      });
    }
    element.addEventListener("lm-dragleave", away);
    element.addEventListener("lm-drop", (event) => {
      const drag = (
        /** @type {any} */
        event
      );
      away();
      if (!drag.mimeData.hasData(CONTENTS)) return;
      take(event);
      drag.dropAction = drag.proposedAction;
      this.addPaths(drag.mimeData.getData(CONTENTS), drag.mimeData.getData(RICH_CONTENTS));
    });
  }
  /** @param {ClipboardEvent} event */
  pasted(event) {
    const { files, folders, text } = held(event.clipboardData);
    if (!files.length && !folders.length) return;
    event.stopPropagation();
    if (text) {
      this.panel.composer.hint.textContent = TEXT_WINS;
      return;
    }
    event.preventDefault();
    this.add(files, folders.length ? folderText(folders) : "");
  }
  chosen() {
    const files = [...this.input.files ?? []];
    this.input.value = "";
    this.owner.field.focus();
    this.add(files);
  }
  /**
   * Attach files.
   * @param {File[]} files
   * @param {string} [trouble] what else was not attached, and why
   */
  add(files, trouble = "") {
    const target = this.target();
    this.panel.note("");
    if (trouble) this.refuse(trouble);
    for (const file of files) this.soon(() => this.addOne(file, target));
  }
  /**
   * Attach files of Jupyter's server.
   * @param {string[]} paths
   * @param {{model: {path: string, type: string}, withContent: () => Promise<any>} | undefined} rich the only one, or the last one
   */
  addPaths(paths, rich) {
    const target = this.target();
    this.panel.note("");
    for (const path of paths) {
      const model = rich?.model.path === path ? rich.model : null;
      if (model?.type === "directory") this.refuse(folderText([path]));
      else if (model && /\.(png|jpe?g|gif|webp|bmp|avif|svg)$/i.test(path)) this.soon(async () => this.addOne(fileOf(await rich?.withContent()), target));
      else this.soon(() => this.addFile("file_path", { path }));
    }
  }
  target() {
    const target = { draft: this.owner.draft() };
    this.targets.push(target);
    return target;
  }
  /**
   * The draft has another name now: what is under way goes with it.
   * @param {string} before
   */
  move(before) {
    for (const target of this.targets) if (target.draft === before) target.draft = this.owner.draft();
  }
  /**
   * Do something when what was begun before it is done.
   * @param {() => Promise<void>} run
   */
  soon(run) {
    this.pending += 1;
    this.work = this.work.then(run).catch((error) => this.refuse(messageOf(error))).finally(() => {
      this.pending -= 1;
      if (!this.pending) this.targets = [];
    });
  }
  /** @param {string} why something was not attached */
  refuse(why) {
    const { panel } = this;
    panel.note([panel.banner.hidden ? "" : panel.banner.textContent, why].filter(Boolean).join(" "));
    panel.error = panel.banner.textContent ?? "";
  }
  /**
   * @param {File} file
   * @param {Target} target
   */
  async addOne(file, target) {
    if (!await isPicture(file)) {
      if (!this.owner.attach) throw new Error(`${file.name} is not a picture: an earlier prompt takes only pictures.`);
      if (file.size > MAX_MESSAGE) throw new Error(`${file.name} has ${sizeText(file.size)}, and ${sizeText(MAX_MESSAGE)} can be uploaded: put it beside the notebook, and attach its name.`);
      await this.addFile("file", { name: file.name }, [await file.arrayBuffer()]);
      return;
    }
    const item = { number: ++numbers, name: file.name, description: "", state: "scaling…", failed: false, file };
    this.items.push(item);
    this.show();
    try {
      await this.scale(item);
      if (this.items.includes(item)) await this.upload(item, target);
    } catch (error) {
      if (!item.failed) this.drop(item);
      throw error;
    }
  }
  /**
   * Send a file that is no picture to the kernel, or have the kernel take one that it can reach.
   * @param {"file" | "file_path"} kind
   * @param {object} about
   * @param {ArrayBuffer[]} [buffers]
   */
  async addFile(kind, about, buffers) {
    const { attach } = this.owner;
    if (!attach) throw new Error("An earlier prompt takes only pictures.");
    const { attached, about: said } = await this.panel.link.ask(kind, about, buffers);
    attach(attached);
    this.panel.announce("File added.");
    this.panel.composer.hint.textContent = said ?? "";
  }
  /** @param {Item} item */
  async scale(item) {
    if (this.panel.kernel.busy) this.become(item, "waiting for the kernel…");
    const limits = await this.panel.link.ask("pictures_taken");
    if (limits.able === false) throw new Error(limits.why);
    this.become(item, "scaling…");
    item.prepared = await prepare(
      /** @type {File} */
      item.file,
      limits
    );
    const { url, width, height, bytes } = item.prepared;
    Object.assign(item, { thumbnail: url, width, height, bytes: bytes.byteLength, file: void 0 });
  }
  /**
   * Send the picture to the kernel.
   * @param {Item} item
   * @param {Target} target
   */
  async upload(item, target) {
    const { bytes, thumbnail: thumbnail2, type } = (
      /** @type {Picture} */
      item.prepared
    );
    this.become(item, "sending to the kernel…");
    try {
      const { picture, name } = await this.panel.link.ask("picture", { name: item.name, type }, [bytes, thumbnail2]);
      Object.assign(item, { picture, name });
    } catch (error) {
      item.failed = true;
      this.become(item, "not sent");
      throw error;
    }
    item.failed = false;
    this.become(item, "");
    this.arrived(item, target.draft);
  }
  /**
   * The kernel has the picture: it is shown, or kept for the conversation in which it was attached.
   * @param {Item} item
   * @param {string} draft
   */
  arrived(item, draft) {
    const twin = this.items.find((other) => other !== item && other.picture === item.picture);
    if (!this.items.includes(item)) return;
    if (twin || draft !== this.owner.draft()) this.drop(item);
    if (draft !== this.owner.draft()) this.owner.changed(draft, [keepable(item)]);
    else this.owner.changed(draft, null);
    this.panel.announce(twin ? `${item.name} is attached already.` : `Picture added: ${item.name}`);
  }
  /** @param {Item} item */
  tryAgain(item) {
    this.panel.note("");
    this.soon(() => this.upload(item, this.target()));
  }
  /* what is there */
  /** The pictures that the kernel has, for a draft. */
  get kept() {
    return this.items.filter(({ picture }) => picture).map(keepable);
  }
  /**
   * Replace the pictures; those on their way stay.
   * @param {Keepable[]} kept
   */
  set(kept) {
    const under = this.items.filter(({ picture, failed }) => !picture && !failed);
    this.items = [...kept.map((picture) => ({ ...picture, number: ++numbers, state: "", failed: false })), ...under];
    this.show();
  }
  /**
   * The pictures to send. Null, and a note, if one of them is not with the kernel.
   * @returns {AttachedPicture[] | null}
   */
  ready() {
    const failed = this.items.find((item) => item.failed);
    if (failed) {
      this.refuse(`${failed.name} was not sent to the kernel: try it again, or remove it.`);
      return null;
    }
    return this.items.map(({ picture, name, description }) => ({ picture: String(picture), name, description }));
  }
  /* what is shown */
  /**
   * @param {Item} item
   * @param {string} state
   */
  become(item, state) {
    item.state = state;
    if (!item.element) return;
    const before = item.element;
    const within = before.contains(focused());
    before.replaceWith(this.row(item));
    if (within) this.focus(item);
  }
  show() {
    this.element.hidden = !this.items.length;
    this.element.replaceChildren(...this.items.map((item) => item.element ?? this.row(item)));
  }
  /** @param {Item} item */
  row(item) {
    const { name, thumbnail: thumbnail2, state, failed, width, height, bytes } = item;
    const about = state || [bytes && sizeText(bytes), width && `${width} × ${height}`].filter(Boolean).join(" · ");
    if (item.picture && !thumbnail2) this.load(item);
    const picture = thumbnail2 ? make("img", { src: thumbnail2, alt: "" }) : make("span", { class: "fg-blank" });
    item.element = make(
      "li",
      { class: "fg-picture", "aria-busy": state && !failed ? "true" : null },
      make("button", { type: "button", class: "fg-thumb", "aria-label": `Show ${name} large`, title: name, disabled: !(thumbnail2 || item.picture), onclick: () => this.large(item) }, picture),
      make(
        "div",
        { class: "fg-abouts" },
        this.descriptionOf(item),
        make("span", { class: failed ? "fg-about fg-failed" : "fg-about", title: name, text: about })
      ),
      failed && make("button", { type: "button", class: "fg-button", "aria-label": `Send ${name} again`, text: "Try again", onclick: () => this.tryAgain(item) }),
      button("close", `Remove ${name}`, () => this.remove(item))
    );
    return item.element;
  }
  /** @param {Item} item of which the kernel has the thumbnail */
  load(item) {
    this.panel.thumbnails.url(String(item.picture)).then((url) => {
      item.thumbnail = url;
      item.element?.querySelector(".fg-blank")?.replaceWith(make("img", { src: url, alt: "" }));
    }, () => {
    });
  }
  /** @param {Item} item */
  descriptionOf(item) {
    const field = make("input", { type: "text", class: "fg-field", dir: "auto", maxlength: "300", "aria-label": `Description of ${item.name}`, placeholder: "Description (optional)" });
    field.value = item.description;
    field.addEventListener("input", () => {
      item.description = field.value;
      this.panel.forgetError();
      this.owner.changed(this.owner.draft(), null);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        this.owner.field.focus();
      }
    });
    return field;
  }
  /** @param {Item} item */
  large(item) {
    const { prepared, picture, name, description, element } = item;
    const bytes = prepared?.bytes;
    const content = bytes && new Blob([bytes], { type: prepared.type });
    this.panel.viewer.open({ picture: picture ?? "", name, description }, content ?? null, () => (
      /** @type {HTMLElement | null} */
      (item.element ?? element)?.querySelector(".fg-thumb")
    ));
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    const target = (
      /** @type {Element} */
      event.target
    );
    const item = this.items.find(({ element }) => element?.contains(target));
    if (!item || !["Delete", "Backspace"].includes(event.key) || target.matches("input")) return;
    event.preventDefault();
    this.remove(item);
  }
  /** @param {Item} item */
  remove(item) {
    const at = this.items.indexOf(item);
    this.drop(item);
    const next = this.items[Math.min(at, this.items.length - 1)];
    if (next) this.focus(next);
    else this.owner.field.focus();
    this.owner.changed(this.owner.draft(), null);
    this.panel.forgetError();
    this.panel.announce(`Picture removed: ${item.name}`);
  }
  /** @param {Item} item */
  focus(item) {
    item.element?.querySelector("[aria-label^='Remove']")?.focus();
  }
  /** @param {Item} item */
  drop(item) {
    this.items = this.items.filter((other) => other !== item);
    item.element?.remove();
    this.element.hidden = !this.items.length;
  }
};
function keepable({ picture, name, description, width, height, bytes, thumbnail: thumbnail2 }) {
  return { picture: String(picture), name, description, width, height, bytes, thumbnail: thumbnail2 };
}
function take(event) {
  event.preventDefault();
  event.stopPropagation();
}

// drafts.js
var drafts = {
  /** @param {string} name */
  read(name) {
    try {
      return JSON.parse(sessionStorage.getItem(name) ?? "null");
    } catch {
      return null;
    }
  },
  /**
   * @param {string} name
   * @param {unknown} draft nothing, to forget it
   */
  write(name, draft) {
    try {
      if (draft) sessionStorage.setItem(name, JSON.stringify(draft));
      else sessionStorage.removeItem(name);
    } catch {
    }
  }
};
var Edits = class extends Map {
  /** @param {string} name of the draft */
  constructor(name) {
    super();
    this.name = name;
    for (const [place, { sent, ...edit }] of drafts.read(name) ?? []) super.set(place, edit);
  }
  /**
   * @param {number} place
   * @param {Edit} edit
   */
  set(place, edit) {
    super.set(place, edit);
    this.remember();
    return this;
  }
  /** @param {number} place */
  delete(place) {
    const was = super.delete(place);
    this.remember();
    return was;
  }
  remember() {
    drafts.write(this.name, this.size ? [...this] : null);
  }
  /**
   * The conversation was renamed.
   * @param {string} name
   */
  move(name) {
    drafts.write(this.name, null);
    this.name = name;
    this.remember();
  }
};

// composer.js
var HIGHEST = 220;
function labelOf(name) {
  return name.replace(/^dropped:[0-9a-f]+\//, "");
}
var Composer = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.attached = /** @type {string[]} */
    [];
    this.back = 0;
    this.quotes = false;
    this.unsent = { text: "", quotes: false };
    this.typing = 0;
    this.recalls = /** @type {Promise<unknown>} */
    Promise.resolve();
    this.offered = /** @type {Offer | null} */
    null;
    this.marked = 0;
    this.wanted = /** @type {object | null} */
    null;
    this.isStop = /** @type {boolean | undefined} */
    void 0;
    this.list = make("div", { class: "fg-list", role: "listbox", id: panel.id("list"), "aria-label": "Completions", tabindex: "0", hidden: true });
    this.chips = make("div", { class: "fg-chips", role: "group", "aria-label": "Attached", hidden: true });
    this.field = make("textarea", {
      class: "fg-field",
      rows: "1",
      dir: "auto",
      "aria-label": "Prompt",
      placeholder: "Ask; / for commands, {name} for a variable",
      "aria-autocomplete": "list",
      "aria-controls": panel.id("list"),
      "aria-describedby": panel.id("hint")
    });
    this.attach = make("input", {
      class: "fg-field",
      type: "text",
      "aria-label": "What to attach: a variable, a file, cell:3, out:3 or err",
      placeholder: "variable, file, cell:3, out:3 or err",
      "aria-autocomplete": "list",
      "aria-controls": panel.id("list"),
      spellcheck: "false"
    });
    this.attachRow = make(
      "div",
      { class: "fg-row fg-attach", hidden: true },
      this.attach,
      make("button", { type: "button", class: "fg-button", text: "Attach", onclick: () => this.addAttached() })
    );
    this.values = button("braces", "Attach a value or a file by name", () => this.toggleAttach(), { "aria-expanded": "false" });
    this.tray = new Tray(panel, { draft: () => this.draft, changed: (draft, pictures) => this.picturesChanged(draft, pictures), attach: (name) => this.attachNamed(name), field: this.field });
    this.send = make("button", { type: "button", class: "fg-send", "aria-label": "Send", title: "Send (Enter)", onclick: () => this.pressed() }, icon("send"));
    this.hint = make("div", { class: "fg-hint", id: panel.id("hint") });
    this.element = make(
      "div",
      { class: "fg-composer" },
      this.list,
      this.attachRow,
      this.tray.element,
      this.chips,
      make("div", { class: "fg-input" }, this.tray.clip, this.values, this.field, this.send),
      this.tray.input,
      this.hint
    );
    this.listen();
    this.restore();
  }
  listen() {
    this.field.addEventListener("input", () => this.typed());
    this.field.addEventListener("focus", () => {
      this.panel.link.tell("look");
      this.panel.log.empty.look();
    });
    this.attach.addEventListener("input", () => this.complete(this.attach));
    for (const field of [this.field, this.attach]) {
      field.addEventListener("keydown", (event) => this.key(
        /** @type {KeyboardEvent} */
        event
      ));
      field.addEventListener("blur", (event) => {
        if (
          /** @type {FocusEvent} */
          event.relatedTarget !== this.list
        ) this.offer(null);
      });
    }
    this.list.addEventListener("keydown", (event) => {
      if (this.offered && this.keyInList(event, this.offered)) {
        event.preventDefault();
        this.field.focus();
      }
    });
    this.list.addEventListener("blur", ({ relatedTarget }) => {
      if (relatedTarget !== this.offered?.field) this.offer(null);
    });
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const option = (
        /** @type {HTMLElement | null} */
        /** @type {Element} */
        event.target.closest("[role=option]")
      );
      if (option) this.take(Number(option.dataset.number));
    });
  }
  typed() {
    this.typing += 1;
    this.back = 0;
    this.fit();
    this.remember();
    this.complete(this.field);
    this.panel.forgetError();
  }
  /* what is typed is kept */
  get draft() {
    return this.draftOf(this.panel.model.get("name"));
  }
  /**
   * The key of a draft of a conversation of this notebook.
   * @param {string} name of the conversation
   */
  draftOf(name, kind = "prompt") {
    const place = this.panel.surroundings ? `${this.panel.surroundings.name}:` : "";
    return `flowgpt-${kind}:${place}${this.panel.kernel.manager?.context?.path ?? location.pathname}:${name}`;
  }
  remember(draft = this.draft, text = this.field.value, attached = this.attached, pictures = this.tray.kept, quotes = this.quotes) {
    drafts.write(draft, text || attached.length || pictures.length ? { text, attached, pictures, ...text && quotes ? { quotes } : {} } : null);
  }
  /**
   * The pictures changed: those of the draft that is shown, or more of them in another draft.
   * @param {string} draft
   * @param {Keepable[] | null} more
   */
  picturesChanged(draft, more) {
    if (!more) {
      this.remember();
      return;
    }
    const { text = "", attached = [], pictures = [], quotes = false } = drafts.read(draft) ?? {};
    this.remember(draft, text, attached, [...pictures, ...more], quotes);
  }
  /** The other conversations of the notebook with a draft. */
  elsewhere() {
    const names = this.panel.model.get("names");
    return names.filter((name) => name !== this.panel.model.get("name") && drafts.read(this.draftOf(name))?.text);
  }
  /** Load the draft of the conversation; returns true if there is one. */
  restore() {
    const draft = drafts.read(this.draft);
    if (draft) this.fill(String(draft.text), draft.attached.map(String), draft.pictures ?? [], Boolean(draft.quotes));
    return Boolean(draft);
  }
  /**
   * The conversation changed: load its draft, or keep the typed text, as for the `same` conversation.
   * @param {string} before the name of the conversation until now
   * @param {boolean} same
   */
  change(before, same) {
    if (!same && this.restore()) return;
    this.tray.move(this.draftOf(before));
    this.remember(this.draftOf(before), "", [], []);
    this.remember();
  }
  /**
   * The text of the field changed.
   * @param {string} text
   * @param {string[]} attached
   * @param {Keepable[]} [pictures] those that are there, if none are given
   * @param {boolean} [quotes] has a command quoted code in it?
   */
  fill(text, attached, pictures = this.tray.kept, quotes = this.quotes) {
    this.typing += 1;
    this.field.value = text;
    this.quotes = quotes;
    this.attached = attached;
    this.tray.set(pictures);
    this.back = 0;
    this.showChips();
    this.fit();
    this.offer(null);
  }
  /**
   * Put a text below what is typed, and attach more.
   * @param {string} text
   * @param {string[]} attached
   * @param {boolean} [quotes] does it quote code?
   */
  add(text, attached, quotes = false) {
    const all = [.../* @__PURE__ */ new Set([...this.attached, ...attached])];
    this.fill([this.field.value, text].filter(Boolean).join("\n\n"), all, this.tray.kept, this.quotes || quotes);
    this.remember();
    this.field.focus();
  }
  /** Fit the height to the text. The surroundings keep their height meanwhile, so that the transcript does not move. */
  fit() {
    const { element, field } = this;
    element.style.minHeight = `${element.offsetHeight}px`;
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight + 2, HIGHEST)}px`;
    element.style.minHeight = "";
  }
  /* sending */
  /** The button is Stop while a reply arrives, and Send otherwise. */
  showButton() {
    const stop = this.panel.stoppable;
    if (this.isStop !== stop) {
      this.isStop = stop;
      this.send.replaceChildren(icon(stop ? "stop" : "send"));
      this.send.classList.toggle("fg-stop", stop);
      this.send.setAttribute("aria-label", stop ? "Stop" : "Send");
      this.send.title = stop ? "Stop the reply" : "Send (Enter)";
    }
  }
  pressed() {
    if (this.panel.stoppable) this.panel.stop();
    else this.submit();
  }
  /**
   * Send what is typed, or another prompt; what is typed stays then. Returns true if it was sent.
   * @param {string} text
   * @param {string[]} attached
   * @param {boolean} quotes does it quote code?
   */
  async submit(text = this.field.value, attached = this.attached, quotes = this.quotes && text === this.field.value) {
    const { panel } = this;
    if (!text.trim() && this.tray.items.length) this.hint.textContent = "Type what to ask about the picture.";
    if (!text.trim() || this.field.readOnly) return false;
    if (text.trim().startsWith("/search ")) {
      panel.search.open(text.trim().slice(8));
      this.sent(this.draft, text, attached, this.tray.kept);
      return true;
    }
    const command = text.startsWith("/") && !text.startsWith("//") && !/^\/template\s+\S/.test(text);
    if (!command && panel.refuseWhileArriving()) return false;
    const { draft } = this;
    const typed = attached === this.attached;
    panel.pending = !command;
    this.field.readOnly = true;
    this.showButton();
    const withPictures = typed && !command;
    if (withPictures && this.tray.pending) await this.tray.work;
    const pictures = withPictures ? this.tray.ready() : [];
    panel.sent = pictures !== null;
    const done = pictures !== null && await panel.act("ask", { text, attached, ...quotes ? { quotes } : {}, ...pictures.length ? { pictures } : {} });
    panel.pending = false;
    this.field.readOnly = false;
    if (done && typed) this.sent(draft, text, command ? this.attached : this.attached.filter((name) => !attached.includes(name)), this.unsentOf(pictures));
    if (!done) panel.sent = false;
    this.showButton();
    return done;
  }
  /**
   * The pictures that are there besides these.
   * @param {{picture: string}[]} pictures that were sent
   */
  unsentOf(pictures) {
    return this.tray.kept.filter(({ picture }) => !pictures.some((sent) => sent.picture === picture));
  }
  /**
   * A sent text is no draft any more. A command keeps the attachments, and may have loaded another draft.
   * @param {string} draft its name
   * @param {string} text
   * @param {string[]} attached what stays attached
   * @param {Keepable[]} pictures that stay
   */
  sent(draft, text, attached, pictures) {
    const here = this.field.value === text;
    if (draft !== this.draft) this.remember(draft, "", here ? [] : attached, here ? [] : pictures);
    if (!here) return;
    this.fill("", attached, pictures, false);
    this.remember();
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (this.offered && this.keyInList(event, this.offered)) {
      event.preventDefault();
      return;
    }
    if (event.target === this.attach) {
      if (event.key === "Enter") {
        event.preventDefault();
        this.addAttached();
      }
      if (event.key === "Escape") {
        event.preventDefault();
        this.toggleAttach();
      }
      return;
    }
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "ArrowUp" && this.field.selectionEnd === 0) {
      event.preventDefault();
      this.recall(1);
    } else if (event.key === "ArrowDown" && this.back && this.field.selectionStart === this.field.value.length) {
      event.preventDefault();
      this.recall(-1);
    }
  }
  /* earlier prompts */
  /**
   * ↑: go back one prompt at a time, until something is typed.
   * @param {number} step
   */
  recall(step) {
    const { typing } = this;
    this.recalls = this.recalls.then(() => this.typing === typing ? this.recalled(step, typing) : void 0);
  }
  /**
   * @param {number} step
   * @param {number} typing
   */
  async recalled(step, typing) {
    const back = Math.max(0, this.back + step);
    if (!this.back) this.unsent = { text: this.field.value, quotes: this.quotes };
    let { text, quotes } = (
      /** @type {{text?: string, quotes?: boolean}} */
      back ? {} : this.unsent
    );
    if (back) {
      try {
        ({ text, quotes } = await this.panel.link.ask("recall", { back }));
      } catch (error) {
        this.panel.noteError(error);
      }
    }
    if (text === void 0 || this.typing !== typing || this.field.readOnly) return;
    this.field.value = text;
    this.quotes = Boolean(quotes);
    this.back = back;
    this.fit();
    this.remember();
    const place = step > 0 ? 0 : text.length;
    this.field.setSelectionRange(place, place);
  }
  /* what is attached */
  toggleAttach() {
    const open = this.attachRow.hidden;
    this.attachRow.hidden = !open;
    this.values.setAttribute("aria-expanded", String(open));
    (open ? this.attach : this.field).focus();
  }
  addAttached() {
    const name = this.attach.value.trim();
    this.attach.value = "";
    if (name) this.attachNamed(name);
    this.toggleAttach();
  }
  /** @param {string} name of a value or a file */
  attachNamed(name) {
    if (!this.attached.includes(name)) this.attached.push(name);
    this.showChips();
    this.remember();
  }
  showChips() {
    this.chips.hidden = !this.attached.length;
    this.chips.replaceChildren(...this.attached.map((name) => make(
      "span",
      { class: "fg-chip" },
      make("span", { text: labelOf(name), title: name }),
      button("close", `Do not attach ${labelOf(name)}`, () => this.removeAttached(name))
    )));
  }
  /** @param {string} name */
  removeAttached(name) {
    this.attached = this.attached.filter((other) => other !== name);
    this.showChips();
    this.remember();
    this.field.focus();
  }
  /* completions */
  /** @param {HTMLTextAreaElement | HTMLInputElement} field */
  async complete(field) {
    const text = field.value.slice(0, field.selectionEnd ?? 0);
    const line = text.slice(text.lastIndexOf("\n") + 1);
    const command = text.startsWith("/") && !text.startsWith("//") && line === text;
    const name = line.lastIndexOf("{") > line.lastIndexOf("}");
    const wanted = this.wanted = {};
    if (field === this.field && !command && !name) {
      this.offer(null);
      return;
    }
    let answer;
    try {
      answer = await this.panel.link.ask("complete", { text, attach: field === this.attach });
    } catch {
      return;
    }
    if (wanted !== this.wanted || focused() !== field) return;
    const { start, items } = answer;
    const complete = items.length === 1 && items[0][0] === text.slice(start);
    this.offer(items.length && !complete ? { field, start, items, close: name && !command && field === this.field } : null);
  }
  /** @param {Offer | null} offered */
  offer(offered) {
    this.offered = offered;
    this.list.hidden = !offered;
    if (!offered) {
      this.wanted = null;
      this.field.removeAttribute("aria-activedescendant");
      this.attach.removeAttribute("aria-activedescendant");
      return;
    }
    this.list.replaceChildren(...offered.items.map(([text, about], number) => make(
      "div",
      { role: "option", id: this.panel.id(`option${number}`), "data-number": number, class: "fg-option" },
      make("span", { text }),
      make("span", { class: "fg-about", text: about })
    )));
    this.mark(0);
  }
  /**
   * Handle a key while completions are shown; returns true if it was handled.
   * @param {KeyboardEvent} event
   * @param {Offer} offered
   */
  keyInList({ key, shiftKey, altKey, ctrlKey, metaKey }, { field, start, items }) {
    if (shiftKey || altKey || ctrlKey || metaKey || (field.selectionEnd ?? 0) < start) {
      this.offer(null);
      return false;
    }
    const last = items.length - 1;
    if (key === "ArrowDown") this.mark(this.marked === last ? 0 : this.marked + 1);
    else if (key === "ArrowUp") this.mark(this.marked ? this.marked - 1 : last);
    else if (key === "Escape") this.offer(null);
    else if (key === "Tab") this.take(this.marked);
    else if (key === "Enter") {
      if (field.value.slice(start, field.selectionEnd ?? 0) === items[this.marked][0]) {
        this.offer(null);
        return false;
      }
      this.take(this.marked);
    } else return false;
    return true;
  }
  /** @param {number} number of a completion */
  mark(number) {
    this.marked = number;
    [...this.list.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === number)));
    this.list.children[number]?.scrollIntoView({ block: "nearest" });
    this.offered?.field.setAttribute("aria-activedescendant", this.panel.id(`option${number}`));
  }
  /** @param {number} number of a completion */
  take(number) {
    if (!this.offered) return;
    const { field, start, items, close } = this.offered;
    const end = Math.max(start, field.selectionEnd ?? 0);
    const closing = close && field.value[end] !== "}" ? "}" : "";
    field.setRangeText(items[number][0] + closing, start, end, "end");
    const place = (field.selectionEnd ?? 0) - closing.length;
    field.setSelectionRange(place, place);
    this.offer(null);
    this.fit();
    this.remember();
  }
};

// menu.js
var Menu = class {
  /**
   * @param {string} label
   * @param {[text: string, run: () => unknown][]} items
   */
  constructor(label, items) {
    this.items = items.map(([text, run]) => make("button", {
      type: "button",
      role: "menuitem",
      tabindex: "-1",
      text,
      onclick: () => {
        this.toggle(false);
        run();
      }
    }));
    this.list = make("div", { class: "fg-menu", role: "menu", "aria-label": label, hidden: true }, ...this.items);
    this.button = button("more", label, () => this.toggle(Boolean(this.list.hidden)), { "aria-haspopup": "menu", "aria-expanded": "false" });
    this.element = make("div", { class: "fg-menubox" }, this.button, this.list);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(
        /** @type {Node | null} */
        event.relatedTarget
      )) this.toggle(false, false);
    });
  }
  /**
   * @param {boolean} open
   * @param {boolean} [focus] let the focus go along
   */
  toggle(open, focus = true) {
    this.list.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (focus) (open ? this.items[0] : this.button).focus();
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    const { items } = this;
    const at = items.findIndex((item) => item === focused());
    if (event.key === "Escape" && !this.list.hidden) this.toggle(false);
    else if (event.key === "ArrowDown") {
      if (this.list.hidden) this.toggle(true);
      else items[(at + 1) % items.length].focus();
    } else if (event.key === "ArrowUp" && !this.list.hidden) items[(at + items.length - 1) % items.length].focus();
    else if (event.key === "Home" && at >= 0) items[0].focus();
    else if (event.key === "End" && at >= 0) items[items.length - 1].focus();
    else return;
    event.preventDefault();
  }
};

// picker.js
var Picker = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.choices = /** @type {Choice[]} */
    [];
    this.known = "";
    this.looked = false;
    this.all = false;
    this.lines = /** @type {Line[]} */
    [];
    this.marked = 0;
    this.alias = make("span", { class: "fg-alias" });
    this.name = make("span", { class: "fg-model" });
    this.button = make("button", {
      type: "button",
      class: "fg-select fg-pick",
      "aria-haspopup": "listbox",
      "aria-expanded": "false",
      onclick: () => this.toggle(Boolean(this.popup.hidden))
    }, this.alias, this.name, icon("below"));
    this.button.addEventListener("pointerenter", () => {
      if (!this.looked) this.look(false);
    });
    this.words = make("input", {
      class: "fg-field",
      type: "text",
      role: "combobox",
      "aria-label": "Find a model",
      "aria-expanded": "true",
      "aria-autocomplete": "list",
      "aria-controls": panel.id("models"),
      placeholder: "Find a model",
      spellcheck: "false",
      autocomplete: "off"
    });
    this.list = make("div", { class: "fg-options", role: "listbox", id: panel.id("models"), "aria-label": "Models" });
    this.popup = make("div", { class: "fg-popup", hidden: true }, this.words, this.list);
    this.element = make("div", { class: "fg-picker" }, this.button, this.popup);
    this.listen();
  }
  listen() {
    this.words.addEventListener("input", () => this.fill());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusout", ({ relatedTarget }) => {
      if (!this.element.contains(
        /** @type {Node | null} */
        relatedTarget
      )) this.toggle(false, false);
    });
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", ({ target }) => {
      const option = (
        /** @type {HTMLElement | null} */
        /** @type {Element} */
        target.closest("[role=option]")
      );
      if (option) this.take(Number(option.dataset.number));
    });
  }
  /** Show the values of the traits: the alias first, then the model that is asked. */
  update() {
    const { model } = this.panel;
    const [alias, asked] = [model.get("alias"), model.get("model")];
    this.alias.textContent = alias;
    this.alias.hidden = !alias;
    this.name.textContent = asked || "no model";
    this.button.setAttribute("aria-label", `Model: ${[alias, asked || "none"].filter(Boolean).join(", ")}`);
    this.button.title = asked ? `Asked: ${asked}` : model.get("trouble");
    if (!this.popup.hidden) this.fill();
  }
  /**
   * @param {boolean} open
   * @param {boolean} [focus] let the focus go along
   */
  toggle(open, focus = true) {
    if (this.popup.hidden === !open) return;
    this.popup.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    this.all = false;
    if (open) {
      this.words.value = "";
      this.fill();
      this.look(true);
    }
    if (focus) (open ? this.words : this.button).focus();
  }
  /**
   * Ask the kernel for the models.
   * @param {boolean} anew ask the servers again
   */
  async look(anew) {
    this.looked = true;
    try {
      const { models } = await this.panel.link.ask("models", { anew });
      const known = JSON.stringify(models);
      if (known === this.known) return;
      this.known = known;
      this.choices = models;
      if (!this.popup.hidden) this.fill();
    } catch {
    }
  }
  /** The lines that have all words that were typed. Models that cannot answer come when they are wanted. */
  find() {
    const words = this.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { model } = this.panel;
    const chosen = model.get("chosen");
    const lines = [{ name: "as in the settings", about: chosen ? "" : model.get("model"), value: "" }];
    if (chosen && !this.choices.some(({ name, able }) => able && name === chosen)) lines.push({ name: chosen, about: "", value: chosen });
    lines.push(...this.choices.filter(({ able }) => able).map(({ name, note, group }) => ({ name, about: group === "aliases" ? `→ ${note}` : note, value: name })));
    const others = this.choices.filter(({ able }) => !able).map(({ name, note, group }) => ({ name: name || group, about: note }));
    const fits = ({ name, about }) => words.every((word) => `${name} ${about}`.toLowerCase().includes(word));
    const more = others.filter(fits);
    return [...lines.filter(fits), ...this.all ? more : more.length ? [{ name: `more (${more.length})`, about: "cannot answer as things are", more: true }] : []];
  }
  fill() {
    this.lines = this.find();
    const chosen = this.panel.model.get("chosen");
    this.list.replaceChildren(...this.lines.map(({ name, about, value, more }, number) => make("div", {
      role: "option",
      class: "fg-option",
      id: this.panel.id(`model${number}`),
      "data-number": number,
      "aria-selected": "false",
      "aria-disabled": value === void 0 && !more ? "true" : null,
      "aria-current": value === chosen && !more ? "true" : null
    }, make("span", { text: name }), make("span", { class: "fg-about", text: about }))));
    const at = this.lines.findIndex(({ value }) => value === chosen);
    this.mark(this.words.value || at < 0 ? 0 : at);
  }
  /** @param {number} number of a line */
  mark(number) {
    this.marked = number;
    [...this.list.children].forEach((option2, place) => option2.setAttribute("aria-selected", String(place === number)));
    const option = this.list.children[number];
    if (option) this.words.setAttribute("aria-activedescendant", option.id);
    else this.words.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  }
  /** @param {number} number of a line */
  take(number) {
    const line = this.lines[number];
    if (line?.more) {
      this.all = true;
      this.fill();
      this.mark(number);
    } else if (line?.value !== void 0) {
      const { value } = line;
      this.toggle(false);
      this.panel.act("set", { setting: "model", value });
    }
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.lines.length - 1;
    if (this.popup.hidden) {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      this.toggle(true);
    } else if (event.key === "ArrowDown") this.mark(this.marked >= last ? 0 : this.marked + 1);
    else if (event.key === "ArrowUp") this.mark(this.marked > 0 ? this.marked - 1 : last);
    else if (event.key === "PageDown") this.mark(Math.min(last, this.marked + 8));
    else if (event.key === "PageUp") this.mark(Math.max(0, this.marked - 8));
    else if (event.key === "Escape") this.toggle(false);
    else if (event.key === "Enter" && event.target === this.words) this.take(this.marked);
    else return;
    event.preventDefault();
  }
};

// head.js
var Head = class {
  /** @param {Panel} panel */
  constructor(panel) {
    const { model } = panel;
    this.panel = panel;
    this.chats = make("select", { class: "fg-select", "aria-label": "Conversation", onchange: () => this.use() });
    this.name = make("input", { class: "fg-field fg-name", type: "text", "aria-label": "New name of the conversation", hidden: true });
    this.name.addEventListener("keydown", (event) => this.keyInName(event));
    this.name.addEventListener("blur", () => {
      if (!this.name.hidden) this.rename(this.name.value.trim() !== model.get("name"));
    });
    this.picker = new Picker(panel);
    this.pencil = button("pencil", "Rename the conversation", () => this.beginRename());
    this.searchButton = button("search", "Search", () => panel.search.toggle(), { "aria-expanded": "false" });
    this.tuningButton = button("sliders", "System prompt and temperature", () => panel.tuning.toggle(), { "aria-expanded": "false" });
    this.menu = new Menu("More", [
      ["Undo the last change", () => panel.act("undo", {})],
      ["Redo", () => panel.act("redo", {})],
      ["Clear the conversation", () => panel.act("clear", {})],
      ["Export as Markdown", () => panel.save("md")],
      ["Export as JSON", () => panel.save("json")],
      ["Export as a notebook", () => panel.save("ipynb")],
      ["Export as a page", () => panel.save("html")],
      ["Close the panel", () => panel.surroundings ? panel.surroundings.hide() : panel.link.tell("close")]
    ]);
    this.element = make(
      "div",
      { class: "fg-head" },
      make(
        "div",
        { class: "fg-group" },
        this.chats,
        this.name,
        this.pencil,
        button("plus", "New conversation", ({ detail }) => detail > 1 || this.begin())
      ),
      // a double click counts once
      make("div", { class: "fg-group fg-side" }, this.picker.element, this.searchButton, this.tuningButton, this.menu.element)
    );
    this.update();
  }
  /** Show the values of the traits. */
  update() {
    const { model } = this.panel;
    const [name, names] = [model.get("name"), model.get("names")];
    this.chats.replaceChildren(...names.map((other) => make("option", { value: other, text: other, selected: other === name })));
    this.chats.value = name;
    this.picker.update();
  }
  async use() {
    if (!await this.panel.act("use", { name: this.chats.value })) this.update();
  }
  /** Start a new conversation, and let the person type. */
  async begin() {
    if (await this.panel.act("new", {})) this.panel.composer.field.focus({ preventScroll: true });
  }
  /** @param {KeyboardEvent} event */
  keyInName(event) {
    if (!["Enter", "Escape"].includes(event.key) || event.isComposing) return;
    event.preventDefault();
    this.rename(event.key === "Enter");
    this.pencil.focus();
  }
  beginRename() {
    this.name.value = this.panel.model.get("name");
    this.name.hidden = false;
    this.chats.hidden = true;
    this.name.focus();
    this.name.select();
  }
  /** @param {boolean} really or leave it as it was */
  async rename(really) {
    const name = this.name.value;
    this.name.hidden = true;
    this.chats.hidden = false;
    if (really) await this.panel.act("rename", { name });
  }
};

// kernel.js
var GONE = ["restarting", "autorestarting", "dead"];
var Kernel = class {
  /**
   * @param {Model} model
   * @param {() => void} changed is called when the kernel comes or goes
   */
  constructor(model, changed) {
    this.manager = model.widget_manager;
    this.cleanups = /** @type {(() => void)[]} */
    [];
    this.gone = false;
    const context = this.manager?.context?.sessionContext;
    this.connect(context?.statusChanged, (_sender, status) => {
      if ([...GONE, "terminating"].includes(status)) this.gone = true;
      changed();
    });
    this.connect(context?.connectionStatusChanged, () => changed());
    this.connect(context?.kernelChanged, (_sender, { oldValue, newValue }) => {
      if (oldValue && oldValue.id !== newValue?.id) this.gone = true;
      changed();
    });
    const live = () => {
      if (this.kernel && GONE.includes(this.kernel.status ?? "")) this.gone = true;
      changed();
    };
    model.on("comm_live_update", live);
    this.cleanups.push(() => model.off("comm_live_update", live));
  }
  /**
   * @param {Signal | undefined} signal
   * @param {(sender: any, about: any) => void} slot
   */
  connect(signal, slot) {
    if (!signal?.connect) return;
    signal.connect(slot);
    this.cleanups.push(() => signal.disconnect(slot));
  }
  get kernel() {
    return this.manager?.kernel ?? this.manager?.context?.sessionContext?.session?.kernel ?? null;
  }
  get reachable() {
    return !this.gone && !["connecting", "disconnected"].includes(this.kernel?.connectionStatus ?? "");
  }
  get busy() {
    return this.kernel?.status === "busy";
  }
  close() {
    for (const cleanup of this.cleanups) cleanup();
  }
};

// link.js
var Link = class {
  /**
   * @param {Model} model
   * @param {(message: Message) => void} hear gets what the kernel says without being asked
   */
  constructor(model, hear) {
    this.model = model;
    this.page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (number) => number.toString(36)).join("");
    this.waiting = /** @type {Map<number, Waiting>} */
    /* @__PURE__ */ new Map();
    this.next = 1;
    this.lostBefore = 0;
    this.alive = true;
    this.heard = (message, buffers = []) => {
      if (message.page && message.page !== this.page) return;
      if (message.kind === "answer") this.answered(buffers.length ? { ...message, buffers } : message);
      else hear(message);
    };
    model.on("msg:custom", this.heard);
  }
  /** @param {{id: number, error?: string}} answer */
  answered(answer) {
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (answer.error !== void 0) waiting?.reject(new Error(answer.error));
    else waiting?.resolve(answer);
  }
  /**
   * Send a message that needs no answer.
   * @param {string} kind
   * @param {object} [more]
   */
  tell(kind, more = {}) {
    if (this.alive) this.model.send({ kind, page: this.page, ...more });
  }
  /**
   * Send a request and return the kernel's answer, with its `buffers` if it has any. Rejects with an error message for the person.
   * @param {string} kind
   * @param {object} [more]
   * @param {ArrayBuffer[]} [buffers] are sent as they are, beside the message
   * @returns {Promise<any>}
   */
  ask(kind, more = {}, buffers) {
    if (!this.alive) return Promise.reject(new Error("The kernel cannot be reached."));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.model.send({ kind, id, page: this.page, ...more }, void 0, buffers);
    });
  }
  /** The connection was lost. Pending requests may still be answered until it works again. */
  interrupted() {
    this.lostBefore = this.next;
  }
  /** Give up the requests from before the connection was lost. */
  giveUp() {
    for (const [id, { reject }] of [...this.waiting]) {
      if (id >= this.lostBefore) continue;
      this.waiting.delete(id);
      reject(new Error("The connection to the kernel was lost before it could answer: check whether this was done before you do it again."));
    }
    this.lostBefore = 0;
  }
  /**
   * Give up all requests.
   * @param {string} why
   */
  lost(why) {
    this.alive = false;
    for (const { reject } of this.waiting.values()) reject(new Error(why));
    this.waiting.clear();
  }
  close() {
    this.tell("gone");
    this.model.off("msg:custom", this.heard);
  }
};

// empty.js
var Empty = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.asked = false;
    this.title = make("p", { class: "fg-title" });
    this.list = make("div", { class: "fg-examples", role: "group", "aria-label": "Examples" });
    this.element = make("div", { class: "fg-empty" }, this.title, this.list);
  }
  /** @param {boolean} shown */
  show(shown) {
    const before = !this.element.hidden && this.list.childNodes.length > 0;
    this.element.hidden = !shown;
    if (shown && !before) this.look();
  }
  /** Ask the kernel for examples: what there is to ask about changes with each cell. */
  async look() {
    if (this.asked || this.element.hidden || !this.panel.link.alive) return;
    this.asked = true;
    try {
      const { examples } = await this.panel.link.ask("examples");
      const known = [...this.list.children].map((button2) => button2.textContent);
      if (known.join("\n") !== examples.join("\n")) this.list.replaceChildren(...examples.map((text) => this.example(text)));
    } catch {
    } finally {
      this.asked = false;
    }
  }
  /** @param {string} text */
  example(text) {
    const { composer } = this.panel;
    return make("button", { type: "button", class: "fg-example", text, onclick: () => {
      composer.fill(composer.field.value.trim() ? `${composer.field.value}
${text}` : text, composer.attached);
      composer.remember();
      composer.field.focus();
    } });
  }
  /** What is shown above the examples; `trouble` is said elsewhere. */
  update() {
    const { model } = this.panel;
    this.title.textContent = model.get("trouble") ? "" : `Nothing was asked in ${model.get("name")} yet. You could begin with:`;
    this.list.hidden = Boolean(model.get("trouble"));
  }
};

// changes.js
function changedFrom(blocks, keep, cut, added, more = []) {
  const open = (cut ? blocks[keep].slice(0, cut) : "") + added;
  return open ? [open, ...more] : more;
}
function replaceFrom(list, from, items) {
  list.length = from;
  for (const item of items) list.push(item);
}

// runs.js
var CLASSES = {
  K: "keyword",
  S: "string",
  C: "comment",
  N: "number",
  F: "def",
  B: "builtin",
  O: "operator",
  M: "meta",
  T: "tag",
  A: "attribute",
  V: "variable-2",
  L: "atom",
  E: "error"
};
function readRuns(text, runs) {
  const found = [];
  let place = 0;
  for (const [, letter, length] of runs.matchAll(/([A-Z])([0-9a-z]*)/g)) {
    const end = Math.min(text.length, place + (length ? parseInt(length, 36) : 1));
    const kind = letter in CLASSES ? CLASSES[
      /** @type {keyof typeof CLASSES} */
      letter
    ] : "";
    if (end > place) found.push({ kind, start: place, end });
    place = end;
  }
  if (place < text.length || !found.length) found.push({ kind: "", start: place, end: text.length });
  return found;
}
function sameRun(one, other) {
  return one.kind === other.kind && one.start === other.start && one.end === other.end;
}

// code.js
var Code = class {
  /**
   * @param {Panel} panel
   * @param {Element} pre the block as the kernel sends it
   */
  constructor(panel, pre) {
    this.runs = /** @type {(Run & {node: Node})[]} */
    [];
    this.text = /** @type {string | undefined} */
    void 0;
    this.language = "";
    this.code = make("code");
    this.label = make("span", { class: "fg-language" });
    this.element = make(
      "div",
      { class: "fg-code" },
      make(
        "div",
        { class: "fg-codebar" },
        this.label,
        button("copy", "Copy the code", () => panel.copied(this.whole)),
        button("insert", "Insert a cell below with the code", () => panel.notebook.insert(this.whole, this.language))
      ),
      make("pre", { dir: "ltr", tabindex: "0", role: "group", "aria-label": "Code" }, this.code)
    );
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
    const same = this.text === void 0 || text.startsWith(this.text) ? this.keep(text, runs) : 0;
    for (const run of this.runs.splice(same)) run.node.remove();
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
    (last.node.firstChild ?? last.node).appendData(text.slice(last.end, next.end));
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
};

// morph.js
function isCode(node) {
  return node.nodeName === "PRE" && /** @type {Element} */
  node.hasAttribute("data-language");
}
function isImage(node) {
  return node.nodeName === "BUTTON" && /** @type {Element} */
  node.hasAttribute("data-src");
}
function isElement(node) {
  return node.nodeType === 1;
}
function isText(node) {
  return node.nodeType === 3;
}
function image(node) {
  const address = node.getAttribute("data-src") ?? "";
  const words = node.textContent?.trim() || address;
  const show = make("button", { type: "button", class: "fg-image", title: `Load the image from ${address}`, text: words });
  show.addEventListener("click", () => {
    if (!/^https?:\/\//i.test(address)) return;
    show.replaceWith(make("img", { src: address, alt: words, referrerpolicy: "no-referrer", class: "fg-loaded" }));
  });
  show.address = `${address} ${words}`;
  return show;
}
function dressed(panel, node) {
  if (isCode(node)) return new Code(panel, node).element;
  if (isImage(node)) return image(node);
  if (isElement(node)) {
    for (const pre of [...node.querySelectorAll("pre[data-language]")]) pre.replaceWith(new Code(panel, pre).element);
    for (const stand of [...node.querySelectorAll("button[data-src]")]) stand.replaceWith(image(stand));
    for (const inner of [node, ...node.querySelectorAll("a[href], .fg-scroll")]) reachable(inner);
  }
  return node;
}
function reachable(node) {
  const more = node.nodeName === "A" ? { target: "_blank", rel: "noopener noreferrer" } : node.classList.contains("fg-scroll") ? { tabindex: "0", role: "group", "aria-label": "Table" } : {};
  for (const [name, value] of Object.entries(more)) node.setAttribute(name, value);
}
function morph(panel, there, fresh) {
  let old = there.firstChild;
  let next = fresh.firstChild;
  while (next) {
    const node = next;
    next = node.nextSibling;
    const after = old?.nextSibling ?? null;
    if (!old) there.appendChild(dressed(panel, node));
    else morphNode(panel, old, node);
    old = after;
  }
  while (old) {
    const after = old.nextSibling;
    old.remove();
    old = after;
  }
}
function morphNode(panel, old, node) {
  const { codeBlock, address } = (
    /** @type {Partial<Element>} */
    old
  );
  if (codeBlock && isCode(node)) codeBlock.update(node);
  else if (address && isImage(node)) {
    const made = image(node);
    if (made.address !== address) old.replaceWith(made);
  } else if (old.nodeName === "IMG" && isImage(node)) return;
  else if (isText(old) && isText(node)) morphText(old, node.data);
  else if (isElement(old) && isElement(node) && old.nodeName === node.nodeName && sameAttributes(old, node)) morph(panel, old, node);
  else old.replaceWith(dressed(panel, node));
}
function morphText(old, text) {
  if (!text.startsWith(old.data)) old.data = text;
  else if (text.length > old.data.length) old.appendData(text.slice(old.data.length));
}
function sameAttributes(one, other) {
  const own = [...one.attributes].filter(({ name }) => !["target", "rel", "tabindex", "role", "aria-label"].includes(name));
  return own.every(({ name }) => other.hasAttribute(name)) && [...other.attributes].every(({ name, value }) => one.getAttribute(name) === value);
}
function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

// blocks.js
var FEW = 8;
var Body = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.blocks = /** @type {string[]} */
    [];
    this.heights = /** @type {(number | undefined)[]} */
    [];
    this.guesses = /** @type {number[]} */
    [];
    this.shown = /** @type {Map<number, Shown>} */
    /* @__PURE__ */ new Map();
    this.from = this.to = 0;
    this.above = make("div");
    this.below = make("div");
    this.element = make("div", { class: "fg-blocks jp-RenderedHTMLCommon" }, this.above, this.below);
  }
  /**
   * Replace the blocks from number `from` on.
   * @param {number} from
   * @param {string[]} blocks
   */
  change(from, blocks) {
    replaceFrom(this.blocks, from, blocks);
    this.heights.length = Math.min(this.heights.length, from + 1);
    this.guesses.length = Math.min(this.guesses.length, from);
  }
  /** The width of the page changed, so the heights of blocks outside the page are unknown again. */
  resized() {
    this.guesses = [];
    this.heights = this.heights.map((height, number) => this.shown.has(number) ? height : void 0);
  }
  /** @param {number} number */
  height(number) {
    return this.heights[number] ?? (this.guesses[number] ??= this.guess(this.blocks[number]));
  }
  /** @param {string} html */
  guess(html) {
    if (html.startsWith("<pre")) return Math.min(530, 62 + 17 * (html.split("\n").length - 1));
    return 14 + 21 * Math.ceil(html.length / Math.max(20, this.panel.log.width / 7.5));
  }
  /**
   * The offset of a block in pixels; one past the last block gives the total height.
   * @param {number} number
   */
  top(number) {
    let top = 0;
    for (let before = 0; before < number; before += 1) top += this.height(before);
    return top;
  }
  /**
   * The number of the block at an offset.
   * @param {number} place pixels from the top
   */
  at(place) {
    let number = 0;
    for (let top = this.height(0); top <= place && number < this.blocks.length - 1; top += this.height(number)) number += 1;
    return number;
  }
  /**
   * Choose the blocks between two offsets; returns true if the page has to be painted.
   * @param {number} top
   * @param {number} bottom
   */
  look(top, bottom) {
    const last = this.blocks.length;
    let [from, to] = [0, last];
    if (last > FEW) {
      from = this.at(Math.max(0, top));
      to = Math.min(last, this.at(Math.max(0, bottom)) + 1);
    }
    [this.from, this.to] = this.hold(from, to);
    if (this.shown.size !== this.to - this.from) return true;
    for (let number = this.from; number < this.to; number += 1) if (this.shown.get(number)?.html !== this.blocks[number]) return true;
    return false;
  }
  /**
   * Extend the range by blocks that have the focus or a selection, so that they stay in the page.
   * @param {number} from
   * @param {number} to
   */
  hold(from, to) {
    const selected = document.getSelection();
    const nodes = selected && !selected.isCollapsed ? [selected.anchorNode, selected.focusNode] : [];
    for (const node of [...nodes, focused()]) {
      if (!node || !this.element.contains(node)) continue;
      const element = node.nodeType === 1 ? (
        /** @type {Element} */
        node
      ) : node.parentElement;
      const number = element?.closest(".fg-block")?.number;
      if (number === void 0 || number >= this.blocks.length) continue;
      from = Math.min(from, number);
      to = Math.max(to, number + 1);
    }
    return [from, to];
  }
  /**
   * Update the page; returns false if the time ran out first.
   * @param {number} deadline by the clock of `performance.now`; one block is made at least
   */
  paint(deadline) {
    for (const [number2, { element }] of this.shown) if (number2 < this.from || number2 >= this.to) this.remove(number2, element);
    let before = (
      /** @type {HTMLElement} */
      this.above
    );
    let number = this.from;
    for (let done = 0; number < this.to; number += 1) {
      const html = this.blocks[number];
      let block = this.shown.get(number);
      if (block?.html !== html) {
        if (done && performance.now() > deadline) break;
        block = this.show(number, html, block);
        done += 1;
      }
      if (before.nextSibling !== block.element) before.after(block.element);
      before = block.element;
    }
    this.above.style.height = `${this.top(this.from)}px`;
    this.below.style.height = `${this.top(this.blocks.length) - this.top(number)}px`;
    return number === this.to;
  }
  /**
   * @param {number} number
   * @param {string} html
   * @param {Shown} [before] the block as it is in the page
   * @returns {Shown}
   */
  show(number, html, before) {
    const element = before?.element ?? make("div", { class: "fg-block", dir: "auto" });
    if (!before) {
      Object.assign(element, { number, body: this });
      this.panel.log.sizes.observe(element);
    }
    morph(this.panel, element, parsed(html));
    const block = { element, html };
    this.shown.set(number, block);
    return block;
  }
  /**
   * @param {number} number
   * @param {HTMLElement} element
   */
  remove(number, element) {
    this.panel.log.sizes.unobserve(element);
    element.remove();
    this.shown.delete(number);
  }
  /** Remove all blocks from the page. */
  clear() {
    for (const [number, { element }] of this.shown) this.remove(number, element);
  }
  /**
   * A long code block comes as several blocks: returns all of its code, from this block on.
   * @param {number} number of the block
   * @param {string} text of its code
   */
  code(number, text) {
    for (let next = number + 1; next < this.blocks.length && /^<pre[^>]* data-part="/.test(this.blocks[next]); next += 1) {
      text += parsed(this.blocks[next]).querySelector("code")?.textContent ?? "";
    }
    return text;
  }
};

// thoughts.js
var LONGEST = 2e4;
var Thoughts = class {
  /** @param {Turn} turn */
  constructor(turn) {
    this.turn = turn;
    this.goesOn = false;
    this.text = "";
    this.complete = false;
    this.line = make("summary");
    this.body = make("div", { class: "fg-thoughts-text", dir: "auto" });
    this.element = make("details", { class: "fg-thoughts fg-who", hidden: true, ontoggle: () => this.toggled() }, this.line, this.body);
    this.of = "";
    this.begun = 0;
    this.ended = "";
    this.timer = /** @type {ReturnType<typeof setTimeout> | undefined} */
    void 0;
  }
  /**
   * The turn, with or without reasoning, as the kernel has it.
   * @param {Facts} facts
   */
  load({ id, thought = "", thinks = false, thoughts, thought_seconds: seconds = 0 }) {
    if (id !== this.of) [this.of, this.text, this.complete, this.element.open] = [id, "", false, false];
    if (!thinks && this.goesOn) this.element.open = false;
    this.ended = thought;
    this.goesOn = thinks;
    this.begun = performance.now() - 1e3 * seconds;
    this.complete = thoughts === void 0 && this.complete;
    if (thoughts !== void 0) this.text = thoughts;
    this.show();
  }
  /**
   * The model goes on reasoning, or its answer begins.
   * @param {NewThoughts} thoughts
   */
  add({ add, anew, thinks, thought_seconds: seconds }) {
    this.text = ((anew ? "" : this.text) + add).slice(-LONGEST);
    this.complete = false;
    this.begun = performance.now() - 1e3 * seconds;
    if (this.goesOn && !thinks) this.close(seconds);
    this.goesOn = thinks;
    this.show();
  }
  /** @param {number} seconds */
  close(seconds) {
    this.ended = `Thought for ${Math.max(1, Math.round(seconds))} s`;
    this.element.open = false;
  }
  /** Show the line, and the reasoning where somebody reads it; once a second while it goes on. */
  show() {
    this.stop();
    if (!this.turn.elements) return;
    this.element.hidden = !this.goesOn && !this.ended;
    if (this.goesOn) {
      const milliseconds = performance.now() - this.begun;
      this.line.textContent = `Thinking… ${Math.max(1, Math.round(milliseconds / 1e3))} s`;
      this.timer = setTimeout(() => this.show(), 10 + (1500 - milliseconds % 1e3) % 1e3);
    } else {
      this.line.textContent = this.ended;
    }
    if (this.element.open) this.write();
  }
  /** Show no seconds any more. */
  stop() {
    clearTimeout(this.timer);
  }
  async toggled() {
    if (!this.element.open) return;
    this.write();
    if (this.goesOn || this.complete) return;
    try {
      this.text = await this.turn.whole("reasoning");
      this.complete = true;
      this.write();
    } catch (error) {
      this.turn.panel.noteError(error);
    }
  }
  /** Only what is new gets into the page: what somebody has selected stays selected. */
  write() {
    const shown = this.body.firstChild;
    if (shown instanceof Text && this.text.startsWith(shown.data)) shown.appendData(this.text.slice(shown.data.length));
    else this.body.textContent = this.text;
  }
};

// compared.js
var Compared = class {
  /** @param {Turn} turn */
  constructor(turn) {
    this.turn = turn;
    this.shown = "[]";
    this.element = make("div", { class: "fg-compared", role: "group", "aria-label": "Replies of other models", hidden: true });
  }
  /** @param {OtherReply[]} others */
  show(others) {
    const shown = JSON.stringify(others);
    if (shown === this.shown) return;
    const open = new Set([...this.element.querySelectorAll("details[open]")].map((details) => details.getAttribute("data-turn")));
    this.shown = shown;
    this.element.hidden = !others.length;
    this.element.replaceChildren(...others.map((other) => this.row(other, open.has(other.id))));
  }
  /**
   * @param {OtherReply} other
   * @param {boolean} open
   */
  row(other, open) {
    const { turn } = this;
    const { panel } = turn;
    const line = [other.title, other.line].filter(Boolean).join(" · ");
    const body = make("div", { class: "fg-blocks jp-RenderedHTMLCommon" });
    const details = make(
      "details",
      { "data-turn": other.id, open, ontoggle: () => details.open && this.fill(other, body) },
      make("summary", { class: "fg-who", text: line }),
      other.error && make("div", { class: "fg-trouble", text: other.error }),
      body
    );
    const keep = make("button", {
      type: "button",
      class: "fg-button",
      text: "Keep",
      "aria-label": `Keep ${other.title}`,
      disabled: other.empty || other.status === "streaming",
      onclick: () => panel.refuseWhileArriving() || panel.act("choose", { place: turn.place, version: other.version })
    });
    return make("div", { class: "fg-other" }, details, keep);
  }
  /**
   * @param {OtherReply} other
   * @param {HTMLElement} body
   */
  async fill(other, body) {
    const { panel, id } = this.turn;
    try {
      const { blocks } = await panel.link.ask("other", { turn: id, other: other.id });
      body.replaceChildren(...blocks.map((html) => {
        const block = make("div", { class: "fg-block", dir: "auto" });
        morph(panel, block, parsed(html));
        return block;
      }));
    } catch (error) {
      panel.noteError(error);
    }
  }
};

// prompt_editor.js
var HIGHEST2 = 320;
var PromptEditor = class {
  /**
   * @param {TurnElements} elements of the turn
   * @param {Edit} edit what is typed there
   */
  constructor(elements, edit) {
    this.elements = elements;
    this.turn = elements.turn;
    this.edit = edit;
    this.field = make("textarea", { class: "fg-field", "aria-label": "The prompt of this turn", dir: "auto", rows: "3" });
    this.field.value = edit.text;
    this.tray = new Tray(this.turn.panel, { draft: () => this.edit.id, changed: () => this.picturesChanged(), attach: null, field: this.field });
    this.tray.set(edit.pictures ?? this.turn.facts?.pictures ?? []);
    this.field.addEventListener("input", () => {
      edit.text = this.field.value;
      this.turn.panel.edits.remember();
      this.fit();
    });
    this.field.addEventListener("keydown", (event) => this.key(event));
    const changed = edit.id !== this.turn.id && make("div", { class: "fg-hint", text: "This turn has changed since you began to edit it; Ask adds another version." });
    this.element = make(
      "div",
      { class: "fg-editor" },
      this.tray.element,
      this.field,
      changed,
      make(
        "div",
        { class: "fg-row" },
        this.tray.clip,
        this.tray.input,
        make("button", { type: "button", class: "fg-button fg-main", text: "Ask", onclick: () => this.send() }),
        make("button", { type: "button", class: "fg-button", text: "Cancel", onclick: () => elements.leaveEditor() })
      )
    );
    this.tray.listen(this.element);
  }
  /**
   * The field is in the page now.
   * @param {boolean} fresh did somebody just open it?
   */
  begin(fresh) {
    if (fresh) {
      this.field.focus();
      this.fit();
    } else requestAnimationFrame(() => this.fit());
  }
  fit() {
    const { field } = this;
    field.style.height = "auto";
    field.style.height = `${Math.min(HIGHEST2, field.scrollHeight + 2)}px`;
  }
  /** Does the prompt have pictures, or did it have some? */
  get hasPictures() {
    return Boolean(this.tray.items.length || this.turn.facts?.pictures?.length);
  }
  picturesChanged() {
    this.edit.pictures = this.tray.kept;
    this.turn.panel.edits.remember();
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (!this.field.readOnly) this.elements.leaveEditor();
    }
  }
  async send() {
    const { elements, field, edit, turn: { panel, place, id } } = this;
    if (panel.sending === place || panel.refuseWhileArriving()) return;
    const { edits } = panel;
    edit.sent = true;
    panel.sending = place;
    field.readOnly = true;
    if (this.tray.pending) await this.tray.work;
    const pictures = this.tray.ready();
    const done = pictures && await panel.act("edit", { place, text: field.value, ...this.hasPictures ? { pictures } : {} });
    field.readOnly = edit.sent = false;
    panel.sending = null;
    if (done) {
      edits.delete(place);
      if (elements.element.contains(focused())) elements.leaveEditor();
      panel.composer.field.focus({ preventScroll: true });
    } else if (!panel.log.byId.has(id)) {
      edits.delete(place);
      panel.rescueText(field.value, this.tray.kept, edit.quotes);
    }
  }
};

// toolbar.js
var Toolbar = class {
  /** @param {HTMLElement} element holds the buttons, in elements of the class `fg-tools` */
  constructor(element) {
    this.element = element;
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("focusin", ({ target }) => this.select(
      /** @type {HTMLElement} */
      target
    ));
  }
  /** The buttons that can be pressed now. */
  get buttons() {
    const all = (
      /** @type {NodeListOf<HTMLButtonElement>} */
      this.element.querySelectorAll(".fg-tools button")
    );
    return [...all].filter((button2) => !button2.disabled && !button2.closest("[hidden], .fg-quiet"));
  }
  /** The buttons changed: exactly one of them is a tab stop. */
  update() {
    const { buttons } = this;
    this.select(buttons.find((button2) => button2 === focused()) ?? buttons.find((button2) => button2.tabIndex === 0) ?? buttons[0]);
  }
  /** @param {HTMLElement | undefined} target the tab stop, if it is one of the buttons */
  select(target) {
    const { buttons } = this;
    if (!buttons.some((button2) => button2 === target)) return;
    for (const button2 of this.element.querySelectorAll(".fg-tools button")) button2.setAttribute("tabindex", button2 === target ? "0" : "-1");
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    const { buttons } = this;
    const at = buttons.findIndex((button2) => button2 === focused());
    const last = buttons.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last }[event.key];
    if (at < 0 || to === void 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    buttons[to].focus();
  }
};

// turn_elements.js
var LONG = 400;
var LINES = 12;
var SCROLLS = [["tabindex", "0"], ["role", "group"], ["aria-label", "The prompt"]];
function clock(seconds) {
  const then = new Date(seconds * 1e3);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return then.toDateString() === (/* @__PURE__ */ new Date()).toDateString() ? time : `${then.toLocaleDateString()} ${time}`;
}
var TurnElements = class {
  /** @param {Turn} turn */
  constructor(turn) {
    const { panel } = turn;
    this.turn = turn;
    this.timer = /** @type {ReturnType<typeof setTimeout> | undefined} */
    void 0;
    this.editor = /** @type {PromptEditor | null} */
    null;
    this.asker = make("span", { class: "fg-who" });
    this.prompt = make("div", { class: "fg-prompt", dir: "auto" });
    this.rest = make("button", { type: "button", class: "fg-rest", text: "Show all of it", hidden: true, onclick: () => turn.unfold() });
    this.chips = make("div", { class: "fg-chips" });
    this.pictures = make("div", { class: "fg-pictures", role: "group", "aria-label": "Pictures", hidden: true });
    this.picturesShown = "[]";
    this.editButton = button("pencil", "Edit and ask again", () => this.edit());
    this.promptTools = make(
      "div",
      { class: "fg-tools", role: "toolbar", "aria-label": "The prompt" },
      this.editButton,
      button("copy", "Copy the prompt", () => panel.copied(turn.whole("prompt")))
    );
    this.bubble = make("div", { class: "fg-bubble" }, this.pictures, this.prompt, this.rest, this.chips);
    this.question = make(
      "div",
      { class: "fg-question" },
      this.bubble,
      make("div", { class: "fg-foot" }, this.promptTools, this.asker)
    );
    this.line = make("summary");
    this.sent = make("div");
    this.caption = make("details", { class: "fg-caption fg-who" }, this.line, this.sent);
    this.pause = make("span", { class: "fg-who" });
    this.waiting = make("div", { class: "fg-waiting", "aria-hidden": "true" }, make("i"), make("i"), make("i"), this.pause);
    this.error = make("div", { class: "fg-trouble" });
    this.older = button("back", "Earlier version", () => turn.choose(-1));
    this.newer = button("forth", "Later version", () => turn.choose(1));
    this.count = make("span", { class: "fg-count" });
    this.versions = make("span", { class: "fg-versions", role: "group", "aria-label": "Versions" }, this.older, this.count, this.newer);
    this.goOn = button("go", "Continue the reply", () => panel.refuseWhileArriving() || panel.act("continue", {}));
    this.tools = make(
      "div",
      { class: "fg-tools", role: "toolbar", "aria-label": "The reply" },
      this.versions,
      button("retry", "Ask again", () => panel.refuseWhileArriving() || panel.act("retry", { place: turn.place })),
      this.goOn,
      button("copy", "Copy the reply", () => panel.copied(turn.whole("text"))),
      button("branch", "Branch from here", () => panel.act("branch", { place: turn.place }))
    );
    this.before = make(
      "div",
      { class: "fg-before", hidden: true },
      make("span", { class: "fg-who", text: "asked before the edit above" }),
      make(
        "div",
        { class: "fg-tools", role: "toolbar", "aria-label": "Asked before the edit above" },
        make("button", { type: "button", class: "fg-link", text: "ask again from here", onclick: () => panel.refuseWhileArriving() || panel.act("following", { place: turn.place }) })
      )
    );
    this.compared = new Compared(turn);
    this.element = make(
      "article",
      { class: "fg-turn" },
      this.before,
      this.question,
      make(
        "div",
        { class: "fg-answer" },
        turn.thoughts.element,
        turn.body.element,
        this.waiting,
        this.error,
        make("div", { class: "fg-foot" }, this.caption, this.tools),
        this.compared.element
      )
    );
    this.element.turn = turn;
    this.toolbar = new Toolbar(this.element);
  }
  /** Show the texts around prompt and reply. */
  update() {
    const { facts, arriving, last, full } = this.turn;
    this.element.classList.toggle("fg-loading", !facts);
    this.element.classList.toggle("fg-arriving", arriving);
    if (!facts) return;
    this.asker.textContent = [clock(facts.started), facts.cell ? "asked in a cell" : ""].filter(Boolean).join(" · ");
    const prompt = full ?? facts.typed ?? facts.prompt;
    this.prompt.textContent = prompt;
    for (const [name, value] of SCROLLS) {
      if (prompt.length > LONG || prompt.split("\n").length > LINES) this.prompt.setAttribute(name, value);
      else this.prompt.removeAttribute(name);
    }
    this.rest.hidden = Boolean(full) || facts.typed !== void 0 || !facts.prompt_more;
    this.chips.replaceChildren(...(facts.attached ?? []).map((text) => make("span", { class: "fg-chip", text })));
    this.showPictures(facts.pictures ?? []);
    this.compared.show(facts.compared ?? []);
    this.error.textContent = facts.status === "failed" ? facts.error : "";
    this.error.hidden = facts.status !== "failed" || !facts.error;
    this.showWhetherFilled();
    this.tick();
    this.before.hidden = !facts.before_edit;
    this.versions.hidden = facts.versions < 2;
    this.count.textContent = `${facts.version}/${facts.versions}`;
    this.count.setAttribute("aria-label", `version ${facts.version} of ${facts.versions}`);
    this.older.disabled = facts.version < 2 || arriving;
    this.newer.disabled = facts.version >= facts.versions || arriving;
    this.tools.classList.toggle("fg-quiet", arriving);
    this.goOn.hidden = !last || facts.empty;
    this.toolbar.update();
    this.turn.panel.log.refocus(this.turn);
  }
  /** @param {AttachedPicture[]} pictures */
  showPictures(pictures) {
    const shown = JSON.stringify(pictures);
    if (shown === this.picturesShown) return;
    this.picturesShown = shown;
    this.pictures.hidden = !pictures.length;
    this.pictures.replaceChildren(...this.turn.panel.thumbnails.buttons(pictures));
  }
  /** The contents have arrived: the element gets its natural height. */
  loaded() {
    this.element.style.minHeight = "";
  }
  /** Show the reply, or that it is awaited. */
  showWhetherFilled() {
    const { body, arriving } = this.turn;
    const waited = !this.waiting.hidden;
    this.waiting.hidden = !arriving || body.blocks.length > 0;
    body.element.hidden = !body.blocks.length;
    if (waited !== !this.waiting.hidden) this.tick();
  }
  /** Show how long nothing has arrived, or when the retry starts; once a second. */
  tick() {
    clearTimeout(this.timer);
    if (!this.turn.facts) return;
    this.line.textContent = this.turn.caption;
    this.showSent();
    this.pause.textContent = this.turn.pauseText;
    if (this.turn.waits) this.timer = setTimeout(() => this.tick(), this.turn.untilTick);
  }
  /** Let the line below the reply open to what was sent, once that is known. */
  showSent() {
    const { sent } = this.turn;
    this.sent.textContent = sent;
    this.line.tabIndex = sent ? 0 : -1;
    this.caption.classList.toggle("fg-closed", !sent);
    if (!sent) this.caption.removeAttribute("open");
  }
  /** Show the prompt as a field. Typed text stays if the turn changes elsewhere. */
  async edit() {
    const { turn } = this;
    const { panel, facts, full } = turn;
    const fresh = !panel.edits.has(turn.place);
    if (fresh && facts) {
      let text = full ?? facts.typed ?? facts.prompt;
      if (facts.prompt_more && facts.typed === void 0 && !full) {
        try {
          text = await turn.whole("prompt");
        } catch (error) {
          panel.noteError(error);
          return;
        }
      }
      panel.edits.set(turn.place, { text, id: turn.id, ...facts.quotes ? { quotes: true } : {} });
    }
    const edit = panel.edits.get(turn.place);
    if (!edit) return;
    const editor = new PromptEditor(this, edit);
    (this.editor?.element ?? this.prompt).replaceWith(editor.element);
    this.editor = editor;
    this.promptTools.hidden = true;
    this.toolbar.update();
    editor.begin(fresh);
  }
  /** Show the original prompt again. */
  leaveEditor() {
    this.turn.panel.edits.delete(this.turn.place);
    this.editor?.element.replaceWith(this.prompt);
    this.editor = null;
    this.promptTools.hidden = false;
    this.toolbar.update();
    this.editButton.focus();
  }
  remove() {
    clearTimeout(this.timer);
    this.element.remove();
    this.editor = null;
  }
};

// turn.js
var Turn = class {
  /**
   * @param {Panel} panel
   * @param {Row} row
   */
  constructor(panel, row) {
    const [id, place, size, mark] = row;
    this.panel = panel;
    this.id = id;
    this.place = place;
    this.size = size;
    this.mark = mark;
    this.stale = false;
    this.reload = false;
    this.body = new Body(panel);
    this.thoughts = new Thoughts(this);
    this.facts = /** @type {Facts | null} */
    null;
    this.number = -1;
    this.last = false;
    this.full = /** @type {string | undefined} */
    void 0;
    this.chosen = /** @type {number | undefined} */
    void 0;
    this.elements = /** @type {TurnElements | null} */
    null;
    this.height = 0;
    this.into = 110;
    this.position = 0;
    this.top = /** @type {number | undefined} */
    void 0;
    this.put = /** @type {number | null} */
    null;
    this.placed = false;
    this.name = /** @type {string | null} */
    null;
    this.begun = /** @type {number | undefined} */
    void 0;
    this.pause = /** @type {{why: string, until: number} | undefined} */
    void 0;
    this.progress = /** @type {string | undefined} */
    void 0;
  }
  /** @param {Row} row */
  take(row) {
    this.stale = this.mark !== row[3];
    [this.id, this.place, this.size, this.mark] = row;
  }
  get element() {
    return this.elements?.element ?? null;
  }
  get arriving() {
    return this.mark.startsWith("streaming");
  }
  /** Is it complete in the page? A long turn arrives in parts. */
  get loaded() {
    return this.facts !== null && this.body.blocks.length >= this.facts.total;
  }
  /**
   * Its height in pixels, measured or estimated.
   * @param {number} width of the page
   */
  guess(width) {
    return this.height || Math.min(2e4, 96 + Math.ceil(this.size / Math.max(20, width / 7.5)) * 21);
  }
  /** The element, made when the turn comes into view. */
  mount() {
    if (this.elements) return this.elements.element;
    this.elements = new TurnElements(this);
    this.thoughts.show();
    this.update();
    if (this.panel.edits.has(this.place) && !this.panel.edits.get(this.place)?.sent) this.elements.edit();
    return this.elements.element;
  }
  unmount() {
    this.body.clear();
    this.thoughts.stop();
    this.elements?.remove();
    this.elements = null;
  }
  update() {
    this.elements?.update();
  }
  /**
   * The original prompt or reply, from the kernel.
   * @param {"prompt" | "text" | "reasoning"} part
   * @returns {Promise<string>}
   */
  async whole(part) {
    return (await this.panel.link.ask("whole", { turn: this.id }))[part];
  }
  async unfold() {
    try {
      this.full = await this.whole("prompt");
      this.update();
    } catch (error) {
      this.panel.noteError(error);
    }
  }
  /**
   * Two clicks are two steps, even if the first has not been answered yet.
   * @param {number} step
   */
  async choose(step) {
    if (!this.facts) return;
    const version = Math.min(this.facts.versions, Math.max(1, (this.chosen ?? this.facts.version) + step));
    this.chosen = version;
    if (!await this.panel.act("choose", { place: this.place, version })) this.chosen = void 0;
  }
  /** The line of a turn: which model answers, the time, and notices. */
  get caption() {
    if (!this.facts) return "";
    const { model, tokens, cost, status, seconds, replayed, notices } = this.facts;
    const ended = { cancelled: "interrupted", failed: "failed", elsewhere: "asked in another kernel" }[status] ?? "";
    const duration = seconds === null || this.arriving ? this.waited() : `${seconds.toFixed(1)} s`;
    const progress = this.waits && this.progress;
    return [model, tokens, cost, duration, progress, replayed ? "replayed" : "", ended, ...notices].filter(Boolean).join(" · ");
  }
  /** What was sent with the prompt; empty while the reply arrives. */
  get sent() {
    return this.facts?.sent ?? "";
  }
  /** Seconds without text; empty during a wait before a retry, and in the first moment. */
  waited() {
    if (this.begun === void 0) return "";
    const seconds = (performance.now() - this.begun) / 1e3;
    return this.waits && !this.paused && seconds >= 0.5 ? `${Math.max(1, Math.round(seconds))} s` : "";
  }
  /** Is it waiting for the first text? */
  get waits() {
    return this.arriving && this.begun !== void 0 && !this.body.blocks.length;
  }
  /** Seconds left of a wait before a retry. */
  get paused() {
    return this.pause ? Math.max(0, Math.ceil((this.pause.until - performance.now()) / 1e3)) : 0;
  }
  /** The wait before a retry in words; empty if there is none. */
  get pauseText() {
    return this.waits && this.pause && this.paused ? `${this.pause.why}; asking again in ${this.paused} s` : "";
  }
  /** Milliseconds until `caption` or `pauseText` changes by itself. */
  get untilTick() {
    const next = this.pause && this.paused ? this.pause.until : (this.begun ?? 0) + 500;
    return 10 + ((next - performance.now()) % 1e3 + 1e3) % 1e3;
  }
  /**
   * All contents, or their first part, arrived.
   * @param {Facts} facts
   */
  load(facts) {
    this.facts = facts;
    this.thoughts.load(facts);
    this.begun = facts.elapsed === void 0 ? void 0 : performance.now() - 1e3 * facts.elapsed;
    this.progress = facts.doing;
    this.setPause(facts.pause);
    this.chosen = void 0;
    this.number = facts.n;
    this.reload = this.stale = false;
    this.elements?.loaded();
  }
  /**
   * The provider's progress before the first text; empty afterwards.
   * @param {string} progress
   */
  setProgress(progress) {
    this.progress = progress;
    this.elements?.tick();
  }
  /**
   * A retry follows after a wait.
   * @param {Pause} [pause]
   */
  setPause(pause) {
    this.pause = pause && { why: pause.why, until: performance.now() + 1e3 * pause.left };
    this.elements?.tick();
  }
  /**
   * Apply a change to the reply.
   * @param {Growth} growth
   */
  grow([, number, keep, cut, added, blocks]) {
    this.body.change(keep, changedFrom(this.body.blocks, keep, cut, added, blocks));
    this.number = number;
  }
  /**
   * Update the page; returns false if the time ran out first.
   * @param {number} deadline
   */
  paint(deadline) {
    if (!this.elements) return true;
    this.elements.showWhetherFilled();
    return this.body.paint(deadline);
  }
  /** Does it stay in the page outside the visible area, because it has the focus or a selection? */
  get held() {
    const { element } = this;
    if (!element) return false;
    if (this.panel.sending === this.place || element.contains(focused())) return true;
    const selected = document.getSelection();
    return Boolean(selected && !selected.isCollapsed && (element.contains(selected.anchorNode) || element.contains(selected.focusNode)));
  }
};

// log.js
var MARGIN = 500;
var NEAR = 32;
var PATIENCE = 5e3;
var LATE = 3e3;
var MARKED = 1600;
var Log = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.turns = /** @type {Turn[]} */
    [];
    this.byId = /** @type {Map<string, Turn>} */
    /* @__PURE__ */ new Map();
    this.asked = /** @type {Map<string, number>} */
    /* @__PURE__ */ new Map();
    this.pinned = true;
    this.anchor = /** @type {Anchor | null} */
    null;
    this.upwards = false;
    this.focused = /** @type {{place: number, label: string | null, caret: number} | null} */
    null;
    this.seen = this.total = this.put = 0;
    this.width = 600;
    this.sheet = make("div", { class: "fg-sheet" });
    this.empty = new Empty(panel);
    this.box = make("div", { class: "fg-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" }, this.empty.element, this.sheet);
    this.toEnd = make("button", { type: "button", class: "fg-down", title: "To the end", "aria-label": "To the end", hidden: true, onclick: () => this.follow() }, icon("down"));
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver((entries) => this.measured(entries));
    this.sizes.observe(this.box);
  }
  /**
   * Scroll keys jump at once: turns that come into view are measured and rearranged, which would break the front end's
   * smooth scrolling.
   *
   * @param {KeyboardEvent} event
   */
  key(event) {
    const { box } = this;
    if (event.target !== box) return;
    this.focused = null;
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const page = 0.9 * box.clientHeight;
    const by = { PageUp: -page, PageDown: page, ArrowUp: -40, ArrowDown: 40, " ": page }[event.key];
    if (event.key === "Home") box.scrollTop = 0;
    else if (event.key === "End") this.follow();
    else if (by) box.scrollTop += by;
    else return;
    event.preventDefault();
  }
  /**
   * Replace all turns.
   * @param {Row[]} rows
   */
  set(rows) {
    const reading = this.pinned ? null : this.anchored();
    for (const turn2 of this.turns) this.drop(turn2);
    this.turns = rows.map((row) => new Turn(this.panel, row));
    this.byId = new Map(this.turns.map((turn2) => [turn2.id, turn2]));
    this.asked.clear();
    const turn = reading && this.byId.get(reading.turn.id);
    this.pinned = !turn;
    this.anchor = turn ? { ...reading, turn, block: -1 } : null;
    this.counted();
  }
  /**
   * Replace `gone` turns from number `at` on; some of the new turns may be among the old ones.
   * @param {number} at
   * @param {number} gone
   * @param {Row[]} rows
   */
  splice(at, gone, rows) {
    const before = new Map(this.turns.slice(at, at + gone).map((turn) => [turn.id, turn]));
    const turns = rows.map((row) => {
      const turn = before.get(row[0]);
      before.delete(row[0]);
      if (turn) return this.taken(turn, row);
      this.asked.delete(row[0]);
      return new Turn(this.panel, row);
    });
    for (const turn of before.values()) {
      this.byId.delete(turn.id);
      this.drop(turn);
    }
    this.turns.splice(at, gone, ...turns);
    for (const turn of turns) this.byId.set(turn.id, turn);
    if (at + rows.length >= this.turns.length && rows.length > gone && this.panel.sent) {
      this.pinned = true;
      this.panel.sent = false;
    }
    this.counted();
  }
  /**
   * Update a turn that stays with its new row.
   * @param {Turn} turn
   * @param {Row} row
   */
  taken(turn, row) {
    const arrived = turn.arriving;
    turn.take(row);
    if (turn.stale && arrived && turn.number >= 0) setTimeout(() => {
      if (turn.stale) this.lookAgain(turn);
    }, LATE);
    else if (turn.stale) this.lookAgain(turn);
    return turn;
  }
  /**
   * Restore the focus, or set it as near as possible, after a turn was changed.
   * @param {Turn} turn
   */
  refocus(turn) {
    const before = this.focused;
    if (!before || before.place !== turn.place || !turn.element?.isConnected) return;
    const targets = (
      /** @type {(HTMLButtonElement | HTMLTextAreaElement)[]} */
      [...turn.element.querySelectorAll("button[aria-label], textarea")]
    );
    const same = targets.filter((target) => target.getAttribute("aria-label") === before.label);
    const near = targets.filter((target) => target.closest(".fg-answer .fg-tools"));
    for (const target of [...same, ...near]) {
      if (focused() !== this.box) break;
      target.focus({ preventScroll: true });
    }
    if (focused() === this.box) return;
    this.focused = null;
    const now = targets.find((target) => target === focused());
    if (now?.matches("textarea")) now.setSelectionRange(before.caret, before.caret);
  }
  /** @param {Turn} turn */
  lookAgain(turn) {
    turn.stale = false;
    this.asked.delete(turn.id);
    turn.reload = true;
    this.panel.requestFrame();
  }
  /**
   * Remove a turn from the page.
   * @param {Turn} turn
   */
  drop(turn) {
    const target = (
      /** @type {HTMLTextAreaElement | null} */
      focused()
    );
    if (target && turn.element?.contains(target)) {
      this.focused = { place: turn.place, label: target.getAttribute("aria-label"), caret: target.selectionStart };
      this.box.focus({ preventScroll: true });
    }
    if (turn.element) this.sizes.unobserve(turn.element);
    turn.unmount();
  }
  /** Stop showing and measuring, and stop all timers. */
  close() {
    this.sizes.disconnect();
    for (const turn of this.turns) turn.unmount();
  }
  /** The list of turns changed. */
  counted() {
    this.turns.forEach((turn, number) => {
      const last = number === this.turns.length - 1;
      if (turn.last !== last) {
        turn.last = last;
        turn.update();
      }
      turn.position = number;
    });
    this.empty.show(!this.turns.length);
    this.panel.rescueEdits(new Set(this.turns.map((turn) => turn.place)));
    this.panel.requestFrame();
  }
  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const moved = scrollTop - this.put;
    if (!moved) return;
    this.put = scrollTop;
    this.upwards = moved < 0;
    if (Math.abs(clientHeight - this.seen) > 1) return;
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.pinned = true;
    else if (moved < 0) this.pinned = false;
    this.anchor = null;
    this.panel.requestFrame();
  }
  /** Scroll to the end, and follow it. */
  follow() {
    this.pinned = true;
    this.anchor = null;
    this.put = this.box.scrollTop;
    this.panel.requestFrame();
    this.box.focus({ preventScroll: true });
  }
  /** @param {ResizeObserverEntry[]} entries */
  measured(entries) {
    let changed = false;
    for (const { target, borderBoxSize, contentRect } of entries) {
      const height = borderBoxSize[0].blockSize;
      if (target === this.box) {
        changed = true;
        this.seen = height;
        if (this.width !== contentRect.width) this.resized(contentRect.width);
      } else if (height) changed = this.measuredOne(target, height) || changed;
    }
    if (changed) this.arrange();
  }
  /**
   * Record the height of a turn or a block; returns true if it changed.
   * @param {Element} target
   * @param {number} height
   */
  measuredOne({ turn, body, number }, height) {
    if (body && number !== void 0) {
      if (body.heights[number] === height) return false;
      body.heights[number] = height;
      return true;
    }
    if (!turn || turn.height === height && turn.placed) return false;
    turn.height = height;
    turn.into = turn.body.element.offsetTop || turn.into;
    turn.placed = true;
    return true;
  }
  /**
   * The width changed, so the heights of turns outside the page are unknown again.
   * @param {number} width
   */
  resized(width) {
    this.width = width;
    for (const turn of this.turns) {
      if (!turn.element) turn.height = 0;
      turn.body.resized();
    }
  }
  /** Compute the offset of every turn and the total height. */
  tops() {
    let top = 0;
    for (const turn of this.turns) {
      turn.top = top;
      top += turn.guess(this.width);
    }
    return top;
  }
  /** Set all offsets, and put the visible turns into the page. */
  arrange() {
    const { box, seen } = this;
    if (!seen) return;
    if (!this.pinned && !this.anchor) this.anchor = this.anchored();
    const total = this.tops();
    if (total !== this.total) this.sheet.style.height = `${total}px`;
    this.total = total;
    const top = this.pinned ? Math.max(0, total - seen) : Math.max(0, Math.min(this.anchorTop(), total - seen));
    this.mountAround(top, top + seen);
    if (Math.abs(box.scrollTop - top) >= 1) box.scrollTop = top;
    this.put = box.scrollTop;
    const away = total - top - seen > NEAR && !this.pinned;
    if (this.toEnd.hidden === away) this.toEnd.hidden = !away;
  }
  /**
   * The topmost visible turn or block. It keeps its position when turns above it change their height.
   * @returns {Anchor | null}
   */
  anchored() {
    const top = this.box.scrollTop;
    if (top <= 0) return null;
    const turn = this.turns.find((candidate) => candidate.top !== void 0 && candidate.top + candidate.guess(this.width) > top);
    if (!turn || turn.top === void 0) return null;
    const next = this.turns[turn.position + 1];
    if (this.upwards && next?.top !== void 0 && !turn.loaded) return { turn: next, block: -1, rest: top - next.top };
    const inside = top - turn.top - turn.into;
    if (inside <= 0 || !turn.body.blocks.length) return { turn, block: -1, rest: top - turn.top };
    const block = turn.body.at(inside);
    return { turn, block, rest: inside - turn.body.top(block) };
  }
  /** The scroll position that keeps the anchor in place. */
  anchorTop() {
    const { anchor } = this;
    if (!anchor || this.byId.get(anchor.turn.id) !== anchor.turn) return this.box.scrollTop;
    const { turn, block, rest } = anchor;
    return (turn.top ?? 0) + rest + (block < 0 ? 0 : turn.into + turn.body.top(Math.min(block, turn.body.blocks.length)));
  }
  /**
   * Put the turns near the visible area into the page.
   * @param {number} top pixels
   * @param {number} bottom
   */
  mountAround(top, bottom) {
    const wanted = [];
    let before = (
      /** @type {HTMLElement | null} */
      null
    );
    for (const turn of this.turns) {
      const place = turn.top ?? 0;
      const near = place + turn.guess(this.width) > top - MARGIN && place < bottom + MARGIN;
      if (!near && turn.element && !turn.held) this.drop(turn);
      if (!near && !turn.element) continue;
      const element = turn.element ?? this.mount(turn, before);
      this.show(turn, element, place);
      const inside = place + turn.into;
      if (turn.body.look(top - inside - MARGIN, bottom - inside + MARGIN)) this.panel.paintSoon(turn);
      if (near && (!turn.facts || turn.reload)) wanted.push(turn);
      before = element;
    }
    this.load(wanted);
  }
  /**
   * Set a turn's offset and name; each only if it changed.
   * @param {Turn} turn
   * @param {HTMLElement} element
   * @param {number} place pixels
   */
  show(turn, element, place) {
    if (turn.put !== place) {
      turn.put = place;
      element.style.top = `${place}px`;
    }
    const name = `Turn ${turn.position + 1} of ${this.turns.length}`;
    if (turn.name !== name) {
      turn.name = name;
      element.setAttribute("aria-label", name);
    }
    if (!turn.facts) element.style.minHeight = `${turn.guess(this.width)}px`;
  }
  /**
   * Put a turn into the page.
   * @param {Turn} turn
   * @param {HTMLElement | null} before the element it stands behind
   */
  mount(turn, before) {
    const element = turn.mount();
    if (before) before.after(element);
    else this.sheet.prepend(element);
    turn.put = turn.name = null;
    turn.placed = false;
    this.sizes.observe(element);
    this.refocus(turn);
    return element;
  }
  /**
   * Request the contents of these turns.
   * @param {Turn[]} turns
   */
  load(turns) {
    const now = performance.now();
    const ids = turns.filter((turn) => now - (this.asked.get(turn.id) ?? -Infinity) > PATIENCE).map((turn) => turn.id);
    for (const id of ids) this.asked.set(id, now);
    if (!ids.length) return;
    this.panel.link.tell("need", { turns: ids });
    setTimeout(() => this.panel.requestFrame(), PATIENCE + 500);
  }
  /**
   * The contents of a turn, or a part of them, arrived.
   * @param {{from: number, blocks: string[], turn: Facts}} message
   */
  loaded({ from, blocks, turn: facts }) {
    const turn = this.byId.get(facts.id);
    if (!turn) return;
    if (!from) turn.load(facts);
    turn.body.change(from, blocks);
    turn.update();
    this.panel.paintSoon(turn);
  }
  /**
   * Replies have grown, or one has ended.
   * @param {{turns: Growth[], end?: Facts}} message
   */
  grow({ turns, end }) {
    for (const growth of turns) {
      const [id, number] = growth;
      const turn = this.turns.findLast((candidate) => candidate.id.startsWith(id));
      if (!turn?.facts || number <= turn.number) continue;
      if (number !== turn.number + 1) {
        if (!turn.reload) this.lookAgain(turn);
        continue;
      }
      turn.grow(growth);
      this.panel.paintSoon(turn);
    }
    if (end) this.end(end);
  }
  /** @param {Facts} facts of a reply that has ended */
  end(facts) {
    const turn = this.byId.get(facts.id);
    if (turn?.facts) {
      turn.stale = false;
      turn.facts = { ...turn.facts, ...facts };
      turn.thoughts.load(facts);
      turn.update();
    }
    this.panel.ended(facts);
  }
  /**
   * Go to a turn from the search, and mark it for a moment.
   * @param {string} id
   */
  reveal(id) {
    const turn = this.byId.get(id);
    if (!turn) return;
    this.tops();
    this.pinned = false;
    this.anchor = { turn, block: -1, rest: -8 };
    this.arrange();
    turn.element?.classList.add("fg-found");
    setTimeout(() => turn.element?.classList.remove("fg-found"), MARKED);
  }
};

// cells.js
function insertCells(notebook, at, sources) {
  const cells = sources.map((source, number) => notebook.insertCell(at + number, { cell_type: "code", source, metadata: {} }));
  const last = cells.at(-1);
  return last?.id ?? last?.getId?.();
}

// notebook.js
var VIEW = "application/vnd.jupyter.widget-view+json";
var Notebook = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.inserted = /** @type {string | undefined} */
    void 0;
    this.covers = false;
  }
  get cells() {
    return this.panel.kernel.manager?.context?.model?.cells;
  }
  /** Tell the kernel, once, that this page hides the transcript before the panel. */
  cover() {
    const before = this.panel.root.closest(".jp-OutputArea-child")?.previousElementSibling;
    if (this.covers || !before?.querySelector(".flowgpt-transcript")) return;
    if (getComputedStyle(before).display === "none") {
      this.covers = true;
      this.panel.link.tell("covers");
    }
  }
  /**
   * Add the code of a block below this cell, or below the last one added: as the kernel says, which turns shell commands
   * into a shell cell. Without access to the notebook, copy it instead.
   * @param {string} code
   * @param {string} language
   */
  async insert(code, language) {
    const { hint } = this.panel.composer;
    const cells = await this.panel.request("cells", { code, language });
    if (!cells) return;
    const { sources, said } = cells;
    if (!sources.length) {
      hint.textContent = said;
      return;
    }
    try {
      if (this.panel.surroundings) this.panel.surroundings.insert(sources);
      else this.insertCells(
        /** @type {Cells} */
        this.panel.kernel.manager?.context?.model,
        sources
      );
      hint.textContent = this.panel.surroundings ? "There is a new cell below the active one." : "There is a new cell below.";
    } catch {
      copy(sources.join("\n\n")).then(() => {
        hint.textContent = "No cell can be inserted here: the code was copied.";
      });
    }
  }
  /**
   * @param {Cells} notebook
   * @param {string[]} sources
   */
  insertCells(notebook, sources) {
    const { cells } = notebook.sharedModel;
    let at = this.inserted ? cells.findIndex(({ id }) => id === this.inserted) : -1;
    if (at < 0) at = this.cellNumber(notebook);
    if (at < 0) throw new Error("this panel is in no cell of the notebook");
    this.inserted = insertCells(notebook.sharedModel, at + 1, sources);
  }
  /**
   * The number of the panel's cell; -1 for none.
   * @param {Cells} notebook
   */
  cellNumber(notebook) {
    const mine = this.panel.root.closest(".jp-Cell");
    const inPage = [...mine?.parentElement?.querySelectorAll(":scope > .jp-Cell") ?? []];
    for (let number = 0; number < notebook.cells.length; number += 1) if (this.outputIn(notebook.cells.get(number)) >= 0) return number;
    return mine && inPage.length === notebook.cells.length ? inPage.indexOf(mine) : -1;
  }
  /**
   * The number of this panel among the outputs of a cell; -1 for none.
   * @param {Cell} cell
   */
  outputIn(cell) {
    for (let number = 0; number < (cell.outputs?.length ?? 0); number += 1) {
      const view = cell.outputs?.get(number).data?.[VIEW];
      if (view && view.model_id === this.panel.model.get("_flowgpt_id")) return number;
    }
    return -1;
  }
  /**
   * The kernel updated the outputs that represent the panel in a saved notebook. A reloaded front end no longer connects
   * them with the kernel, so they are written here. With `data`, the panel is closed.
   *
   * @param {Output} output
   */
  async keep({ data, metadata }) {
    if (!data && !this.stale(metadata)) return;
    const transcript = data ? { data, metadata } : await this.panel.link.ask("kept").catch(() => null);
    const place = transcript && (data ? this.place : this.stale(transcript.metadata));
    if (!place) return;
    const { outputs, at } = place;
    outputs.set(at - 1, { output_type: "display_data", data: transcript.data, metadata: transcript.metadata });
    if (data) outputs.set(at, { output_type: "display_data", data: { "text/plain": "" }, metadata: {} });
  }
  /**
   * The place of this panel and its transcript, if that transcript differs from this one.
   * @param {Output["metadata"]} metadata
   */
  stale(metadata) {
    const { place } = this;
    return place && place.outputs.get(place.at - 1).metadata?.flowgpt?.stamp !== metadata.flowgpt.stamp ? place : null;
  }
  /**
   * The outputs of the panel's cell and the panel's number among them, if it follows a transcript; null without access.
   * @returns {{outputs: Outputs, at: number} | null}
   */
  get place() {
    const { cells } = this;
    for (let number = 0; number < (cells?.length ?? 0); number += 1) {
      const cell = (
        /** @type {Cell} */
        cells?.get(number)
      );
      const at = this.outputIn(cell);
      const { outputs } = cell;
      if (outputs && at > 0 && String(outputs.get(at - 1).data["text/html"]).includes("flowgpt-transcript")) return { outputs, at };
    }
    return null;
  }
};

// reading.js
var Reading = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.back = make("button", { type: "button", class: "fg-button", onclick: () => this.close() });
    this.where = make("span", { class: "fg-about" });
    this.turns = make("div", { class: "fg-pages", tabindex: "0", role: "group" });
    this.element = make(
      "section",
      { class: "fg-reading", "aria-label": "Another notebook's conversation, to read", hidden: true },
      make("div", { class: "fg-row fg-readinghead" }, this.back, this.where),
      this.turns
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.preventDefault();
        this.close();
      }
    });
  }
  /**
   * Show the conversation of a turn that was found.
   * @param {FindElsewhere} find
   */
  async open({ turn, name, notebook }) {
    try {
      const { turns } = await this.panel.link.ask("elsewhere", { turn });
      this.turns.replaceChildren(...turns.map((facts) => this.turn(facts, facts.id === turn)));
    } catch (error) {
      this.panel.noteError(error);
      return;
    }
    this.back.textContent = `Back to ${this.panel.model.get("name")}`;
    this.where.textContent = `${notebook} · ${name} · read-only`;
    this.turns.setAttribute("aria-label", `${notebook}, ${name}`);
    this.element.hidden = false;
    this.panel.root.classList.add("fg-elsewhere");
    this.turns.querySelector(".fg-found")?.scrollIntoView({ block: "start" });
    this.back.focus();
  }
  close() {
    if (this.element.hidden) return;
    const within = this.element.contains(focused());
    this.element.hidden = true;
    this.turns.replaceChildren();
    this.panel.root.classList.remove("fg-elsewhere");
    if (within) this.panel.log.box.focus({ preventScroll: true });
  }
  /**
   * @param {Facts & {blocks: string[]}} facts
   * @param {boolean} found
   */
  turn(facts, found) {
    const { panel } = this;
    const known = new Turn(panel, [facts.id, facts.place, 0, facts.status]);
    known.load(facts);
    const blocks = facts.blocks.map((html) => {
      const block = make("div", { class: "fg-block", dir: "auto" });
      morph(panel, block, parsed(html));
      return block;
    });
    const copy2 = (text) => () => panel.copied(text);
    return make(
      "article",
      { class: found ? "fg-page fg-found" : "fg-page", "aria-label": found ? "The turn that was found" : "Turn" },
      make(
        "div",
        { class: "fg-question" },
        make("div", { class: "fg-bubble" }, make("div", { class: "fg-prompt", dir: "auto", tabindex: "0", role: "group", "aria-label": "The prompt", text: facts.prompt })),
        make("div", { class: "fg-foot" }, make("div", { class: "fg-tools" }, button("copy", "Copy the prompt", copy2(facts.prompt))))
      ),
      make(
        "div",
        { class: "fg-answer" },
        make("div", { class: "fg-blocks jp-RenderedHTMLCommon" }, ...blocks),
        facts.status === "failed" && make("div", { class: "fg-trouble", text: facts.error }),
        make("div", { class: "fg-foot" }, make("div", { class: "fg-caption fg-who", text: known.caption }))
      )
    );
  }
};

// drawer.js
var Drawer = class {
  /**
   * @param {() => HTMLElement} opener the button that opens it
   * @param {(Node | string)[]} inside
   * @param {HTMLElement} first what gets the focus
   */
  constructor(opener, inside, first) {
    this.opener = opener;
    this.first = first;
    this.element = make("div", { class: "fg-drawer", hidden: true }, ...inside);
    this.element.addEventListener("fg-leave", () => this.toggle());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.preventDefault();
        this.toggle();
      }
    });
  }
  /** Open or close it; returns true if it is open. */
  toggle() {
    const open = this.element.hidden;
    if (open) this.closeOthers();
    const within = this.element.contains(focused());
    this.element.hidden = !open;
    const opener = this.opener();
    opener.setAttribute("aria-expanded", String(open));
    if (open) this.first.focus();
    else if (within) opener.focus();
    return open;
  }
  closeOthers() {
    for (const other of this.element.parentNode?.querySelectorAll(":scope > .fg-drawer:not([hidden])") ?? []) {
      other.dispatchEvent(new CustomEvent("fg-leave"));
    }
  }
};

// search.js
var Search = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.request = /** @type {object | null} */
    null;
    this.words = make("input", { class: "fg-field", type: "search", "aria-label": "Words to look for", placeholder: "Search the conversations" });
    this.finds = make("div", { class: "fg-finds", role: "group", "aria-label": "Found" });
    this.drawer = new Drawer(() => panel.head.searchButton, [this.words, this.finds], this.words);
    this.element = this.drawer.element;
    this.words.addEventListener("input", () => this.look());
    this.words.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.finds.querySelector("button")?.click();
      }
    });
  }
  toggle() {
    if (this.drawer.toggle()) this.look();
  }
  /** @param {string} words to look for */
  open(words) {
    if (this.element.hidden) this.drawer.toggle();
    this.words.value = words;
    this.look();
  }
  async look() {
    const words = this.words.value;
    const request = this.request = {};
    let answer = { found: (
      /** @type {Find[]} */
      []
    ), elsewhere: (
      /** @type {FindElsewhere[]} */
      []
    ) };
    try {
      if (words.trim()) answer = await this.panel.link.ask("search", { words });
    } catch (error) {
      this.panel.noteError(error);
      return;
    }
    if (request !== this.request) return;
    const finds = [...answer.found.map((find) => this.here(find)), ...answer.elsewhere.map((find) => this.elsewhere(find))];
    if (words.trim() && !finds.length) finds.push(make("div", { class: "fg-hint", text: "Nothing found." }));
    this.finds.replaceChildren(...finds);
  }
  /**
   * @param {Find} find
   * @returns {HTMLElement}
   */
  here({ turn, number, text }) {
    return this.line(`turn ${number}`, text, () => {
      this.panel.reading.close();
      this.panel.log.reveal(turn);
    });
  }
  /**
   * A turn of another conversation: a click switches to it, or shows that of another notebook to read.
   * @param {FindElsewhere} find
   * @returns {HTMLElement}
   */
  elsewhere(find) {
    const { name, notebook, text } = find;
    if (!notebook) return this.line(name, text, () => this.panel.act("use", { name }));
    return this.line(`${notebook} · ${name}`, text, () => this.panel.reading.open(find));
  }
  /**
   * @param {string} where
   * @param {string} text
   * @param {() => unknown} onclick
   */
  line(where, text, onclick) {
    return make("button", { type: "button", class: "fg-find", onclick }, where && make("span", { class: "fg-about", text: where }), make("span", { text }));
  }
};

// thumbnails.js
var Thumbnails = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.urls = /** @type {Map<string, Promise<string>>} */
    /* @__PURE__ */ new Map();
  }
  /**
   * A picture from the kernel.
   * @param {string} picture
   * @param {object} [more]
   */
  async content(picture, more = { large: true }) {
    const { buffers } = await this.panel.link.ask("thumbnail", { picture, ...more });
    if (!buffers?.length) throw new Error("The kernel no longer has this picture.");
    const content = new Blob([buffers[0]]);
    const facts = await inspect(content);
    return content.slice(0, content.size, facts && facts !== "svg" ? facts.type : "");
  }
  /** @param {string} picture */
  url(picture) {
    const known = this.urls.get(picture);
    if (known) return known;
    const url = this.content(picture, {}).then(dataUrl);
    this.urls.set(picture, url);
    url.catch(() => this.urls.delete(picture));
    return url;
  }
  /**
   * Buttons that show pictures small, and when pressed, large.
   * @param {AttachedPicture[]} pictures
   */
  buttons(pictures) {
    return pictures.map((about) => {
      const image2 = make("img", { alt: "" });
      const label = about.description || about.name;
      const shown = make("button", {
        type: "button",
        class: "fg-thumb",
        title: label,
        "aria-label": `Show the picture large: ${label}`,
        onclick: () => this.panel.viewer.open(about, null, () => shown)
      }, image2);
      this.url(about.picture).then((url) => {
        image2.src = url;
      }, () => shown.classList.add("fg-missing"));
      return shown;
    });
  }
};

// tuning.js
var Tuning = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.name = "";
    this.before = { system: "", temperature: "" };
    this.typed = false;
    this.system = make("textarea", { class: "fg-field", id: panel.id("system"), rows: "3", dir: "auto" });
    this.temperature = make("input", { class: "fg-field fg-narrow", id: panel.id("temperature"), type: "number", min: "0", max: "2", step: "0.1", placeholder: "default" });
    this.drawer = new Drawer(() => panel.head.tuningButton, [
      make("label", { for: panel.id("system"), text: "System prompt" }),
      this.system,
      make(
        "div",
        { class: "fg-row" },
        make("label", { for: panel.id("temperature"), text: "Temperature" }),
        this.temperature,
        make(
          "div",
          { class: "fg-row fg-last" },
          make("button", { type: "button", class: "fg-button fg-main", text: "Save", onclick: () => this.save() }),
          make("button", { type: "button", class: "fg-button", text: "Cancel", onclick: () => {
            this.typed = false;
            this.toggle();
          } })
        )
      )
    ], this.system);
    this.element = this.drawer.element;
    this.element.addEventListener("input", () => {
      this.typed = true;
    });
  }
  toggle() {
    if (!this.drawer.toggle()) return;
    const { model } = this.panel;
    if (this.typed && this.name === model.get("name")) return;
    this.typed = false;
    this.name = model.get("name");
    this.before = { system: model.get("system"), temperature: String(model.get("temperature") ?? "") };
    this.system.value = this.before.system;
    this.temperature.value = this.before.temperature;
  }
  /** Save only what was changed here: the rest may have changed elsewhere. */
  async save() {
    const { panel, before } = this;
    const name = panel.model.get("name");
    if (name !== this.name) {
      panel.note(`The panel shows another conversation now: Save again changes ${name}, Cancel changes nothing.`);
      this.name = name;
      return;
    }
    for (
      const setting of
      /** @type {const} */
      ["system", "temperature"]
    ) {
      const { value } = this[setting];
      if (value !== before[setting] && !await panel.act("set", { setting, value })) return;
    }
    this.typed = false;
    this.toggle();
  }
};

// viewer.js
var Viewer = class {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.back = /** @type {() => HTMLElement | null} */
    (() => null);
    this.shown = 0;
    this.image = make("img", { class: "fg-large", alt: "" });
    this.caption = make("div", { class: "fg-about", dir: "auto" });
    this.leave = button("close", "Close the picture", () => this.close());
    this.element = make(
      "div",
      { class: "fg-viewer", role: "dialog", "aria-modal": "true", "aria-label": "Picture", hidden: true },
      make("div", { class: "fg-row" }, this.caption, this.leave),
      this.image
    );
    this.element.addEventListener("click", ({ target }) => {
      if (target === this.element) this.close();
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || event.key === "Tab") event.preventDefault();
      if (event.key === "Escape") this.close();
    });
  }
  /**
   * Show a picture.
   * @param {AttachedPicture} about
   * @param {Blob | null} content null to get it from the kernel
   * @param {() => HTMLElement | null} back what gets the focus afterwards
   */
  async open({ picture, name, description }, content, back) {
    const number = ++this.shown;
    this.back = back;
    this.image.removeAttribute("src");
    this.image.alt = description || name;
    this.caption.textContent = description || name;
    this.element.setAttribute("aria-label", description || name);
    this.element.hidden = false;
    this.leave.focus();
    try {
      const url = await dataUrl(content ?? await this.panel.thumbnails.content(picture));
      if (number === this.shown && !this.element.hidden) this.image.src = url;
    } catch (error) {
      if (number === this.shown) this.close();
      this.panel.noteError(error);
    }
  }
  close() {
    this.element.hidden = true;
    this.image.removeAttribute("src");
    (this.back() ?? this.panel.log.box).focus({ preventScroll: true });
  }
};

// panel.js
var BUDGET = 8;
var SLOW = 400;
var AHEAD = 4;
var PATIENCE2 = 3e3;
var ARRIVES = "A reply is still arriving: stop it first, or wait for its end.";
var CLOSED = "This panel was closed: run its cell to open it again.";
var GONE2 = "The kernel was restarted or has ended: load the extension and run this panel's cell again. What is typed here is kept.";
var DISCONNECTED = "The connection to the kernel is lost. What is typed here is kept.";
var TAKEN_OUT = "The turn you were editing was removed from the conversation; your text is below.";
var ENDS = { complete: "The reply is complete.", cancelled: "The reply was stopped.", failed: "The reply failed." };
var panels = 0;
var Panel = class {
  /**
   * @param {Model} model
   * @param {HTMLElement} element it is shown in
   */
  constructor(model, element) {
    this.model = model;
    this.surroundings = model.surroundings;
    this.number = ++panels;
    this.cleanups = /** @type {(() => void)[]} */
    [];
    this.closed = false;
    this.editsOf = /** @type {Map<string, Edits>} */
    /* @__PURE__ */ new Map();
    this.sending = /** @type {number | null} */
    null;
    this.sent = false;
    this.pending = false;
    this.requests = /** @type {Set<string>} */
    /* @__PURE__ */ new Set();
    this.explanation = /** @type {HTMLElement | null} */
    null;
    this.error = "";
    this.opening = 0;
    this.revision = 0;
    this.toShow = this.shown = 0;
    this.unpainted = /** @type {Set<Turn>} */
    /* @__PURE__ */ new Set();
    this.frameRequest = 0;
    this.wasReachable = /** @type {boolean | undefined} */
    void 0;
    this.before = { name: "", id: "", status: "", trouble: "" };
    this.lastEnded = "";
    this.left = "";
    this.link = new Link(model, (message) => this.hear(message));
    this.kernel = new Kernel(model, () => this.reach());
    this.notebook = new Notebook(this);
    this.thumbnails = new Thumbnails(this);
    this.viewer = new Viewer(this);
    this.log = new Log(this);
    this.composer = new Composer(this);
    this.head = new Head(this);
    this.tuning = new Tuning(this);
    this.search = new Search(this);
    this.reading = new Reading(this);
    this.banner = make("div", { class: "fg-banner", role: "alert", hidden: true });
    this.state = make("div", { class: "fg-status", role: "status" });
    this.root = make(
      "section",
      { class: "flowgpt-panel", "aria-label": "Chat panel" },
      this.head.element,
      this.search.element,
      this.tuning.element,
      make("div", { class: "fg-middle" }, this.log.box, this.log.toEnd, this.reading.element),
      this.banner,
      this.composer.element,
      this.viewer.element,
      this.state
    );
    element.append(this.root);
    this.listen();
    this.update();
    this.open();
    this.reach();
    const elsewhere = this.composer.field.value ? [] : this.composer.elsewhere();
    if (elsewhere.length) this.note(`What you typed is kept in ${elsewhere.join(", ")}.`);
  }
  /**
   * An id for an element of this panel.
   * @param {string} name
   */
  id(name) {
    return `flowgpt-${this.link.page}-${this.number}-${name}`;
  }
  listen() {
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.composer.tray.listen(this.root);
    if (!this.surroundings) this.suppressShortcuts();
    this.follow("change", () => this.update());
    this.follow("change:name", () => this.renamed());
    const seen = () => {
      if (!document.hidden) this.requestFrame();
    };
    document.addEventListener("visibilitychange", seen);
    this.cleanups.push(() => document.removeEventListener("visibilitychange", seen));
    const attached = new ResizeObserver(() => this.notebook.cover());
    attached.observe(this.root);
    this.cleanups.push(() => attached.disconnect());
  }
  /** Keep the shortcuts of notebooks away. JupyterLab looks for them and for this attribute from the focused element upwards. */
  suppressShortcuts() {
    const suppress = (element) => element.setAttribute("data-lm-suppress-shortcuts", "true");
    suppress(this.root);
    this.root.addEventListener("focusin", ({ target }) => suppress(
      /** @type {Element} */
      target
    ));
    this.root.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") {
        event.preventDefault();
        this.kernel.manager?.context?.save?.();
      }
      event.stopPropagation();
    });
  }
  /**
   * Listen to the model.
   * @param {string} event
   * @param {() => void} run
   */
  follow(event, run) {
    this.model.on(event, run);
    this.cleanups.push(() => this.model.off(event, run));
  }
  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Escape" && !event.defaultPrevented && !event.isComposing) this.leaveFocus(event);
  }
  /**
   * Escape leads outwards: from a field or a button to the conversation, from there to the notebook.
   * @param {KeyboardEvent} event
   */
  leaveFocus(event) {
    const { box } = this.log;
    const outer = focused() === box ? (
      /** @type {HTMLElement | null} */
      this.root.closest(".jp-Cell")
    ) : box;
    event.preventDefault();
    if (this.surroundings && outer !== box) this.surroundings.leave();
    else if (outer) outer.focus({ preventScroll: true });
    else focused()?.blur();
  }
  close() {
    this.closed = true;
    clearTimeout(this.opening);
    cancelAnimationFrame(this.frameRequest);
    for (const cleanup of this.cleanups) cleanup();
    this.kernel.close();
    this.link.close();
    this.log.close();
    this.root.remove();
  }
  /* what the traits say */
  update() {
    const [name, id] = [this.model.get("name"), this.model.get("conversation_id")];
    const [status, trouble] = [this.model.get("status"), this.model.get("trouble")];
    if (status && !this.before.status) this.announce("The reply begins.");
    this.root.classList.toggle("fg-arriving", status === "streaming");
    this.head.update();
    this.composer.showButton();
    if (trouble !== this.before.trouble) this.composer.hint.textContent = trouble;
    this.before = { name, id, status, trouble };
    if (!this.stoppable && this.banner.textContent === ARRIVES) this.note("");
    this.log.empty.update();
    if (this.model.get("closed")) this.leave(CLOSED);
  }
  /** The panel shows another conversation, or the conversation was renamed. */
  renamed() {
    const name = this.model.get("name");
    const { name: before, id } = this.before;
    const same = id === this.model.get("conversation_id");
    this.reading.close();
    this.composer.change(before, same);
    if (this.model.get("names").includes(before)) return;
    const edits = this.editsOf.get(before);
    this.editsOf.delete(before);
    if (edits && same) {
      edits.move(this.composer.draftOf(name, "turns"));
      this.editsOf.set(name, edits);
    } else for (const [place, { text, pictures, quotes }] of [...edits ?? []]) {
      edits?.delete(place);
      this.rescueText(text, pictures, quotes);
    }
  }
  /** An empty panel was just opened: the person can type at once, unless they are in another cell by now. */
  invite() {
    const active = this.root.closest(".jp-Cell.jp-mod-active");
    const typing = focused()?.closest("input, textarea, select, [contenteditable=true]");
    if (active && !typing) this.composer.field.focus({ preventScroll: true });
  }
  /** Is there a reply to stop? */
  get stoppable() {
    return this.pending || this.model.get("status") === "streaming";
  }
  /* what the kernel says */
  /** Request everything, and again if the answer is lost. A kernel that runs a cell may only be late. */
  open() {
    if (!this.link.alive || this.closed) return;
    const lost = this.opening && this.kernel.kernel && this.kernel.reachable && !this.kernel.busy;
    if (!this.opening || lost) this.link.tell("open");
    clearTimeout(this.opening);
    this.opening = setTimeout(() => this.open(), PATIENCE2);
  }
  opened() {
    clearTimeout(this.opening);
    this.opening = 0;
    this.link.giveUp();
  }
  /** @param {Extract<Message, { kind: "thoughts" }>} message */
  think(message) {
    const turn = this.log.byId.get(message.turn);
    if (message.thinks && turn && !turn.thoughts.goesOn) this.announce("The model is thinking.");
    turn?.thoughts.add(message);
  }
  /** @param {Message} message */
  hear(message) {
    switch (message.kind) {
      case "outline":
        this.opened();
        this.revision = message.revision;
        this.toShow = this.shown = message.sent;
        this.log.set(message.rows);
        if (message.first && !message.rows.length) this.invite();
        break;
      case "splice":
        if (message.revision === this.revision + 1) {
          this.revision = message.revision;
          this.log.splice(message.at, message.gone, message.rows);
        } else this.missed(message.revision);
        break;
      case "turn":
        this.log.loaded(message);
        break;
      case "pause":
        this.log.byId.get(message.turn)?.setPause(message.pause);
        this.announce(`${message.pause.why}; asking again in ${Math.ceil(message.pause.left)} s.`);
        break;
      case "thoughts":
        this.think(message);
        break;
      case "doing":
        this.log.byId.get(message.turn)?.setProgress(message.doing);
        break;
      case "grow":
        this.toShow = message.number;
        this.missed(message.revision);
        this.log.grow(message);
        if (message.end) this.announceEnd(message.end);
        if (document.hidden) this.acknowledge();
        this.requestFrame();
        break;
      case "ended":
        this.ended(message.turn);
        break;
      case "note":
        this.note(message.text);
        break;
      case "kept":
        this.notebook.keep(message);
        break;
      case "models":
        if (this.head.picker.looked) this.head.picker.look(false);
        break;
    }
  }
  /**
   * A message about a change of the list was lost if the list has changed more often than this page knows.
   * @param {number} revision
   */
  missed(revision) {
    if (revision > this.revision && !this.opening) this.open();
  }
  /** @param {Facts} facts of a reply that has ended */
  ended(facts) {
    this.announceEnd(facts);
    if (facts.status === "failed" && facts.gone) this.note(facts.error);
  }
  /**
   * Handle the end of a reply once, whoever asked for it.
   * @param {Facts} facts
   */
  announceEnd({ id, status }) {
    if (id === this.lastEnded) return;
    this.lastEnded = id;
    this.announce(status in ENDS ? ENDS[
      /** @type {keyof typeof ENDS} */
      status
    ] : "");
  }
  /* painting */
  /** Acknowledge the messages that this page has shown. */
  acknowledge() {
    if (this.toShow === this.shown) return;
    this.shown = this.toShow;
    this.link.tell("shown", { number: this.shown });
  }
  /** @param {Turn} turn */
  paintSoon(turn) {
    this.unpainted.add(turn);
    this.requestFrame();
  }
  /** Paint before the next frame. A hidden page has no frames: it paints when it is visible again. */
  requestFrame() {
    if (this.frameRequest || this.closed) return;
    this.frameRequest = requestAnimationFrame(() => this.frame());
  }
  frame() {
    this.frameRequest = 0;
    const deadline = performance.now() + BUDGET;
    this.log.arrange();
    cancelAnimationFrame(this.frameRequest);
    this.frameRequest = 0;
    for (const turn of [...this.unpainted]) {
      this.unpainted.delete(turn);
      if (turn.paint(deadline)) continue;
      this.unpainted.add(turn);
      if (performance.now() > deadline) break;
    }
    if (this.unpainted.size) this.requestFrame();
    else if (this.toShow - this.shown >= AHEAD || !this.model.get("status")) this.acknowledge();
  }
  /* what the person does */
  /** While a reply arrives, no prompt can be sent: says so, and returns true. */
  refuseWhileArriving() {
    const arrives = this.stoppable && this.kernel.reachable;
    if (arrives) this.note(ARRIVES);
    return arrives;
  }
  /**
   * Ask the kernel for an action, once, and show an error. Returns true if it was done.
   * @param {string} kind
   * @param {object} about
   */
  async act(kind, about) {
    const answer = await this.request(kind, about);
    if (answer) this.composer.hint.textContent = this.model.get("trouble") || answer.said || "";
    return Boolean(answer);
  }
  /**
   * Ask the kernel for something, once, and show an error. Returns its answer, or null.
   * @param {string} kind
   * @param {object} about
   */
  async request(kind, about) {
    const request = kind + JSON.stringify(about);
    if (this.requests.has(request)) return null;
    this.requests.add(request);
    this.note("");
    const slow = setTimeout(() => this.explain(kind), SLOW);
    try {
      if (!this.kernel.reachable || !this.link.alive) throw new Error(`${this.unreachable()} Nothing was sent.`);
      return await this.link.ask(kind, about);
    } catch (error) {
      this.noteError(error);
      this.error = this.kernel.reachable && this.link.alive ? messageOf(error) : "";
      return null;
    } finally {
      this.requests.delete(request);
      clearTimeout(slow);
      this.removeExplanation();
    }
  }
  stop() {
    this.act("stop", {});
  }
  /**
   * Take a prompt that the page has: send it, or put it into the field below what is typed there. One that begins with
   * a slash is no command. Code blocks of one that `quotes` code go as they are, also where they have `{name}`.
   *
   * @param {{text: string, attached: string[], send: boolean, quotes: boolean}} prompt
   */
  async take({ text, attached, send, quotes }) {
    const prompt = text.startsWith("/") ? `/${text}` : text;
    if (!send || !await this.composer.submit(prompt, attached, quotes)) this.composer.add(prompt, attached, quotes);
  }
  /**
   * Show why an action is not possible.
   * @param {string} kind of request
   */
  explain(kind) {
    const { kernel, busy } = this.kernel;
    const what = kind === "stop" ? "Stop takes effect when it has ended" : "this will be done when it has ended";
    const text = busy || !kernel ? `The kernel runs a cell; ${what}.` : "The kernel has not answered yet.";
    const interrupt = kind === "stop" && kernel?.interrupt && make("button", { type: "button", class: "fg-button", text: "Interrupt the cell", onclick: () => this.kernel.kernel?.interrupt?.() });
    this.explanation = make("div", { class: "fg-row" }, make("span", { text }), interrupt);
    this.banner.replaceChildren(this.explanation);
    this.banner.hidden = false;
  }
  removeExplanation() {
    if (!this.explanation) return;
    this.explanation.remove();
    this.explanation = null;
    if (!this.banner.childNodes.length) this.banner.hidden = true;
  }
  /** @param {string | Promise<string>} text */
  async copied(text) {
    try {
      const done = await copy(text);
      this.composer.hint.textContent = done ? "Copied." : "The browser does not allow this page to copy: select the text and copy it yourself.";
    } catch (error) {
      this.noteError(error);
    }
  }
  /**
   * Let the person save the conversation as a file.
   * @param {string} format
   */
  async save(format) {
    try {
      const { file, content } = await this.link.ask("export", { format });
      const address = URL.createObjectURL(new Blob([content]));
      make("a", { href: address, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1e4);
    } catch (error) {
      this.noteError(error);
    }
  }
  /* the kernel comes and goes */
  unreachable() {
    if (!this.link.alive) return this.left;
    return this.kernel.gone ? GONE2 : DISCONNECTED;
  }
  reach() {
    const { reachable: reachable2, gone } = this.kernel;
    if (!reachable2 && this.wasReachable !== false) {
      if (this.link.alive || !this.surroundings) this.note(this.unreachable());
      if (gone) this.leave(GONE2);
    } else if (gone && this.link.alive) this.leave(GONE2);
    if (reachable2 && this.wasReachable === false && this.link.alive) {
      this.note("");
      this.link.interrupted();
      this.opening = 0;
      this.open();
    }
    this.wasReachable = reachable2;
  }
  /**
   * The panel accepts no more prompts.
   * @param {string} why
   */
  leave(why) {
    this.left = why;
    this.link.lost(why);
    this.note(this.surroundings ? "" : why);
    this.root.classList.add("fg-gone");
    this.root.classList.remove("fg-arriving");
  }
  /** The kernel knows this panel again: request everything. */
  revive() {
    this.link.alive = true;
    this.root.classList.remove("fg-gone");
    this.note("");
    this.opening = 0;
    this.open();
  }
  /* what the person is told */
  /**
   * Show a line above the composer; an empty text removes it.
   * @param {string} text
   */
  note(text) {
    this.banner.textContent = text;
    this.banner.hidden = !text;
  }
  /** @param {unknown} error */
  noteError(error) {
    this.note(messageOf(error));
  }
  /** The error has been read. */
  forgetError() {
    if (this.error && this.banner.textContent === this.error) this.note("");
    this.error = "";
  }
  /**
   * For screen readers: the start and the end of a reply, and what was attached or removed.
   * @param {string} text
   */
  announce(text) {
    this.state.textContent = text;
  }
  /* what is typed in turns */
  /** The texts typed in the turns of the conversation. */
  get edits() {
    const name = this.model.get("name");
    const edits = this.editsOf.get(name) ?? new Edits(this.composer.draftOf(name, "turns"));
    this.editsOf.set(name, edits);
    return edits;
  }
  /**
   * Text typed in a turn that no longer exists goes into the composer.
   * @param {Set<number>} places of the turns that are there
   */
  rescueEdits(places) {
    for (const [place, { text, pictures, quotes }] of [...this.edits]) {
      if (places.has(place) || this.sending === place) continue;
      this.edits.delete(place);
      this.rescueText(text, pictures, quotes);
    }
  }
  /**
   * @param {string} text
   * @param {Keepable[]} [pictures] with it
   * @param {boolean} [quotes] does it quote code?
   */
  rescueText(text, pictures = [], quotes = false) {
    const { composer } = this;
    const all = [...composer.tray.kept, ...pictures];
    composer.fill([composer.field.value, text].filter(Boolean).join("\n\n"), composer.attached, all, composer.quotes || quotes);
    composer.remember();
    this.note(TAKEN_OUT);
  }
};

// widget.js
var widget_default = {
  /** @param {{model: Model, el: HTMLElement}} widget */
  render({ model, el }) {
    const panel = new Panel(model, el);
    return () => panel.close();
  }
};
export {
  widget_default as default
};

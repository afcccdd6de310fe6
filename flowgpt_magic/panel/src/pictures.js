/**
 * Pictures as models take them: scaled, turned as EXIF says, without metadata, and with a thumbnail.
 *
 * The browser decodes and encodes off the page's thread; scaling is done in strips, so that the page goes on meanwhile.
 */

import { inspect } from "./picture_files.js";

/** @import { PictureFile } from "./picture_files.js" */

/**
 * What the model takes: `able` is null if nobody knows, and `why` says why it takes none.
 * @typedef {{able: boolean | null, why: string, max_bytes: number, max_side: number, types: string[]}} Limits
 */

/**
 * A picture that can be sent. The thumbnail is at most 160 pixels wide and high.
 * @typedef {{name: string, type: string, bytes: ArrayBuffer, width: number, height: number, thumbnail: ArrayBuffer, url: string}} Picture
 */

/**
 * An encoded picture.
 * @typedef {{blob: Blob, width: number, height: number}} Encoded
 */

/** What is taken for granted where no kernel can be asked: what most models take. */
export const USUAL = /** @type {Limits} */ ({ able: null, why: "", max_bytes: 3_500_000, max_side: 1568, types: ["image/png", "image/jpeg"] });
export const MAX_MESSAGE = 9_000_000; // bytes: a Jupyter server closes the connection at messages of 10 MiB
const MAX_PIXELS = 150_000_000; // a page needs four bytes for each
const STRIP = 8_000_000; // pixels that are scaled without a pause
const THUMBNAIL_SIDE = 160; // pixels
const THUMBNAIL_BYTES = 20_000;
const SMALL = 300_000; // bytes of a PNG that needs no better compression
const FEW_COLOURS = 256; // in a drawing or a screenshot, among the pixels that are looked at
const LOOKED_AT = 128; // pixels wide and high
const QUALITY = 0.85;
export const SUFFIXES = /** @type {{[type: string]: string}} */ ({ "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif" });

/**
 * A size for people.
 * @param {number} bytes
 */
export function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/**
 * Is the file a picture? An SVG drawing is none. Rejects with an error message for the person if it cannot be sent at all.
 * @param {File} file
 */
export async function isPicture(file) {
  if (!file.size) throw new Error(`${file.name} is empty.`);
  const facts = await inspect(file);
  if (facts === "svg") throw new Error(`${file.name} is an SVG drawing, which may contain scripts: save it as PNG, and attach that.`);
  if (!facts && file.type.startsWith("image/")) throw new Error(notReadable(file.name));
  return facts !== null;
}

/** @param {string} name */
function notReadable(name) {
  return `${name} is not a picture that this browser can read: save it as PNG or JPEG first.`;
}

/**
 * Make a picture ready to be sent. Rejects with an error message for the person.
 * @param {File} file
 * @param {Limits} limits
 * @returns {Promise<Picture>}
 */
export async function prepare(file, limits) {
  const facts = await inspect(file);
  if (!facts || facts === "svg") throw new Error(notReadable(file.name));
  if (facts.width * facts.height > MAX_PIXELS) {
    throw new Error(`${file.name} has ${facts.width.toLocaleString("en")} × ${facts.height.toLocaleString("en")} pixels, which is too much for a page: make it smaller first.`);
  }
  let bitmap = await decode(file);
  try {
    const ready = usable(file, facts, bitmap, limits);
    if (!ready) bitmap = await reduced(bitmap, limits.max_side);
    const { blob, width, height } = ready ?? (await smaller(file, bitmap, facts.type === "image/jpeg", limits));
    const small = await thumbnail(bitmap);
    return { name: `${stem(file.name)}.${SUFFIXES[blob.type]}`, type: blob.type, bytes: await blob.arrayBuffer(), width, height,
      thumbnail: await small.arrayBuffer(), url: await dataUrl(small) };
  } finally {
    bitmap.close();
  }
}

/** @param {string} name of a file */
function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "picture";
}

/** @param {File} file */
async function decode(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(notReadable(file.name));
  }
}

/** @param {Limits} limits */
const mostBytes = ({ max_bytes }) => Math.min(max_bytes, MAX_MESSAGE);

/**
 * The file itself, if it can be sent as it is.
 * @param {File} file
 * @param {PictureFile} facts
 * @param {ImageBitmap} bitmap
 * @param {Limits} limits
 * @returns {Encoded | null}
 */
function usable(file, facts, { width, height }, limits) {
  const fits = Math.max(width, height) <= limits.max_side && file.size <= mostBytes(limits) && limits.types.includes(facts.type);
  if (!fits || !facts.bare || facts.turned) return null;
  return { blob: file.type === facts.type ? file : file.slice(0, file.size, facts.type), width, height };
}

/**
 * The picture with this many pixels on the longer side, at most. The one before is closed: it may fill the memory.
 * @param {ImageBitmap} bitmap
 * @param {number} side
 */
async function reduced(bitmap, side) {
  const factor = side / Math.max(bitmap.width, bitmap.height);
  if (factor >= 1) return bitmap;
  try {
    return await createImageBitmap(await scaled(bitmap, factor));
  } finally {
    bitmap.close();
  }
}

/**
 * The picture encoded, and as small as it has to be.
 * @param {File} file
 * @param {ImageBitmap} bitmap
 * @param {boolean} photo is it certainly one?
 * @param {Limits} limits
 * @returns {Promise<Encoded>}
 */
async function smaller(file, bitmap, photo, limits) {
  const most = mostBytes(limits);
  let smallest = /** @type {Encoded | null} */ (null);
  for (let factor = 1; ; factor *= 0.7) {
    const encoded = await encode(await scaled(bitmap, factor), photo, limits.types, most);
    if (encoded && (!smallest || encoded.blob.size < smallest.blob.size)) smallest = encoded;
    if (smallest && smallest.blob.size <= most) return smallest;
    if (Math.max(bitmap.width, bitmap.height) * factor < 256) break;
  }
  throw new Error(`${file.name} has ${sizeText(smallest?.blob.size ?? file.size)} even when it is scaled; ${sizeText(most)} can be sent: make it smaller first.`);
}

/**
 * Encode a picture: photos as JPEG, drawings and what is transparent as PNG, as long as that is small; the smaller wins.
 * Few servers with a model of their own read WebP, so it is the last resort.
 * @param {HTMLCanvasElement} canvas
 * @param {boolean} photo is it certainly one?
 * @param {string[]} types that the model takes
 * @param {number} most bytes that can be sent
 * @returns {Promise<Encoded | null>}
 */
async function encode(canvas, photo, types, most) {
  const transparent = !photo && isTransparent(canvas);
  const blobs = [];
  if (!photo && types.includes("image/png")) {
    const png = await toBlob(canvas, "image/png");
    if (png && (png.size <= Math.min(SMALL, most) || ((transparent || hasFewColours(canvas)) && png.size <= most))) return sized(png, canvas);
    blobs.push(png);
  }
  if (types.includes("image/jpeg") && !transparent) blobs.push(await toBlob(canvas, "image/jpeg"));
  if (types.includes("image/webp") && !blobs.some((blob) => blob && blob.size <= most)) blobs.push(await toBlob(canvas, "image/webp"));
  if (types.includes("image/jpeg") && transparent) blobs.push(await toBlob(onWhite(canvas), "image/jpeg"));
  const [smallest] = blobs.filter((blob) => blob !== null).sort((one, other) => one.size - other.size);
  return smallest ? sized(smallest, canvas) : null;
}

/**
 * @param {Blob} blob
 * @param {HTMLCanvasElement} canvas
 * @returns {Encoded}
 */
function sized(blob, { width, height }) {
  return { blob, width, height };
}

/** @param {number} width @param {number} height */
function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  return { canvas, context };
}

/**
 * @param {ImageBitmap} bitmap
 * @param {number} factor
 */
async function scaled(bitmap, factor) {
  const [width, height] = [bitmap.width, bitmap.height].map((size) => Math.max(1, Math.round(size * factor)));
  const { canvas, context } = canvasOf(width, height);
  if (bitmap.width === width && bitmap.height === height) { context.drawImage(bitmap, 0, 0); return canvas; }
  const rows = Math.max(1, Math.min(height, Math.floor((STRIP / bitmap.width) * (height / bitmap.height)))); // of the result, in a strip
  for (let top = 0; top < height; top += rows) {
    const bottom = Math.min(height, top + rows);
    const [first, last] = [top, bottom].map((row) => Math.round((row * bitmap.height) / height));
    const strip = await createImageBitmap(bitmap, 0, first, bitmap.width, last - first, { resizeWidth: width, resizeHeight: bottom - top, resizeQuality: "high" });
    context.drawImage(strip, 0, top);
    strip.close();
    if (bottom < height) await new Promise((resolve) => { setTimeout(resolve); });
  }
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
function pixels(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, canvas.width, canvas.height).data;
}

/** @param {HTMLCanvasElement} canvas */
function isTransparent(canvas) {
  const data = pixels(canvas);
  for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return true;
  return false;
}

/** @param {HTMLCanvasElement} whole */
function hasFewColours(whole) {
  const { canvas, context } = canvasOf(LOOKED_AT, LOOKED_AT);
  context.imageSmoothingEnabled = false;
  context.drawImage(whole, 0, 0, LOOKED_AT, LOOKED_AT);
  return new Set(new Uint32Array(pixels(canvas).buffer)).size <= FEW_COLOURS;
}

/** @param {HTMLCanvasElement} picture */
function onWhite(picture) {
  const { canvas, context } = canvasOf(picture.width, picture.height);
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
  return canvas;
}

/**
 * The encoded picture; null if this browser cannot write the type.
 * @param {HTMLCanvasElement} canvas
 * @param {string} type
 * @returns {Promise<Blob | null>}
 */
function toBlob(canvas, type, quality = QUALITY) {
  return new Promise((resolve) => { canvas.toBlob((blob) => resolve(blob?.type === type ? blob : null), type, quality); });
}

/**
 * A small copy of a picture. Rejects if the browser cannot read the picture.
 * @param {Blob} picture
 */
export async function thumbnailOf(picture) {
  const bitmap = await createImageBitmap(picture, { imageOrientation: "from-image" });
  try {
    return await thumbnail(bitmap);
  } finally {
    bitmap.close();
  }
}

/**
 * @param {ImageBitmap} bitmap
 * @returns {Promise<Blob>}
 */
async function thumbnail(bitmap) {
  const canvas = await scaled(bitmap, Math.min(1, THUMBNAIL_SIDE / Math.max(bitmap.width, bitmap.height)));
  const png = await toBlob(canvas, "image/png");
  if (png && png.size <= THUMBNAIL_BYTES / 2) return png;
  for (const quality of [0.8, 0.6, 0.4]) {
    const jpeg = await toBlob(onWhite(canvas), "image/jpeg", quality);
    if (jpeg && jpeg.size <= THUMBNAIL_BYTES) return jpeg;
  }
  return /** @type {Blob} */ (await toBlob(onWhite(canvas), "image/jpeg", 0.2));
}

/**
 * An address that shows a picture: pages of a strict hub allow no `blob:` addresses.
 * @param {Blob} blob
 * @returns {Promise<string>}
 */
export function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}

/** What a file is, by its first bytes: its name and the type that the system says may be wrong. */

const HEAD = 4 << 20; // bytes that are read; a larger file has its size there, but for a JPEG with much metadata
const ORIENTATION = 0x0112; // the EXIF tag
const NEUTRAL_PNG = ["IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD", "pHYs"]; // chunks that say nothing of their author
const NEUTRAL_JPEG = { 0xe0: "JFIF\0", 0xe2: "ICC_PROFILE\0", 0xee: "Adobe" }; // segments by their markers
const NEUTRAL_WEBP = ["VP8 ", "VP8L", "VP8X", "ALPH", "ICCP"];

/**
 * A picture: its size in pixels as it is stored, 0 where that is not known; `turned` if EXIF says that it is shown
 * otherwise; `bare` if it is one still picture without EXIF or other metadata.
 * @typedef {{type: string, width: number, height: number, turned: boolean, bare: boolean}} PictureFile
 */

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 * @param {number} length
 */
function ascii(bytes, at, length) {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

/**
 * What a file is: a picture, an SVG drawing, or something else.
 * @param {Blob} file
 * @returns {Promise<PictureFile | "svg" | null>}
 */
export async function inspect(file) {
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (isSvg(file, head)) return "svg";
  const read = reader(head);
  if (!read) return null;
  const facts = read(head);
  if (file.size <= HEAD || facts?.width) return facts && { ...facts, bare: facts.bare && file.size <= HEAD };
  return read(new Uint8Array(await file.arrayBuffer()));
}

/**
 * @param {Blob} file
 * @param {Uint8Array} head
 */
function isSvg(file, head) {
  return file.type === "image/svg+xml" || /^\uFEFF?\s*(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]/i.test(new TextDecoder().decode(head.subarray(0, 4096)));
}

/**
 * @param {Uint8Array} bytes
 * @returns {((bytes: Uint8Array) => PictureFile | null) | null}
 */
function reader(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return jpeg;
  if (ascii(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return png;
  if (/^GIF8[79]a/.test(ascii(bytes, 0, 6))) return gif;
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 4) === "WEBP") return webp;
  if (ascii(bytes, 0, 2) === "BM" && bytes.length > 26) return bmp;
  const brand = ascii(bytes, 4, 4) === "ftyp" ? ascii(bytes, 8, 4) : "";
  if (/^(avif|avis)$/.test(brand)) return () => unknownSize("image/avif");
  if (/^(hei[cx]|hev[cx]|mif1|msf1)$/.test(brand)) return () => unknownSize("image/heic");
  if (/^(II\*\0|MM\0\*)/.test(ascii(bytes, 0, 4))) return () => unknownSize("image/tiff");
  return null;
}

/** @param {string} type */
function unknownSize(type) {
  return { type, width: 0, height: 0, turned: false, bare: false };
}

/** @param {Uint8Array} bytes */
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @param {Uint8Array} bytes */
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

/** @param {Uint8Array} bytes */
function gif(bytes) {
  const view = viewOf(bytes);
  return { type: "image/gif", width: view.getUint16(6, true), height: view.getUint16(8, true), turned: false, bare: false };
}

/** @param {Uint8Array} bytes */
function bmp(bytes) {
  const view = viewOf(bytes);
  return { type: "image/bmp", width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)), turned: false, bare: false };
}

/** @param {Uint8Array} bytes */
function webp(bytes) {
  if (bytes.length < 30) return null;
  const view = viewOf(bytes);
  let [at, bare] = [12, true];
  for (; at + 8 <= bytes.length; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
    if (!NEUTRAL_WEBP.includes(ascii(bytes, at, 4))) bare = false;
  }
  const kind = ascii(bytes, 12, 4);
  const bits = view.getUint32(21, true);
  const [width, height] = kind === "VP8X" ? [1 + (view.getUint32(24, true) & 0xffffff), 1 + (view.getUint32(26, true) >>> 8)]
    : kind === "VP8L" ? [1 + (bits & 0x3fff), 1 + ((bits >>> 14) & 0x3fff)]
      : [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  return { type: "image/webp", width, height, turned: false, bare: bare && at === bytes.length };
}

/** @param {Uint8Array} bytes */
function jpeg(bytes) {
  const view = viewOf(bytes);
  const facts = { type: "image/jpeg", width: 0, height: 0, turned: false, bare: true };
  let at = 2;
  while (at + 2 <= bytes.length) {
    if (bytes[at] !== 0xff) { at = bytes.indexOf(0xff, at); if (at < 0) break; continue; }
    const marker = bytes[at + 1];
    if (marker === 0xff) { at += 1; continue; }
    if (marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) { at += 2; continue; } // a byte of the scan, or a restart
    if (marker === 0xd9 || at + 4 > bytes.length) break;
    segment(bytes, view, at, marker, facts);
    at += 2 + view.getUint16(at + 2);
  }
  facts.bare &&= bytes[at + 1] === 0xd9 && at + 2 === bytes.length; // phones put whole films behind the end
  return facts;
}

/**
 * @param {Uint8Array} bytes
 * @param {DataView} view
 * @param {number} at
 * @param {number} marker
 * @param {PictureFile} facts
 */
function segment(bytes, view, at, marker, facts) {
  const isSize = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
  if (isSize && at + 9 <= bytes.length) [facts.height, facts.width] = [view.getUint16(at + 5), view.getUint16(at + 7)];
  const neutral = ascii(bytes, at + 4, 12).startsWith(/** @type {{[marker: number]: string}} */ (NEUTRAL_JPEG)[marker] ?? "no");
  if (((marker >= 0xe0 && marker <= 0xef) || marker === 0xfe) && !neutral) facts.bare = false;
  if (marker === 0xe1 && ascii(bytes, at + 4, 6) === "Exif\0\0") facts.turned ||= orientation(view, at + 10) > 1;
}

/**
 * @param {DataView} view
 * @param {number} start of the TIFF header
 */
function orientation(view, start) {
  try {
    const little = view.getUint16(start) === 0x4949;
    const table = start + view.getUint32(start + 4, little);
    for (let number = 0; number < view.getUint16(table, little); number += 1) {
      const entry = table + 2 + 12 * number;
      if (view.getUint16(entry, little) === ORIENTATION) return view.getUint16(entry + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // EXIF that is cut off says nothing
  }
  return 1;
}

/** What a file is, by its bytes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./page.mjs";

const { inspect } = await load("picture_files.js");
const { held } = await load("transfers.js");

const ascii = (text) => [...text].map((char) => char.charCodeAt(0));
const big = (number, bytes) => Array.from({ length: bytes }, (_, at) => (number >>> (8 * (bytes - 1 - at))) & 255);
const file = (...parts) => new Blob([Uint8Array.from(parts.flat())]);

const chunk = (name, content) => [...big(content.length, 4), ...ascii(name), ...content, 0, 0, 0, 0];
const png = (...more) => [0x89, ...ascii("PNG\r\n\x1a\n"), ...chunk("IHDR", [...big(300, 4), ...big(200, 4), 8, 2, 0, 0, 0]), ...more.flat(), ...chunk("IEND", [])];
const segment = (marker, content) => [0xff, marker, ...big(content.length + 2, 2), ...content];
const size = segment(0xc0, [8, ...big(200, 2), ...big(300, 2), 3]);
const jpeg = (...more) => [0xff, 0xd8, ...segment(0xe0, ascii("JFIF\0")), ...more.flat(), ...size, ...segment(0xda, [1]), 7, 0xff, 0, 7, 0xff, 0xd9];
const exif = (orientation) => segment(0xe1, [...ascii("Exif\0\0MM\0*"), ...big(8, 4), ...big(1, 2), ...big(0x0112, 2), ...big(3, 2), ...big(1, 4), ...big(orientation, 2), 0, 0]);

test("a PNG is bare without chunks that tell of its author, and nothing behind its end", async () => {
  const facts = { type: "image/png", width: 300, height: 200, turned: false };
  assert.deepEqual(await inspect(file(png())), { ...facts, bare: true });
  assert.deepEqual(await inspect(file(png(chunk("tEXt", ascii("who"))))), { ...facts, bare: false });
  assert.deepEqual(await inspect(file(png(), [1])), { ...facts, bare: false });
  assert.deepEqual(await inspect(file(png(chunk("acTL", [1])))), { ...facts, bare: false });
});

test("a JPEG is bare without EXIF and comments, and EXIF says whether it is turned", async () => {
  const facts = { type: "image/jpeg", width: 300, height: 200, turned: false };
  assert.deepEqual(await inspect(file(jpeg())), { ...facts, bare: true });
  assert.deepEqual(await inspect(file(jpeg(exif(1)))), { ...facts, bare: false });
  assert.deepEqual(await inspect(file(jpeg(exif(6)))), { ...facts, bare: false, turned: true });
  assert.deepEqual(await inspect(file(jpeg(segment(0xfe, ascii("who"))))), { ...facts, bare: false });
  assert.deepEqual(await inspect(file(jpeg(), ascii("a film"))), { ...facts, bare: false });
});

test("files that are cut off anywhere are read without an error", async () => {
  for (const whole of [png(), jpeg(exif(6))]) {
    for (let length = 0; length < whole.length; length += 1) {
      const facts = await inspect(file(whole.slice(0, length)));
      assert.equal(facts?.bare ?? false, false, `${length} of ${whole.length}`);
    }
  }
});

test("SVG is known by its type and by its text, and other text is no picture", async () => {
  assert.equal(await inspect(new Blob(["anything"], { type: "image/svg+xml" })), "svg");
  assert.equal(await inspect(new Blob(["<?xml version='1.0'?>\n<!-- <p> -->\n<svg xmlns='x'/>"])), "svg");
  assert.equal(await inspect(new Blob(["<p>about <svg></p>"])), null);
});

/** What is pasted: files, and text. */
function transfer(files, text, folders = []) {
  const items = [...files.map((name) => ({ kind: "file", getAsFile: () => ({ name }) })),
    ...folders.map((name) => ({ kind: "file", getAsFile: () => null, webkitGetAsEntry: () => ({ isDirectory: true, name }) })), { kind: "string" }];
  return { items, getData: () => text };
}

test("text beside files is text, but where it only names them", () => {
  assert.equal(held(transfer(["image.png"], "a\tb")).text, "a\tb");
  assert.equal(held(transfer(["cat.png"], "cat.png")).text, "");
  assert.equal(held(transfer(["cat.png", "b.csv"], "/home/me/cat.png\r\nfile:///home/me/b.csv\n")).text, "");
  assert.deepEqual(held(transfer([], "", ["photos"])), { files: [], folders: ["photos"], text: "" });
  assert.deepEqual(held(null), { files: [], folders: [], text: "" });
});

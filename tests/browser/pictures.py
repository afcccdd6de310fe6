"""Pictures for the tests: made without a library, put on the clipboard, pasted and dropped as a person does."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

from playwright.sync_api import Locator, Page

SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
COPY = """
async (contents) => {
  const blob = ([type, data]) => new Blob([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], { type });
  const items = Object.fromEntries(Object.entries(contents).map((entry) => [entry[0], blob(entry)]));
  await navigator.clipboard.write([new ClipboardItem(items)]);
}
"""
# Events as the browser makes them when files come from other programs; `folders` are names of folders.
HAND_OVER = """
(element, [kind, files, folders, text]) => {
  const transfer = new DataTransfer();
  for (const [name, type, data] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], name, { type }));
  }
  if (text) transfer.setData("text/plain", text);
  if (folders.length) {
    const entry = (name) => ({ webkitGetAsEntry: () => ({ isDirectory: true, name }), getAsFile: () => null });
    const items = folders.map((name) => ({ kind: "file", ...entry(name) }));
    Object.defineProperty(transfer, "items", { value: [...transfer.items, ...items] });
  }
  const box = element.getBoundingClientRect();
  const where = { bubbles: true, cancelable: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
  const drop = (name) => element.dispatchEvent(new DragEvent(name, { ...where, dataTransfer: transfer }));
  const pasted = new ClipboardEvent("paste", { ...where, clipboardData: transfer });
  if (kind === "paste") return element.dispatchEvent(pasted);
  drop("dragenter");
  const taken = !drop("dragover");
  return !drop("drop") && taken;
}
"""


def png(width: int = 30, height: int = 20, colour: tuple[int, int, int] = (200, 30, 30), text: str = "") -> bytes:
    """A picture of one colour; with ``text`` in its metadata."""
    rows = (b"\0" + bytes(colour) * width) * height
    about = _chunk(b"tEXt", b"Comment\0" + text.encode()) if text else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", header) + about + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG file."""
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


def copy(page: Page, **contents: bytes) -> None:
    """Put something on the clipboard, such as ``text_plain=b"..."``."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(COPY, {kind.replace("_", "/"): _text(content) for kind, content in contents.items()})


def paste(page: Page, picture: bytes) -> None:
    """Copy a picture, and paste it where the focus is."""
    copy(page, image_png=picture)
    page.keyboard.press("Control+V")


def hand_over(
    element: Locator, kind: str, files: dict[str, bytes], *, folders: Sequence[str] = (), text: str = ""
) -> bool:
    """Drop files of other programs on an element, or paste them; ``kind`` says which. Returns whether it is taken."""
    types = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}
    rows = [[name, types.get(name[-4:], ""), _text(content)] for name, content in files.items()]
    return element.evaluate(HAND_OVER, [kind, rows, list(folders), text])


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")

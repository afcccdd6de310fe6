"""Images and PDF documents in a prompt: files, bytes and figures become the URL that a message carries."""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

from flowgpt_magic.errors import FileError, PromptError
from flowgpt_magic.messages.content_parts import ADDRESSES, ENCRYPTED, PDF, document_url
from flowgpt_magic.regular_files import read_beginning

MAX_BYTES = 20 * 2**20  # bytes of an image; servers refuse larger ones
# The first bytes of a file.
SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}
PDF_SIGNATURE = b"%PDF-"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
IMAGE_FORM = "a PNG, JPEG, GIF or WebP file, its bytes, or a figure"


def image_url(value: Any) -> str:
    """``value`` as a ``data:image/`` URL, or that of a PDF document. The web address of an image is returned unchanged.

    ``value`` is the path or the bytes of a picture or PDF file, a figure or axes of matplotlib, an image of PIL, or any
    object that a notebook shows as PNG or JPEG. Raises ``PromptError`` for what is no image.
    """
    if isinstance(value, str) and value.startswith((*ADDRESSES, PDF)):
        return value
    content = _content(value)
    if content.startswith(PDF_SIGNATURE):
        return _document_url(content, value)
    kind = _kind(content)
    if not kind:
        raise PromptError(f"{_name(value)} is not an image: use {IMAGE_FORM}")
    if len(content) > MAX_BYTES:
        raise PromptError(f"{_name(value)} has {len(content):,} bytes; the limit for an image is {MAX_BYTES:,}")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _document_url(content: bytes, value: Any) -> str:
    name = Path(value).name if isinstance(value, (str, os.PathLike)) else ""
    if len(content) > MAX_BYTES:
        raise PromptError(f"{_name(value)} is longer than {MAX_BYTES:,} bytes, the limit for a document")
    if ENCRYPTED.search(content):
        raise PromptError(f"{_name(value)} is encrypted: save a copy without its password, and send that")
    return document_url(content, name)


def is_image(value: Any) -> bool:
    """Is ``value`` an image for ``image_url``? Text is not, although it may name a file."""
    if isinstance(value, (bytes, bytearray)):
        return bool(_kind(bytes(value[:16])))
    return not isinstance(value, str) and (_figure(value) is not None or bool(_image_methods(value)))


def _name(value: Any) -> str:
    return str(value) if isinstance(value, (str, os.PathLike)) else type(value).__name__


def _kind(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((kind for begin, kind in SIGNATURES.items() if content.startswith(begin)), "")


def _content(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, (str, os.PathLike)):
        return _file(Path(value).expanduser())
    if (figure := _figure(value)) is not None:
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", bbox_inches="tight")
        return drawn.getvalue()
    for name in _image_methods(value):
        try:
            image = getattr(value, name)()
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            raise PromptError(f"{_name(value)} cannot show itself as an image: {error}") from None
        image = image[0] if isinstance(image, tuple) else image  # some return metadata too
        if isinstance(image, str):  # base64, which IPython accepts too
            image = base64.b64decode(image)
        if image:
            return bytes(image)
    return b""


def _file(path: Path) -> bytes:
    try:
        return read_beginning(path, MAX_BYTES + 1)[0]
    except FileError as error:
        raise PromptError(str(error)) from None


def _figure(value: Any) -> Any:
    """The matplotlib figure that ``value`` is or belongs to, if matplotlib is loaded."""
    kind = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
    axes = getattr(sys.modules.get("matplotlib.axes"), "Axes", None)
    if kind is None:
        return None
    if axes is not None and isinstance(value, axes):
        return value.get_figure()
    return value if isinstance(value, kind) else None


def _image_methods(value: Any) -> list[str]:
    return [name for name in ("_repr_png_", "_repr_jpeg_") if callable(getattr(type(value), name, None))]

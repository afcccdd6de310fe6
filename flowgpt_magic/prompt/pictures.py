"""Pictures that a prompt names: ``![description](attachment:NAME)``, as in the Markdown cells of Jupyter.

The name of a picture that came through a page ends in the first digits of its content's SHA-256, so that the same
picture has the same name everywhere, and a name leads to one picture.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from flowgpt_magic.errors import PromptError
from flowgpt_magic.prompt.image_formats import BrokenImageError, read_image
from flowgpt_magic.text import cut, one_line

# What models take without making it smaller: Claude at most 1568 pixels on the longer side and 5 MB in base64, GPT-4o
# and later 2048.
MAX_SIDE = 1568  # pixels
MAX_SCALED_BYTES = 3_500_000
MAX_BYTES = 9 * 2**20  # of one that a page sends; a Jupyter server takes messages of 10 MB
MOST_PIXELS = 8_000  # on one side; a few bytes may announce a picture that fills the memory
MAX_THUMBNAIL = 20 * 2**10  # bytes
MAX_THUMBNAIL_SIDE = 320  # pixels
DIGITS = 12  # of the SHA-256 in a name
LONGEST_STEM, LONGEST_DESCRIPTION = 40, 300  # characters
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
KINDS = "PNG, JPEG, GIF or WebP"
_DIGEST = re.compile(r"-([0-9a-f]{12})\.\w+$")
_DATA_URL = re.compile(r"data:(image/[a-z+.-]+);base64,")
# A reference to an attachment, or code, in which there are none.
_REFERENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n(?:.*?^ {0,3}(?P=fence)[`~]*[ \t]*$|.*)"
    r"|(?<![`\\])(?P<ticks>`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)(?P=ticks)(?!`)"
    r"|(?<!\\)!\[(?P<description>(?:\\.|[^\[\]\\])*)\]\([ ]*<?attachment:(?P<name>[^\s()<>]+)>?"
    r"(?:[ ]+(?:\"[^\"\n]*\"|'[^'\n]*'))?[ ]*\)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Picture:
    """A picture: its content, MIME type and size in pixels; ``thumbnail`` is a smaller copy, or empty."""

    type: str
    width: int
    height: int
    content: bytes = field(repr=False)
    thumbnail: bytes = field(default=b"", repr=False)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content, as hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def url(self) -> str:
        """The picture as a ``data:`` URL. All turns with this picture share it."""
        return f"data:{self.type};base64,{base64.b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True)
class PictureReference:
    """A picture in a prompt: the name of the attachment, and its description."""

    name: str
    description: str = ""

    @property
    def digits(self) -> str:
        """The first digits of the picture's SHA-256 in its name; empty for a name of another kind."""
        match = _DIGEST.search(self.name)
        return match[1] if match else ""

    def __str__(self) -> str:
        description = re.sub(r"([\\`\[\]<>&*_$])", r"\\\1", cut(self.description, LONGEST_DESCRIPTION))
        return f"![{description}](attachment:{self.name})"


def read_picture(content: bytes, name: str = "the picture", thumbnail: bytes = b"") -> Picture:
    """The picture in ``content``, without metadata such as the place where it was taken.

    A ``thumbnail`` that is no small image is left out. Raises ``PromptError`` for what is no picture, is broken or too
    large.
    """
    shown = cut(name) or "the picture"
    if not content:
        raise PromptError(f"{shown} is empty: choose another picture")
    if len(content) > MAX_BYTES:
        size = f"{len(content) / 2**20:.0f} MB, and {MAX_BYTES >> 20} MB can be sent"
        raise PromptError(f"{shown} has {size}: make it smaller")
    if _is_svg(content):
        raise PromptError(f"{shown} is an SVG drawing, which may contain scripts: save it as PNG, and attach that")
    try:
        image = read_image(content)
    except BrokenImageError:
        raise PromptError(f"{shown} is broken or incomplete: open it in an image program, and save it again") from None
    if image is None:
        raise PromptError(f"{shown} is not a picture: {KINDS} can be sent")
    if max(image.width, image.height) > MOST_PIXELS:
        size = f"{image.width:,} × {image.height:,} pixels"  # noqa: RUF001 - the sign of multiplication
        raise PromptError(f"{shown} has {size}, and {MOST_PIXELS:,} on a side can be sent: make it smaller")
    return Picture(image.type, image.width, image.height, image.content, _checked_thumbnail(thumbnail))


def _is_svg(content: bytes) -> bool:
    begin = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return begin.startswith(b"<") and (b"<svg" in begin or b"<!doctype svg" in begin)


def _checked_thumbnail(content: bytes) -> bytes:
    if not 0 < len(content) <= MAX_THUMBNAIL:
        return b""
    try:
        image = read_image(content)
    except BrokenImageError:
        return b""
    fits = image is not None and max(image.width, image.height) <= MAX_THUMBNAIL_SIDE
    return image.content if image is not None and fits else b""


def attachment_name(name: str, picture: Picture) -> str:
    """The name of the attachment: letters, digits and dashes of ``name``, the digits of the content, its kind."""
    return f"{safe_stem(name)}-{picture.digest[:DIGITS]}.{SUFFIXES.get(picture.type, 'img')}"


def safe_stem(name: str) -> str:
    """The name of a file without its folder, suffix, and all characters that mean something in Markdown."""
    stem = re.sub(r"\.[^.]*$", "", re.split(r"[\\/]", name)[-1])  # as the page does it
    return re.sub(r"[^A-Za-z0-9]+", "-", stem)[:LONGEST_STEM].strip("-") or "picture"


def references_in(text: str) -> list[PictureReference]:
    """The pictures that ``text`` names outside of code, each once."""
    if "](" not in text or "attachment:" not in text:
        return []
    references = {
        name: PictureReference(name, _unescaped(match["description"]))
        for match in _REFERENCE.finditer(text)
        if match["name"] and (name := unquote(match["name"]))
    }
    return list(references.values())


def with_references(text: str, pictures: Iterable[PictureReference]) -> str:
    """``text`` with the pictures that it does not name yet below it, each on a line."""
    names = {reference.name for reference in references_in(text)}
    lines = [str(picture) for picture in pictures if picture.name not in names]
    return "\n\n".join(filter(None, [text, "\n".join(lines)]))


def described(text: str) -> str:
    """``text`` with the description of each picture in the place of its name."""
    if not references_in(text):
        return text
    return _REFERENCE.sub(lambda match: _unescaped(match["description"]) if match["name"] else match[0], text)


def without_references(text: str) -> str:
    """``text`` without the lines at its end that name a picture each and nothing else."""
    lines = text.rstrip("\n").split("\n")
    while lines and (match := _REFERENCE.fullmatch(lines[-1].strip())) and match["name"]:
        lines.pop()
    return text if len(lines) == text.rstrip("\n").count("\n") + 1 else "\n".join(lines).rstrip("\n")


def references_of(text: str, digests: Sequence[str]) -> list[PictureReference | None]:
    """For each of these pictures, how ``text`` names it; None if it does not."""
    names = {reference.digits: reference for reference in references_in(text) if reference.digits}
    return [names.get(digest[:DIGITS]) for digest in digests]


def picture_of_url(url: str) -> Picture | None:
    """The picture of a ``data:`` URL, such that its ``url`` is the same; None for any other URL.

    Its width and height are 0 if it is of no kind that ``read_picture`` knows.
    """
    match = _DATA_URL.match(url)
    if match is None:
        return None
    try:
        content = base64.b64decode(url[match.end() :], validate=True)
    except binascii.Error:
        return None
    picture = Picture(match[1], *_size_of(content), content)
    return picture if content and picture.url == url else None


def _size_of(content: bytes) -> tuple[int, int]:
    try:
        image = read_image(content)
    except BrokenImageError:
        return 0, 0
    return (0, 0) if image is None else (image.width, image.height)


def _unescaped(description: str) -> str:
    return one_line(re.sub(r"\\([^\w\s])", r"\1", description))

"""Read PNG, JPEG, GIF and WebP files: their size in pixels, and the file without its metadata.

Metadata tell who took a picture, when and where. Kept is what the picture needs to look the same: colour profile,
transparency, animation. What stands behind the end of the picture goes, too: another picture may be hidden there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The chunks of a PNG file that belong to the picture, with those of an animation.
PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB sBIT bKGD hIST pHYs iCCP cICP mDCV cLLI acTL fcTL fdAT".split()
)
WEBP_CHUNKS = frozenset([b"VP8 ", b"VP8L", b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH"])
WEBP_METADATA = 0x08 | 0x04  # the flags of VP8X that announce EXIF and XMP
# Application segments of a JPEG file that the picture needs: the number of the segment, and how it begins.
JPEG_SEGMENTS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the segments that begin a frame
GIF_EXTENSIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")  # of applications: how often an animation repeats
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)  # the end of a JPEG file's compressed data


class BrokenImageError(ValueError):
    """The file ends too early, or is not what its beginning says."""


@dataclass(frozen=True)
class ReadImage:
    """An image file: its MIME type, its size in pixels, and its content without metadata."""

    type: str
    width: int
    height: int
    content: bytes


def read_image(content: bytes) -> ReadImage | None:
    """The image in ``content``; None if it is of no kind that is known here.

    Raises ``BrokenImageError``. The compressed data are not decoded.
    """
    for begins, mime, read in _READERS:
        if begins.match(content):
            try:
                width, height, rest = read(content)
            except IndexError:
                raise BrokenImageError from None
            if not (width and height):
                raise BrokenImageError
            return ReadImage(mime, width, height, rest)
    return None


def _number(content: bytes, start: int, length: int, *, little: bool = False) -> int:
    """The number in these bytes. Raises ``BrokenImageError`` if they are not all there."""
    return int.from_bytes(_part(content, start, length), "little" if little else "big")


def _part(content: bytes, start: int, length: int) -> bytes:
    part = content[start : start + length]
    if len(part) < length:
        raise BrokenImageError
    return part


def _png(content: bytes) -> tuple[int, int, bytes]:
    chunks = list(_png_chunks(content))
    names = [name for name, _chunk in chunks]
    if names[:1] != [b"IHDR"] or names[-1] != b"IEND" or b"IDAT" not in names:
        raise BrokenImageError
    rest = b"".join(chunk for name, chunk in chunks if name in PNG_CHUNKS)
    return _number(content, 16, 4), _number(content, 20, 4), PNG_SIGNATURE + rest


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and the bytes of each chunk, up to the last one. A wrong checksum is an error."""
    place, name = len(PNG_SIGNATURE), b""
    while name != b"IEND":
        chunk = _part(content, place, 12 + _number(content, place, 4))
        name = chunk[4:8]
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise BrokenImageError
        yield name, chunk
        place += len(chunk)


def _jpeg(content: bytes) -> tuple[int, int, bytes]:
    width = height = 0
    parts = [content[:2]]
    scanned = False
    for marker, segment in _jpeg_segments(content):
        if marker in JPEG_SIZES:
            height, width = _number(segment, 5, 2), _number(segment, 7, 2)
        scanned = scanned or marker == 0xDA
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or _is_needed(marker, segment):
            parts.append(segment)
    if not scanned:
        raise BrokenImageError
    return width, height, b"".join(parts)


def _is_needed(marker: int, segment: bytes) -> bool:
    return marker in JPEG_SEGMENTS and segment[4:].startswith(JPEG_SEGMENTS[marker])


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The number and the bytes of each segment, with the compressed data after it, up to the end of the picture."""
    place, marker = 2, 0
    while marker != 0xD9:
        if content[place] != 0xFF:
            raise BrokenImageError
        while content[place + 1] == 0xFF:  # fill bytes
            place += 1
        marker = content[place + 1]
        if marker == 0xD9 or marker == 0x01 or 0xD0 <= marker <= 0xD7:
            end = place + 2
        elif marker < 0xC0:
            raise BrokenImageError
        else:
            end = place + 2 + max(2, _number(content, place + 2, 2))
        if marker == 0xDA:
            following = _MARKER.search(content, end)
            if following is None:
                raise BrokenImageError
            end = following.start()
        yield marker, _part(content, place, end - place)
        place = end


def _gif(content: bytes) -> tuple[int, int, bytes]:
    place = 13 + _colours(_number(content, 10, 1))
    parts, has_picture = [_part(content, 0, place)], False
    while (kind := content[place]) != 0x3B:
        if kind == 0x2C:
            start = place + 10 + _colours(_number(content, place + 9, 1)) + 1
            has_picture = True
        elif kind == 0x21:
            start = place + 2
        else:
            raise BrokenImageError
        end = _end_of_blocks(content, start)
        if kind == 0x2C or content[place + 1] in (0xF9, 0x01) or _repeats(content, place):
            parts.append(content[place:end])
        place = end
    if not has_picture:
        raise BrokenImageError
    size = _number(content, 6, 2, little=True), _number(content, 8, 2, little=True)
    return *size, b"".join([*parts, b"\x3b"])


def _colours(flags: int) -> int:
    """The bytes of the table of colours that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(content: bytes, place: int) -> int:
    while length := content[place]:
        place += length + 1
    return place + 1


def _repeats(content: bytes, place: int) -> bool:
    return content[place + 1] == 0xFF and content[place + 3 : place + 14] in GIF_EXTENSIONS


def _webp(content: bytes) -> tuple[int, int, bytes]:
    chunks = list(_webp_chunks(_part(content, 0, 8 + _number(content, 4, 4, little=True))))
    size = (0, 0)
    for name, chunk in chunks:
        if size == (0, 0) and name in _WEBP_SIZES:
            size = _WEBP_SIZES[name](chunk)
    kept = [_without_flags(chunk) if name == b"VP8X" else chunk for name, chunk in chunks if name in WEBP_CHUNKS]
    if not any(name in (b"VP8 ", b"VP8L", b"ANMF") for name, _chunk in chunks):
        raise BrokenImageError
    rest = b"WEBP" + b"".join(kept)
    return *size, b"RIFF" + len(rest).to_bytes(4, "little") + rest


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and the bytes of each chunk, with an even number of bytes."""
    place = 12
    while place < len(content):
        length = _number(content, place + 4, 4, little=True)
        chunk = _part(content, place, 8 + length)
        yield chunk[:4], chunk + b"\0" * (length % 2)
        place += 8 + length + length % 2


def _without_flags(chunk: bytes) -> bytes:
    return chunk[:8] + bytes([chunk[8] & ~WEBP_METADATA]) + chunk[9:]


def _canvas(chunk: bytes) -> tuple[int, int]:
    return 1 + _number(chunk, 12, 3, little=True), 1 + _number(chunk, 15, 3, little=True)


def _lossy(chunk: bytes) -> tuple[int, int]:
    return _number(chunk, 14, 2, little=True) & 0x3FFF, _number(chunk, 16, 2, little=True) & 0x3FFF


def _lossless(chunk: bytes) -> tuple[int, int]:
    bits = _number(chunk, 9, 4, little=True)
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


_WEBP_SIZES: dict[bytes, Callable[[bytes], tuple[int, int]]] = {b"VP8X": _canvas, b"VP8 ": _lossy, b"VP8L": _lossless}
_READERS: tuple[tuple[re.Pattern[bytes], str, Callable[[bytes], tuple[int, int, bytes]]], ...] = (
    (re.compile(re.escape(PNG_SIGNATURE)), "image/png", _png),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg", _jpeg),
    (re.compile(rb"GIF8[79]a"), "image/gif", _gif),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp", _webp),
)

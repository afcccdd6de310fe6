"""Real image files for tests, made with PIL, with and without metadata."""

from __future__ import annotations

import io
import random
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

PLACE = "taken in Springfield"  # in the metadata of ``with_metadata``


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 6), colour: int = 0, **more: Any) -> bytes:
    """A file of this kind, whose pixels have one colour."""
    content = io.BytesIO()
    Image.new("RGB", size, (colour, 80, 160)).save(content, kind, **more)
    return content.getvalue()


def noise(size: int, seed: int = 1) -> bytes:
    """A PNG file of about ``size`` bytes."""
    side = max(1, int((size / 3) ** 0.5))
    content = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(3 * side * side)).save(content, "PNG")
    return content.getvalue()


def with_metadata(kind: str) -> bytes:
    """A file of this kind that says where it was taken."""
    exif = Image.Exif()
    exif[0x010E] = PLACE
    exif[0x0112] = 1
    if kind == "PNG":
        texts = PngInfo()
        texts.add_text("Comment", PLACE)
        texts.add_itxt("XML:com.adobe.xmp", PLACE, zip=True)
        return picture(kind, exif=exif, pnginfo=texts)
    if kind == "GIF":
        return picture(kind, comment=PLACE.encode())
    if kind == "JPEG":
        return picture(kind, exif=exif, comment=PLACE.encode())
    return picture(kind, exif=exif, xmp=PLACE.encode())


def animation(kind: str) -> bytes:
    """An animation of three frames of this kind."""
    frames = [Image.new("RGB", (8, 6), (80 * number, 0, 0)) for number in range(3)]
    content = io.BytesIO()
    frames[0].save(content, kind, save_all=True, append_images=frames[1:], duration=50, loop=0)
    return content.getvalue()


def pixels(content: bytes) -> list[bytes]:
    """The pixels of each frame of a file."""
    image = Image.open(io.BytesIO(content))
    shown = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        shown.append(image.convert("RGBA").tobytes())
    return shown

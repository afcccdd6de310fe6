"""Describe text files and folders. What looks like a secret is refused."""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path

from flowgpt_magic.errors import FileError, FlowGptError
from flowgpt_magic.prompt.describe.budget import Description, Inspection, amount, omitted_of
from flowgpt_magic.prompt.describe.code import lines_of
from flowgpt_magic.prompt.images import IMAGE_SUFFIXES
from flowgpt_magic.redaction import PRIVATE_KEY_MARK, is_secret_file
from flowgpt_magic.regular_files import read_beginning

MAX_CHARACTER_BYTES = 4  # in UTF-8 and UTF-16
MAX_FILES = 2_000  # of a folder that are read


class AttachmentError(FlowGptError):
    """What is to be attached does not exist, is not text, or looks like a secret."""


def secret_refusal(name: str) -> AttachmentError:
    """The error for something that looks like a secret."""
    return AttachmentError(f"{name} looks like a secret, so it is not sent; if you mean it: --attach {name}!")


def file_or_folder(value: object, inspection: Inspection) -> Description | None:
    """Describe a text file by its text, a folder by the names in it."""
    if not isinstance(value, Path) or not os.path.lexists(value):
        return None
    if inspection.masked and is_secret_file(value):
        raise secret_refusal(str(value))
    try:
        status = value.stat()
        if stat.S_ISDIR(status.st_mode):
            names = sorted(entry.name for entry in islice(os.scandir(value), MAX_FILES))
            return lines_of(f"folder {value.name}", "\n".join(names), "", inspection.room)
        data, size = read_beginning(value, inspection.room * MAX_CHARACTER_BYTES + 1)
    except FileError as error:
        raise AttachmentError(str(error)) from None
    except OSError as error:
        raise AttachmentError(f"{value} cannot be read: {error.strerror or error}") from None
    if inspection.masked and PRIVATE_KEY_MARK.encode() in data:
        raise secret_refusal(str(value))
    text, encoding = _decoded(data, value, len(data) < size)
    beginning = text[: inspection.room]
    whole = len(beginning) == len(text) and len(data) == size
    omitted = () if whole else omitted_of(len(beginning.encode(encoding)), size, "byte")
    return Description(f"file {value.name}, {amount(size, 'byte')}", beginning.rstrip("\n"), value.suffix[1:], omitted)


def _decoded(data: bytes, path: Path, more: bool) -> tuple[str, str]:
    """The text of ``data``, the beginning of a file, and its encoding; ``more`` says that the file goes on."""
    from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder

    encodings = ("utf-16",) if data.startswith((BOM_UTF16_BE, BOM_UTF16_LE)) else ("utf-8-sig", "latin-1")
    for encoding in encodings:
        try:
            text = getincrementaldecoder(encoding)().decode(data, not more)
        except UnicodeDecodeError:
            continue
        if not any(char < " " and char not in "\t\n\r\f\x1b" for char in text):
            return text.replace("\r\n", "\n"), encoding
    image = path.suffix.lower() in IMAGE_SUFFIXES
    only = "the model takes no images" if image else "only text can be attached"
    raise AttachmentError(f"{path} is not a text file: {only}")

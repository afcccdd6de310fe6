"""Describe one file: its text, or what a library reads from it. What looks like a secret is refused.

A kind of file that is not text is a line in ``READERS``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flowgpt_magic.errors import FileError
from flowgpt_magic.prompt.describe import documents, notebooks, table_files
from flowgpt_magic.prompt.describe.budget import SEARCH_MARGIN, Description, Inspection, amount, omitted_of
from flowgpt_magic.prompt.describe.problems import AttachmentError, secret_refusal
from flowgpt_magic.prompt.images import IMAGE_SUFFIXES
from flowgpt_magic.redaction import PRIVATE_KEY_MARK, is_secret_file, redact_environment
from flowgpt_magic.regular_files import read_beginning

MAX_CHARACTER_BYTES = 4  # in UTF-8 and UTF-16
ALLOWED_CONTROLS = "\t\n\r\f\x1b"
ENCODING_NAMES = {"utf-16": "UTF-16", "cp1252": "Windows-1252", "latin-1": "Latin-1"}  # said where a text is not UTF-8


@dataclass(frozen=True)
class PdfPages:
    """Some pages of a PDF file, such as ``3-5``."""

    path: Path
    pages: str


READERS: dict[str, Callable[[Path, Inspection], Description | None]] = {
    ".pdf": documents.pdf,
    ".docx": documents.word_document,
    ".xlsx": table_files.workbook,
    ".xlsm": table_files.workbook,
    ".parquet": table_files.parquet,
    ".ipynb": notebooks.notebook,
}
OLDER_KINDS = {".doc": ".docx", ".xls": ".xlsx"}


def file(value: object, inspection: Inspection) -> Description | None:
    """Describe the file of a path by its text, and a table or a document by what its library reads.

    Raises ``AttachmentError`` for a file that cannot be read, is not text, or looks like a secret.
    """
    path, pages = (value.path, value.pages) if isinstance(value, PdfPages) else (value, None)
    if not isinstance(path, Path) or not os.path.lexists(path):
        return None
    if inspection.masked and is_secret_file(path):
        raise secret_refusal(str(path))
    suffix = path.suffix.lower()
    try:
        if pages is not None:
            return documents.pdf(path, inspection, pages)
        description = READERS[suffix](path, inspection) if suffix in READERS else None
        return description or _text_file(path, inspection)
    except FileError as error:
        raise AttachmentError(str(error)) from None


def _text_file(path: Path, inspection: Inspection) -> Description:
    data, size = read_beginning(path, inspection.room * MAX_CHARACTER_BYTES + SEARCH_MARGIN)
    if inspection.masked and PRIVATE_KEY_MARK.encode() in data:
        raise secret_refusal(str(path))
    decoded = decoded_text(data, more=len(data) < size)
    if decoded is None:
        raise AttachmentError(f"{path} is not a text file: {_advice(path)}")
    text, encoding = decoded
    words = f", read as {ENCODING_NAMES[encoding]}" if encoding in ENCODING_NAMES else ""
    beginning = text[: inspection.room]
    whole = len(beginning) == len(text) and len(data) == size
    omitted = () if whole else omitted_of(len(beginning.encode(encoding)), size, "byte")
    if inspection.masked:  # before it is cut: half a key cannot be recognised
        beginning = redact_environment(text[: inspection.room + SEARCH_MARGIN])[: inspection.room]
    headline = f"file {path.name}, {amount(size, 'byte')}{words}"
    return Description(headline, beginning.rstrip("\n"), path.suffix[1:], omitted)


def _advice(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in OLDER_KINDS:
        return f"save it as {OLDER_KINDS[suffix]}, which can be attached"
    return "a picture is attached with -a" if suffix in IMAGE_SUFFIXES else "only text can be attached"


def decoded_text(data: bytes, *, more: bool) -> tuple[str, str] | None:
    """The text of ``data``, the beginning of a file, and its encoding; None if it is not text.

    ``more`` says that the file goes on, so that the last character may be incomplete.
    """
    from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder

    windows = ("cp1252",) if any(0x80 <= byte < 0xA0 for byte in data) else ()
    is_wide = data.startswith((BOM_UTF16_BE, BOM_UTF16_LE))
    for encoding in ("utf-16",) if is_wide else ("utf-8-sig", *windows, "latin-1"):
        try:
            text = getincrementaldecoder(encoding)().decode(data, not more)
        except UnicodeDecodeError:
            continue
        if not any(char < " " and char not in ALLOWED_CONTROLS for char in text):
            return text.replace("\r\n", "\n"), encoding
    return None

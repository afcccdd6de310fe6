"""Describe PDF files and Word documents by their text, with the libraries of the extra ``files``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowgpt_magic.prompt.describe.budget import Description, Inspection, amount, omitted_of
from flowgpt_magic.prompt.describe.problems import AttachmentError, need_library, reading

if TYPE_CHECKING:
    from io import BytesIO

DOCUMENT_SECONDS = 10.0  # seconds after which no further page or paragraph is read
LARGEST_WORD_XML = 50 * 2**20  # bytes; python-docx needs twenty times as much memory
_PAGES = re.compile(r"(\d{1,6})(?:(-)(\d{0,6}))?")


def pdf(path: Path, inspection: Inspection, pages: str | None = None) -> Description:
    """Describe a PDF file by the text of its ``pages``, such as ``3-5``; all by default.

    Raises ``AttachmentError`` for a file that is encrypted, broken or has no text, and for pages that do not exist.
    """
    need_library(path, "pypdf", "pypdf")
    key = f"{path}#{pages}"
    if key not in inspection.read:
        with reading(path, "PDF file") as content:
            inspection.read[key] = _pdf_texts(path, content, pages, inspection.room)
    first, last, total, texts = inspection.read[key]
    parts, room = [], inspection.room
    for number, text in enumerate(texts, first):
        parts.append(f"Page {number}:\n{text}")
        room -= len(parts[-1]) + 2
        if room < 0:
            break
    missing = omitted_of(len(parts), last - first + 1, "page")
    end = first + len(parts) - 1
    words = amount(total, "page") if (first, end) == (1, total) else f"{_range(first, end)} of {total:,}"
    body = "\n\n".join(parts)
    return Description(f"PDF file {path.name}, {words}", body, "", missing, f"{{}}, {words}")


def _range(first: int, last: int) -> str:
    return f"page {first}" if first == last else f"pages {first} to {last}"


def _pdf_texts(path: Path, content: BytesIO, pages: str | None, room: int) -> tuple[int, int, int, list[str]]:
    """The first and last chosen page, the number of all pages, and the texts of as many as ``room`` needs."""
    from pypdf import PdfReader

    document = PdfReader(content)
    if document.is_encrypted and not _opens(document):
        raise AttachmentError(f"{path} is encrypted: save a copy without its password, and attach that")
    total = len(document.pages)
    first, last = _chosen(path, pages, total)
    texts: list[str] = []
    end = time.monotonic() + DOCUMENT_SECONDS

    def check_time(*_operation: object) -> None:
        if time.monotonic() > end:
            raise _too_slow(path)

    while first + len(texts) <= last and sum(map(len, texts)) <= room and time.monotonic() < end:
        page = document.pages[first + len(texts) - 1]
        try:
            text = page.extract_text(visitor_operand_before=check_time)
        except AttachmentError:
            if any(texts):
                break
            raise
        texts.append("\n".join(line.rstrip() for line in text.split("\n")).strip())
    if not any(texts):
        where = path.name if (first, last) == (1, total) else f"{_range(first, last).capitalize()} of {path.name}"
        raise AttachmentError(
            f"{where} contains no text, only pictures, as a scan does: recognise its text with an OCR program first, "
            "or attach a picture of the page to a model that takes pictures"
        )
    return first, last, total, texts


def _too_slow(path: Path) -> AttachmentError:
    advice = "save the part that matters as a file of its own, or as text"
    return AttachmentError(f"{path} takes longer than {DOCUMENT_SECONDS:.0f} s to read: {advice}")


def _opens(document: Any) -> bool:
    """Does an encrypted document open without a password?"""
    from pypdf.errors import DependencyError

    try:
        return bool(document.decrypt(""))
    except DependencyError:
        return False


def _chosen(path: Path, pages: str | None, total: int) -> tuple[int, int]:
    if pages is None:
        return 1, total
    chosen = _PAGES.fullmatch(pages)
    if not chosen:
        raise AttachmentError(f"{path}#{pages}: pages are written as {path.name}#3, {path.name}#3-5 or {path.name}#3-")
    first = int(chosen[1])
    last = int(chosen[3]) if chosen[3] else total if chosen[2] else first
    if not 1 <= first <= last:
        raise AttachmentError(f"{path}#{pages}: the first page comes before the last one, and pages are counted from 1")
    if first > total:
        raise AttachmentError(f"{path}#{pages}: {path.name} has {amount(total, 'page')}")
    return first, min(last, total)


def word_document(path: Path, inspection: Inspection) -> Description:
    """Describe a Word document by its text: headings, paragraphs and tables in their order."""
    need_library(path, "docx", "python-docx")
    if str(path) not in inspection.read:
        with reading(path, "Word document", LARGEST_WORD_XML) as content:
            from docx import Document

            inspection.read[str(path)] = _word_texts(path, Document(content), inspection.room)
    texts, total = inspection.read[str(path)]
    parts, room = [], inspection.room
    for text in texts:
        parts.append(text)
        room -= len(text) + 2
        if room < 0:
            break
    omitted = omitted_of(len(parts), total, "paragraph")
    return Description(f"Word document {path.name}", "\n\n".join(parts), "", omitted)


def _word_texts(path: Path, document: Any, room: int) -> tuple[list[str], int]:
    """The first paragraphs and tables, as many as ``room`` needs, and the number of all.

    Raises ``AttachmentError`` if their text takes too long.
    """
    headings = _headings(document)
    blocks = document.iter_inner_content()
    end = time.monotonic() + DOCUMENT_SECONDS
    texts: list[str] = []
    for block in blocks:
        for line in _lines_of(block, headings):
            texts.append(line)
            room -= len(line) + 2
            if time.monotonic() > end:
                raise _too_slow(path)
        if room < 0:
            break
    return texts, len(texts) + sum(1 for _ in blocks)


def _headings(document: Any) -> dict[str, str]:
    """The marks of headings by the id of their style: python-docx takes 2 ms to look up the style of a paragraph."""
    names = ((style.style_id, re.fullmatch(r"Heading (\d)", str(style.name))) for style in document.styles)
    return {key: "#" * int(heading[1]) + " " for key, heading in names if heading}


def _lines_of(block: Any, headings: Mapping[str, str]) -> Iterator[str]:
    """The text of a paragraph, or the rows of a table in one text; nothing for an empty paragraph."""
    if hasattr(block, "rows"):
        yield "\n".join(" | ".join(cell.text.strip() for cell in row.cells) for row in block.rows)
    elif text := block.text.strip():
        yield f"{headings.get(block._p.style, '')}{text}"

"""Describe notebook files by their cells, with shortened outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowgpt_magic.prompt.describe.budget import Description, Inspection, amount, omitted_of
from flowgpt_magic.prompt.describe.problems import LARGEST_DOCUMENT, AttachmentError
from flowgpt_magic.regular_files import read_file
from flowgpt_magic.text import cut

OUTPUT_LENGTHS = (600, 120, 0)  # characters of each output: the first that lets all cells fit
TEXT_KINDS = ("text/markdown", "text/plain")


def notebook(path: Path, inspection: Inspection) -> Description | None:
    """Describe a notebook file by its cells; None if it is JSON of another form. Pictures are named, not sent."""
    if str(path) not in inspection.read:
        inspection.read[str(path)] = _cells(path)
    cells: list[dict[str, Any]] | None = inspection.read[str(path)]
    if cells is None:
        return None
    texts: list[str] = []
    for length in OUTPUT_LENGTHS:
        texts = [_cell(number, cell, length) for number, cell in enumerate(cells, 1)]
        if sum(map(len, texts)) + 2 * len(texts) <= inspection.room:
            break
    count, room = 0, inspection.room
    while count < len(texts) and (room > 0 or not count):
        room -= len(texts[count]) + 2
        count += 1
    outputs = () if length == OUTPUT_LENGTHS[0] else ("parts of the outputs",)
    omitted = (*omitted_of(count, len(texts), "cell"), *outputs)
    words = amount(len(cells), "cell") if count == len(cells) else f"{count:,} of {amount(len(cells), 'cell')}"
    body = "\n\n".join(texts[:count])
    return Description(f"notebook {path.name}, {amount(len(cells), 'cell')}", body, "", omitted, f"{{}}, {words}")


def _cells(path: Path) -> list[dict[str, Any]] | None:
    try:
        content = json.loads(read_file(path, LARGEST_DOCUMENT).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AttachmentError(f"{path} cannot be read as a notebook: {error}") from None
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        return None
    return [cell for cell in cells if isinstance(cell, dict) and joined(cell.get("source")).strip()]


def joined(lines: object) -> str:
    """The text of a notebook file's field: a string, or a list of lines."""
    return "".join(line for line in lines if isinstance(line, str)) if isinstance(lines, list) else str(lines or "")


def _cell(number: int, cell: dict[str, Any], length: int) -> str:
    kind = str(cell.get("cell_type"))
    outputs = cell.get("outputs")
    results = [_output(output, length) for output in outputs if isinstance(output, dict)] if outputs else []
    below = "".join(f"\nOutput: {result}" for result in results if result)
    return f"[{number}, {kind}]\n{joined(cell.get('source')).strip()}{below}"


def _output(output: dict[str, Any], length: int) -> str:
    if not length:
        return ""
    if output.get("output_type") == "error":
        return cut(f"{output.get('ename')}: {output.get('evalue')}", length)
    data = output.get("data") or {}
    texts = [joined(data[kind]) for kind in TEXT_KINDS if kind in data] if isinstance(data, dict) else []
    text = (texts[0] if texts else joined(output.get("text"))).strip()
    pictures = "".join(f" [picture, {kind}]" for kind in data if str(kind).startswith("image/"))
    return f"{text if len(text) <= length else f'{text[: length - 1]}…'}{pictures}".strip()

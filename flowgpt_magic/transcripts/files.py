"""Export a conversation as a file, and read one back. ``FILE_FORMATS`` has one line for each kind of file.

A file that is read back gives the exported text, to the character. The only exceptions are lone surrogates, which UTF-8
cannot encode: they become U+FFFD.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from flowgpt_magic.errors import FileError
from flowgpt_magic.messages import Turn
from flowgpt_magic.prompt.pictures import Picture
from flowgpt_magic.regular_files import read_file
from flowgpt_magic.text import one_line
from flowgpt_magic.transcripts.html_page import to_page
from flowgpt_magic.transcripts.markdown import from_markdown, to_markdown
from flowgpt_magic.transcripts.notebook import from_notebook, to_notebook
from flowgpt_magic.transcripts.pictures import Thumbnails, thumbnails_of
from flowgpt_magic.transcripts.transcript import (
    HEADER,
    JsonObject,
    Transcript,
    TranscriptError,
    build,
    check_format,
    encodable,
    exported,
    from_json,
    to_json,
)

LARGEST = 64 * 2**20  # bytes of a file that is read
REASONS: dict[type[Exception], str] = {
    json.JSONDecodeError: "it is not JSON",
    UnicodeDecodeError: "it is not UTF-8 text",
    RecursionError: "it is nested too deeply",
}


class Format(NamedTuple):
    """How a transcript becomes text, and how that text becomes the JSON object of a transcript again.

    ``read`` raises ``ValueError`` for text that it cannot read. It is None for a format that is written only.
    """

    write: Callable[[Transcript, Thumbnails], str]
    read: Callable[[str], JsonObject] | None


FILE_FORMATS = {
    ".md": Format(to_markdown, from_markdown),
    ".json": Format(lambda transcript, _thumbnails: to_json(HEADER | asdict(transcript)), from_json),
    ".ipynb": Format(lambda transcript, _thumbnails: to_notebook(transcript), from_notebook),
    ".html": Format(to_page, None),
}


def write(
    path: str | os.PathLike[str],
    conversation_name: str,
    system: str,
    turns: Sequence[Turn],
    *,
    overwrite: bool = False,
    addresses: bool = False,
    reasoning: bool = False,
    find_picture: Callable[[str], Picture | None] = lambda _digest: None,
) -> Path:
    """Export turns to a file. It is written completely or not at all.

    Keys, tokens and passwords among parameters, errors and notices are left out, and what names servers and the
    variables of keys. Raises ``TranscriptError``.

    Args:
        path: the file; its ending, one of ``FILE_FORMATS``, is the format.
        conversation_name: the name of the conversation.
        system: the system prompt of the conversation.
        turns: the turns, in their order.
        overwrite: replace a file that exists; without it, such a file is an error.
        addresses: keep the addresses of servers and the names of the variables of keys.
        reasoning: keep the reasoning of the replies.
        find_picture: returns the picture with this digest, with its thumbnail; by default only small ones are shown.
    """
    path, form = _path_and_format(path)
    exports = tuple(exported(turn, addresses=addresses, reasoning=reasoning) for turn in turns)
    transcript = Transcript(encodable(conversation_name), encodable(system), exports)
    content = form.write(transcript, thumbnails_of(turns, find_picture)).encode()
    try:
        target = path.resolve()  # where a link points to; the link stays
        if not target.parent.is_dir():
            raise TranscriptError(f"there is no folder {target.parent}: create it first, or choose another one")
        if os.path.lexists(target) and not overwrite:
            raise TranscriptError(f"{path} already exists: %flowgpt export {path} --overwrite replaces it")
        _replace(target, content)
    except (OSError, ValueError) as error:
        raise TranscriptError(f"{path} cannot be written: {_reason(error)}") from None
    return path


def read(path: str | os.PathLike[str]) -> Transcript:
    """The transcript at ``path``: what ``write`` wrote, or the ``%%flowgpt`` cells of any notebook.

    A cell that was not run is a cancelled turn without a reply. A turn without a time gets the modification time of the
    file. Raises ``TranscriptError``.
    """
    path, form = _path_and_format(path)
    if form.read is None:
        raise TranscriptError(f"{path} cannot be read back. Export .md, .json or .ipynb instead")
    try:
        content = read_file(path, LARGEST)
        modified = path.stat().st_mtime
        values = form.read(content.decode("utf-8-sig"))
        check_format(values)
        turns = values.get("turns")
        if isinstance(turns, list):
            values["turns"] = [{"started": modified} | turn if isinstance(turn, dict) else turn for turn in turns]
        return build(Transcript, {"name": path.stem, "system": ""} | values)
    except FileError as error:
        raise TranscriptError(str(error)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise TranscriptError(f"{path} cannot be read: {_reason(error)}") from None


def _path_and_format(path: str | os.PathLike[str]) -> tuple[Path, Format]:
    """The path with ``~`` expanded, and its format. Raises ``TranscriptError`` for an ending that has none."""
    path = Path(os.path.expanduser(path))
    if path.suffix.lower() not in FILE_FORMATS:
        *endings, last = FILE_FORMATS
        raise TranscriptError(f"{path} must end in {', '.join(endings)} or {last}: the ending chooses the format")
    return path, FILE_FORMATS[path.suffix.lower()]


def _replace(target: Path, content: bytes) -> None:
    """Make ``content`` the file ``target`` in one step."""
    new = target.with_name(f".{uuid4().hex}.tmp")
    try:
        with new.open("xb") as file:
            file.write(content)
        if target.exists():
            shutil.copymode(target, new)
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Why a file cannot be read or written, on one line."""
    message = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return REASONS.get(type(error), one_line(message))

"""What pages ask about pictures and files, in a panel and in JupyterLab's own pages."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import FileError, FlowGptError
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.notebook.comms import BUFFERS
from flowgpt_magic.notebook.ipython import prompt_context
from flowgpt_magic.panel.protocol import Facts
from flowgpt_magic.panel.state import PanelError
from flowgpt_magic.prompt import dropped_files
from flowgpt_magic.prompt.attachments import attach
from flowgpt_magic.prompt.pictures import (
    DIGITS,
    MAX_SCALED_BYTES,
    MAX_SIDE,
    SUFFIXES,
    Picture,
    PictureReference,
    attachment_name,
    picture_of_url,
    read_picture,
)
from flowgpt_magic.prompt.references import leading
from flowgpt_magic.providers import aliases
from flowgpt_magic.redaction import is_secret_file
from flowgpt_magic.replies.resolved import Resolved, resolve

Buffers = Sequence["memoryview | bytes"]
LARGEST_SHOWN = 256 * 2**10  # bytes of a picture without a thumbnail that is sent to a page whole
# Names of models that read pictures.
_SEEING = re.compile(
    r"vision|[-_]vl\b|[-_]vlm|llava|pixtral|moondream|minicpm-v|internvl|gpt-4o|gpt-4\.1|gpt-5|claude-[a-z]*-?[3-9]"
    r"|gemini|gemma-?3|llama-?4",
    re.IGNORECASE,
)
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]+")


def taken(conversation: Conversation, request: Facts) -> Facts:
    """Whether the model takes pictures (None: unknown), why not, and how large they may be after scaling.

    The model is the one that would answer now, or ``model`` of the request.
    """
    able, why = _ability(conversation, str(request.get("model") or ""))
    limits = {"max_bytes": MAX_SCALED_BYTES, "max_side": MAX_SIDE, "types": list(SUFFIXES)}
    return {"able": able, "why": why, **limits, "max_file_bytes": dropped_files.MAX_BYTES}


def _ability(conversation: Conversation, model: str) -> tuple[bool | None, str]:
    options = {"model": model} if model else {}
    try:
        resolved = resolve(conversation.as_set(conversation.outside(), options), load_aliases=aliases.load)
    except FlowGptError:  # it is said when the prompt is sent
        return None, ""
    if not resolved.takes_images:
        return False, f"{resolved.reader} reads text only: choose a model that reads pictures."
    if not resolved.takes_earlier_images:
        return False, f"{resolved.reader} has refused pictures: choose a model that reads them."
    return (True if _has_read_pictures(conversation, resolved) or _SEEING.search(resolved.target.model) else None), ""


def _has_read_pictures(conversation: Conversation, resolved: Resolved) -> bool:
    target = resolved.target
    return any(
        turn.images and turn.status == "complete" and (turn.provider, turn.model) == (target.provider, target.model)
        for turn in conversation.turns
    )


def take(history: NotebookHistory, request: Facts, buffers: Buffers) -> Facts:
    """Keep the picture in the first buffer, with the thumbnail in the second, if any.

    Returns its digest, which may differ from that of the buffer, the name to refer to it, and its size in bytes and
    pixels. Raises ``PromptError`` for what is no picture.
    """
    content, thumbnail = (bytes(part) for part in (*buffers, b"", b"")[:2])
    name = _text(request, "name")
    picture = read_picture(content, name, thumbnail)
    history.pictures.keep(picture, content)
    size = {"bytes": len(picture.content), "width": picture.width, "height": picture.height}
    return {"picture": picture.digest, "name": attachment_name(name, picture), **size}


def missing(history: NotebookHistory, request: Facts) -> Facts:
    """Those of the pictures that a page has to send before it asks with them."""
    return {"missing": history.pictures.missing([str(digest) for digest in _list(request, "pictures")])}


def thumbnail(conversation: Conversation, request: Facts) -> Facts:
    """A small copy of a picture as a buffer, or the picture itself if it is not large, or ``large`` is asked for.

    Without a buffer there is none.
    """
    digest = _text(request, "picture")
    picture = conversation.notebook_history.pictures.find(digest) if digest else None
    picture = picture or _in_turns(conversation, digest)
    if picture is None:
        return {}
    small = picture.thumbnail or (picture.content if len(picture.content) <= LARGEST_SHOWN else b"")
    content = picture.content if request.get("large") is True else small
    size = {"width": picture.width, "height": picture.height}
    return {**size, BUFFERS: [content]} if content else size


def _in_turns(conversation: Conversation, digest: str) -> Picture | None:
    """A picture of this conversation that is not in the history, because that is off."""
    urls = dict.fromkeys(url for turn in conversation.turns for url in turn.images)
    pictures = (picture for url in urls if (picture := picture_of_url(url)) is not None)
    return next((picture for picture in pictures if picture.digest == digest), None)


def references(history: NotebookHistory, pictures: Sequence[Any]) -> tuple[PictureReference, ...]:
    """The pictures that a page wants to send with a prompt. Raises ``PanelError`` for one that is not here."""
    return tuple(_reference(history, entry) for entry in pictures if isinstance(entry, dict))


def _reference(history: NotebookHistory, entry: Facts) -> PictureReference:
    digest, name = _text(entry, "picture"), _text(entry, "name")
    picture = history.pictures.find(digest) if len(digest) >= DIGITS else None
    if picture is None:
        raise PanelError(f"the picture {name or digest} is not here any more: add it again")
    reference = PictureReference(name, _text(entry, "description"))
    if _SAFE_NAME.fullmatch(name) and picture.digest.startswith(reference.digits or "-"):
        return reference
    return PictureReference(attachment_name(name, picture), reference.description)


def take_file(conversation: Conversation, request: Facts, buffers: Buffers) -> Facts:
    """Keep the file in the buffer: how to attach it, and what it is.

    Raises ``FileError`` for a file that cannot be attached.
    """
    name = _text(request, "name")
    if not buffers:
        raise FileError(f"{name} is a folder: drop the files in it")
    if is_secret_file(Path(name)):
        raise FileError(f"{name} looks like a secret, so it is not sent")
    spec = dropped_files.keep(name, bytes(buffers[0]))
    label = dropped_files.label_of(spec)
    try:
        return _attached(conversation, spec, label)
    except FlowGptError as error:
        path = dropped_files.path_of(spec)
        dropped_files.forget(spec)
        raise FileError(str(error).replace(str(path), label).replace(spec, label)) from None


def find_file(conversation: Conversation, request: Facts) -> Facts:
    """How to attach a file of the server's file browser, and what it is. ``path`` begins at the server's root.

    Raises ``FileError`` if the kernel has no such file, and ``AttachmentError`` if it cannot be attached.
    """
    name = _text(request, "path")
    place = conversation.notebook_history.place
    path = _found(name, os.path.dirname(place.path) or os.getcwd())
    if path is None:
        raise FileError(f"{name} is not where this kernel can read it: drop it from your desktop")
    if path.is_dir():
        raise FileError(f"{name} is a folder: drop the files in it")
    spec = os.path.relpath(path) if path.is_relative_to(os.getcwd()) else str(path)
    if leading(spec) == spec:  # a variable may have this name
        spec = os.path.join(os.curdir, spec)
    return _attached(conversation, spec, path.name)


def _found(name: str, folder: str) -> Path | None:
    """The path in ``folder`` or in one above it: the root of the server is one of them."""
    relative = name.partition(":")[2] or name  # a drive of JupyterLab stands before the path
    try:
        folders = (Path(folder), *Path(folder).parents)
        return next((path for above in folders if (path := above / relative).exists()), None)
    except (OSError, ValueError):
        return None


def _attached(conversation: Conversation, spec: str, label: str) -> Facts:
    resolved = resolve(conversation.as_set(conversation.outside(), {}), load_aliases=aliases.load)
    names, budget = prompt_context().names, resolved.settings.attach_tokens
    takes, model = resolved.takes_images, resolved.target.provider
    attachment = attach([spec], names, budget=budget, with_images=takes, model=model)[0]
    about = attachment.about.removeprefix(label).strip(" ,()") or attachment.text.partition("\n")[0].partition(", ")[2]
    return {"attached": spec, "about": about, "unsent": attachment.unsent, "cut": attachment.is_cut}


def _text(request: Facts, name: str) -> str:
    text = request.get(name)
    return text if isinstance(text, str) else ""


def _list(request: Facts, name: str) -> list[Any]:
    values = request.get(name)
    return values if isinstance(values, list) else []

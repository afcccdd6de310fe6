"""Attach values, cells, outputs and files to a prompt, as text of a limited number of tokens.

Secrets are not sent by accident. A value whose name looks like that of a secret is refused, and masked inside another
value, unless the user insists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

from flowgpt_magic.errors import FileError, FlowGptError, closest
from flowgpt_magic.messages.token_estimate import characters_for, tokens_in
from flowgpt_magic.prompt import dropped_files
from flowgpt_magic.prompt.describe.budget import (
    HEADLINE_LENGTH,
    CallFailure,
    Description,
    Inspection,
    amount,
    call_with_timeout,
    fitted,
    omitted_of,
    own_repr,
    type_name,
)
from flowgpt_magic.prompt.describe.code import code, lines_of
from flowgpt_magic.prompt.describe.containers import container, short
from flowgpt_magic.prompt.describe.figures import figure
from flowgpt_magic.prompt.describe.file_sets import FileSet, file_set, folder_files, is_pattern, matching_files
from flowgpt_magic.prompt.describe.files import PdfPages, file
from flowgpt_magic.prompt.describe.problems import AttachmentError, secret_refusal
from flowgpt_magic.prompt.describe.recognize import headline, python_number, size_of
from flowgpt_magic.prompt.describe.tables import array, table
from flowgpt_magic.prompt.describe.tracebacks import exception
from flowgpt_magic.prompt.images import IMAGE_SUFFIXES, MAX_BYTES, image_url, is_image
from flowgpt_magic.prompt.references import look_up, names_secret
from flowgpt_magic.redaction import is_secret_file
from flowgpt_magic.text import cut

MAX_ATTEMPTS = 3  # descriptions after the first, if that has too many tokens
MIN_LENGTH = 200  # characters; a shorter text is not described again
MAX_SUGGESTED = 2_000  # files of a folder that a wrong name may have meant
MAX_PICTURES = 8  # pictures of a folder or pattern that are sent
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Attachment:
    """Something attached to a prompt.

    Attributes:
        label: its name, as it stands above ``text``.
        text: the description that is sent.
        is_cut: whether ``text`` leaves something out.
        image: a ``data:image/`` URL, or empty.
        about: a few words for the line below the reply, such as ``frame (60 rows, 2 columns)``; the label if empty.
        unsent: a clause for what could not be sent, such as ``picture not sent: local reads text``; or empty.
    """

    label: str
    text: str
    is_cut: bool
    image: str = ""
    about: str = ""
    unsent: str = ""


@dataclass(frozen=True)
class _CellSource:
    number: int
    source: str


def describe(name: str, value: object, budget: int, *, forced: bool = False) -> str:
    """Describe ``value`` to a language model, in at most ``budget`` tokens, with a line for what was left out.

    Secrets in it are masked, unless ``forced``. Raises ``AttachmentError`` for the path of a file that cannot be sent.
    The code of the user's objects gets two seconds in total.
    """
    return _described(name, value, budget, forced).text


def _described(name: str, value: object, budget: int, forced: bool) -> Attachment:
    limit = characters_for(max(0, budget))
    inspection = Inspection(0, masked=not forced)
    described = _described_within(name, value, limit, inspection)
    for _ in range(MAX_ATTEMPTS):  # Chinese, code and numbers have more tokens
        text = described.text
        if tokens_in(text) <= budget or len(text) <= MIN_LENGTH:
            break
        limit = min(characters_for(budget, text), limit) * 19 // 20
        described = _described_within(name, value, limit, inspection)
    return described


def _described_within(name: str, value: object, limit: int, inspection: Inspection) -> Attachment:
    """The description in at most ``limit`` characters."""
    inspection.room, inspection.fair, inspection.shortened = (
        limit - min(HEADLINE_LENGTH + len(cut(name)), limit // 2),
        True,
        False,
    )
    try:
        description = next(found for describer in DESCRIBERS if (found := describer(value, inspection)) is not None)
    except FlowGptError:
        raise
    except Exception:  # noqa: BLE001 - objects may do anything, and libraries change; a repr might have secrets
        description = Description(
            "", own_repr(value, inspection) if headline(value) else f"<{type_name(value)} that cannot be read>"
        )
    text, is_cut = fitted(name, description, limit, masked=inspection.masked)
    about = f"{name}{size_of(value)}" if description.about == "{}" else description.about.replace("{}", name)
    return Attachment(name, text, is_cut, about=about, unsent=description.unsent.replace("{}", name))


def _own_words(value: Any, inspection: Inspection) -> Description | None:
    """The text that an object provides for language models, perhaps by MIME type."""
    from inspect import iscoroutine, iscoroutinefunction
    from json import dumps

    for name in ("_repr_llm_", "_ai_repr_"):
        method = None if isinstance(value, type) else getattr(type(value), name, None)
        if not callable(method) or iscoroutinefunction(method):
            continue
        result = call_with_timeout(value, lambda name=name: getattr(value, name)(), name, inspection)  # type: ignore[misc]
        if iscoroutine(result):
            result.close()
        if isinstance(result, dict):
            texts = {str(kind): text for kind, text in result.items() if isinstance(text, str)}
            best = [texts[kind] for kind in ("text/markdown", "text/plain", *texts) if kind in texts]
            data = result.get("application/json")
            result = best[0] if best else dumps(data) if data is not None else None
        if isinstance(result, str) and not isinstance(result, CallFailure):
            return Description("", result)
    return None


def _text(value: object, inspection: Inspection) -> Description | None:
    if isinstance(value, str):
        return Description("", str.__str__(value))
    if isinstance(value, _CellSource):
        return lines_of(f"In[{value.number}]", value.source, "python", inspection.room)
    if isinstance(value, (bytes, bytearray)):
        first = bytes(value[: max(1, inspection.room // 4)])
        omitted = omitted_of(len(first), len(value), "byte")
        return Description(f"{type_name(value)}, {amount(len(value), 'byte')}", repr(first), "", omitted)
    return None


def _anything(value: object, inspection: Inspection) -> Description:
    value = python_number(value)
    return Description(
        "",
        short(value, inspection.room, inspection) if isinstance(value, (int, float)) else own_repr(value, inspection),
    )


DESCRIBERS = (_own_words, _text, exception, file_set, file, table, array, figure, code, container, _anything)


def attach(
    specs: Sequence[str],
    names: Mapping[str, object],
    *,
    budget: int,
    forced: bool = False,
    cells: Sequence[str] = (),
    outputs: Mapping[int, object] = MappingProxyType({}),
    error: BaseException | None = None,
    folder: Path | None = None,
    with_images: bool = False,
    with_documents: bool = False,
    model: str = "the model",
) -> list[Attachment]:
    """Attach what ``specs`` name, each once, in at most ``budget`` tokens in total.

    A folder or a pattern is one attachment, and one more for each picture in it that is sent.

    Raises ``AttachmentError``, and ``PromptError`` for an image that cannot be sent.

    Args:
        specs: references such as ``frame`` or ``table["a"][0]``, ``cell:3`` or ``cell:-1``, ``out:3``, ``err``, paths
            of files and folders, patterns such as ``src/**/*.py``, pages such as ``report.pdf#3-5``, and what
            ``dropped_files.keep`` returned. A spec that ends in ``!`` is sent although it looks like a secret.
        names: the user's variables.
        budget: tokens.
        forced: send secrets too; not by default.
        cells: IPython's ``In`` without the running cell; its first item is no cell.
        outputs: IPython's ``Out``.
        error: the last error, for ``err``.
        folder: where relative paths begin; the working directory by default.
        with_images: whether the model takes images: figures and image files. Not by default.
        with_documents: whether it takes PDF files as they are. Not by default: then their text is sent.
        model: who takes none, for the clause about a picture that is not sent.
    """
    namespace = _Namespace(names, cells, outputs, error, folder or Path())
    wanted = list(dict.fromkeys(spec.strip() for spec in specs if spec.strip()))
    attachments: list[Attachment] = []
    for number, spec in enumerate(wanted):
        name = spec.removesuffix("!").rstrip()
        is_meant = forced or name != spec
        value = namespace.find(name, is_meant)
        name = dropped_files.label_of(name)
        taker = "" if with_images else model
        if isinstance(value, Path) and _is_image_file(value):
            attachments.append(_image_file(name, value, taker))
            continue
        if with_documents and isinstance(value, Path) and _is_pdf(value):
            attachments.append(_document(name, value))
            continue
        attachment = _described(name, value, budget // (len(wanted) - number), is_meant)
        budget = max(0, budget - tokens_in(attachment.text))
        if isinstance(value, FileSet):
            attachments += _with_pictures(attachment, value, taker)
        elif is_image(value):
            attachments.append(_figure(attachment, value, taker))
        else:
            attachments.append(attachment)
    return attachments


def _is_image_file(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _is_pdf(path: Path) -> bool:
    """Is it a PDF file that can be sent as it is? The text of a longer one is sent instead."""
    return path.suffix.lower() == ".pdf" and path.is_file() and path.stat().st_size <= MAX_BYTES


def _document(name: str, path: Path) -> Attachment:
    """The attachment for a PDF file that is sent as it is."""
    return Attachment(name, f"{name}: a PDF document", is_cut=False, image=image_url(path), about=f"document {name}")


def _unsent_pictures(number: int, model: str) -> str:
    return f"{'picture' if number == 1 else f'{number} pictures'} not sent: {model} reads text"


def _image_file(name: str, path: Path, model: str) -> Attachment:
    """The attachment for an image file; ``model`` is who takes none, empty if images are sent."""
    if not model:
        return Attachment(name, f"{name}: an image", is_cut=False, image=image_url(path), about="1 picture")
    text = f"{name}: an image, which is not sent, because this model reads text only"
    return Attachment(name, text, is_cut=True, about=f"the name of {name}", unsent=_unsent_pictures(1, model))


def _figure(described: Attachment, value: object, model: str) -> Attachment:
    """A figure with its picture, or in words only if ``model`` takes no images."""
    if not model:
        return replace(described, image=image_url(value), about="1 picture")
    return replace(described, about=f"{described.label} in words", unsent=_unsent_pictures(1, model))


def _with_pictures(described: Attachment, files: FileSet, model: str) -> list[Attachment]:
    """The files of a set, and each picture among them."""
    sent, clauses = [], [described.unsent]
    for path in () if model else files.pictures[:MAX_PICTURES]:
        name = os.path.relpath(path)
        sent.append(Attachment(name, f"{name}: an image", is_cut=False, image=image_url(path), about=f"picture {name}"))
    if model and files.pictures:
        clauses.append(_unsent_pictures(len(files.pictures), model))
    elif len(files.pictures) > len(sent):
        clauses.append(f"{len(files.pictures) - len(sent)} more pictures of {described.label} not sent")
    return [replace(described, unsent="; ".join(filter(None, clauses))), *sent]


@dataclass(frozen=True)
class _Namespace:
    """Everything that can be attached."""

    names: Mapping[str, object]
    cells: Sequence[str]
    outputs: Mapping[int, object]
    error: BaseException | None
    folder: Path

    def find(self, name: str, is_meant: bool) -> object:
        """The value of ``name``. Raises ``AttachmentError``, also for a secret unless ``is_meant``."""
        if _ADDRESS.match(name):
            raise AttachmentError(
                f"{name} is an address, and nothing is fetched: download it first, in a notebook with !curl -LO and "
                "the address, then attach the file by its name"
            )
        if (dropped := self._dropped(name, is_meant)) is not None:
            return dropped
        kind, colon, number = name.partition(":")
        if colon and kind in ("cell", "out"):
            return self._numbered(name, kind, number)
        if name == "err" and not (self.error is None and name in self.names):
            if self.error is None:
                raise AttachmentError("err: no error has occurred")
            return self.error
        try:
            value = look_up(name, self.names)
        except LookupError:
            if (files := self._files(name, is_meant)) is not None:
                return files
            suggestion = closest(name, self._candidates(name))
            raise AttachmentError(f"{name}: no variable or file has this name{suggestion}") from None
        if not is_meant and names_secret(name) and not isinstance(value, (FunctionType, ModuleType, type)):
            raise secret_refusal(name)
        return value

    def _dropped(self, name: str, is_meant: bool) -> Path | None:
        """The copy of a file that was dropped on a page; None if ``name`` is not that of one."""
        try:
            path = dropped_files.path_of(name)
        except FileError as error:
            raise AttachmentError(str(error)) from None
        if path is not None and not is_meant and is_secret_file(path):
            raise secret_refusal(name)
        return path

    def _numbered(self, name: str, kind: str, number: str) -> object:
        cells = {index: _CellSource(index, source) for index, source in enumerate(self.cells) if index}
        values: Mapping[int, object] = cells if kind == "cell" else self.outputs
        order = sorted(values)
        try:
            index = int(number)
            return values[order[index] if index < 0 else index]
        except ValueError:
            raise AttachmentError(f"{name}: {kind} needs a number, as in {kind}:3 or {kind}:-1") from None
        except LookupError:
            last = f"the last one is {kind}:{order[-1]}" if order else "there is none yet"
            raise AttachmentError(f"{name} does not exist; {last}") from None

    def _files(self, name: str, is_meant: bool) -> object:
        """The file, folder, pages or matching files that ``name`` means; None if there are none."""
        path = self._path(name)
        if path is None and "#" in name:
            whole, _mark, pages = name.rpartition("#")
            document = self._path(whole)
            if document is not None and document.suffix.lower() != ".pdf":
                raise AttachmentError(f"{name}: pages can be chosen only of a PDF file")
            return document and PdfPages(document, pages)
        if path is None:
            return matching_files(name, self.folder, masked=not is_meant) if is_pattern(name) else None
        if not is_meant and is_secret_file(path):
            raise secret_refusal(name) from None
        return folder_files(path, name, masked=not is_meant) if path.is_dir() else path

    def _path(self, name: str) -> Path | None:
        try:
            path = self.folder / Path(name).expanduser()
            return path if path.exists() else None
        except (OSError, ValueError, RuntimeError):  # characters that no file name has, or no home folder
            return None

    def _candidates(self, name: str) -> list[str]:
        """What a wrong name may have meant: variables, attributes and files."""
        names = [variable for variable in self.names if not variable.startswith("_")]
        base = name.rpartition(".")[0]
        with suppress(Exception):  # an error of a user's object must not hide the wrong name
            attributes = dir(look_up(base, self.names))
            names += [f"{base}.{attribute}" for attribute in attributes if not attribute.startswith("_")]
        folder = os.path.dirname(name)
        with suppress(OSError, ValueError, RuntimeError), os.scandir(self.folder / Path(folder).expanduser()) as files:
            names += [os.path.join(folder, file.name) for file in islice(files, MAX_SUGGESTED)]
        return names

"""Attach values, cells, outputs and files to a prompt, as text of a limited number of tokens.

Secrets are not sent by accident. A value whose name looks like that of a secret is refused, and masked inside another
value, unless the user insists.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from re import findall
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

from flowgpt_magic.errors import FlowGptError, closest
from flowgpt_magic.messages.token_estimate import characters_for, tokens_in
from flowgpt_magic.prompt.describe.budget import (
    CallFailure,
    Description,
    Inspection,
    amount,
    call_with_timeout,
    omitted_of,
    own_repr,
    type_name,
)
from flowgpt_magic.prompt.describe.code import code, lines_of
from flowgpt_magic.prompt.describe.containers import container, short
from flowgpt_magic.prompt.describe.figures import figure
from flowgpt_magic.prompt.describe.files import MAX_FILES, AttachmentError, file_or_folder, secret_refusal
from flowgpt_magic.prompt.describe.recognize import headline, python_number
from flowgpt_magic.prompt.describe.tables import array, table
from flowgpt_magic.prompt.describe.tracebacks import exception
from flowgpt_magic.prompt.images import IMAGE_SUFFIXES, image_url, is_image
from flowgpt_magic.prompt.references import look_up, names_secret
from flowgpt_magic.redaction import is_secret_file, redact_environment
from flowgpt_magic.text import cut, one_line

SEARCH_MARGIN = 1_000  # characters after the visible text that are searched for secrets, which may begin inside it
HEADLINE_LENGTH = 90  # characters of the lines before and after a body, at most
MAX_ATTEMPTS = 3  # descriptions after the first, if that has too many tokens
MIN_LENGTH = 200  # characters; a shorter text is not described again


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
    return _described(name, value, budget, forced)[0]


def _described(name: str, value: object, budget: int, forced: bool) -> tuple[str, bool]:
    limit = characters_for(max(0, budget))
    inspection = Inspection(0, masked=not forced)
    text, is_cut = _described_within(name, value, limit, inspection)
    for _ in range(MAX_ATTEMPTS):  # Chinese, code and numbers have more tokens
        if tokens_in(text) <= budget or len(text) <= MIN_LENGTH:
            break
        limit = min(characters_for(budget, text), limit) * 19 // 20
        text, is_cut = _described_within(name, value, limit, inspection)
    return text, is_cut


def _described_within(name: str, value: object, limit: int, inspection: Inspection) -> tuple[str, bool]:
    """The description in at most ``limit`` characters, and whether it leaves something out."""
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
    beyond = 0
    if inspection.masked:
        searched = 2 * limit + SEARCH_MARGIN  # text after that is never shown
        beyond = max(0, len(description.body) - searched)
        body = redact_environment(description.body[:searched])
        description = replace(description, headline=redact_environment(description.headline), body=body)
    return _fitted(cut(name), description, limit, beyond)


def _fitted(name: str, description: Description, limit: int, beyond: int) -> tuple[str, bool]:
    """The text of ``description`` in ``limit`` characters; ``beyond`` characters of its body are missing already."""
    head, foot, omitted = "", "", list(description.omitted)
    if description.headline:
        head = f"{name}: {one_line(description.headline)}" + ("\n" if description.body else "")
    if description.fence is not None and description.body:
        longest = max(map(len, findall("`{3,}", description.body)), default=2)
        fence = "`" * (longest + 1) if longest < HEADLINE_LENGTH else "~~~~"
        head, foot = f"{head}{fence}{description.fence}\n", f"\n{fence}"
    room = limit - len(head) - len(foot)
    text = f"{head}{description.body[: max(0, room)]}{foot}"
    omitted += omitted_of(min(max(0, room), len(description.body)), len(description.body) + beyond, "character")
    if room < 0:
        omitted, text = [*omitted, "the rest of this line"], text[:limit]
    return (f"{text}\n… {', '.join(omitted)} are not shown" if omitted else text), bool(omitted)


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


DESCRIBERS = (_own_words, _text, exception, file_or_folder, table, array, figure, code, container, _anything)


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
) -> list[Attachment]:
    """Attach what ``specs`` name, each once, in at most ``budget`` tokens in total.

    Raises ``AttachmentError``, and ``PromptError`` for an image that cannot be sent.

    Args:
        specs: references such as ``frame`` or ``table["a"][0]``, ``cell:3`` or ``cell:-1``, ``out:3``, ``err``, and
            paths of text files. A spec that ends in ``!`` is sent although it looks like a secret.
        names: the user's variables.
        budget: tokens.
        forced: send secrets too; not by default.
        cells: IPython's ``In`` without the running cell; its first item is no cell.
        outputs: IPython's ``Out``.
        error: the last error, for ``err``.
        folder: where relative paths begin; the working directory by default.
        with_images: whether the model takes images: figures and image files. Not by default.
    """
    namespace = _Namespace(names, cells, outputs, error, folder or Path())
    wanted = list(dict.fromkeys(spec.strip() for spec in specs if spec.strip()))
    attachments: list[Attachment] = []
    for number, spec in enumerate(wanted):
        name = spec.removesuffix("!").rstrip()
        is_meant = forced or name != spec
        value = namespace.find(name, is_meant)
        image = _image(value) if with_images else ""
        if image and isinstance(value, Path):
            attachments.append(Attachment(name, f"{name}: an image", is_cut=False, image=image))
            continue
        text, is_cut = _described(name, value, budget // (len(wanted) - number), is_meant)
        budget = max(0, budget - tokens_in(text))
        attachments.append(Attachment(name, text, is_cut, image))
    return attachments


def _image(value: object) -> str:
    """The URL of an image; empty for other values."""
    is_file = isinstance(value, Path) and value.suffix.lower() in IMAGE_SUFFIXES and value.is_file()
    return image_url(value) if is_file or is_image(value) else ""


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
            path = self._path(name)
            if path is not None:
                if not is_meant and is_secret_file(path):
                    raise secret_refusal(name) from None
                return path
            suggestion = closest(name, self._candidates(name))
            raise AttachmentError(f"{name}: no variable or file has this name{suggestion}") from None
        if not is_meant and names_secret(name) and not isinstance(value, (FunctionType, ModuleType, type)):
            raise secret_refusal(name)
        return value

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
            names += [os.path.join(folder, file.name) for file in islice(files, MAX_FILES)]
        return names

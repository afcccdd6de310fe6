"""What values, cells and files look like to a language model, as text of a limited size.

Nothing is sent by accident: what is called like a secret is refused, or masked inside of something else, until the user
says that it is meant.
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
    headline,
    omitted_of,
    own_repr,
    python_number,
    type_name,
)
from flowgpt_magic.prompt.describe.code import code, lines_of
from flowgpt_magic.prompt.describe.containers import container, short
from flowgpt_magic.prompt.describe.figures import figure
from flowgpt_magic.prompt.describe.files import MAX_FILES, AttachmentError, file_or_folder, secret_refusal
from flowgpt_magic.prompt.describe.tables import array, table
from flowgpt_magic.prompt.describe.tracebacks import exception
from flowgpt_magic.prompt.images import IMAGE_SUFFIXES, image_url, is_image
from flowgpt_magic.prompt.references import look_up, names_secret
from flowgpt_magic.redaction import is_secret_file, redact_environment
from flowgpt_magic.text import cut, one_line

SEARCH_MARGIN = 1_000  # characters behind the room for a text in which secrets are looked for: one may begin inside
HEADLINE_LENGTH = 90  # characters of the lines around a body, at most
MAX_ATTEMPTS = 3  # times that a value is looked at again because it has too many tokens
MIN_LENGTH = 200  # characters that are never cut for that


@dataclass(frozen=True)
class Attachment:
    """Something to send along.

    ``cut`` says whether ``text`` leaves something out; ``image`` is a URL that begins with ``data:image/``, if any.
    """

    label: str
    text: str
    cut: bool
    image: str = ""


@dataclass(frozen=True)
class _CellSource:
    number: int
    source: str


def describe(name: str, value: object, budget: int, *, forced: bool = False) -> str:
    """``value`` for a language model, in at most ``budget`` tokens, and a line that says what was left out.

    Values under names of secrets in it are masked, unless ``forced``. Raises ``AttachmentError`` only for the path of
    a file that cannot be sent. An object's own code is waited for, for two seconds in all.
    """
    return _described(name, value, budget, forced)[0]


def _described(name: str, value: object, budget: int, forced: bool) -> tuple[str, bool]:
    limit = characters_for(max(0, budget))
    inspection = Inspection(0, masked=not forced)
    text, was_cut = _looked_at(name, value, limit, inspection)
    for _ in range(MAX_ATTEMPTS):  # of some texts fewer characters fit: of Chinese, of code, of figures
        if tokens_in(text) <= budget or len(text) <= MIN_LENGTH:
            break
        limit = min(characters_for(budget, text), limit) * 19 // 20
        text, was_cut = _looked_at(name, value, limit, inspection)
    return text, was_cut


def _looked_at(name: str, value: object, limit: int, inspection: Inspection) -> tuple[str, bool]:
    """The value in ``limit`` characters, and whether something is left out."""
    inspection.room, inspection.fair, inspection.shortened = (
        limit - min(HEADLINE_LENGTH + len(cut(name)), limit // 2),
        True,
        False,
    )
    try:
        shown = next(shown for kind in DESCRIBERS if (shown := kind(value, inspection)) is not None)
    except FlowGptError:
        raise
    except Exception:  # noqa: BLE001 - an object may do anything, and a library change; a repr might have secrets
        shown = Description(
            "", own_repr(value, inspection) if headline(value) else f"<{type_name(value)} that cannot be read>"
        )
    beyond = 0
    if inspection.masked:
        searched = (
            2 * limit + SEARCH_MARGIN
        )  # what comes after that has no room, so it need not be searched for secrets
        beyond = max(0, len(shown.body) - searched)
        body = redact_environment(shown.body[:searched])
        shown = replace(shown, headline=redact_environment(shown.headline), body=body)
    return _fitted(cut(name), shown, limit, beyond)


def _fitted(name: str, shown: Description, limit: int, beyond: int) -> tuple[str, bool]:
    """The text of ``shown`` in ``limit`` characters; its body goes on for ``beyond`` characters."""
    head, foot, left_out = "", "", list(shown.cut)
    if shown.headline:
        head = f"{name}: {one_line(shown.headline)}" + ("\n" if shown.body else "")
    if shown.fence is not None and shown.body:
        longest = max(map(len, findall("`{3,}", shown.body)), default=2)
        fence = "`" * (longest + 1) if longest < HEADLINE_LENGTH else "~~~~"
        head, foot = f"{head}{fence}{shown.fence}\n", f"\n{fence}"
    room = limit - len(head) - len(foot)
    text = f"{head}{shown.body[: max(0, room)]}{foot}"
    left_out += omitted_of(min(max(0, room), len(shown.body)), len(shown.body) + beyond, "character")
    if room < 0:
        left_out, text = [*left_out, "the rest of this line"], text[:limit]
    return (f"{text}\n… {', '.join(left_out)} are not shown" if left_out else text), bool(left_out)


def _own_words(value: Any, inspection: Inspection) -> Description | None:
    """What an object says for this very purpose: a text, or one by its MIME type."""
    from inspect import iscoroutine, iscoroutinefunction
    from json import dumps

    for name in ("_repr_llm_", "_ai_repr_"):
        method = None if isinstance(value, type) else getattr(type(value), name, None)
        if not callable(method) or iscoroutinefunction(method):
            continue
        found = call_with_timeout(value, lambda name=name: getattr(value, name)(), name, inspection)  # type: ignore[misc]
        if iscoroutine(found):
            found.close()
        if isinstance(found, dict):
            texts = {str(kind): each for kind, each in found.items() if isinstance(each, str)}
            best = [texts[kind] for kind in ("text/markdown", "text/plain", *texts) if kind in texts]
            data = found.get("application/json")
            found = best[0] if best else dumps(data) if data is not None else None
        if isinstance(found, str) and not isinstance(found, CallFailure):
            return Description("", found)
    return None


def _text(value: object, inspection: Inspection) -> Description | None:
    if isinstance(value, str):
        return Description("", str.__str__(value))
    if isinstance(value, _CellSource):
        return lines_of(f"In[{value.number}]", value.source, "python", inspection.room)
    if isinstance(value, (bytes, bytearray)):
        first = bytes(value[: max(1, inspection.room // 4)])
        left_out = omitted_of(len(first), len(value), "byte")
        return Description(f"{type_name(value)}, {amount(len(value), 'byte')}", repr(first), "", left_out)
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
    """What ``specs`` ask for, each once, in at most ``budget`` tokens in all, and a line each that says what was cut.

    A spec is a reference such as ``frame`` or ``table["a"][0]``, ``cell:3`` or ``cell:-1``, ``out:3``, ``err``, or the
    path of a text file, from ``folder`` on. ``cells`` is IPython's ``In`` up to the cell before this one, so the first
    is no cell. A secret is sent only if ``forced`` or its spec ends in ``!``. ``with_images`` says that whoever is
    asked can look at figures and the files of images. Raises ``AttachmentError``, and ``PromptError`` for an image that
    cannot be sent.
    """
    sources = _Namespace(names, cells, outputs, error, folder or Path())
    wanted = list(dict.fromkeys(spec.strip() for spec in specs if spec.strip()))
    found: list[Attachment] = []
    for number, spec in enumerate(wanted):
        name = spec.removesuffix("!").rstrip()
        meant = forced or name != spec
        value = sources.find(name, meant)
        image = _image(value) if with_images else ""
        if image and isinstance(value, Path):
            found.append(Attachment(name, f"{name}: an image", cut=False, image=image))
            continue
        text, was_cut = _described(name, value, budget // (len(wanted) - number), meant)
        budget = max(0, budget - tokens_in(text))
        found.append(Attachment(name, text, was_cut, image))
    return found


def _image(value: object) -> str:
    """The URL of an image; empty for what is none."""
    is_file = isinstance(value, Path) and value.suffix.lower() in IMAGE_SUFFIXES and value.is_file()
    return image_url(value) if is_file or is_image(value) else ""


@dataclass(frozen=True)
class _Namespace:
    """Where attachments come from."""

    names: Mapping[str, object]
    cells: Sequence[str]
    outputs: Mapping[int, object]
    error: BaseException | None
    folder: Path

    def find(self, name: str, meant: bool) -> object:
        """The value that ``name`` means. Raises ``AttachmentError``, also for a secret that is not ``meant``."""
        kind, colon, number = name.partition(":")
        if colon and kind in ("cell", "out"):
            return self._numbered(name, kind, number)
        if name == "err" and not (self.error is None and name in self.names):
            if self.error is None:
                raise AttachmentError("err: there was no error yet")
            return self.error
        try:
            value = look_up(name, self.names)
        except LookupError:
            path = self._path(name)
            if path is not None:
                if not meant and is_secret_file(path):
                    raise secret_refusal(name) from None
                return path
            known = closest(name, self._known(name))
            raise AttachmentError(f"{name}: there is no variable and no file of this name{known}") from None
        if not meant and names_secret(name) and not isinstance(value, (FunctionType, ModuleType, type)):
            raise secret_refusal(name)
        return value

    def _numbered(self, name: str, kind: str, number: str) -> object:
        cells = {place: _CellSource(place, source) for place, source in enumerate(self.cells) if place}
        there: Mapping[int, object] = cells if kind == "cell" else self.outputs
        order = sorted(there)
        try:
            wanted = int(number)
            return there[order[wanted] if wanted < 0 else wanted]
        except ValueError:
            raise AttachmentError(f"{name}: {kind} is followed by a number, as in {kind}:3 or {kind}:-1") from None
        except LookupError:
            last = f"the last one is {kind}:{order[-1]}" if order else "there is none yet"
            raise AttachmentError(f"{name}: there is no such {kind}; {last}") from None

    def _path(self, name: str) -> Path | None:
        try:
            path = self.folder / Path(name).expanduser()
            return path if path.exists() else None
        except (OSError, ValueError, RuntimeError):  # letters that no file name has; no home folder
            return None

    def _known(self, name: str) -> list[str]:
        """Everything that could have been meant: variables, attributes of the one that is named, files."""
        known = [each for each in self.names if not each.startswith("_")]
        base = name.rpartition(".")[0]
        with suppress(Exception):  # what a user's object does when asked must not hide that a name is wrong
            known += [f"{base}.{each}" for each in dir(look_up(base, self.names)) if not each.startswith("_")]
        folder = os.path.dirname(name)
        with suppress(OSError, ValueError, RuntimeError), os.scandir(self.folder / Path(folder).expanduser()) as files:
            known += [os.path.join(folder, each.name) for each in islice(files, MAX_FILES)]
        return known

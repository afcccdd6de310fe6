"""Prompt templates: Markdown files with ``{name}`` slots, and lines at the top for model, temperature and format.

A user's templates are in ``templates`` beside the settings file, those of a project in the nearest
``.flowgpt/templates`` from the working directory upwards. A user's template hides a project's one of the same name,
because a cloned project is not trusted; neither can set an address, a key or tools.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from flowgpt_magic.errors import FileError, FlowGptError, OptionError, SettingError, closest
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.references import look_up, names_secret, references, resolve, steps
from flowgpt_magic.regular_files import read_file
from flowgpt_magic.settings import check, settings_file

MAX_SIZE = 2**18  # bytes of a template
MAX_TEMPLATES = 500  # of a folder that are listed
SUFFIX = ".md"
PROJECT_FOLDER = Path(".flowgpt", "templates")
ENTRIES = ("description", "model", "temperature", "format")
BODY = "body"  # the slot for the text below the line
MARK = "---"  # around the lines at the top
_NAME = re.compile(r"\w[\w.-]{0,99}")
_ENTRY = re.compile(r"([\w-]+)\s*:(?:\s+(.*))?")
_VALUE = re.compile(r"([^\W\d]\w*)=")


class TemplateError(FlowGptError):
    """A template does not exist, cannot be read, or lacks a value for one of its slots."""


@dataclass(frozen=True)
class Template:
    """A prompt template.

    Attributes:
        name: the name of its file without ``.md``.
        text: the prompt, with slots.
        path: its file.
        is_project: whether it belongs to a project instead of the user.
        description: what it is for, in a few words; may be empty.
        options: the settings that it chooses, by name.
    """

    name: str
    text: str
    path: Path
    is_project: bool = False
    description: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slots(self) -> list[str]:
        """The names that its text refers to, each once, without attributes and indexes."""
        return [reference for reference in references(self.text) if reference.isidentifier()]


@dataclass(frozen=True)
class TemplateCall:
    """What was typed after ``template``: the name, the values of slots, the options, and the text."""

    name: str
    values: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    body: str = ""


def folders() -> list[tuple[Path, bool]]:
    """The folders of templates that may exist, the user's first, and whether each is a project's."""
    own = settings_file().parent / "templates"
    try:
        here = Path.cwd()
    except OSError:  # the working directory was removed
        return [(own, False)]
    projects = (folder / PROJECT_FOLDER for folder in (here, *here.parents))
    return [(own, False), *((folder, True) for folder in islice(filter(Path.is_dir, projects), 1))]


def find_files() -> dict[str, tuple[Path, bool]]:
    """The file of each template by name, and whether it is a project's."""
    files: dict[str, tuple[Path, bool]] = {}
    for folder, is_project in folders():
        for name in _names_in(folder):
            files.setdefault(name, (folder / f"{name}{SUFFIX}", is_project))
    return dict(sorted(files.items()))


def _names_in(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, MAX_TEMPLATES):
                name = entry.name.removesuffix(SUFFIX)
                if name != entry.name and _NAME.fullmatch(name):
                    yield name
    except OSError:
        return


def find(name: str) -> Template:
    """The template of this name. Raises ``TemplateError``."""
    name, files = name.removesuffix(SUFFIX), find_files()
    if name not in files:
        new = f"; to make it, write {folders()[0][0] / name}{SUFFIX}" if _NAME.fullmatch(name) else ""
        hint = closest(name, files) if closest(name, files) != "." else new
        raise TemplateError(f"there is no template {name}{hint}")
    return read(*files[name])


def read(path: Path, is_project: bool) -> Template:
    """The template in the file ``path``. Raises ``TemplateError``, which names the line of a mistake."""
    name = path.name.removesuffix(SUFFIX)
    if is_project and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(path.parent)):
        raise TemplateError(f"{path} is a link that leads out of its folder: a project cannot send other files")
    try:
        text = read_file(path, MAX_SIZE).decode("utf-8-sig").replace("\r\n", "\n")
    except FileError as error:
        raise TemplateError(error.clause) from None
    except UnicodeDecodeError:
        raise TemplateError(f"{path} is not text in UTF-8") from None
    entries, text = _split(path, text)
    if not text.strip():
        raise TemplateError(f"{path} has no prompt")
    description = entries.pop("description", "")
    return Template(name, text.strip("\n"), path, is_project, description, entries)


def _split(path: Path, text: str) -> tuple[dict[str, Any], str]:
    """The entries at the top and the prompt below them."""
    first, *lines = text.split("\n")
    if first.rstrip() != MARK:
        return {}, text
    end = next((number for number, line in enumerate(lines) if line.rstrip() == MARK), None)
    if end is None:
        raise TemplateError(f"{path}, line 1: the lines at the top that {MARK} begins need another {MARK} after them")
    entries: dict[str, Any] = {}
    for number, line in enumerate(lines[:end], 2):
        if line.strip() and not line.lstrip().startswith("#"):
            key, value = _entry(f"{path}, line {number}", line)
            if key in entries:
                raise TemplateError(f"{path}, line {number}: {key} is set twice")
            entries[key] = value
    return entries, "\n".join(lines[end + 1 :])


def _entry(place: str, line: str) -> tuple[str, Any]:
    entry = _ENTRY.fullmatch(line.strip())
    if not entry:
        raise TemplateError(f"{place}: this is no entry; write NAME: VALUE, as in temperature: 0.2")
    key, value = entry[1], magic_line.unquoted((entry[2] or "").strip())
    if key not in ENTRIES:
        advice = "; a template can set description, model, temperature and format"
        raise TemplateError(f"{place}: a template cannot set {key}{closest(key, ENTRIES).rstrip('.')}{advice}")
    if not value:
        raise TemplateError(f"{place}: {key} needs a value")
    try:
        return key, value if key == "description" else check(key, value, place)
    except SettingError as error:
        raise TemplateError(error.clause) from None


def read_call(text: str) -> TemplateCall:
    """Parse what was typed after ``template``: ``NAME SLOT=VALUE … [options] [TEXT]``, and the lines below it.

    Raises ``OptionError`` for an unknown option and for what is given twice.
    """
    line, _newline, below = text.partition("\n")
    name, end = magic_line.first_word(line.lstrip())
    rest = line.lstrip()[end:].lstrip()
    values: dict[str, str] = {}
    options: dict[str, Any] = {}
    while rest:
        if slot := _VALUE.match(rest):
            word, end = magic_line.first_word(rest)
            if slot[1] in values:
                raise OptionError(f"{slot[1]}= is given twice")
            values[slot[1]], rest = word[slot.end() :], rest[end:].lstrip()
            continue
        parsed = magic_line.read_line(rest, lambda _word: False)
        if twice := sorted(options.keys() & parsed.options.keys()):
            raise OptionError(f"--{twice[0]} is given twice")
        options |= parsed.options
        is_read = parsed.verbatim or parsed.prompt == rest
        rest = parsed.prompt
        if is_read:
            break
    return TemplateCall(name, values, options, "\n".join(filter(None, [rest, below.strip("\n")])))


def fill(template: Template, call: TemplateCall, names: Mapping[str, object]) -> str:
    """The prompt with the values and the text of ``call`` in its slots; without a slot for it, the text comes last.

    The slots of the variables ``names`` stay, and are filled as in any prompt. Raises ``TemplateError`` for a slot
    without a value, and for a value without a slot.
    """
    slots = template.slots
    for slot in call.values:
        if slot not in slots:
            hint = closest(slot, slots).rstrip(".")
            text = f"-- before {slot}= makes it a part of the text"
            raise TemplateError(f"the template {template.name} has no slot {slot}{hint}; {text}")
    values = {**call.values, **({BODY: call.body} if call.body else {})}
    if not call.options.get("raw") and (missing := _missing(template, values, names)):
        raise TemplateError(f"the template {template.name} needs {_needs(missing)}")
    text = resolve(template.text, values, lambda _slot, value: str(value)).text
    return "\n\n".join([text, *([call.body] if call.body and BODY not in slots else [])])


def _missing(template: Template, values: Mapping[str, str], names: Mapping[str, object]) -> list[str]:
    """The slots that nothing fills; one with the name of a secret stays as typed, as in any prompt."""
    missing = []
    for reference in references(template.text):
        if reference in values or names_secret(reference):
            continue
        try:
            look_up("" if reference == BODY else reference, names)
        except LookupError:
            missing.append(reference)
    return missing


def _needs(missing: list[str]) -> str:
    """What a template needs and how to give it: ``missing`` are slots."""
    parts = []
    if names := [slot for slot in missing if slot != BODY]:
        first = str(steps(names[0])[0].value)
        value = f"write {first}=… after its name, or " if first in names else ""
        parts.append(f"{' and '.join(names)}: {value}set a variable {first}")
    if BODY in missing:
        parts.append("a text: write it below the line, or after the name")
    return "; and ".join(parts)

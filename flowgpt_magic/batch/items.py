"""What a batch asks: the items of a list, a table, a generator, each made a prompt, by a template where there is one.

A template is no program. ``{}`` stands for the item and ``{name}`` for one of its names: the column of a row, the key
of a mapping, the field of a named tuple or a dataclass. Braces that are meant are written twice. What is inserted is
never looked at again.

A name that looks like the name of a key, a token or a password is treated as in a prompt: ``{api_key}`` stays as typed.
``{api_key!}`` inserts the value.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from flowgpt_magic.errors import FlowGptError, PromptError, closest
from flowgpt_magic.messages import Message, notice
from flowgpt_magic.redaction import MASK, is_secret_name
from flowgpt_magic.replies.request import read_prompt
from flowgpt_magic.text import counted, cut

BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
DOUBLED = {"{{": "{", "}}": "}"}
MEANT = "!"  # behind the name of a secret that is to be sent
NOTHING = "there are no prompts: the batch is empty"
HAND = (list, tuple, dict, set, frozenset, range)  # kinds that hold their items and may be walked along twice


@dataclass(frozen=True)
class Item:
    """One thing to ask: its place, counted from 0, what the user calls it, and what it has become.

    ``label`` is the key or the index of a table, or else the place. ``prompt`` is the text to ask, after the messages
    ``earlier`` if there are any, and ``error`` why there is none.
    """

    index: int
    label: Any
    value: Any
    prompt: str = ""
    earlier: Sequence[Message] | None = None
    error: FlowGptError | None = None


class Template:
    """The text ``text`` with its fields; ``values`` are names that are the same for all items.

    Raises ``PromptError`` for a brace that belongs to no field, and where there is no field.
    """

    def __init__(self, text: str, values: Mapping[str, Any] | None = None) -> None:
        if not isinstance(text, str):
            raise PromptError(f"a template is text, not {type(text).__name__}")
        self._values = values or {}
        self._held_back: set[str] = set()  # names of secrets, which stay as typed
        self._meant: set[str] = set()  # names of secrets, with the mark that they are meant
        self._parts: list[tuple[str, str | None]] = []  # literal text, and the field behind it
        literal, place = "", 0
        for found in BRACES.finditer(text):
            literal += text[place : found.start()]
            place = found.end()
            if found[0] in DOUBLED:
                literal += DOUBLED[found[0]]
            elif found[1] is None:
                raise PromptError(f"the template has a lone {found[0]}: write {found[0] * 2} for a brace that is meant")
            else:
                self._parts.append((literal, found[1].strip()))
                self._look_for_secret(found[1].strip())
                literal = ""
        self._end = literal + text[place:]
        if not self._parts:
            raise PromptError("the template has no field, so all prompts would be the same: {} stands for the item")
        for name in sorted(self._held_back):
            notice(
                f"{{{name}}} in the template looks like a secret, so it stays as typed; to send it: {{{name}{MEANT}}}"
            )

    def _look_for_secret(self, field: str) -> None:
        plain = field.removesuffix(MEANT)
        if field not in self._values and is_secret_name(plain):
            (self._held_back if plain == field else self._meant).add(field)

    def fill(self, item: Any) -> str:
        """The prompt for ``item``. Raises ``PromptError`` for a name or a value that it does not have."""
        return "".join([literal + self._text(item, name) for literal, name in self._parts]) + self._end

    def check_names(self, names: Collection[str]) -> None:
        """Raise ``PromptError`` for a field that is none of ``names``, which are those of every item."""
        known = [*names, *self._values]
        for _literal, field in self._parts:
            if field and (name := self._name(field)) not in known:
                raise _unknown(name, known)

    def _name(self, field: str) -> str:
        return field.removesuffix(MEANT) if field in self._meant else field

    def _text(self, item: Any, field: str | None) -> str:
        name = self._name(field) if field else ""
        value = self._find(item, name) if name else _masked(item)
        if field in self._held_back:
            return f"{{{field}}}"
        if isinstance(value, str):
            return value
        if is_missing(value):
            raise PromptError(f"it has no value for {{{name}}}: it is {value!r}" if name else _missing(value))
        try:
            return str(value)
        except Exception as error:  # foreign code: whatever it raises, it is this item's
            raise PromptError(f"the value for {{{name}}} cannot be made text: {type(error).__name__}") from error

    def _find(self, item: Any, name: str) -> Any:
        names = names_of(item)
        if name in names:
            refuse_doubles(names, "the item")
            return item[name] if _has_keys(item) else getattr(item, name)
        if name in self._values:
            return self._values[name]
        raise _unknown(name, [*map(str, names), *self._values])


def _masked(item: Any) -> Any:
    """``item``; one that has names of secrets becomes a mapping in which their values are masked."""
    names = names_of(item)
    if not any(is_secret_name(str(name)) for name in names):
        return item
    return {
        name: MASK if is_secret_name(str(name)) else item[name] if _has_keys(item) else getattr(item, name)
        for name in names
    }


def refuse_doubles(names: Iterable[Any], owner: str) -> None:
    """Raise ``PromptError`` where two of ``names`` are written in the same way: a field could mean either."""
    if isinstance(names, Mapping):
        return
    counts = Counter(map(str, names))
    if doubled := [name for name, count in counts.items() if count > 1]:
        listed = cut(", ".join(doubled), 200)
        raise PromptError(f"{owner} has several columns of one name: {listed}. Rename them, so that each has its own")


def _missing(value: Any) -> str:
    return f"it is missing ({value!r}); leave it out, with dropna() for instance"


def _unknown(name: str, known: list[str]) -> PromptError:
    if not known:
        return PromptError(f"the template asks for {{{name}}}, and the items have no names: {{}} stands for the item")
    braces = " A brace that is meant is written twice." if not name.isidentifier() else ""
    names = cut(", ".join(known), 200)
    return PromptError(f"the template asks for {{{name}}}{closest(name, known)} There are: {names}.{braces}")


def _has_keys(item: Any) -> bool:
    return isinstance(item, Mapping) or (hasattr(item, "keys") and hasattr(item, "__getitem__"))


def names_of(item: Any) -> Collection[Any]:
    """The names that a template can use of ``item``: keys or fields, no other attributes."""
    if isinstance(item, Mapping):
        return item
    if isinstance(item, tuple):
        return getattr(item, "_fields", ())
    if isinstance(item, type):
        return ()
    if is_dataclass(item):
        return [each.name for each in fields(item)]
    if _has_keys(item):  # a row of sqlite3, a Series of pandas
        return list(item.keys())
    return getattr(type(item), "model_fields", ())  # of pydantic


def is_messages(value: Any) -> bool:
    """Is this a list of messages?"""
    return isinstance(value, Sequence) and bool(value) and all(isinstance(each, Mapping) for each in value)


def is_missing(value: Any) -> bool:
    """Is this what tables hold where nothing is known: None, NaN, NaT, NA?"""
    if value is None:
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except Exception:  # noqa: BLE001 # NA says neither yes nor no, arrays say it many times: foreign code
        return type(value).__name__ == "NAType"


class Items:
    """The items of ``given``, in order.

    ``at_hand`` are those of a list, a table or the like: they are looked at now, and are walked along as often as
    wanted. Raises ``PromptError`` for what cannot be walked along, has nothing in it, or holds, at hand, something that
    is no prompt.
    """

    def __init__(
        self,
        given: Any,
        template: str | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        images: bool = True,
    ) -> None:
        """``images`` says whether whoever is asked takes any; an item with some is refused otherwise."""
        self.given = given
        self._images = images
        self._template = None if template is None else Template(template, values)
        if values and self._template is None:
            raise PromptError("values are for the fields of a template: give template= too")
        if isinstance(given, (str, bytes)):
            raise PromptError("a batch takes several prompts: put a single one into a list")
        if not isinstance(given, (Iterable, AsyncIterable)):
            raise PromptError(f"{type(given).__name__} holds no prompts: give a list, a column, a generator")
        self.at_hand = isinstance(given, HAND) or _library(given) != ""
        self.total: int | None = None
        with suppress(TypeError):
            self.total = len(given)  # type: ignore[arg-type] # whatever has none says so
        if self.total == 0:
            raise PromptError(NOTHING)
        self._check()

    @property
    def walks(self) -> bool:
        """Can it be walked along without a loop?"""
        return isinstance(self.given, Iterable)

    @property
    def flows(self) -> bool:
        """Does it come with an ``async for``?"""
        return isinstance(self.given, AsyncIterable)

    def _check(self) -> None:
        """Everything that can be known before something is sent is said now, once."""
        if is_frame(self.given):
            if self._template is None:
                raise PromptError("a row of a table is no text: give a template, such as template='{column}'")
            refuse_doubles(self.given.columns, "the table")
            self._template.check_names(list(map(str, self.given.columns)))
        if self.at_hand:
            wrong = [(item.label, item.error) for item in self if item.error is not None]
            if wrong:
                label, error = wrong[0]
                others = f", and {counted(len(wrong) - 1, 'other')} cannot be asked either" if wrong[1:] else ""
                raise PromptError(f"prompt {label!r}: {error.clause}{others}")

    def __iter__(self) -> Iterator[Item]:
        for index, (label, value) in enumerate(_labelled(self.given)):
            yield self._item(index, label, value)

    async def flow(self) -> AsyncGenerator[Item, None]:
        """The same, of what has to be waited for; it is closed when this is."""
        index, values = 0, aiter(self.given)
        try:
            async for value in values:
                yield self._item(index, index, value)
                index += 1
        finally:
            if hasattr(values, "aclose"):
                await values.aclose()

    def _item(self, index: int, label: Any, value: Any) -> Item:
        try:
            earlier, prompt = self._prompt(value)
        except FlowGptError as error:
            return Item(index, label, value, error=error)
        return Item(index, label, value, prompt, earlier)

    def _prompt(self, value: Any) -> tuple[list[Message] | None, str]:
        """The messages that are sent in place of the conversation's turns, None without any, and the prompt."""
        if self._template is not None:
            value = self._template.fill(value)
        if isinstance(value, str):
            if not value.strip():
                raise PromptError("it is empty")
            return None, str.__str__(value)  # a plain one, also of a subclass
        if is_messages(value):
            earlier, prompt = read_prompt(value)
            if not self._images and any(_has_images(each) for each in (prompt, *(earlier or ()))):
                raise PromptError("it holds an image, and whoever is asked takes none")
            return earlier, prompt
        if is_missing(value):
            raise PromptError(_missing(value))
        raise PromptError(f"it is no text but {type(value).__name__}; with template='{{}}' it becomes one")


def _has_images(said: str | Message) -> bool:
    return bool(getattr(said, "images", ()) if isinstance(said, str) else said.get("images"))


def is_frame(given: Any) -> bool:
    """Is this a table of pandas or polars?"""
    return bool(_library(given)) and hasattr(given, "columns")


def _library(given: Any) -> str:
    """The library of a table, a column or an array that is in memory; "" for anything else."""
    for name, kinds in (("pandas", ("DataFrame", "Series", "Index")), ("polars", ("DataFrame", "Series"))):
        library = sys.modules.get(name)
        if library is not None and isinstance(given, tuple(getattr(library, kind) for kind in kinds)):
            return name
    numpy = sys.modules.get("numpy")
    return "numpy" if numpy is not None and isinstance(given, numpy.ndarray) else ""


def _labelled(given: Any) -> Iterable[tuple[Any, Any]]:
    """The items of ``given``, each with what its owner calls it."""
    library = _library(given)
    if is_frame(given):
        names = list(map(str, given.columns))
        rows = given.itertuples(index=False, name=None) if library == "pandas" else given.iter_rows()
        labels = given.index if library == "pandas" else range(len(given))
        return zip(labels, (dict(zip(names, row, strict=True)) for row in rows), strict=True)
    if library == "pandas" and hasattr(given, "index"):
        return zip(given.index, given, strict=True)
    return given.items() if isinstance(given, Mapping) else enumerate(given)

"""The items of a batch: the entries of a list, a table or a generator, each made a prompt, optionally by a template.

A template is not a program. ``{}`` is the item and ``{name}`` one of its names: the column of a row, the key of a
mapping, the field of a named tuple or a dataclass. Literal braces are doubled. Inserted values are not expanded again.

As in a prompt, the name of a secret stays as typed: ``{api_key}``. ``{api_key!}`` inserts the value.
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
SECRET_MARK = "!"  # noqa: S105 # after the name of a secret: insert its value
EMPTY_BATCH = "there are no prompts: the batch is empty"
IN_MEMORY = (list, tuple, dict, set, frozenset, range)  # types that hold their items and can be iterated over twice


@dataclass(frozen=True)
class Item:
    """One item of a batch with its prompt.

    ``index`` counts from 0; ``label`` is the item's key, or its index in a table, or else ``index``. ``prompt`` is the
    text to send, after the messages ``earlier`` if there are any; ``error`` says why there is none.
    """

    index: int
    label: Any
    value: Any
    prompt: str = ""
    earlier: Sequence[Message] | None = None
    error: FlowGptError | None = None


class Template:
    """A template text with fields; ``values`` are the same for all items.

    Raises ``PromptError`` for a single brace, and for a template without fields.
    """

    def __init__(self, text: str, values: Mapping[str, Any] | None = None) -> None:
        if not isinstance(text, str):
            raise PromptError(f"a template is text, not {type(text).__name__}")
        self._values = values or {}
        self._held_back: set[str] = set()  # names of secrets that stay as typed
        self._meant: set[str] = set()  # names of secrets with the mark to insert them
        self._parts: list[tuple[str, str | None]] = []  # literal text, and the field after it
        literal, place = "", 0
        for brace in BRACES.finditer(text):
            literal += text[place : brace.start()]
            place = brace.end()
            if brace[0] in DOUBLED:
                literal += DOUBLED[brace[0]]
            elif brace[1] is None:
                raise PromptError(f"the template has a single {brace[0]}: write {brace[0] * 2} for a literal brace")
            else:
                self._parts.append((literal, brace[1].strip()))
                self._look_for_secret(brace[1].strip())
                literal = ""
        self._end = literal + text[place:]
        if not self._parts:
            raise PromptError("the template has no field, so all prompts would be equal: write {} for the item")
        for name in sorted(self._held_back):
            notice(
                f"{{{name}}} in the template looks like a secret, so it stays as typed; "
                f"to send it: {{{name}{SECRET_MARK}}}"
            )

    def _look_for_secret(self, field: str) -> None:
        plain = field.removesuffix(SECRET_MARK)
        if field not in self._values and is_secret_name(plain):
            (self._held_back if plain == field else self._meant).add(field)

    def fill(self, item: Any) -> str:
        """The prompt for ``item``. Raises ``PromptError`` for a missing name or value."""
        return "".join([literal + self._text(item, name) for literal, name in self._parts]) + self._end

    def check_names(self, names: Collection[str]) -> None:
        """Raise ``PromptError`` for a field that is not in ``names``, the names of all items."""
        known = [*names, *self._values]
        for _literal, field in self._parts:
            if field and (name := self._name(field)) not in known:
                raise _unknown(name, known)

    def _name(self, field: str) -> str:
        return field.removesuffix(SECRET_MARK) if field in self._meant else field

    def _text(self, item: Any, field: str | None) -> str:
        name = self._name(field) if field else ""
        value = self._find(item, name) if name else _masked(item)
        if field in self._held_back:
            return f"{{{field}}}"
        if isinstance(value, str):
            return value
        if is_missing(value):
            raise PromptError(f"the value for {{{name}}} is missing ({value!r})" if name else _missing(value))
        try:
            return str(value)
        except Exception as error:  # foreign code: whatever it raises, only this item fails
            raise PromptError(f"the value for {{{name}}} cannot become text: {type(error).__name__}") from error

    def _find(self, item: Any, name: str) -> Any:
        names = field_names(item)
        if name in names:
            refuse_duplicate_names(names, "the item")
            return item[name] if _has_keys(item) else getattr(item, name)
        if name in self._values:
            return self._values[name]
        raise _unknown(name, [*map(str, names), *self._values])


def _masked(item: Any) -> Any:
    """``item``, or a mapping with masked values if it has names of secrets."""
    names = field_names(item)
    if not any(is_secret_name(str(name)) for name in names):
        return item
    return {
        name: MASK if is_secret_name(str(name)) else item[name] if _has_keys(item) else getattr(item, name)
        for name in names
    }


def refuse_duplicate_names(names: Iterable[Any], owner: str) -> None:
    """Raise ``PromptError`` for duplicate names: a field would be ambiguous."""
    if isinstance(names, Mapping):
        return
    counts = Counter(map(str, names))
    if doubled := [name for name, count in counts.items() if count > 1]:
        listed = cut(", ".join(doubled), 200)
        raise PromptError(f"{owner} has duplicate column names: {listed}. Rename them")


def _missing(value: Any) -> str:
    return f"it is missing ({value!r}); remove it, for instance with dropna()"


def _unknown(name: str, known: list[str]) -> PromptError:
    computed = " Nothing is called or computed in a template." if "(" in name else ""
    if not known:
        return PromptError(
            f"the template uses {{{name}}}, but the items have no names: write {{}} for the item.{computed}"
        )
    braces = f"{computed} A literal brace is doubled." if not name.isidentifier() else ""
    names = cut(", ".join(known), 200)
    return PromptError(f"the template uses {{{name}}}{closest(name, known)} Available: {names}.{braces}")


def _has_keys(item: Any) -> bool:
    return isinstance(item, Mapping) or (hasattr(item, "keys") and hasattr(item, "__getitem__"))


def field_names(item: Any) -> Collection[Any]:
    """The names of ``item`` that a template can use: keys or fields, no other attributes."""
    if isinstance(item, Mapping):
        return item
    if isinstance(item, tuple):
        return getattr(item, "_fields", ())
    if isinstance(item, type):
        return ()
    if is_dataclass(item):
        return [field.name for field in fields(item)]
    if _has_keys(item):  # a row of sqlite3, a Series of pandas
        return list(item.keys())
    return getattr(type(item), "model_fields", ())  # of pydantic


def is_messages(value: Any) -> bool:
    """Is this a list of messages?"""
    return isinstance(value, Sequence) and bool(value) and all(isinstance(message, Mapping) for message in value)


def is_missing(value: Any) -> bool:
    """Is this a missing value: None, NaN, NaT or NA?"""
    if value is None:
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except Exception:  # noqa: BLE001 # foreign code: NA has no truth value, and arrays have many
        return type(value).__name__ == "NAType"


class Items:
    """The items of ``given``, in order.

    Items ``at_hand``, as in a list or a table, are checked now and can be iterated over repeatedly. Raises
    ``PromptError`` for a value that is not iterable or is empty, and for items at hand that are no prompts.
    """

    def __init__(
        self,
        given: Any,
        template: str | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        images: bool = True,
    ) -> None:
        """Without ``images``, the model takes none, and items with images are refused."""
        self.given = given
        self._images = images
        self._template = None if template is None else Template(template, values)
        if values and self._template is None:
            raise PromptError("values= needs a template= whose fields it fills")
        if isinstance(given, (str, bytes)):
            raise PromptError("a batch needs several prompts: put a single one into a list")
        if not isinstance(given, (Iterable, AsyncIterable)):
            raise PromptError(f"{type(given).__name__} is not iterable: pass a list, a column or a generator")
        self.at_hand = isinstance(given, IN_MEMORY) or _library(given) != ""
        self.total: int | None = None
        with suppress(TypeError):
            self.total = len(given)  # type: ignore[arg-type] # without a length, it raises
        if self.total == 0:
            raise PromptError(EMPTY_BATCH)
        self._check()

    @property
    def walks(self) -> bool:
        """Can it be iterated over synchronously?"""
        return isinstance(self.given, Iterable)

    @property
    def flows(self) -> bool:
        """Is it an async iterable?"""
        return isinstance(self.given, AsyncIterable)

    def _check(self) -> None:
        """Report every error that is known before the first request."""
        if is_frame(self.given):
            if self._template is None:
                raise PromptError("a row of a table is not a text: pass a template, such as template='{column}'")
            refuse_duplicate_names(self.given.columns, "the table")
            self._template.check_names(list(map(str, self.given.columns)))
        if self.at_hand:
            wrong = [(item.label, item.error) for item in self if item.error is not None]
            if wrong:
                label, error = wrong[0]
                others = f", and {counted(len(wrong) - 1, 'other')} cannot be sent either" if wrong[1:] else ""
                raise PromptError(f"prompt {label!r}: {error.clause}{others}")

    def __iter__(self) -> Iterator[Item]:
        for index, (label, value) in enumerate(_labelled(self.given)):
            yield self._item(index, label, value)

    async def flow(self) -> AsyncGenerator[Item, None]:
        """The items of an async iterable, which is closed at the end."""
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
        """The messages that replace the conversation's turns, or None, and the prompt."""
        if self._template is not None:
            value = self._template.fill(value)
        if isinstance(value, str):
            if not value.strip():
                raise PromptError("it is empty")
            return None, str.__str__(value)  # a plain str, also from a subclass
        if is_messages(value):
            earlier, prompt = read_prompt(value)
            if not self._images and any(_has_images(message) for message in (prompt, *(earlier or ()))):
                raise PromptError("it has an image, but the model takes none")
            return earlier, prompt
        if is_missing(value):
            raise PromptError(_missing(value))
        raise PromptError(f"it is {type(value).__name__}, not text; template='{{}}' converts it")


def _has_images(said: str | Message) -> bool:
    return bool(getattr(said, "images", ()) if isinstance(said, str) else said.get("images"))


def is_frame(given: Any) -> bool:
    """Is this a table of pandas or polars?"""
    return bool(_library(given)) and hasattr(given, "columns")


def _library(given: Any) -> str:
    """The library of a table, a column or an array in memory; "" for other values."""
    for name, kinds in (("pandas", ("DataFrame", "Series", "Index")), ("polars", ("DataFrame", "Series"))):
        library = sys.modules.get(name)
        if library is not None and isinstance(given, tuple(getattr(library, kind) for kind in kinds)):
            return name
    numpy = sys.modules.get("numpy")
    return "numpy" if numpy is not None and isinstance(given, numpy.ndarray) else ""


def _labelled(given: Any) -> Iterable[tuple[Any, Any]]:
    """The items of ``given``, each with its label."""
    library = _library(given)
    if is_frame(given):
        names = list(map(str, given.columns))
        rows = given.itertuples(index=False, name=None) if library == "pandas" else given.iter_rows()
        labels = given.index if library == "pandas" else range(len(given))
        return zip(labels, (dict(zip(names, row, strict=True)) for row in rows), strict=True)
    if library == "pandas" and hasattr(given, "index"):
        return zip(given.index, given, strict=True)
    return given.items() if isinstance(given, Mapping) else enumerate(given)

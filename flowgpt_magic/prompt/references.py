"""References in a prompt, such as ``{name}`` or ``{frame.columns[0]}``, become text; all else stays as it was typed.

A prompt is no program: nothing is called, and what is inserted is never looked at again. A prompt may hold JSON, code
or formulas, so braces that belong to one of those are no reference even where a variable has that name:

* doubled braces, and what is between them in one paragraph;
* what stands right after ``$``, ``#``, ``%``, ``^``, ``_`` or a backslash command: ``${x}``, ``x^{n}``, ``\\text{x}``;
* what stands right after a brace that ends no reference: the second group of ``\\frac{a}{b}``;
* string literals with an f in front.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flowgpt_magic.redaction import is_secret_name

# A name: letters, digits and all that is not ASCII, of which it is asked later whether it may stand there, for ``\w``
# leaves out the vowel signs of Hindi. Said by what it is not: ``re`` takes 40 ms longer to compile the range as it is.
_NAME = r"[^\x00-@\[-^`{-\x7f][^\x00-/:-@\[-^`{-\x7f]*"
_INDEX = r"""\[(?:-?(?:0|[1-9][0-9]{0,17})|"[^"\\\n{}]*"|'[^'\\\n{}]*')\]"""
_FORM = rf"{_NAME}(?:\.{_NAME}|{_INDEX})*"
_REFERENCE = re.compile(_FORM)
_STEP = re.compile(rf"(?:\A|\.)({_NAME})|({_INDEX})")

# What a prompt is searched for. Nothing here reaches past the next brace, so searching costs the same for every text.
# All of it begins with one set of characters, which ``re`` looks for faster than for one after another.
_TOKEN = re.compile(
    r"""[\\{"'](?:"""
    r"(?<=\\)(?:[A-Za-z]+\*?(?:\[[^\[\]{}\n]*\])*|[\s\S])?"  # a backslash command with its options, or an escaped sign
    rf"|(?<=\{{)(?:\{{|({_FORM})\}})"
    r"""|(?<=(?<![\w\\])[fFtT]["'])|(?<=(?<![\w\\])[fFtT][rR]["'])|(?<=(?<![\w\\])[rR][fFtT]["']))"""
)
_FOREIGN = frozenset("$#%^_{}")
_LITERAL = re.compile(
    r""""{3}(?:[^\\]|\\[\s\S])*?"{3}|'{3}(?:[^\\]|\\[\s\S])*?'{3}"""
    r"""|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'"""
)


@dataclass(frozen=True)
class Resolved:
    """A prompt with its references replaced; ``used`` are those, each once, as typed between the braces."""

    text: str
    used: tuple[str, ...]


def resolve(text: str, names: Mapping[str, object], render: Callable[[str, object], str]) -> Resolved:
    """``text`` with each reference to something in ``names`` replaced by ``render(reference, value)``.

    A reference whose name, attribute or index is not there, or cannot be read, stays as typed. One that stands there
    several times is read once. Raises only what ``render`` raises, and ``KeyboardInterrupt``.
    """
    pieces: list[str] = []
    place = 0
    found: dict[str, str | None] = {}
    for match in _references(text):
        reference = match[1]
        if reference not in found:
            found[reference] = _rendered(reference, names, render)
        inserted = found[reference]
        if inserted is not None:
            pieces += text[place : match.start()], inserted
            place = match.end()
    pieces.append(text[place:])
    return Resolved("".join(pieces), tuple(each for each, inserted in found.items() if inserted is not None))


def _rendered(reference: str, names: Mapping[str, object], render: Callable[[str, object], str]) -> str | None:
    try:
        value = look_up(reference, names)
    except LookupError:
        return None
    return render(reference, value)


@dataclass(frozen=True)
class Step:
    """One step to a value: the name it begins with, an attribute, or a literal index."""

    kind: Literal["name", "attribute", "index"]
    value: str | int


def steps(reference: str) -> tuple[Step, ...]:
    """How a ``reference`` without its braces leads to its value; nothing if it is no reference."""
    if not _REFERENCE.fullmatch(reference):
        return ()
    found: list[Step] = []
    for step in _STEP.finditer(reference):
        if step[2]:
            index = step[2][1:-1]
            found.append(Step("index", index[1:-1] if index[0] in "\"'" else int(index)))
            continue
        name = unicodedata.normalize("NFKC", step[1])  # as Python reads names
        hidden = name.startswith("_") if found else name.startswith("__") and name.endswith("__") and len(name) > 4
        if hidden or not name.isidentifier():
            return ()
        found.append(Step("attribute" if found else "name", name))
    return tuple(found)


def leading(text: str) -> str:
    """The reference that ``text`` begins with, which may hold spaces between quotes; "" where there is none."""
    found = _REFERENCE.match(text)
    return found[0] if found and steps(found[0]) else ""


def look_up(reference: str, names: Mapping[str, object]) -> object:
    """The value that a ``reference`` without its braces leads to, such as ``frame.columns[0]``.

    Raises ``LookupError`` if it is no reference, or if its name, an attribute or an index is not there or cannot be
    read.
    """
    value: object = names
    for step in steps(reference) or (Step("name", ""),):
        try:
            value = getattr(value, str(step.value)) if step.kind == "attribute" else _item(value, step.value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's property may raise anything, SystemExit too
            raise LookupError(reference) from error
    return value


def names_secret(reference: str) -> bool:
    """Does a ``reference`` lead over a name or a key that looks like a secret's?"""
    return any(is_secret_name(str(step.value)) for step in steps(reference))


def _item(value: Any, index: str | int) -> object:
    if isinstance(value, dict) and index not in value:  # a defaultdict would make it up, and keep it
        raise KeyError(index)
    return value[index]


def _references(text: str) -> Iterator[re.Match[str]]:
    """What has the form of a reference and belongs to no JSON, code or formula."""
    place, paragraph = 0, -1
    command = reference = -1  # where the last of each ended
    closable = True  # may a doubled brace still be closed in this paragraph?
    while token := _TOKEN.search(text, place):
        start, place = token.span()
        if token[1]:
            before = text[start - 1] if start else ""
            if start != command and (before not in _FOREIGN or start == reference):
                reference = place
                yield token
        elif text[start] == "\\":
            command = place
        elif text[start] != "{":
            literal = _LITERAL.match(text, start)
            place = literal.end() if literal else place
        else:
            if start >= paragraph:
                paragraph, closable = _end_of_paragraph(text, start), True
            end = text.find("}}", place, paragraph) if closable else -1
            closable = end >= 0
            place = end + 2 if closable else place


def _end_of_paragraph(text: str, start: int) -> int:
    end = text.find("\n\n", start)
    return len(text) if end < 0 else end

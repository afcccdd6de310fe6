"""Replace references in a prompt, such as ``{name}`` or ``{frame.columns[0]}``. All other text stays as typed.

A prompt is not a program: nothing is called here, and inserted text is not searched for references again. A prompt may
hold JSON, code or formulas. Braces that belong to those are no references, even if a variable has that name:

* doubled braces, and what is between them in one paragraph;
* braces directly after ``$``, ``#``, ``%``, ``^``, ``_`` or a backslash command: ``${x}``, ``x^{n}``, ``\\text{x}``;
* braces directly after a brace that ends no reference: the second group of ``\\frac{a}{b}``;
* braces in f-strings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from flowgpt_magic.redaction import is_secret_name

# A name: letters, digits and everything outside of ASCII, which is checked later: ``\w`` lacks the vowel signs of
# Hindi. The range is written as its complement: ``re`` takes 40 ms longer to compile it directly.
_BEGIN = r"[^\x00-@\[-^`{-\x7f]"
_NAME = rf"{_BEGIN}[^\x00-/:-@\[-^`{{-\x7f]*"
_INDEX = r"""\[(?:-?(?:0|[1-9][0-9]{0,17})|"[^"\\\n{}]*"|'[^'\\\n{}]*')\]"""
_FORM = rf"{_NAME}(?:\.{_NAME}|{_INDEX})*"
_CALL = r"""\((?:[^(){}\n"']|"[^"\\\n{}]*"|'[^'\\\n{}]*')*\)"""
_REFERENCE = re.compile(_FORM)
_STEP = re.compile(rf"(?:\A|\.)({_NAME})|({_INDEX})")

# No alternative reaches past the next brace, so the cost of a search is linear in the text. All begin with one set of
# characters, because ``re`` finds a set faster than several alternatives.
_TOKEN = re.compile(
    r"""[\\{"'](?:"""
    r"(?<=\\)(?:[A-Za-z]+\*?(?:\[[^\[\]{}\n]*\])*|[\s\S])?"  # a backslash command with options, an escaped character
    rf"|(?<=\{{)(?:\{{|({_NAME}(?:\.{_NAME}|{_INDEX}|({_CALL}))*)\}}|(?=( ?{_BEGIN}[^{{}}\n]{{0,200}})\}}))"
    r"""|(?<=(?<![\w\\])[fFtT]["'])|(?<=(?<![\w\\])[fFtT][rR]["'])|(?<=(?<![\w\\])[rR][fFtT]["']))"""
)
_FENCE = re.compile(r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*)", re.MULTILINE)
_FOREIGN = frozenset("$#%^_{}")
MOST_LEFT = 1_000  # braces
_LITERAL = re.compile(
    r""""{3}(?:[^\\]|\\[\s\S])*?"{3}|'{3}(?:[^\\]|\\[\s\S])*?'{3}"""
    r"""|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'"""
)


@dataclass(frozen=True)
class LeftBraces:
    """Braces that stay as typed, though they may be meant: what is between them, and where they begin and end."""

    inside: str
    start: int
    end: int


@dataclass(frozen=True)
class ResolvedPrompt:
    """A prompt with its references replaced.

    ``used`` has each of them once, as typed between the braces. ``left`` has the first ``MOST_LEFT`` different braces
    that were not replaced and belong to no formula, f-string or doubled braces.
    """

    text: str
    used: tuple[str, ...]
    left: tuple[LeftBraces, ...] = ()


def resolve(
    text: str,
    names: Mapping[str, object],
    render: Callable[[str, object], str],
    look: Callable[[str], object] | None = None,
    *,
    in_fences: bool = True,
) -> ResolvedPrompt:
    """``text`` with each reference to something in ``names`` replaced by ``render(reference, value)``.

    A reference that cannot be read stays as typed. Each reference is read once, however often it occurs. Raises only
    what ``render`` raises, and ``KeyboardInterrupt``.

    Args:
        text: the prompt as typed.
        names: what it can refer to.
        render: the text for a value.
        look: returns the value of a reference with calls, or raises ``LookupError``. By default these stay as typed.
        in_fences: read references in fenced code blocks, too.
    """
    pieces: list[str] = []
    place = 0
    replacements: dict[str, str | None] = {}
    left: dict[str, LeftBraces] = {}

    def read(reference: str) -> object:
        return look_up(reference, names)

    def call(expression: str) -> object:
        if look is None:
            raise LookupError(expression)
        return look(expression)

    for match in _references(text if in_fences else _with_blank_fences(text)):
        reference = match[1]
        if reference and reference not in replacements:
            replacements[reference] = _rendered(reference, call if match[2] else read, render)
        replacement = replacements.get(reference) if reference else None
        if replacement is not None:
            pieces += text[place : match.start()], replacement
            place = match.end()
        elif len(left) < MOST_LEFT:
            inside = reference or match[3]
            left.setdefault(inside, LeftBraces(inside, match.start(), match.start() + len(inside) + 2))
    pieces.append(text[place:])
    used = tuple(reference for reference, replacement in replacements.items() if replacement is not None)
    return ResolvedPrompt("".join(pieces), used, tuple(left.values()))


def references(text: str) -> list[str]:
    """The references in ``text`` without their braces, each once, whether or not they lead to something."""
    return list(dict.fromkeys(match[1] for match in _references(text) if match[1] and not match[2]))


def fences(text: str) -> list[int]:
    """Where fenced code blocks begin and end, by turns; the end of one without a closing fence is missing.

    The place of an end is that of the closing fence.
    """
    places: list[int] = []
    fence = ""
    for match in _FENCE.finditer(text):
        if not fence:
            fence = match[1]
        elif match[1].startswith(fence) and not match[2].strip():
            fence = ""
        else:
            continue
        places.append(match.start())
    return places


def _with_blank_fences(text: str) -> str:
    """``text`` with spaces for all characters of fenced code blocks, besides the ends of lines."""
    places = [0, *fences(text), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    return "".join(re.sub(r"[^\n]", " ", piece) if number % 2 else piece for number, piece in enumerate(pieces))


def _rendered(reference: str, read: Callable[[str], object], render: Callable[[str, object], str]) -> str | None:
    try:
        value = read(reference)
    except LookupError:
        return None
    return render(reference, value)


@dataclass(frozen=True)
class Step:
    """One step to a value: the first name, an attribute, or a literal index."""

    kind: Literal["name", "attribute", "index"]
    value: str | int


def steps(reference: str) -> tuple[Step, ...]:
    """The steps of a reference without its braces; empty if it is none."""
    if not _REFERENCE.fullmatch(reference):
        return ()
    path: list[Step] = []
    for step in _STEP.finditer(reference):
        if step[2]:
            index = step[2][1:-1]
            path.append(Step("index", index[1:-1] if index[0] in "\"'" else int(index)))
            continue
        name = unicodedata.normalize("NFKC", step[1])  # as Python reads names
        hidden = name.startswith("_") if path else name.startswith("__") and name.endswith("__") and len(name) > 4
        if hidden or not name.isidentifier():
            return ()
        path.append(Step("attribute" if path else "name", name))
    return tuple(path)


def leading(text: str) -> str:
    """The reference at the beginning of ``text``, which may have spaces in quotes; empty if there is none."""
    reference = _REFERENCE.match(text)
    return reference[0] if reference and steps(reference[0]) else ""


def look_up(reference: str, names: Mapping[str, object]) -> object:
    """The value of a reference without its braces, such as ``frame.columns[0]``.

    Raises ``LookupError`` if it is no reference or cannot be read.
    """
    value: object = names
    for step in steps(reference) or (Step("name", ""),):
        try:
            value = getattr(value, str(step.value)) if step.kind == "attribute" else _item(value, step.value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a property may raise anything, even SystemExit
            raise LookupError(reference) from error
    return value


def names_secret(reference: str) -> bool:
    """Does a name or a key in ``reference`` look like that of a secret?"""
    return any(is_secret_name(str(step.value)) for step in steps(reference))


def _item(value: Any, index: str | int) -> object:
    if isinstance(value, dict) and index not in value:  # a defaultdict would create it
        raise KeyError(index)
    return value[index]


def _references(text: str) -> Iterator[re.Match[str]]:
    """The references in ``text``, and other braces that may be meant as one, that belong to no JSON, code or formula.

    The match has the reference in group 1, its last call in group 2, or what is between other braces in group 3.
    """
    place, paragraph = 0, -1
    command = reference = -1  # where the last one ended
    closable = True  # whether a doubled brace can still be closed in this paragraph
    while token := _TOKEN.search(text, place):
        start, place = token.span()
        if token[1]:
            before = text[start - 1] if start else ""
            if start != command and (before not in _FOREIGN or start == reference):
                reference = place
                yield token
        elif token[3]:
            before = text[start - 1] if start else ""
            if start != command and before not in _FOREIGN:
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

"""Syntax highlighting for pages: what each character of code is, written in a compact form.

A span for every word would make code four times as long. So the code stays one text, followed by an empty element whose
``data-runs`` lists runs of characters of one kind, from the first character on::

    <pre dir="ltr" data-language="python"><code>def f(x): return 1</code><span data-runs="K4FX5K7N"></span></pre>

A run is a capital letter, its kind (``CODE_KINDS``; X is plain), and how long it is: a number with lower-case digits in
base 36 (``z`` is 35, ``10`` is 36), counted in UTF-16 code units as JavaScript does; no number means 1. White space
counts to the run before it. What follows the last run is plain. Here: ``def `` is a keyword, ``f`` the name of a
function, ``(x): `` plain, ``return `` a keyword and ``1`` a number. In the page::

    let place = 0;
    for (const [, kind, length] of runs.matchAll(/([A-Z])([0-9a-z]*)/g)) {
      const end = place + (length ? parseInt(length, 36) : 1);
      // text.slice(place, end) is of this kind
      place = end;
    }

Code is read line by line, while it arrives.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from flowgpt_magic.markdown.code_lexer import CodeLexer, longest_match

LONGEST_CODE = 32_000  # characters of a block that is highlighted; a longer one stays plain


class CodeKind(NamedTuple):
    """A kind of code: its name, the end of JupyterLab's CSS variable for it, and pygments' token types."""

    name: str
    variable: str  # of the form --jp-mirror-editor-…-color
    tokens: str


# A token is of the kind that lists the longest beginning of its type; a type without an entry is plain.
CODE_KINDS = {
    "K": CodeKind("keyword", "keyword", "Keyword Operator.Word Comment.Preproc Comment.PreprocFile Generic.Subheading"),
    "S": CodeKind("string", "string", "Literal.String Literal.Date"),
    "C": CodeKind("comment", "comment", "Comment Generic.Prompt Generic.Output"),
    "N": CodeKind("number", "number", "Literal.Number Generic.Inserted"),
    "F": CodeKind("function", "def", "Name.Function Name.Class Name.Namespace Generic.Heading"),
    "B": CodeKind(
        "builtin", "builtin", "Name.Builtin Name.Exception Keyword.Type Name.Variable.Magic Name.Function.Magic"
    ),
    "O": CodeKind("operator", "operator", "Operator"),
    "M": CodeKind("meta", "meta", "Name.Decorator Literal.String.Escape Literal.String.Interpol Literal.String.Affix"),
    "T": CodeKind("tag", "tag", "Name.Tag"),
    "A": CodeKind("attribute", "attribute", "Name.Attribute Name.Property"),
    "V": CodeKind("variable", "variable-2", "Name.Variable Name.Entity Name.Constant Name.Label"),
    "L": CodeKind("atom", "atom", "Keyword.Constant Literal"),
    "E": CodeKind("error", "error", "Generic.Deleted Generic.Error Generic.Traceback"),
}
PLAIN = "X"
_KIND_OF = {tuple(token.split(".")): letter for letter, kind in CODE_KINDS.items() for token in kind.tokens.split()}


_RUN = re.compile(r"([A-Z])([0-9a-z]*)")


@functools.lru_cache(512)
def _kind_of(token: tuple[str, ...]) -> str:
    return longest_match(_KIND_OF, token) or PLAIN


class CodeRuns:
    """The runs of a code block that is read line by line."""

    def __init__(self, language: str) -> None:
        self._lexer = CodeLexer(language)
        self._size = 0  # characters read
        self._written: list[str] = []
        self._kind, self._length = "", 0  # of the open run; the length in UTF-16 code units
        self._ends_line = False  # whether the code so far ends with a newline

    def add(self, line: str) -> None:
        """Add the next line, with its end if it has one."""
        self._size += len(line)
        self._ends_line = line.endswith("\n")
        if self._size > LONGEST_CODE:
            self._lexer.stop()
        for token, text in self._lexer.tokens(line.removesuffix("\n")):
            if not text:  # some lexers mark a place with a token of no length
                continue
            kind = _kind_of(token)
            units = len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2
            if kind == self._kind or (text.isspace() and self._kind):
                self._length += units
            else:
                self._end_run()
                self._kind, self._length = kind, units

    @property
    def written(self) -> str:
        """All runs; empty if the language is unknown or the code too long. The last newline is not counted."""
        if not self._lexer.reads:
            return ""
        length = self._length - self._ends_line
        last = "" if self._kind == PLAIN or length < 1 else self._kind + _base36(length)
        return "".join(self._written) + last

    def _end_run(self) -> None:
        if self._kind:
            self._written.append(self._kind + _base36(self._length))


@functools.lru_cache(1024)
def _base36(number: int) -> str:
    """The number in base 36; empty for 1."""
    digits = ""
    while number and (number, digits) != (1, ""):
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


@functools.lru_cache(32)
def runs_of(code: str, language: str) -> str:
    """The runs of a complete code block, of which the last may reach beyond its end; cached for redraws."""
    runs = CodeRuns(language)
    for line in code.split("\n"):
        runs.add(line + "\n")
    return runs.written


def spans_of(code: str, runs: str) -> Iterator[tuple[str, str]]:
    """The pieces of the code, each with the name of its kind, empty for plain code."""
    units, place = code.encode("utf-16-le", "replace"), 0
    for letter, length in _RUN.findall(runs):
        end = place + 2 * (int(length, 36) if length else 1)
        piece = units[place:end].decode("utf-16-le", "replace")
        if piece:
            yield piece, "" if letter == PLAIN else CODE_KINDS[letter].name
        place = end
    if place < len(units):
        yield units[place:].decode("utf-16-le", "replace"), ""

"""Code, and what each of its characters is: a keyword, a string, a comment …

A span for every word would be four times the code. So the code stays one text, and after it comes an empty element
whose ``data-runs`` says what its characters are, a run after the other from the first character on::

    <pre dir="ltr" data-language="python"><code>def f(x): return 1</code><span data-runs="K4FX5K7N"></span></pre>

A run is a capital letter, its kind (``KINDS``; X is plain), and how long it is: a number with lower-case digits in
base 36 (``z`` is 35, ``10`` is 36), counted in UTF-16 code units as JavaScript does; no number means 1. White space
counts to the run before it. What follows the last run is plain. Here: ``def `` is a keyword, ``f`` the name of a
function, ``(x): `` plain, ``return `` a keyword and ``1`` a number. In the page::

    let place = 0;
    for (const [, kind, length] of runs.matchAll(/([A-Z])([0-9a-z]*)/g)) {
      const end = place + (length ? parseInt(length, 36) : 1);
      // text.slice(place, end) is of this kind
      place = end;
    }

The lines are read one by one, each of bounded length, and the lexer keeps its state between them: so no code costs more
than in proportion to its length, and code can be read while it arrives.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flowgpt_magic.markdown.terminal.blocks import LANGUAGES, LONGEST_COLOURED

LONGEST_CODE = 32_000  # characters of a block that is highlighted; a longer one stays plain


class Kind(NamedTuple):
    """What a run of code is: its name, the last part of JupyterLab's CSS variable for it, and pygments' tokens."""

    name: str
    variable: str  # of the form --jp-mirror-editor-…-color
    tokens: str


# The first kind that has the longest part of a token's name is its kind; tokens that are nowhere are plain.
KINDS = {
    "K": Kind("keyword", "keyword", "Keyword Operator.Word Comment.Preproc Comment.PreprocFile Generic.Subheading"),
    "S": Kind("string", "string", "Literal.String Literal.Date"),
    "C": Kind("comment", "comment", "Comment Generic.Prompt Generic.Output"),
    "N": Kind("number", "number", "Literal.Number Generic.Inserted"),
    "F": Kind("function", "def", "Name.Function Name.Class Name.Namespace Generic.Heading"),
    "B": Kind("builtin", "builtin", "Name.Builtin Name.Exception Keyword.Type Name.Variable.Magic Name.Function.Magic"),
    "O": Kind("operator", "operator", "Operator"),
    "M": Kind("meta", "meta", "Name.Decorator Literal.String.Escape Literal.String.Interpol Literal.String.Affix"),
    "T": Kind("tag", "tag", "Name.Tag"),
    "A": Kind("attribute", "attribute", "Name.Attribute Name.Property"),
    "V": Kind("variable", "variable-2", "Name.Variable Name.Entity Name.Constant Name.Label"),
    "L": Kind("atom", "atom", "Keyword.Constant Literal"),
    "E": Kind("error", "error", "Generic.Deleted Generic.Error Generic.Traceback"),
}
PLAIN = "X"
_KIND_OF = {tuple(token.split(".")): letter for letter, kind in KINDS.items() for token in kind.tokens.split()}


_RUN = re.compile(r"([A-Z])([0-9a-z]*)")


@functools.lru_cache(512)
def _kind_of(token: tuple[str, ...]) -> str:
    return next((_KIND_OF[token[:n]] for n in range(len(token), 0, -1) if token[:n] in _KIND_OF), PLAIN)


@functools.lru_cache(64)
def _lexer(language: str) -> tuple[Any, bool, bool]:
    """What reads this language, whether it can go on from line to line, and whether it has comments like C's."""
    from pygments.lexer import ExtendedRegexLexer, RegexLexer  # type: ignore[import-untyped]
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:  # this release of pygments does not know it
        return None, False, False
    goes_on = isinstance(lexer, RegexLexer) and not isinstance(lexer, ExtendedRegexLexer)
    words = [token for token, value in lexer.get_tokens("/* */") if value.strip()]
    return lexer, goes_on, all(_kind_of(token) == "C" for token in words)


class Runs:
    """The runs of a code that is read line by line."""

    def __init__(self, language: str) -> None:
        self._lexer: Any = None
        self._goes_on = self._c_like = False
        if language in LANGUAGES:
            self._lexer, self._goes_on, self._c_like = _lexer(language)
        self._stack = ["root"]
        self._in_comment = False
        self._size = 0  # characters read
        self._written: list[str] = []
        self._kind, self._length = "", 0  # of the run that has no end yet, in code units
        self._ends_line = False  # is a newline the last of it?

    def add(self, line: str) -> None:
        """Take the next line, with its end where it has one."""
        self._size += len(line)
        self._ends_line = line.endswith("\n")
        if self._lexer is None:
            return
        if self._size > LONGEST_CODE:
            self._lexer = None
            return
        for kind, text in self._kinds(line):
            if not text:  # some lexers mark a place with a token of no length
                continue
            units = len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2
            if kind == self._kind or (text.isspace() and self._kind):
                self._length += units
            else:
                self._end_run()
                self._kind, self._length = kind, units

    @property
    def written(self) -> str:
        """All runs, or an empty string where the language is not known or the code too long.

        The newline at the end of a code is not part of it.
        """
        if self._lexer is None:
            return ""
        length = self._length - self._ends_line
        last = "" if self._kind == PLAIN or length < 1 else self._kind + _base36(length)
        return "".join(self._written) + last

    def _end_run(self) -> None:
        if self._kind:
            self._written.append(self._kind + _base36(self._length))

    def _kinds(self, line: str) -> Iterator[tuple[str, str]]:
        body = line.removesuffix("\n")
        if len(body) > LONGEST_COLOURED:
            return iter([(PLAIN, line)])
        # Most lexers take a comment of several lines in one piece, and so do not know one that has no end yet.
        if self._in_comment or (self._c_like and body.lstrip().startswith("/*")):
            self._in_comment = "*/" not in body
            return iter([("C", line)])
        try:
            found = [(_kind_of(token), value) for token, value in self._tokens(body + "\n")]
        except (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            found = []  # a lexer that cannot go on from a state
        if "".join(text for _, text in found) != body + "\n":
            self._lexer = None
            return iter([])
        return iter(found)

    def _tokens(self, line: str) -> Iterator[tuple[tuple[str, ...], str]]:
        from pygments.lexer import ExtendedRegexLexer, LexerContext

        context = LexerContext(line, 0, self._stack)
        # This one way of reading takes and keeps a stack of states, and it works with any lexer made of expressions.
        read = functools.partial(ExtendedRegexLexer.get_tokens_unprocessed, self._lexer, context=context)
        tokens = read() if self._goes_on else self._lexer.get_tokens_unprocessed(line)
        for _at, token, value in itertools.islice(tokens, 3 * len(line)):
            yield token, value
        self._stack = context.stack[-50:]


@functools.lru_cache(1024)
def _base36(number: int) -> str:
    """A length as it is written; 1 is not."""
    digits = ""
    while number and (number, digits) != (1, ""):
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


@functools.lru_cache(32)
def runs_of(code: str, language: str) -> str:
    """The runs of a whole code, of which the last may reach beyond its end; cached, for blocks that are shown again."""
    runs = Runs(language)
    for line in code.split("\n"):
        runs.add(line + "\n")
    return runs.written


def spans_of(code: str, runs: str) -> Iterator[tuple[str, str]]:
    """The pieces of the code, each with the name of its kind, which is empty for what is plain."""
    units, place = code.encode("utf-16-le", "replace"), 0
    for letter, length in _RUN.findall(runs):
        end = place + 2 * (int(length, 36) if length else 1)
        piece = units[place:end].decode("utf-16-le", "replace")
        if piece:
            yield piece, "" if letter == PLAIN else KINDS[letter].name
        place = end
    if place < len(units):
        yield units[place:].decode("utf-16-le", "replace"), ""

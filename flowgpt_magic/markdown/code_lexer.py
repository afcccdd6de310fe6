"""The tokens of code, line by line as it arrives: the one use of pygments, for terminals and pages.

Each line has a bounded length, and the lexer keeps its state from one line to the next. So no code costs more than in
proportion to its length.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

MAX_COLOURED_LINE = 1_000  # characters of a line of code; some expressions of pygments cost the square of it

# Of the five hundred languages pygments knows some take forever over a line made for that; these were tried.
_LANGUAGES = """
    python py python3 ipython javascript js jsx typescript ts tsx java c cpp c++ csharp c# cs go golang rust rs ruby rb
    php swift kotlin scala bash sh shell zsh json yaml yml toml html css scss sql r julia lua perl xml ini diff udiff
    docker dockerfile make makefile pycon console haskell powershell matlab tex latex graphql nginx elixir dart cython
    fortran cmake proto zig
"""
LANGUAGES = frozenset(_LANGUAGES.split())

TokenType = tuple[str, ...]  # pygments' token type: ("Literal", "String", "Doc")
_COMMENT, _PREPROCESSOR = ("Comment",), ("Comment", "Preproc")


@functools.lru_cache(64)
def _lexer_of(language: str) -> tuple[Any, bool, bool]:
    """The lexer, whether it can go on from line to line, and whether the language has comments like C's."""
    from pygments.lexer import ExtendedRegexLexer, RegexLexer  # type: ignore[import-untyped]
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:  # this release of pygments does not know it
        return None, False, False
    goes_on = isinstance(lexer, RegexLexer) and not isinstance(lexer, ExtendedRegexLexer)
    types = [token for token, value in lexer.get_tokens("/* */") if value.strip()]
    return lexer, goes_on, all(token[:1] == _COMMENT and token[:2] != _PREPROCESSOR for token in types)


def longest_match(table: dict[TokenType, str], token_type: TokenType) -> str:
    """The entry for the longest beginning of a token type that is in the table, or an empty string."""
    return next((table[token_type[:n]] for n in range(len(token_type), 0, -1) if token_type[:n] in table), "")


class CodeLexer:
    """Reads the lines of a code block as they come."""

    def __init__(self, language: str) -> None:
        self._lexer: Any = None
        self._goes_on = self._c_like = False
        if language in LANGUAGES:
            self._lexer, self._goes_on, self._c_like = _lexer_of(language)
        self._stack = ["root"]
        self._in_comment = False

    @property
    def reads(self) -> bool:
        """Is the language known, and could each line so far be read?"""
        return self._lexer is not None

    def stop(self) -> None:
        """Read no more lines."""
        self._lexer = None

    def tokens(self, line: str) -> list[tuple[TokenType, str]]:
        """The tokens of the next line, which is given without its end; the last token has that.

        There are none if the line cannot be read, and then none of later lines either.
        """
        whole = line + "\n"
        if self._lexer is None:
            return []
        if len(line) > MAX_COLOURED_LINE:
            return [((), whole)]
        # Most lexers take a comment of several lines in one piece, and so do not know one that has no end yet.
        if self._in_comment or (self._c_like and line.lstrip().startswith("/*")):
            self._in_comment = "*/" not in line
            return [(_COMMENT, whole)]
        try:
            tokens = list(self._read(whole))
        except (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            tokens = []  # a lexer that cannot go on from a state
        if "".join(value for _, value in tokens) != whole:
            self._lexer = None
            return []
        return tokens

    def _read(self, line: str) -> Iterator[tuple[TokenType, str]]:
        from pygments.lexer import ExtendedRegexLexer, LexerContext

        context = LexerContext(line, 0, self._stack)
        # This one way of reading takes and keeps a stack of states, and it works with any lexer made of expressions.
        read = functools.partial(ExtendedRegexLexer.get_tokens_unprocessed, self._lexer, context=context)
        tokens = read() if self._goes_on else self._lexer.get_tokens_unprocessed(line)
        for _at, token, value in itertools.islice(tokens, 3 * len(line)):
            yield token, value
        self._stack = context.stack[-50:]

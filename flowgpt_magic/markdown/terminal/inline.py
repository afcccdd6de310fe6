"""The inline content of Markdown paragraphs for a terminal: styled words, wrapped into rows."""

from __future__ import annotations

import bisect
import functools
import html
import itertools
import re
import unicodedata
from dataclasses import dataclass

from flowgpt_magic import control_characters
from flowgpt_magic.markdown.addresses import ADDRESS_CHARACTER, trimmed
from flowgpt_magic.markdown.emphasis import flanking
from flowgpt_magic.markdown.formulas import find_formula

Span = tuple[str, str]  # a text and its style: the numbers of an SGR sequence, "" for the terminal's default
BOLD, FAINT, ITALIC, UNDERLINED, STRUCK, CODE = "1", "2", "3", "4", "9", "36"

# These characters change the reading order, or end a line where no line ends.
_DISORDER = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb]")
_SGR = "\x1b[{}m"


def clean(text: str) -> str:
    return control_characters.clean(text, keep_direction=True)


def ordered(text: str) -> str:
    """The text without characters that change the reading order."""
    return text if text.isascii() else _ORDERS.sub("\ufffd", text)


_ORDERS = re.compile("[\u202a-\u202e\u2066-\u206f\ufff9-\ufffb]")


def ordered_code(text: str) -> str:
    """Code with such characters shown by name: in code they can hide what it does."""
    return text if text.isascii() else _DISORDER.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", text)


def painted(spans: list[Span], colours: bool) -> str:
    if not colours:
        return "".join(text for text, _ in spans)
    parts = []
    for look, group in itertools.groupby(spans, key=lambda span: span[1]):
        text = "".join(text for text, _ in group)
        parts.append(f"{_SGR.format(look)}{text}{_SGR.format(0)}" if look else text)
    return "".join(parts)


# -- rows ------------------------------------------------------------------------------------------------------------

# Chinese and Japanese have no spaces: their lines break at any character, but not before closing punctuation.
_WORDS = re.compile(
    r" +|\n|[（［｛「『【《〈]*[\u2e80-\u2fff\u3005-\u3007\u3040-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # noqa: RUF001
    r"[、。，．：；？！）］｝」』】》〉”’…ー%,.:;?!)\]}]*|[^ \n\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+|."  # noqa: RUF001
)


@functools.lru_cache(4096)
def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def columns(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def wrapped(spans: list[Span], width: int) -> list[list[Span]]:
    """The text of a cell wrapped into rows."""
    row = WordWrap([], width, cut=True)
    row.feed(spans)
    row.end()
    rows: list[list[Span]] = [[]]
    for span in row.spans:
        if span[0] == "\n":
            rows.append([])
        else:
            rows[-1].append(span)
    return rows


def prefix_spans(text: str) -> list[Span]:
    return [(text, FAINT if "│" in text else "")] if text else []


class WordWrap:
    """Wraps words into rows and appends them to ``spans``.

    Args:
        spans: the list to append to.
        width: columns of a row.
        first: the prefix of the first row.
        hang: the prefix of the other rows.
        cut: whether a word longer than a row is cut; otherwise it stays whole, so that an address can be copied.
    """

    def __init__(self, spans: list[Span], width: int, first: str = "", hang: str = "", *, cut: bool = False) -> None:
        self.spans, self.width, self.hang, self.cut = spans, width, prefix_spans(hang), cut
        self.spans += prefix_spans(first)
        self.column, self.margin = columns(first), columns(hang)
        self._word: list[Span] = []
        self._gap: list[Span] = []

    def feed(self, spans: list[Span]) -> None:
        """Write all words but the last, which may be incomplete."""
        for text, look in spans:
            for part in _WORDS.findall(text):
                if part == "\n":
                    self.end()
                    self._break()
                elif part[0] == " ":
                    self._end_word()
                    self._gap.append((part, look))
                else:
                    if not part.isascii() and _columns_of(part[0]) == 2:
                        self._end_word()
                    self._add(part, look)

    def end(self) -> None:
        """Write the last word."""
        self._end_word()
        self._gap.clear()

    def _add(self, part: str, look: str) -> None:
        while self.cut and len(part) > self.width:
            self._word.append((part[: self.width], look))
            self._end_word()
            part = part[self.width :]
        self._word.append((part, look))

    def _end_word(self) -> None:
        if not self._word:
            return
        size = sum(columns(text) for text, _ in self._word)
        gap = sum(len(text) for text, _ in self._gap)
        if self.column > self.margin and self.column + gap + size > self.width:
            self._break()
            gap = 0
        self.spans += self._gap + self._word
        self.column += gap + size
        self._gap.clear()
        self._word.clear()

    def _break(self) -> None:
        self.spans += [("\n", ""), *self.hang]
        self.column = self.margin
        self._gap.clear()


# -- inside a paragraph ----------------------------------------------------------------------------------------------

# No alternative reads the same text from different starts, so that the cost is proportional to the length.
_MARK = re.compile(
    r"""(?P<maths>\$\$?|\\[(\[])|(?P<bare>https?://BODY+)
    |(?P<escape>\\[!-/:-@\[-`{-~])
    |(?P<ticks>`+)
    |!?\[(?P<text>(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)\]
      \(\s{0,9}(?P<address><[^<>\n]*>|(?:[^\s()<>]|\([^\s()]*\))*)(?:\s{1,9}(?:"[^"]*"|'[^']*'))?\s{0,9}\)
    |(?P<bracket>\[)
    |(?P<run>\*+|_+|~~+)
    |<(?P<auto>(?:https?://|mailto:)[^\s<>]+)>
    |(?P<break><br\s?/?>)
    |(?P<entity>&(?:\#\d{1,7}|\#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,30});)""".replace("BODY", ADDRESS_CHARACTER),
    re.VERBOSE,
)
_CLOSED = re.compile(r"\[[^\[\]]*\](?!\()")
_TICKS = re.compile(r"`+")
_LOOKS = {("*", 1): ITALIC, ("_", 1): ITALIC, ("*", 2): BOLD, ("_", 2): BOLD, ("~", 2): STRUCK}
CLOSED, OPEN_IN_LINE, OPEN = 0, 1, 2  # whether further text can change the style: never, on this line, on any line


@dataclass
class _Run:
    """A run of asterisks, underscores or tildes; ``left`` of them have no partner yet."""

    piece: int
    mark: str
    size: int
    left: int
    opens: bool
    closes: bool


class Inline:
    """The words of a paragraph with their looks."""

    def __init__(self, text: str) -> None:
        self.open = CLOSED
        self._text = text
        self._pieces: list[Span] = []
        self._changes: list[tuple[int, str, int]] = []  # the piece at which a style begins (1) or ends (-1)
        self._waiting: list[_Run] = []  # runs that may open an emphasis
        self._ticks: dict[int, list[int]] = {}  # the places of the runs of backticks, by their length
        for run in _TICKS.finditer(text):
            self._ticks.setdefault(len(run[0]), []).append(run.start())
        at = 0
        while mark := _MARK.search(text, at):
            self._pieces.append((text[at : mark.start()], ""))
            at = self._read(mark)
        self._pieces.append((text[at:], ""))
        if self._waiting:
            self.open = OPEN
        elif text.rstrip()[-3:].lower() == "<br":
            self.open = max(self.open, OPEN_IN_LINE)

    def spans(self) -> list[Span]:
        """The pieces, each with all styles that apply to it."""
        changes = sorted(self._changes)
        spans, depth, at = [], dict.fromkeys((BOLD, ITALIC, STRUCK), 0), 0
        for number, (text, own) in enumerate(self._pieces):
            while at < len(changes) and changes[at][0] == number:
                depth[changes[at][1]] += changes[at][2]
                at += 1
            if text:
                looks = [look for look, count in depth.items() if count]
                text = ordered_code(text) if own == CODE else ordered(text)
                spans.append((text, ";".join([*looks, *([own] if own else [])])))
        return spans

    def _read(self, mark: re.Match[str]) -> int:
        kind, text = mark.lastgroup, mark[0]
        if kind == "ticks":
            return self._read_code(mark)
        if kind == "maths":
            return self._read_formula(mark)
        if kind == "bare":
            address = trimmed(text)
            self._pieces.append((address, ""))
            return mark.start() + len(address)
        if kind == "run":
            self._read_run(mark)
        elif kind == "address":
            self._read_link(mark)
        elif kind == "auto":
            self._pieces.append((mark["auto"], UNDERLINED))
        elif kind == "entity":
            character = html.unescape(text)
            harmless = character == "\xa0" or (character and character.isprintable())
            self._pieces.append((character if harmless else text, ""))
        else:
            self._pieces.append(({"escape": text[1:], "break": "\n"}.get(str(kind), text), ""))
            if kind == "bracket" and not _CLOSED.match(self._text, mark.start()):
                self.open = OPEN
        return mark.end()

    def _read_formula(self, mark: re.Match[str]) -> int:
        """A formula as typed; it ends on its line, which may be written before the next one arrives."""
        end = self._text.find("\n", mark.start())
        formula = find_formula(self._text, mark.start(), end if end >= 0 else len(self._text))
        if formula is None:
            self._pieces.append((mark[0].lstrip("\\"), ""))
            self.open = max(self.open, OPEN_IN_LINE)
            return mark.end()
        self._pieces.append((self._text[mark.start() : formula[2]], ""))
        return formula[2]

    def _read_code(self, mark: re.Match[str]) -> int:
        start, places = mark.end(), self._ticks.get(len(mark[0]), [])
        number = bisect.bisect_left(places, start)
        if number == len(places):
            self.open = OPEN
            self._pieces.append((mark[0], ""))
            return start
        code = self._text[start : places[number]]
        if code.strip() and code[0] == code[-1] == " ":
            code = code[1:-1]
        self._pieces.append((code, CODE))
        return places[number] + len(mark[0])

    def _read_link(self, mark: re.Match[str]) -> None:
        address, inner = mark["address"].strip("<>"), Inline(mark["text"])
        words = inner.spans()
        label = "".join(text for text, _ in words)
        if address and address not in (label, f"mailto:{label}"):
            words += [(" (", ""), (address, UNDERLINED), (")", "")] if label else [(address, UNDERLINED)]
        self._pieces += words

    def _read_run(self, mark: re.Match[str]) -> None:
        text, kind = self._text, mark[0][0]
        opens, closes = flanking(text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1], kind)
        self._pieces.append((mark[0], ""))
        run = _Run(len(self._pieces) - 1, kind, len(mark[0]), len(mark[0]), opens, closes)
        while run.closes and run.left and self._close(run):
            pass
        self._pieces[run.piece] = (kind * run.left, "")
        if opens and run.left:
            self._waiting.append(run)

    def _close(self, run: _Run) -> bool:
        """Match some of these marks with an opening run; runs in between stay unmatched."""
        waiting = self._waiting
        while waiting and waiting[-1].mark != run.mark and any(opener.mark == run.mark for opener in waiting[-9:]):
            waiting.pop()
        if not waiting or waiting[-1].mark != run.mark:
            return False
        opener = waiting[-1]
        either = opener.closes or run.opens
        used = 2 if min(opener.left, run.left) > 1 else 1
        look = _LOOKS.get((run.mark, used))
        if look is None or (either and (opener.size + run.size) % 3 == 0 and opener.size % 3):
            return False
        opener.left -= used
        run.left -= used
        self._pieces[opener.piece] = (opener.mark * opener.left, "")
        self._changes += [(opener.piece + 1, look, 1), (run.piece, look, -1)]
        if not opener.left:
            waiting.pop()
        return True

r"""How incomplete Markdown at the end of a streaming text looks: half an emphasis, a link, a table.

``**bo`` is bold already, an incomplete link shows its text, a table head shows as a table before its rule is there, and
marks without meaning yet are hidden. This concerns the open end only; finished text is rendered by the usual rules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flowgpt_magic.markdown.blocks import MOST_COLUMNS
from flowgpt_magic.markdown.formulas import OpenFormula

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

# -- lines -----------------------------------------------------------------------------------------------------------

_BARE_MARK = re.compile(
    r"[ \t>]*(?:(?:[-+*_]{1,3}|-+|=+|\d{1,2}|\d{1,9}[.)]|#{1,6}|`{1,2}|~{1,2}|\$\$?|\\\[?|!?\[|<|\|)[ \t]*)?"
)


def shown_line(line: str) -> str:
    """An incomplete line, or nothing if it is only a mark so far."""
    return "" if _BARE_MARK.fullmatch(line) else line


# -- inside a line ---------------------------------------------------------------------------------------------------

MOST_OPEN = 8  # emphases open at once; with more, none is shown as emphasis
MOST_BRACKETS = 500  # in one paragraph; with more, none begins a link

_HIDDEN_END = re.compile(r"(?:\\?[*_~`]+|\\[(\[]?|!?\[|&#?\w{0,31}|(?<!\w)<|\\?\$\$)\Z")
# Only one part of a pattern matches white space; two in a row would try every way to share it.
_HALF_TITLE = r"(?:\"[^\"]*(?:\"\s*)?|'[^']*(?:'\s*)?)"
_BEHIND = rf"(?:\s+{_HALF_TITLE}?)?"
_HALF_TARGET = re.compile(rf"\((?:\s*(?:<[^<>\n]*(?:>{_BEHIND})?|[^\s<>]+{_BEHIND})|\s+{_HALF_TITLE}|\s*)")
_SHORT_LABEL = re.compile(r"[\d\s^xX,.-]*")  # a citation, a box, an index: more often than not no link
_HALF_ADDRESS = re.compile(r"<(?:https?:|mailto:)[^\s<>]*\Z", re.IGNORECASE)
_HALF_FORMULA = re.compile(r"(?:\\[(\[]|\$\$)([^$`]{1,2000})\Z")


def shown_end(text: str) -> str:
    """The text of an open paragraph without incomplete marks at its end."""
    return _HIDDEN_END.sub("", text)


def last_inline(tokens: list[Token], goes_on: bool) -> Token | None:
    """The token that the next characters will extend; ``goes_on`` says that the last line is incomplete."""
    for place in range(len(tokens) - 1, -1, -1):
        token = tokens[place]
        if token.type == "inline" and token.content:  # a row that has not all its cells yet is filled with empty ones
            return token if goes_on or tokens[place - 1].type == "paragraph_open" else None
        if token.nesting != -1 and token.type not in ("inline", "td_open"):
            return None
    return None


def _is_open(state: StateInline) -> bool:
    """Whether this text is incomplete; the text of a link is not."""
    return bool(state.env.get("half")) and state.posMax == len(state.src)


def _half_code(state: StateInline, silent: bool) -> bool:
    """Code without its closing backticks."""
    if state.src[state.pos] != "`" or not _is_open(state):
        return False
    ticks = re.compile("`+").match(state.src, state.pos)
    if ticks is None or re.compile(f"(?<!`){ticks[0]}(?!`)").search(state.src, ticks.end()):
        return False
    if not silent:
        token = state.push("code_inline", "code", 0)
        token.content = state.src[ticks.end() :].replace("\n", " ")
    state.pos = state.posMax
    return True


def _half_formula(state: StateInline, silent: bool) -> bool:
    r"""A formula without its ``\)``, as code. A single dollar sign may be a price and stays text."""
    if state.src[state.pos] not in "\\$" or not _is_open(state):
        return False
    match = _HALF_FORMULA.match(state.src, state.pos)
    if match is None or r"\)" in match[1] or r"\]" in match[1]:
        return False
    if not silent:
        token = state.push("formula_half", "", 0)
        token.content = match[1]
    state.pos = state.posMax
    return True


def _half_link(state: StateInline, silent: bool) -> bool:
    """A link or image without its complete address, as its text."""
    src, pos = state.src, state.pos
    image = src.startswith("![", pos)
    if not (image or src[pos] == "[") or state.env["crowded"] or not _is_open(state):
        return False
    begin = pos + 1 + image
    if src.find("]", begin) < 0:
        if src[begin - 2 : begin - 1].isalnum() or _SHORT_LABEL.fullmatch(src, begin):
            return False
        state.pos = begin
        return True
    end = state.md.helpers.parseLinkLabel(state, begin - 1, not image)
    if end < 0 or not _is_half_target(src, begin, end):
        return False
    if not silent:
        _push_label(state, begin, end, image)
    state.pos = state.posMax
    return True


def _is_half_target(src: str, begin: int, end: int) -> bool:
    """Whether a label is followed by nothing or by an incomplete address."""
    if end + 1 == len(src):
        return _SHORT_LABEL.fullmatch(src, begin, end) is None
    target = _HALF_TARGET.fullmatch(src, end + 1)
    return target is not None and target[0].count("(") > target[0].count(")")


def _push_label(state: StateInline, begin: int, end: int, image: bool) -> None:
    if image:
        state.push("text", "", 0).content = state.src[begin:end]
        return
    most, state.pos, state.posMax = state.posMax, begin, end
    state.md.inline.tokenize(state)
    state.posMax = most


def _half_address(state: StateInline, silent: bool) -> bool:
    """``<https://…`` without its ``>``, as text."""
    if state.src[state.pos] != "<" or not _is_open(state) or not _HALF_ADDRESS.match(state.src, state.pos):
        return False
    if not silent:
        state.push("text", "", 0).content = state.src[state.pos + 1 :]
    state.pos = state.posMax
    return True


def _close_emphasis(state: StateInline) -> None:
    """Close every open emphasis."""
    if not state.env.get("half"):
        return
    covered, opened = -1, []
    for place, mark in enumerate(state.delimiters):
        covered = max(covered, mark.end)
        if mark.open and mark.end < 0 and place > covered and not _in_word(state, mark.token):
            opened.append(mark)
    from markdown_it.rules_inline.state_inline import Delimiter

    for mark in reversed(opened if len(opened) <= MOST_OPEN else []):
        token = state.push("text", "", 0)
        token.content = state.tokens[mark.token].content
        closer = Delimiter(
            marker=mark.marker, length=mark.length, token=len(state.tokens) - 1, end=-1, open=False, close=True
        )
        mark.end = len(state.delimiters)
        state.delimiters.append(closer)


def _in_word(state: StateInline, place: int) -> bool:
    return place > 0 and state.tokens[place - 1].content[-1:].isalnum()


# -- formulas on lines of their own ----------------------------------------------------------------------------------


def _open_formula(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A displayed formula in a list or quote that has not ended."""
    if not state.env.get("shown") or not state.level or state.is_code_block(start):
        return False
    formula = OpenFormula(state.getLines(start, start + 1, state.blkIndent, False))
    for number in range(start + 1, end):
        if not formula.is_open or (state.sCount[number] < state.blkIndent and not state.isEmpty(number)):
            return False
        formula.add(state.getLines(number, number + 1, state.blkIndent, False))
    if formula.is_open and not silent:
        token = state.push("formula_open", "", 0)
        token.content, token.map = formula.tex.strip(), [start, end]
        state.line = end
    return formula.is_open


# -- tables ----------------------------------------------------------------------------------------------------------

_RULE = re.compile(r"[|:-][|: \t-]*")
_PIPE = re.compile(r"(?<!\\)\|")


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].strip()


def _open_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A line in bars at the end of the text, as the head of a table: usually its rule comes next."""
    if not state.env.get("shown") or end - start > 2 or state.is_code_block(start):
        return False
    head, rule = _line(state, start), _line(state, start + 1) if end - start == 2 else ""
    if head[:1] != "|" or head.count("|") > MOST_COLUMNS or (start and _line(state, start - 1)[:1] == "|"):
        return False
    cells = _PIPE.split(head[1:])
    cells = cells[:-1] if len(cells) > 1 and not cells[-1].strip() else cells
    if rule and (not _RULE.fullmatch(rule) or len(_PIPE.findall(rule)) > len(cells)):
        return False
    if not silent:
        _push_head(state, start, cells)
        state.line = end
    return True


def _push_head(state: StateBlock, start: int, cells: list[str]) -> None:
    names = ("table", "thead", "tr")
    for name in names:
        state.push(f"{name}_open", name, 1).map = [start, start + 1]
    for cell in cells:
        state.push("th_open", "th", 1)
        token = state.push("inline", "", 0)
        token.content, token.map, token.children = cell.strip(), [start, start + 1], []
        state.push("th_close", "th", -1)
    for name in reversed(names):
        state.push(f"{name}_close", name, -1)


def show_half_open(parser: MarkdownIt) -> None:
    """Add these rules to a parser.

    ``env["shown"]`` says that the text is incomplete, so that its end is shown as what it will most likely become;
    ``env["in_line"]`` says that its last line is incomplete. The rules use ``env["half"]`` and ``env["crowded"]``
    among themselves.
    """
    inline, block = parser.inline.ruler, parser.block.ruler
    inline.before("formula", "half_formula", _half_formula)
    inline.before("backticks", "half_code", _half_code)
    inline.after("image", "half_link", _half_link)
    inline.after("autolink", "half_address", _half_address)
    parser.inline.ruler2.after("balance_pairs", "close_emphasis", _close_emphasis)
    alt = ["paragraph", "reference", "blockquote", "list"]
    block.after("formula_block", "open_formula", _open_formula, {"alt": alt})
    block.after("table", "open_table", _open_table, {"alt": ["paragraph", "reference"]})
    parser.core.ruler.at("inline", parse_inline)


def parse_inline(state: StateCore) -> None:
    """Parse the inline content of all tokens; the last may be incomplete."""
    last = last_inline(state.tokens, bool(state.env.get("in_line"))) if state.env.get("shown") else None
    for token in state.tokens:
        if token.type == "inline" and token.children is not None and token.content:
            state.env["half"] = token is last
            state.env["crowded"] = token.content.count("[") > MOST_BRACKETS
            content = shown_end(token.content) if token is last else token.content
            state.md.inline.parse(content, state.md, state.env, token.children)

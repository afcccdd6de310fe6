"""Render a block of Markdown as HTML.

markdown-it parses it with raw HTML as text. `sanitize` decides last which elements and attributes remain.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit
from markdown_it.rules_core import StateCore, text_join
from markdown_it.rules_inline import StateInline, image, link
from markdown_it.token import Token

from flowgpt_magic.markdown.addresses import ADDRESS_CHARACTER, LONGEST_ADDRESS, is_link, trimmed
from flowgpt_magic.markdown.blocks import DEFINITION, MAX_NESTING, read_tables
from flowgpt_magic.markdown.emphasis import read_emphasis
from flowgpt_magic.markdown.formula_bars import hide_bars, keep_bars, show_bars
from flowgpt_magic.markdown.formulas import OpenFormula, find_formulas
from flowgpt_magic.markdown.harmless import character_reference, line_break
from flowgpt_magic.markdown.html.elements import Env, PageOptions, Writer, affordable, arrange, displayed
from flowgpt_magic.markdown.html.sanitize import cleaned, escaped
from flowgpt_magic.markdown.html.unfinished import parse_inline, show_half_open

MOST_SPARE = 50_000  # characters
MOST_FORMULAS = 2_000  # that are typeset in one reply; more are shown as code
EMPTY = '<p dir="auto"></p>'


@dataclass
class RenderContext:
    """What rendering a block needs to know of the reply before it.

    A link reference of three characters can stand for a long address, and a table row of one character can have many
    cells. ``spare`` limits the characters that come from these, so that a short reply does not become a long page. It
    grows with the text.
    """

    references: dict[str, Any] = field(default_factory=dict)
    spare: int = 2_000
    formulas: int = MOST_FORMULAS  # formulas that may still be typeset

    def spend(self, env: Env) -> None:
        """Take over what the rendering of a block left of the limits."""
        self.spare, self.formulas = min(max(0, env["spare"]), MOST_SPARE), max(0, env["formulas"])


# -- reading ---------------------------------------------------------------------------------------------------------

_WEB_ADDRESS = re.compile(rf"://{ADDRESS_CHARACTER}{{1,{LONGEST_ADDRESS}}}")
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])https?\Z", re.IGNORECASE)


def _bare_address(state: StateInline, silent: bool) -> bool:
    """Make a link of a bare address; not at the open end of a text, where it may be incomplete."""
    if silent or state.src[state.pos] != ":" or state.linkLevel > 0:
        return False
    match = _WEB_ADDRESS.match(state.src, state.pos, state.posMax)
    scheme = _SCHEME.search(state.src, max(0, state.pos - 6), state.pos)
    if match is None or scheme is None or not state.pending.endswith(scheme[0]):
        return False
    rest = trimmed(match[0])
    half = state.env.get("half") and state.pos + len(rest) == len(state.src)
    if half or not 4 <= len(rest) <= LONGEST_ADDRESS - len(scheme[0]):
        return False
    address = state.md.normalizeLink(scheme[0] + rest)
    if not state.md.validateLink(address):
        return False
    state.pending = state.pending[: -len(scheme[0])]
    state.push("link_open", "a", 1).attrs = {"href": address}
    state.push("text", "", 0).content = scheme[0] + rest
    state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True


def _definition(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """Read ``[name]: address`` on one line. CommonMark allows several lines, but then its end is not known in time."""
    if silent or state.is_code_block(start):
        return False
    line = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]].rstrip()
    match = DEFINITION.fullmatch(line) if line[:1] == "[" else None
    if match is None:
        return False
    address = state.md.normalizeLink(match[2] if match[2] is not None else match[3])
    if not state.md.validateLink(address):
        return False
    state.env["references"].setdefault(normalizeReference(match[1]), {"title": "", "href": address})
    state.line = start + 1
    return True


def _uncrowded(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """The rule, but not where a paragraph has so many brackets that looking for their ends would cost too much."""
    return lambda state, silent: not state.env["crowded"] and rule(state, silent)


_INTERRUPTED = ["paragraph", "reference", "blockquote", "list"]


def _inside_only(rule: Callable[[StateBlock, int, int, bool], bool]) -> Callable[[StateBlock, int, int, bool], bool]:
    """The rule, but only in lists and quotes: the scanner finds formulas at the top of a text."""
    return lambda state, start, end, silent: state.level > 0 and rule(state, start, end, silent)


def _reader() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}, renderer_cls=Writer)
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    parser.validateLink = is_link  # type: ignore[method-assign,assignment]
    parser.inline.ruler.before("autolink", "line_break", line_break)
    parser.inline.ruler.at("entity", character_reference)
    parser.inline.ruler.before("escape", "bare_address", _bare_address)
    parser.inline.ruler.at("link", _uncrowded(link))
    parser.inline.ruler.at("image", _uncrowded(image))
    parser.block.ruler.at("reference", _definition)
    read_tables(parser)
    read_emphasis(parser)
    find_formulas(parser)
    keep_bars(parser)
    rules = dict(zip(parser.block.ruler.get_active_rules(), parser.block.ruler.getRules(""), strict=True))
    parser.block.ruler.at("formula_block", _inside_only(rules["formula_block"]), {"alt": _INTERRUPTED})
    show_half_open(parser)
    return parser


_READER = _reader()


def markup_of(text: str, options: PageOptions, context: RenderContext, *, number: int | None = None) -> str:
    """The HTML of some Markdown; empty if it shows nothing. ``number`` is where an ordered list begins."""
    env = _env(text, options, context)
    blocks = _blocks(text, env, number)
    context.spend(env)
    return "".join(blocks)


def open_markup_of(
    text: str, options: PageOptions, context: RenderContext, *, in_line: bool, number: int | None = None
) -> list[str]:
    """The HTML of each block of a text that is not complete; ``context`` is not changed.

    Args:
        text: Markdown after the last finished block or item.
        options: how the page is shown.
        context: what is known of the reply before this text.
        in_line: whether the last line is incomplete too.
        number: where an ordered list at the beginning starts counting; None leaves that to the text.
    """
    env = _env(text, options, context)
    env.update(shown=True, in_line=in_line, references=dict(context.references) if "]:" in text else context.references)
    return _blocks(text, env, number)


def _blocks(text: str, env: Env, number: int | None) -> list[str]:
    tokens = _READER.parse(text, env)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):
        return [plain_html(text.strip("\n"))]
    arrange(tokens)
    if number is not None and tokens and tokens[0].type == "ordered_list_open":
        tokens[0].attrs = {**({} if number == 1 else {"start": number}), "dir": "auto"}
    starts = [place for place, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
    groups = [tokens[start:end] for start, end in itertools.pairwise([*starts, len(tokens)])]
    written = [_READER.renderer.render(group, _READER.options, env) for group in groups]
    return [html for block in written if (html := cleaned(block, images=env["options"].images)) != EMPTY]


def row_of(text: str, rule: str, options: PageOptions, context: RenderContext) -> str:
    """The HTML of a table row, as `markup_of` makes it in a table; ``rule`` is the line below the table's head."""
    env = _env(text, options, context)
    sides = [_side(cell.strip()) for cell in rule.strip().strip("|").split("|")]
    cells = [show_bars(cell.strip()) for cell in escapedSplit(hide_bars(text.strip()))]
    cells = cells[not cells[0] : len(cells) - (len(cells) > 1 and not cells[-1])][: len(sides)]
    while cells and not cells[-1]:
        cells.pop()
    filled = len(cells) + affordable(len(sides) - len(cells), env)
    tokens = [token for side, cell in zip(sides, cells, strict=False) for token in _cell(side, cell)]
    state = StateCore(text, _READER, env, tokens)
    parse_inline(state)
    text_join(state)
    arrange(tokens)
    empty = "".join(f'<td align="{side}"></td>' if side else "<td></td>" for side in sides[len(cells) : filled])
    written = cleaned(
        f"{_ROW[0]}{_READER.renderer.render(tokens, _READER.options, env)}{empty}{_ROW[1]}", images=options.images
    )
    context.spend(env)
    return written[len(_TABLE[0]) : -len(_TABLE[1])]


_TABLE = ("<table><tbody>", "</tbody></table>")
_ROW = (f"{_TABLE[0]}<tr>", f"</tr>{_TABLE[1]}")


def _side(rule: str) -> str:
    return {"::": "center", "-:": "right", ":-": "left"}.get(rule[:1] + rule[-1:], "") if len(rule) > 1 else ""


def _cell(side: str, text: str) -> list[Token]:
    style = {"style": f"text-align:{side}"} if side else {}
    inside = Token("inline", "", 0, content=text, children=[], level=4)
    return [Token("td_open", "td", 1, attrs=dict(style), level=3), inside, Token("td_close", "td", -1, level=3)]


def formula_of(formula: OpenFormula, context: RenderContext) -> str:
    """The HTML of a displayed formula."""
    context.formulas -= 1
    return cleaned(displayed(formula.tex, formula.source, context.formulas >= 0))


def half_formula_of(formula: OpenFormula, more: str) -> str:
    """The HTML of a displayed formula that has not ended; ``more`` is the beginning of its next line."""
    tex = f"{formula.tex}\n{more}".strip()
    return cleaned(displayed(tex, tex, formula.is_formula))


def _env(text: str, options: PageOptions, context: RenderContext) -> Env:
    env: Env = {"shown": False, "in_line": False, "references": context.references, "crowded": False}
    env.update(options=options, spare=context.spare, formulas=context.formulas, links=[], text=text)
    return env


def plain_html(text: str) -> str:
    """The HTML of text shown as typed."""
    return cleaned(f'<pre class="fg-plain" dir="auto"><code>{escaped(text)}</code></pre>')

"""One block of a reply's Markdown as HTML.

markdown-it reads it, with raw HTML as text; what is written is what it found, in the few elements of `allowed_html`,
which has the last word.
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

from flowgpt_magic.markdown.addresses import BODY, LONGEST_ADDRESS, is_link, trimmed
from flowgpt_magic.markdown.blocks import DEEPEST, DEFINITION, read_tables
from flowgpt_magic.markdown.emphasis import read_emphasis
from flowgpt_magic.markdown.formula_bars import hide_bars, keep_bars, show_bars
from flowgpt_magic.markdown.formulas import HalfFormula, find_formulas
from flowgpt_magic.markdown.harmless import character_reference, line_break
from flowgpt_magic.markdown.html.elements import Env, Looks, Writer, affordable, arrange, displayed
from flowgpt_magic.markdown.html.sanitize import cleaned, escaped
from flowgpt_magic.markdown.html.unfinished import parse_inline, show_half_open

MOST_SPARE = 50_000  # characters
MOST_FORMULAS = 2_000  # that are typeset in one reply; more are shown as code
EMPTY = '<p dir="auto"></p>'


@dataclass
class Known:
    """What a block knows of the reply before it: where its references point, and how long its addresses may be.

    A reference can name an address in three characters, and a row of one character can have many cells; so that a short
    reply does not become a long page, all that comes so has ``spare`` characters, which grow with the text.
    """

    references: dict[str, Any] = field(default_factory=dict)
    spare: int = 2_000
    formulas: int = MOST_FORMULAS  # that may still be typeset

    def spend(self, env: Env) -> None:
        """Take over what is left after a block."""
        self.spare, self.formulas = min(max(0, env["spare"]), MOST_SPARE), max(0, env["formulas"])


# -- reading ---------------------------------------------------------------------------------------------------------

_WEB_ADDRESS = re.compile(rf"://{BODY}{{1,{LONGEST_ADDRESS}}}")
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])https?\Z", re.IGNORECASE)


def _bare_address(state: StateInline, silent: bool) -> bool:
    """An address that stands in the text; one at the open end of a text may not be whole yet, and is no link."""
    if silent or state.src[state.pos] != ":" or state.linkLevel > 0:
        return False
    found = _WEB_ADDRESS.match(state.src, state.pos, state.posMax)
    scheme = _SCHEME.search(state.src, max(0, state.pos - 6), state.pos)
    if found is None or scheme is None or not state.pending.endswith(scheme[0]):
        return False
    rest = trimmed(found[0])
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
    """``[name]: address`` on one line; in CommonMark it may have several, and then nobody knows where it ends."""
    if silent or state.is_code_block(start):
        return False
    line = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]].rstrip()
    found = DEFINITION.fullmatch(line) if line[:1] == "[" else None
    if found is None:
        return False
    address = state.md.normalizeLink(found[2] if found[2] is not None else found[3])
    if not state.md.validateLink(address):
        return False
    state.env["references"].setdefault(normalizeReference(found[1]), {"title": "", "href": address})
    state.line = start + 1
    return True


def _uncrowded(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """A rule that does not look for the end of every bracket where there are very many."""
    return lambda state, silent: not state.env["crowded"] and rule(state, silent)


_INTERRUPTED = ["paragraph", "reference", "blockquote", "list"]


def _inside_only(rule: Callable[[StateBlock, int, int, bool], bool]) -> Callable[[StateBlock, int, int, bool], bool]:
    """A rule for lists and quotes; formulas at the top of a text are found before anything is parsed."""
    return lambda state, start, end, silent: state.level > 0 and rule(state, start, end, silent)


def _reader() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST}, renderer_cls=Writer)
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


def markup_of(text: str, looks: Looks, known: Known, *, number: int | None = None) -> str:
    """The HTML of a block of Markdown, or of several; nothing where there is nothing to see.

    An ordered list begins with ``number``, where that is given.
    """
    env = _env(text, looks, known)
    blocks = _blocks(text, env, number)
    known.spend(env)
    return "".join(blocks)


def open_markup_of(text: str, looks: Looks, known: Known, *, in_line: bool, number: int | None = None) -> list[str]:
    """The HTML of each block of a text that goes on, with ``in_line`` in its last line; ``known`` stays as it is."""
    env = _env(text, looks, known)
    env.update(shown=True, in_line=in_line, references=dict(known.references) if "]:" in text else known.references)
    return _blocks(text, env, number)


def _blocks(text: str, env: Env, number: int | None) -> list[str]:
    tokens = _READER.parse(text, env)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return [plain_html(text.strip("\n"))]
    arrange(tokens)
    if number is not None and tokens and tokens[0].type == "ordered_list_open":
        tokens[0].attrs = {**({} if number == 1 else {"start": number}), "dir": "auto"}
    starts = [place for place, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
    groups = [tokens[start:end] for start, end in itertools.pairwise([*starts, len(tokens)])]
    written = [_READER.renderer.render(group, _READER.options, env) for group in groups]
    return [html for each in written if (html := cleaned(each, images=env["looks"].images)) != EMPTY]


def row_of(text: str, rule: str, looks: Looks, known: Known) -> str:
    """The HTML of a row of a table whose head has this ``rule`` below it: what `markup_of` makes of it there."""
    env = _env(text, looks, known)
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
        f"{_ROW[0]}{_READER.renderer.render(tokens, _READER.options, env)}{empty}{_ROW[1]}", images=looks.images
    )
    known.spend(env)
    return written[len(_TABLE[0]) : -len(_TABLE[1])]


_TABLE = ("<table><tbody>", "</tbody></table>")
_ROW = (f"{_TABLE[0]}<tr>", f"</tr>{_TABLE[1]}")


def _side(rule: str) -> str:
    return {"::": "center", "-:": "right", ":-": "left"}.get(rule[:1] + rule[-1:], "") if len(rule) > 1 else ""


def _cell(side: str, text: str) -> list[Token]:
    style = {"style": f"text-align:{side}"} if side else {}
    inside = Token("inline", "", 0, content=text, children=[], level=4)
    return [Token("td_open", "td", 1, attrs=dict(style), level=3), inside, Token("td_close", "td", -1, level=3)]


def formula_of(formula: HalfFormula, known: Known) -> str:
    """The HTML of a displayed formula."""
    known.formulas -= 1
    return cleaned(displayed(formula.tex, formula.source, known.formulas >= 0))


def half_formula_of(formula: HalfFormula, more: str) -> str:
    """The HTML of one whose end has not come, with the beginning of its next line."""
    tex = f"{formula.tex}\n{more}".strip()
    return cleaned(displayed(tex, tex, formula.is_formula))


def _env(text: str, looks: Looks, known: Known) -> Env:
    env: Env = {"shown": False, "in_line": False, "references": known.references, "crowded": False}
    env.update(looks=looks, spare=known.spare, formulas=known.formulas, links=[], text=text)
    return env


def plain_html(text: str) -> str:
    """Text as it was typed, in its lines."""
    return cleaned(f'<pre class="fg-plain" dir="auto"><code>{escaped(text)}</code></pre>')

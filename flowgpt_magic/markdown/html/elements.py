"""The HTML elements that Markdown tokens become."""

from __future__ import annotations

import html
import re
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from flowgpt_magic.markdown.addresses import is_image
from flowgpt_magic.markdown.html.highlight import runs_of, spans_of
from flowgpt_magic.markdown.html.mathml import mathml
from flowgpt_magic.markdown.html.sanitize import escaped

EMPTY_CELL_SIZE = 9  # characters of a cell that is empty
TABLE_BODY = "<tbody>"

Env = MutableMapping[str, Any]  # state shared by the parser's rules: see `render.markup_of`


@dataclass
class PageOptions:
    """How a reply is shown.

    ``images`` shows images from the web, which fetches them. ``static`` is for pages without JavaScript: code is
    coloured in the HTML, and images become links.
    """

    images: bool = False
    static: bool = False


def language_of(info: str) -> str:
    """The language of a code block: the first word after the fence, or an empty string."""
    words = info.split()
    word = words[0].strip("{.}") if words else ""
    return word.lower() if re.fullmatch(r"[\w+#.-]{1,40}", word, re.ASCII) else ""


def code_head(language: str, part: int = 1) -> str:
    """The opening tags of a code block."""
    more = f' data-part="{part}"' if part > 1 else ""
    return f'<pre dir="ltr" data-language="{language}"{more}><code>'


def code_tail(runs: str) -> str:
    """The closing tags of a code block, with the kinds of its characters if they are known."""
    return f'</code><span data-runs="{runs}"></span></pre>' if runs else "</code></pre>"


# -- writing ---------------------------------------------------------------------------------------------------------

_TASK = re.compile(r"\[([ xX])\](?:[ \t]+|\Z)")
SIDES = {f"text-align:{side}": side for side in ("left", "center", "right")}


class Writer(RendererHTML):
    """Writes tokens as HTML, with no white space between the elements."""

    def renderToken(self, tokens: Sequence[Token], idx: int, *_args: Any) -> str:  # noqa: N802 - the parser's name
        token = tokens[idx]
        if token.hidden:
            return ""
        if token.nesting < 0:
            return f"</{token.tag}>"
        return f"<{token.tag}{''.join(f' {name}={_quoted(value)}' for name, value in token.attrs.items())}>"

    def softbreak(self, *_args: Any) -> str:
        return " "

    def hardbreak(self, *_args: Any) -> str:
        return "<br>"

    def code_inline(self, tokens: Sequence[Token], idx: int, *_args: Any) -> str:
        return f"<code>{escaped(tokens[idx].content)}</code>"

    def code_block(self, tokens: Sequence[Token], idx: int, *_args: Any) -> str:
        return code_head("") + escaped(tokens[idx].content.removesuffix("\n")) + code_tail("")

    def fence(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Env) -> str:
        token = tokens[idx]
        language, code = language_of(token.info), token.content.removesuffix("\n")
        runs = runs_of(code, language) if not env["shown"] or _is_closed(token, env["text"]) else ""
        return code_html(code, language, runs, env["options"])

    def link_open(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Env) -> str:
        href = str(tokens[idx].attrGet("href") or "")
        env["spare"] -= len(href)
        env["links"].append(env["spare"] >= 0)
        return f'<a href={_quoted(href)} target="_blank">' if env["spare"] >= 0 else ""

    def link_close(self, _tokens: Sequence[Token], _idx: int, _options: OptionsDict, env: Env) -> str:
        return "</a>" if env["links"].pop() else ""

    def image(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Env) -> str:
        address = str(tokens[idx].attrGet("src") or "")
        words = "".join(child.content or " " * ("break" in child.type) for child in tokens[idx].children or ())
        env["spare"] -= 2 * len(address)
        return _image(address, words, env) if env["spare"] >= 0 and is_image(address) else escaped(words)

    def formula(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Env) -> str:
        token = tokens[idx]
        math = _typeset(token.content, token.meta["displayed"], env)
        return math or f'<code class="fg-tex">{escaped(" ".join(token.meta["source"].split()))}</code>'

    def formula_half(self, tokens: Sequence[Token], idx: int, *_args: Any) -> str:
        return f'<code class="fg-tex">{escaped(" ".join(tokens[idx].content.split()))}</code>'

    def formula_block(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Env) -> str:
        env["formulas"] -= 1
        return displayed(tokens[idx].content, tokens[idx].meta["source"], env["formulas"] >= 0)

    def formula_open(self, tokens: Sequence[Token], idx: int, *_args: Any) -> str:
        return displayed(tokens[idx].content, tokens[idx].content, False)

    def tr_open(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: Env) -> str:
        _drop_cells(tokens, idx, env)
        return "<tr>"

    def table_open(self, *_args: Any) -> str:
        return '<div class="fg-scroll"><table dir="auto">'

    def table_close(self, *_args: Any) -> str:
        return "</table></div>"


def _quoted(value: object) -> str:
    return f'"{html.escape(str(value))}"'


def _typeset(tex: str, displayed: bool, env: Env) -> str | None:
    env["formulas"] -= 1
    return mathml(tex, displayed) if env["formulas"] >= 0 else None


def _drop_cells(tokens: Sequence[Token], place: int, env: Env) -> None:
    """Leave out empty cells at the end of a row when they exceed the limit."""
    row = _until_closed(tokens, place)
    empty = 0
    while 3 * empty < len(row) and not row[-2 - 3 * empty].content:
        empty += 1
    dropped = empty - affordable(empty, env)
    for token in row[len(row) - 3 * dropped :]:
        token.hidden = True


def affordable(empty: int, env: Env) -> int:
    """How many of these empty cells the limit allows."""
    afforded = min(empty, max(0, env["spare"]) // EMPTY_CELL_SIZE)
    env["spare"] -= EMPTY_CELL_SIZE * afforded
    return int(afforded)


def displayed(tex: str, source: str, typeset: bool) -> str:
    """A displayed formula, or its source if it cannot be typeset."""
    math = mathml(tex, True) if typeset else None
    if math is None:
        return f'<pre class="fg-tex" dir="ltr"><code>{escaped(source)}</code></pre>'
    return f'<div class="fg-scroll">{math}</div>'


def _is_closed(token: Token, text: str) -> bool:
    """Whether a code block in a list or quote has its closing fence."""
    first, end = token.map or (0, 0)
    last = text.split("\n")[end - 1].strip(" \t>") if end - first > 1 else ""
    return len(last) >= len(token.markup) and not last.strip(token.markup[0])


def code_html(code: str, language: str, runs: str, options: PageOptions) -> str:
    """The HTML of a code block; in a static page with its words coloured."""
    if not (runs and options.static):
        return code_head(language) + escaped(code) + code_tail(runs)
    words = (
        f'<span class="fg-{kind}">{escaped(word)}</span>' if kind else escaped(word)
        for word, kind in spans_of(code, runs)
    )
    return code_head(language) + "".join(words) + code_tail("")


def _image(address: str, words: str, env: Env) -> str:
    """An image, or its description with its address to click."""
    if env["options"].images:
        return f'<img src={_quoted(address)} alt={_quoted(words)} loading="lazy" referrerpolicy="no-referrer">'
    short = address if len(address) <= 200 else address[:60] + "…"
    label = escaped(f"{words} ({short})" if words.strip() else short)
    if env["links"]:  # a button, or a link, in a link cannot be clicked alone
        return label
    if env["options"].static:
        return f'<a href={_quoted(address)} target="_blank">{label}</a>'
    return f'<button type="button" class="fg-image" data-src={_quoted(address)}>{label}</button>'


def arrange(tokens: Sequence[Token]) -> None:
    """Adapt the tokens to a chat: smaller headings, boxes for tasks, compact lists."""
    for place, token in enumerate(tokens):
        if token.tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        if token.nesting == 1 and token.level == 0:
            token.attrSet("dir", "auto")
        if token.type in ("th_open", "td_open"):
            side = SIDES.get(str(token.attrGet("style")))
            token.attrs = {"align": side} if side else {}
        elif token.type == "list_item_open":
            _arrange_item(tokens, place)


def _arrange_item(tokens: Sequence[Token], place: int) -> None:
    """Make an item with one paragraph compact. Items are rendered one by one, so others do not count."""
    level = tokens[place].level
    within = _until_closed(tokens, place)
    marks = [
        token for token in within if token.level == level + 1 and token.type in ("paragraph_open", "paragraph_close")
    ]
    for token in marks:
        token.hidden = len(marks) == 2
    children = tokens[place + 2].children if len(within) > 1 and within[0].type == "paragraph_open" else None
    task = _TASK.match(children[0].content) if children and children[0].type == "text" else None
    if task and children:
        tokens[place].attrSet("class", "fg-task")
        children[0].content = ("☐ " if task[1] == " " else "☑ ") + children[0].content[task.end() :]


def _until_closed(tokens: Sequence[Token], place: int) -> list[Token]:
    """The tokens inside of the one that opens at ``place``."""
    level = tokens[place].level
    ends = (number for number in range(place + 1, len(tokens)) if tokens[number].level == level)
    return list(tokens[place + 1 : next(ends, len(tokens))])

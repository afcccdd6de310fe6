"""Rewrite untrusted Markdown so that every renderer shows the same harmless content.

Front ends use different Markdown parsers, which disagree at the edges: what is code, where a list item ends, what a
dollar sign does. So the text is parsed once and written again in the plainest form. Outside code blocks the result has
no ``<`` except in a few tags without attributes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from markdown_it.rules_inline import entity

from flowgpt_magic.control_characters import clean, visible
from flowgpt_magic.markdown.addresses import ADDRESS_CHARACTER, is_image, is_link, trimmed
from flowgpt_magic.markdown.blocks import MAX_NESTING, read_tables
from flowgpt_magic.markdown.emphasis import is_seen_by_all, read_emphasis
from flowgpt_magic.markdown.formula_bars import hide_bars, keep_bars, show_bars
from flowgpt_magic.markdown.formulas import find_formulas, harmless_formula

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token


# -- addresses -------------------------------------------------------------------------------------------------------

_UNSAFE_IN_ADDRESS = re.compile(r"[^A-Za-z0-9\-._~:/?#!&+,;=%@]|(?<=@)@|&(?=#?\w+;)")
_SIMPLE_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-.:/?#&+,;=%]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*")


def _address(address: str) -> str:
    """The address for a link, with Markdown's special characters percent-encoded."""
    return _UNSAFE_IN_ADDRESS.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), address)


# -- text ------------------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(
    rf"https?://{ADDRESS_CHARACTER}+|(?:www(?=\.)|:(?=//))|[\\`*_~|$<&\[\]!@\r\n]",
    re.IGNORECASE,
)
_TEX_WORD = re.compile(r"\\(?:begin|end|ref|eqref)(?![A-Za-z])")
# A bracket too: in some parsers the label of a definition may go on over blank lines, and so swallow a fence.
_LINE_START = re.compile(r"^(?:([#>+=:-])|(\[)(?![ xX]\] )|([0-9]{1,9})([.)])(?=\s|$))", re.MULTILINE)
_PUNCTUATION = re.compile(r"[^\w\s]|_")
_ENTITY = re.compile(r"&#?\w+;")
# Placeholders for a link's bracket and a line break's backslash until all others are encoded. Clean text has neither.
_OPENS_LINK, _BREAKS_LINE = "\x02", "\x03"
_AS_IT_IS = {"*": r"\*", "~": r"\~", "|": r"\|", "`": "&#96;", "<": "&lt;", "\n": " ", "\r": " "}


def _entities(text: str) -> str:
    """The text with all punctuation as character references, so that no parser finds a mark in it."""
    return _PUNCTUATION.sub(lambda match: f"&#{ord(match[0])};", text)


def _alone(character: str) -> str:
    """A character in an element of its own: MathJax reads each element's text separately."""
    return f"<span>&#{ord(character)};</span>"


def _inert(text: str) -> str:
    """The text with all punctuation encoded, and without anything MathJax takes for a formula."""
    return "".join(_alone(part) if part in ("$", "\\") else _entities(part) for part in re.split(r"([$\\])", text))


class _Text:
    """Escapes text. It depends on whether a paragraph has several dollar signs, and on `in_link`."""

    def __init__(self, many_dollars: bool) -> None:
        self.dollar = _alone("$") if many_dollars else r"\$"
        self.in_link = False

    def escape(self, text: str) -> str:
        if _SPECIAL.search(text) is None:
            return text
        return _SPECIAL.sub(self._special, text)

    def _special(self, match: re.Match[str]) -> str:
        mark, text, start = match[0], match.string, match.start()
        if mark in _AS_IT_IS:
            return _AS_IT_IS[mark]
        after = text[start + 1 : start + 2]
        if mark == "$":
            return self.dollar
        if mark == "\\":
            return _backslash(text, start, after)
        if mark == "_":
            before = text[start - 1 : start] if start else ""
            return "_" if before.isalnum() and after.isalnum() else r"\_"
        if mark == "&":
            return "&amp;" if _ENTITY.match(text, start) else "&"
        if mark == ":" or mark.lower() == "www":
            return f"&#{ord(mark[0])};{mark[1:]}"
        if len(mark) > 1:
            return self._bare_address(mark, text[match.end() : match.end() + 1])
        return self._bracket(mark, after, start > 0 and text[start - 1] == "@")

    def _bracket(self, mark: str, after: str, doubled: bool) -> str:
        if mark == "@":
            return "&#64;" if doubled else "@"
        if mark == "!":
            return "&#33;" if after == "[" else "!"
        special = after in "([:" if mark == "]" else after == "^"
        return f"&#{ord(mark)};" if special or self.in_link else mark

    def _bare_address(self, mark: str, after: str) -> str:
        """A bare address: as it is if all renderers link it the same way, else as an explicit link.

        JupyterLab would take a formula right after it for a part of it.
        """
        if self.in_link:
            return _inert(mark)
        if after.isspace() and _SIMPLE_ADDRESS.fullmatch(mark) and not _ENTITY.search(mark):
            return mark
        address = trimmed(mark)
        if not is_link(address, anchors=True):
            return _inert(mark)
        return f"{_OPENS_LINK}{_inert(address)}]({_address(address)})" + _inert(mark[len(address) :])


def _backslash(text: str, start: int, after: str) -> str:
    if not after or after in "()[]$" or _TEX_WORD.match(text, start):
        return _alone("\\")
    return r"\\" if after.isalnum() else "&#92;"


def _escape_line_start(match: re.Match[str]) -> str:
    mark, bracket, number, dot = match.groups()
    return f"\\{mark}" if mark else "&#91;" if bracket else f"{number}\\{dot}"


# -- inline ----------------------------------------------------------------------------------------------------------

_NOT_IN_TICKS = re.compile(r"[<`]|\\(?:begin|end|\\[()\[\]])|@@|^ | $|^$")


def _code(content: str, unwanted: str) -> str:
    """A code span, written as an encoded element if a parser could see something else in it."""
    content = content.replace("\n", " ")
    if _NOT_IN_TICKS.search(content) or any(character in content for character in unwanted):
        return f"<code>{_entities(content)}</code>"
    return f"`{content}`"


class _Inline:
    """Writes the inside of one paragraph, heading or table cell."""

    def __init__(self, images: bool, budget: list[int]) -> None:
        self.images, self.budget = images, budget

    def write(self, children: Sequence[Token], *, in_table: bool = False) -> str:
        """The text; no line of it begins another block."""
        dollars = sum(token.content.count("$") for token in children if token.type in ("text", "image"))
        formulas = any(token.type == "formula" for token in children)
        self.text = _Text(many_dollars=formulas or dollars > 1)
        self.in_table = in_table
        self.last = children[-1] if children else None
        self.parts: list[str] = []
        self.marks: dict[int, Token] = {}  # the parts that begin or end an emphasis
        self.hrefs: list[str] = []
        for token in children:
            getattr(self, f"_{token.type}", self._markup)(token)
        if self.marks and not self._is_seen_by_all():
            for place, token in self.marks.items():
                self.parts[place] = f"</{token.tag}>" if token.nesting < 0 else f"<{token.tag}>"
        written = "".join(self.parts).replace(f"!{_OPENS_LINK}", f"&#33;{_OPENS_LINK}")  # a link, not an image
        lines = (line.strip(" \t") for line in written.split("\n"))
        text = "\n".join(line for line in lines if line).strip(f"{_BREAKS_LINE}\n")
        return _LINE_START.sub(_escape_line_start, text).replace(_OPENS_LINK, "[").replace(_BREAKS_LINE, "\\")

    def _text(self, token: Token) -> None:
        text = visible(token.content)  # a character reference may have brought one
        self.parts.append(self.text.escape(text + "\n")[:-1] if token is self.last else self.text.escape(text))

    def _markup(self, token: Token) -> None:
        if token.type in _MARKUP:
            self.marks[len(self.parts)] = token
        self.parts.append(token.markup if token.type in _MARKUP else self.text.escape(token.content))

    def _is_seen_by_all(self) -> bool:
        """Whether every parser finds each emphasis by its marks, given the text around them."""
        for place, token in self.marks.items():
            first, after = place, place + 1
            while first - 1 in self.marks and self.marks[first - 1].markup[0] == token.markup[0]:
                first -= 1
            while after in self.marks and self.marks[after].markup[0] == token.markup[0]:
                after += 1
            while first and not self.parts[first - 1]:
                first -= 1
            while after < len(self.parts) and not self.parts[after]:
                after += 1
            before = self.parts[first - 1][-1] if first else ""
            behind = self.parts[after][0] if after < len(self.parts) else ""
            if not is_seen_by_all(before, behind, token.markup[0], token.nesting > 0):
                return False
        return True

    def _softbreak(self, _token: Token) -> None:
        self.parts.append(" " if self.in_table else "\n")

    def _hardbreak(self, _token: Token) -> None:
        self.parts.append("<br>" if self.in_table else f"{_BREAKS_LINE}\n")

    def _code_inline(self, token: Token) -> None:
        self.parts.append(_code(token.content, "[]|" if self.text.in_link else "|" if self.in_table else ""))

    def _formula(self, token: Token) -> None:
        self.parts.append(_formula(token, self.in_table, self.text.in_link))

    def _link_open(self, token: Token) -> None:
        href = str(token.attrGet("href") or "")
        self.budget[0] -= len(href)
        self.hrefs.append(href if is_link(href, anchors=True) and self.budget[0] > 0 else "")
        self.text.in_link = True
        self.parts.append(_OPENS_LINK if self.hrefs[-1] else "&#91;")

    def _link_close(self, _token: Token) -> None:
        href = self.hrefs.pop()
        self.text.in_link = False
        self.parts.append(f"]({_address(href)})" if href else "&#93;")

    def _image(self, token: Token) -> None:
        address = str(token.attrGet("src") or "")
        alt = self._alt(token.children or [])
        self.budget[0] -= len(address)
        if self.images and is_image(address, data=True) and self.budget[0] > 0:
            self.parts.append(f"![{_entities(alt)}]({_address(address)})")
            return
        self.parts.append(self._described(_inert(alt), address))

    def _described(self, alt: str, address: str) -> str:
        """An image's replacement: its description, and its address to click."""
        short = _inert(address if len(address) <= 200 else address[:60] + "…")
        if self.text.in_link or not is_link(address, anchors=True) or self.budget[0] <= 0:
            return f"{alt} ({short})" if alt else short
        link = f"{_OPENS_LINK}{short}]({_address(address)})"
        return f"{alt} ({link})" if alt else link

    def _alt(self, children: Sequence[Token]) -> str:
        return clean("".join(token.content or (" " if "break" in token.type else "") for token in children))


_MARKUP = frozenset({"em_open", "em_close", "strong_open", "strong_close", "s_open", "s_close"})


_COLUMNS = re.compile(r"\\begin\{array\} ?\{[lcr| ]*\}")


def _formula(token: Token, in_table: bool = False, in_link: bool = False) -> str:
    tex = harmless_formula(token.content)
    if tex is None or (in_link and ("[" in tex or "]" in tex)):
        return f"<code>{_entities(' '.join(token.meta['source'].split()))}</code>"
    if in_table:
        tex = _COLUMNS.sub(lambda match: match[0].replace("|", ""), tex)
        tex = tex.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return f"$${tex}$$" if token.meta["displayed"] else f"${tex.strip()}$"


# -- blocks ----------------------------------------------------------------------------------------------------------

_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,40}")
# Front ends draw Mermaid diagrams, and nbconvert puts their source into the page unchanged. Diagrams can contain
# external links, style sheets and images.
_RISKY_IN_DIAGRAM = re.compile(
    r"[<&@#\\]|%%|//|url|import|click|call|href|style|class|link|img|image|icon|theme|config", re.IGNORECASE
)
# JupyterLab looks for formulas before it parses Markdown. It also finds them in indented code and spoils it. `@@1`
# before an environment looks like its own placeholder, and then it shows nothing at all.
_LAB_STUMBLES = re.compile(r"@@\d+\\(?:begin|end)")
_LAB_TAKES_OUT = re.compile(r"[$]|\\(?:begin|end)\{|\\\\[()\[\]]|@@\d")
_TICKS = re.compile(r"`{3,}")


class _Blocks:
    """Writes tokens as lines. Each method takes the position of a token and returns the position after the block."""

    def __init__(self, tokens: Sequence[Token], images: bool, size: int) -> None:
        self.tokens = tokens
        self.inline = _Inline(images, [10 * size + 1000])
        self.codes: list[str] = []

    def write(self, at: int, until: str, *, nested: bool = False, tight: bool = False) -> tuple[list[str], int]:
        """The lines of all blocks before the token of type `until`, and the position after that token."""
        lines: list[str] = []
        previous = ""
        while at < len(self.tokens) and self.tokens[at].type != until:
            kind = self.tokens[at].type
            writer: Callable[[int, bool], tuple[list[str], int]] = getattr(self, f"_{kind}")
            block, at = writer(at, nested)
            apart = not tight or kind == "table_open" or previous in ("blockquote_open", "table_open")
            if previous and apart:
                lines.append("")
            lines += block
            previous = kind
        return lines, at + 1

    def _paragraph_open(self, at: int, _nested: bool) -> tuple[list[str], int]:
        text = self.inline.write(self.tokens[at + 1].children or [])
        return text.split("\n"), at + 3

    def _heading_open(self, at: int, _nested: bool) -> tuple[list[str], int]:
        text = self.inline.write(self.tokens[at + 1].children or []).replace("\\\n", " ").replace("\n", " ")
        if text.endswith("#"):
            text = text[:-1] + "\\#"
        return [f"{'#' * int(self.tokens[at].tag[1])} {text}".rstrip()], at + 3

    def _hr(self, at: int, _nested: bool) -> tuple[list[str], int]:
        return ["___"], at + 1

    def _fence(self, at: int, nested: bool) -> tuple[list[str], int]:
        token = self.tokens[at]
        words = token.info.split()
        language = words[0] if words and _LANGUAGE.fullmatch(words[0]) else ""
        if language.lower() == "mermaid" and _RISKY_IN_DIAGRAM.search(token.content):
            language = "text"
        return self._code_lines(token.content, language, nested), at + 1

    def _code_block(self, at: int, nested: bool) -> tuple[list[str], int]:
        return self._code_lines(self.tokens[at].content, "", nested), at + 1

    def _code_lines(self, content: str, language: str, nested: bool) -> list[str]:
        if _LAB_STUMBLES.search(content) or (nested and _LAB_TAKES_OUT.search(content)):
            return [f"<pre><code>{_entities(content).replace(chr(10), '&#10;')}</code></pre>"]
        self.codes.append(content)
        fence = "`" * max([3, *(len(ticks) + 1 for ticks in _TICKS.findall(content))])
        return [fence + language, *content.removesuffix("\n").split("\n"), fence]

    def _formula_block(self, at: int, nested: bool) -> tuple[list[str], int]:
        token = self.tokens[at]
        if harmless_formula(token.content) is None:
            return self._code_lines(token.meta["source"] + "\n", "latex", nested), at + 1
        return [_formula(token)], at + 1

    def _blockquote_open(self, at: int, _nested: bool) -> tuple[list[str], int]:
        lines, at = self.write(at + 1, "blockquote_close", nested=True)
        return [f"> {line}".rstrip() if line else ">" for line in lines or [""]], at

    def _bullet_list_open(self, at: int, _nested: bool) -> tuple[list[str], int]:
        return self._items(at, "bullet_list_close")

    def _ordered_list_open(self, at: int, _nested: bool) -> tuple[list[str], int]:
        return self._items(at, "ordered_list_close")

    def _items(self, at: int, until: str) -> tuple[list[str], int]:
        tight = self._is_tight(at, until)
        lines: list[str] = []
        at += 1
        while self.tokens[at].type != until:
            token = self.tokens[at]
            item, at = self.write(at + 1, "list_item_close", nested=True, tight=tight)
            lines += ([""] if lines and not tight else []) + _item(f"{token.info}{token.markup} ", item)
        return lines, at + 1

    def _is_tight(self, at: int, until: str) -> bool:
        """Whether a list is tight: the parser marks its paragraphs as hidden."""
        level = self.tokens[at].level
        for number in range(at, len(self.tokens)):
            token = self.tokens[number]
            if token.type == "paragraph_open" and token.level == level + 2:
                return token.hidden
            if token.type == until and token.level == level:
                break
        return False

    def _table_open(self, at: int, _nested: bool) -> tuple[list[str], int]:
        rows: list[list[str]] = []
        rules: list[str] = []
        while self.tokens[at].type != "table_close":
            token = self.tokens[at]
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(self.inline.write(token.children or [], in_table=True))
            elif token.type == "th_open":
                rules.append(_RULES.get(str(token.attrGet("style")), "---"))
            at += 1
        written = [f"| {' | '.join(row)} |" for row in rows]
        return [written[0], f"| {' | '.join(rules)} |", *written[1:]], at + 1


_RULES = {"text-align:left": ":---", "text-align:center": ":---:", "text-align:right": "---:"}


def _item(marker: str, lines: list[str]) -> list[str]:
    indent = " " * len(marker)
    return [(marker + lines[0]).rstrip() if lines else marker.rstrip()] + [
        indent + line if line else "" for line in lines[1:]
    ]


# -- the whole text --------------------------------------------------------------------------------------------------


def _is_link_or_image(address: str) -> bool:
    return is_link(address, anchors=True) or is_image(address, data=True)


def _reader() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    parser.validateLink = _is_link_or_image  # type: ignore[method-assign,assignment]
    parser.inline.ruler.before("autolink", "line_break", line_break)
    parser.inline.ruler.at("entity", character_reference)
    read_tables(parser)
    read_emphasis(parser)
    find_formulas(parser)
    keep_bars(parser)
    return parser


_LINE_BREAK = re.compile(r"<br {0,2}/?>", re.IGNORECASE)


def line_break(state: StateInline, silent: bool) -> bool:
    """Read ``<br>`` as a line break: tables have no other way to break a line."""
    match = _LINE_BREAK.match(state.src, state.pos) if state.src[state.pos] == "<" else None
    if match is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = match.end()
    return True


_REFERENCE = re.compile(r"&(?:#(?:x[a-f0-9]{1,6}|[0-9]{1,7})|[a-z][a-z0-9]{1,31});", re.IGNORECASE)


def character_reference(state: StateInline, silent: bool) -> bool:
    """The parser's rule for references, called only at one: some releases copy the rest of the text each time."""
    return _REFERENCE.match(state.src, state.pos) is not None and entity(state, silent)


def _checker() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 2 * MAX_NESTING}).enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


_READER, _CHECKER = _reader(), _checker()
_OWN_TAGS = re.compile(r"</?(?:code|span|strong|em|s)>|<br>")
_OWN_BLOCK = re.compile(r"<pre><code>[^<>]*</code></pre>\s*")


def harmless(text: str, *, images: bool = False) -> str:
    """Rewrite the Markdown `text` so that it looks the same but runs and fetches nothing in any renderer.

    Raw HTML, unusual formulas, and links other than http, https, mailto and anchors are shown as typed. An image is
    shown as its description and address; `images` allows http and data images. This also holds for every beginning of
    a text, so for a streaming one.
    """
    text = clean(text)
    tokens = _READER.parse(text)
    if _is_too_deep(tokens):
        return _as_plain_text(text)
    _undo_cut_emphasis(tokens)
    blocks = _Blocks(tokens, images, len(text))
    lines, _ = blocks.write(0, "")
    written = "\n".join(lines)
    return written if _holds(written, blocks.codes) else _as_plain_text(text)


_MAY_BE_CODE = re.compile("`{3}|~{3}| {4}|\t")  # most texts without code need not be parsed


def code_tokens(text: str, *, cleaned: bool = True) -> list[Token]:
    """The tokens of the fenced and indented code blocks that ``harmless`` shows, in order.

    ``content`` is the code, ``info`` the words after the fence, ``map`` the lines. With ``cleaned`` the code is as
    shown, without control characters; otherwise only its line ends are changed.
    """
    tokens: list[Token] = []
    text = clean(text) if cleaned else text.replace("\r\n", "\n").replace("\r", "\n")
    if _MAY_BE_CODE.search(text) is None:
        return []
    _READER.block.parse(hide_bars(text), _READER, {}, tokens)
    for token in tokens:
        token.content, token.info = show_bars(token.content), show_bars(token.info)
    return [] if _is_too_deep(tokens) else [token for token in tokens if token.type in ("fence", "code_block")]


def _undo_cut_emphasis(tokens: Sequence[Token]) -> None:
    """Make text of an emphasis that is only read because the text ends inside its last marks, as in ``**so*``."""
    last = next((place for place in reversed(range(len(tokens))) if tokens[place].type == "inline"), None)
    if last is None or any(token.nesting >= 0 for token in tokens[last + 1 :]):
        return
    children = [token for token in tokens[last].children or [] if token.type != "text" or token.content]
    if not children or children[-1].type not in ("em_close", "strong_close"):
        return
    end = children[-1]
    opens = (place for place in reversed(range(1, len(children))) if children[place].level == end.level)
    begin = next((place for place in opens if children[place].nesting > 0), 0)
    before, mark = children[begin - 1], end.markup[0]
    if begin and before.type == "text" and before.content.endswith(mark) and f"\\{mark}" not in tokens[last].content:
        for token in (children[begin], end):
            token.type, token.content, token.nesting = "text", token.markup, 0


def _is_too_deep(tokens: Sequence[Token]) -> bool:
    return any(token.level >= MAX_NESTING - 1 for token in tokens)


def _holds(written: str, codes: list[str]) -> bool:
    """Whether a parser that knows HTML finds in the result the same code blocks, and only our own HTML."""
    blocks: list[str] = []
    for token in _CHECKER.parse(written):
        if token.type in ("fence", "code_block"):
            blocks.append(token.content)
        elif token.type == "inline":
            if "<" in _OWN_TAGS.sub("", token.content):
                return False
        elif token.type == "html_block" and not _OWN_BLOCK.fullmatch(token.content):
            return False
    return [code.split() for code in blocks] == [code.split() for code in codes]


def _as_plain_text(text: str) -> str:
    """The text with all punctuation encoded and its line breaks kept."""
    paragraphs = [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text)]
    return "\n\n".join(
        "\\\n".join(_inert(line.strip()) or "&#32;" for line in part.split("\n")) for part in paragraphs if part
    )

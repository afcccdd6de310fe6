"""What a page may have of a reply: a list of its own, beside the one that is tested, and how a page takes changes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from flowgpt_magic.markdown.html.changes import Change, GrowingMarkup

_ELEMENTS = """
    p h3 h4 h5 h6 ul ol li blockquote hr br em strong s a code pre span div table thead tbody tr th td button
    math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle
    mpadded mphantom
"""
ELEMENTS = frozenset(_ELEMENTS.split())
VOID = frozenset({"br", "hr", "img"})
WEB = r"https?://[^/\s\\][^\s\\]*"
ATTRIBUTES = {
    "a href": rf"{WEB}|mailto:[^\s\\]+",
    "a target": "_blank",
    "a rel": "noopener noreferrer",
    "button type": "button",
    "button class": "fg-image",
    "button data-src": WEB,
    "pre class": "fg-tex|fg-plain",
    "pre data-language": r"[a-z0-9_+#.-]{0,40}",
    "pre data-part": r"\d+",
    "span data-runs": "[A-Z0-9a-z]*",
    "span class": "fg-[a-z]+",
    "code class": "fg-tex",
    "div class": "fg-scroll",
    "li class": "fg-task",
    "ol start": r"\d+",
    "th align": "left|center|right",
    "td align": "left|center|right",
    "math display": "block",
}
TOP = frozenset({"p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "pre", "table"})  # these have a direction
MATHS = frozenset(name for name in ELEMENTS if name.startswith("m"))
MATHS_ATTRIBUTES = re.compile(
    r"(?:stretchy|fence|separator|largeop|movablelimits|accent|displaystyle)=(?:true|false)"
    r"|(?:minsize|maxsize|mathsize|linethickness|lspace|rspace|width|height|depth|voffset)=-?[\d.]*(?:em|ex|px|pt|%)?"
    r"|form=(?:prefix|infix|postfix)|scriptlevel=[+-]?\d|mathvariant=normal|mathcolor=[A-Za-z]+"
    r"|class=fg-(?:left|right|boxed|struck)"
)


class _Reader(HTMLParser):
    def __init__(self, images: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.images = images
        self.bad: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ELEMENTS and not (tag == "img" and self.images):
            self.bad.append(tag)
        self.bad += [f"{tag} {name}={value}" for name, value in attrs if not self._may_have(tag, name, value or "")]
        if tag == "a" and dict(attrs).get("rel") != "noopener noreferrer":
            self.bad.append("a link without noopener")
        if tag not in VOID:
            self.open.append(tag)

    def _may_have(self, tag: str, name: str, value: str) -> bool:
        if name == "dir":
            return tag in TOP and value in ("auto", "ltr")
        if tag == "img":
            return (
                name == "alt"
                or f"{name}={value}" in ("loading=lazy", "referrerpolicy=no-referrer")
                or (name == "src" and re.fullmatch(WEB, value) is not None)
            )
        if tag in MATHS and MATHS_ATTRIBUTES.fullmatch(f"{name}={value}"):
            return True
        allowed = ATTRIBUTES.get(f"{tag} {name}")
        return allowed is not None and re.fullmatch(allowed, value, re.IGNORECASE) is not None

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.bad.append(f"</{tag}> at the wrong place")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.bad.append(f"<!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.bad.append(f"<!{decl}")

    def unknown_decl(self, data: str) -> None:
        self.bad.append(f"<![{data}")

    def handle_pi(self, data: str) -> None:
        self.bad.append(f"<?{data}")


def _read(html: str, images: bool) -> _Reader:
    reader = _Reader(images)
    reader.feed(html)
    reader.close()
    return reader


def without_captions(page: str) -> str:
    """``page`` without the tags around our captions; what stands between them stays."""
    classes = "flowgpt-caption(?: mathjax_ignore tex2jax_ignore)?"
    page = re.sub(rf'<(?:div|details) class="{classes}" style="opacity: [0-9.]+">', "", page)
    return re.sub(r"</?(?:summary|small)>|</details>|(?<=</small>)</div>", "", page)


def bad_in(html: str, *, images: bool = False) -> list[str]:
    """Everything in it that a page must not get from a reply, elements without their ends among it."""
    reader = _read(html, images)
    return reader.bad + [f"<{tag}> without its end" for tag in reader.open]


def text_of(html: str) -> str:
    """What a reader reads."""
    return "".join(_read(html, True).text)


def changed(page: list[str], change: Change) -> list[str]:
    """The blocks of a page after a change, as the page's script makes them, which counts UTF-16 code units."""
    assert change.keep <= len(page)
    old = page[change.keep].encode("utf-16-le") if change.keep < len(page) else b""
    assert 2 * change.cut <= len(old)
    block = old[: 2 * change.cut].decode("utf-16-le") + change.add
    return [*page[: change.keep], *([block] if block else []), *change.blocks]


def streamed(pieces: list[str], *, images: bool = False, finished: bool = True) -> list[str]:
    """The blocks of a page that is told of a reply after each of its pieces; on the way it has what it should."""
    markup, page = GrowingMarkup(images=images), []
    for piece in pieces:
        markup.feed(piece)
        change = markup.change()
        page = changed(page, change) if change else page
        assert page == markup.blocks
    if finished:
        markup.finish()
        change = markup.change()
        page = changed(page, change) if change else page
        assert page == markup.blocks
        assert markup.change() is None
    return page

"""The elements, attributes and values that the HTML of a reply may contain.

This filter runs last, whatever produced the HTML. Elements whose content is parsed as raw text (style, title, noscript
…), forms, and the MathML elements that return to HTML (annotation-xml, mglyph) are not allowed: through these, harmless
HTML can become other HTML when it is parsed again.
"""

from __future__ import annotations

import functools
import html
import re
from typing import Protocol

from flowgpt_magic.control_characters import visible
from flowgpt_magic.markdown.addresses import IMAGE, LINK

LONGEST_VALUE = 40_000  # characters of an attribute

_TAGS = """
    p h3 h4 h5 h6 ul ol li blockquote hr br em strong s a code pre span div table thead tbody tr th td img button
"""
_MATH_TAGS = """
    math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle
    mpadded mphantom
"""
TAGS = frozenset(_TAGS.split())
MATH_TAGS = frozenset(_MATH_TAGS.split())
CODE_WORDS = "keyword string comment number function builtin operator meta tag attribute variable atom error"  # of code

_LENGTH = re.compile(r"-?\d{0,4}(?:\.\d{0,6})?(?:em|ex|px|pt|%)?")
_BOOLEAN = re.compile(r"true|false")
_MATH_ATTRIBUTES = {
    **dict.fromkeys(("stretchy", "fence", "separator", "largeop", "movablelimits", "accent", "displaystyle"), _BOOLEAN),
    **dict.fromkeys(("minsize", "maxsize", "mathsize", "linethickness", "lspace", "rspace"), _LENGTH),
    **dict.fromkeys(("width", "height", "depth", "voffset"), _LENGTH),
    "form": re.compile(r"prefix|infix|postfix"),
    "scriptlevel": re.compile(r"[+-]?\d"),
    "mathvariant": re.compile(r"normal"),
    "mathcolor": re.compile(r"[A-Za-z]{1,20}"),
    "class": re.compile(r"fg-(?:left|right|boxed|struck)"),
}
_ATTRIBUTES: dict[str, dict[str, re.Pattern[str]]] = {
    "a": {"href": LINK, "target": re.compile("_blank"), "rel": re.compile("noopener noreferrer")},
    "img": {
        "src": IMAGE,
        "alt": re.compile(r"[\s\S]*"),
        "loading": re.compile("lazy"),
        "referrerpolicy": re.compile("no-referrer"),
    },
    "button": {"type": re.compile("button"), "class": re.compile("fg-image"), "data-src": IMAGE},
    "pre": {
        "class": re.compile("fg-(?:tex|plain)"),
        "data-language": re.compile(r"[\w+#.-]{0,40}"),
        "data-part": re.compile(r"\d{1,6}"),
    },
    "span": {"data-runs": re.compile(r"[A-Za-z0-9]*"), "class": re.compile(f"fg-(?:{CODE_WORDS.replace(' ', '|')})")},
    "code": {"class": re.compile("fg-tex")},
    "div": {"class": re.compile("fg-scroll")},
    "li": {"class": re.compile("fg-task")},
    "ol": {"start": re.compile(r"\d{1,9}")},
    "th": {"align": re.compile("left|center|right")},
    "td": {"align": re.compile("left|center|right")},
    **{tag: dict(_MATH_ATTRIBUTES) for tag in MATH_TAGS},
}
for _tag in ("p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "pre", "table", "code"):
    _ATTRIBUTES.setdefault(_tag, {})["dir"] = re.compile("auto|ltr")
_ATTRIBUTES["math"]["display"] = re.compile("block")


class _Cleaner(Protocol):
    def clean(self, html: str) -> str: ...


@functools.cache
def _cleaner(images: bool) -> _Cleaner:
    import nh3

    return nh3.Cleaner(
        tags=set(TAGS | MATH_TAGS) - (set() if images else {"img"}),
        clean_content_tags=set(),
        attributes={tag: set(values) - {"rel"} for tag, values in _ATTRIBUTES.items()},
        attribute_filter=_kept,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        strip_comments=True,
    )


def _kept(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute, or None if it is not allowed."""
    allowed = _ATTRIBUTES.get(tag, {}).get(name)
    return value if allowed is not None and len(value) <= LONGEST_VALUE and allowed.fullmatch(value) else None


# A link whose address was removed.
_LEADS_NOWHERE = re.compile(r'<a target="_blank" rel="noopener noreferrer">(.*?)</a>', re.DOTALL)


def cleaned(fragment: str, *, images: bool = False) -> str:
    """The HTML with only what is allowed; every link opens with ``noopener``, images remain only with ``images``."""
    # A character reference may stand for a control character.
    result = visible(_cleaner(images).clean(fragment))
    return _LEADS_NOWHERE.sub(r"\1", result) if "<a target" in result else result


def escaped(text: str) -> str:
    """Text escaped for HTML and for attributes in double quotes."""
    return html.escape(text)

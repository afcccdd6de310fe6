"""How a reply is shown when it has ended: one line in a table for each word that ``-f`` takes.

Whatever a format makes of a reply, ``text/plain`` is the reply as it came, and nothing in it can run.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from flowgpt_magic.markdown.growing import code_blocks, harmless, plain
from flowgpt_magic.markdown.json_text import block_in
from flowgpt_magic.messages.reasoning import answer_of


@dataclass(frozen=True)
class Shown:
    """A reply in one format: its display bundle, without a caption, and what a person should know of it."""

    data: dict[str, str]
    notice: str = ""


def _markdown(text: str, images: bool) -> Shown:
    return Shown({"text/markdown": harmless(text, images=images).rstrip("\n")})


def _text(text: str, _images: bool) -> Shown:
    return Shown({"text/html": f'<pre style="white-space: pre-wrap">{html.escape(plain(text))}</pre>'})


def _code(text: str, images: bool) -> Shown:
    blocks = code_blocks(text)
    if not blocks:
        return Shown(_markdown(text, images).data, "there is no code block in it")
    return Shown({"text/markdown": harmless("\n\n".join(_fenced(code, language) for language, code in blocks))})


def _json(text: str, images: bool) -> Shown:
    found, error = read_json(text)
    if error:
        return Shown(_markdown(text, images).data, f"this is no JSON: {error}")
    return Shown({"text/markdown": harmless(_fenced(json.dumps(found, indent=2, ensure_ascii=False), "json"))})


def _html(text: str, _images: bool) -> Shown:
    """Cleaned: no script, no style, no form, and nothing that is fetched, such as an image."""
    import nh3  # takes its time, and few replies need it

    blocks = [code for language, code in code_blocks(text) if language in ("html", "")]
    page = blocks[0] if len(blocks) == 1 else answer_of(text)
    return Shown({"text/html": nh3.clean(plain(page), tags=nh3.ALLOWED_TAGS - FETCHING, attributes=_attributes())})


FETCHING = {"img", "map", "area"}  # tags that ask another server for something
FETCHING_ATTRIBUTES = {"src", "srcset", "background", "cite", "longdesc"}


def _attributes() -> dict[str, set[str]]:
    import nh3

    return {tag: names - FETCHING_ATTRIBUTES for tag, names in nh3.ALLOWED_ATTRIBUTES.items() if tag not in FETCHING}


def _math(text: str, images: bool) -> Shown:
    blocks = code_blocks(text)
    formula = (blocks[0][1] if len(blocks) == 1 else answer_of(text)).strip()
    if re.search(r"\$|\\[\[(]", formula.strip("$")) or "\n\n" in formula:  # it is text with formulas in it
        return _markdown(text, images)
    return Shown({"text/markdown": harmless(f"$$\n{formula.strip('$').strip()}\n$$", images=False)})


FORMATS: dict[str, Callable[[str, bool], Shown]] = {
    "markdown": _markdown,
    "md": _markdown,
    "text": _text,
    "code": _code,
    "json": _json,
    "html": _html,
    "math": _math,
}
GROWING = ("markdown", "md")  # formats that are shown as such while they arrive; the others arrive as text


LONGEST = 2**20  # characters of a reply that a page shows


def shown(text: str, form: str, *, images: bool = False) -> Shown:
    """``text`` in the format ``form``.

    Of a text of more than `LONGEST` characters it is the beginning, as Markdown or as text, and says so: no browser
    draws more.
    """
    if len(text) <= LONGEST:
        return FORMATS[form](text, images)
    made = FORMATS["text" if form == "text" else "markdown"](text[:LONGEST], images)
    more = f"… {len(text) - LONGEST:,} more characters are not shown; the plain text of this output has the whole reply"
    around = {"text/markdown": "{}\n\n*{}*", "text/html": "{}<p><em>{}</em></p>"}
    return Shown({kind: around[kind].format(page, more) for kind, page in made.data.items()})


def read_json(text: str) -> tuple[object, str]:
    """The JSON value that the reply ``text`` is, or that stands alone in it; where there is none, what is wrong."""
    answer = answer_of(text)
    try:
        return json.loads(answer), ""
    except (ValueError, RecursionError) as error:
        wrong = str(error)
    if (block := block_in(text)) is not None:
        return block.value, ""
    blocks = code_blocks(text)
    if len(blocks) == 1:
        try:
            json.loads(blocks[0][1])
        except (ValueError, RecursionError) as error:
            wrong = str(error)
    return None, wrong


def _fenced(code: str, language: str) -> str:
    """A code block, in a fence longer than any in the code."""
    longest = max(map(len, re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    word = language if re.fullmatch(r"[\w+#.-]+", language) else ""
    return f"{fence}{word}\n{plain(code).rstrip()}\n{fence}"

"""What came with the text of a reply: the images that the model generated, and a numbered list of its sources.

Both come from a stranger. An image is shown only if its bytes are those of a known kind, and nothing is loaded from the
web. A source is a link only if it is an address of the web.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence

from flowgpt_magic.markdown.addresses import is_link
from flowgpt_magic.messages.extras import Citation
from flowgpt_magic.prompt.image_formats import BrokenImageError, ReadImage, read_image
from flowgpt_magic.prompt.pictures import MOST_PIXELS
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import cut, one_line
from flowgpt_magic.transcripts.escaping import NO_FORMULAS, as_html

CLASS = "flowgpt-additions"
SHOWN_BYTES = 2 * 2**20  # of all images of a reply: a Jupyter server drops outputs of more than 3 MB in 3 seconds
MOST_SOURCES = 100
MOST_QUOTES = 3  # of a source
LONGEST_TITLE = 200  # characters
SAVED_WITH = "reply.images has it"


def additions_html(images: Sequence[str], citations: Sequence[Citation]) -> str:
    """The images and sources as one block of HTML, for a page and for Markdown; empty if there are none.

    Args:
        images: their URLs. Those that are no image of a known kind, or too large, are named with their size.
        citations: the sources in the order of their numbers in the text.
    """
    parts = [*_images(images), _sources(citations)]
    shown = "".join(parts)
    classes = CLASS + (NO_FORMULAS if "&#36;" in shown else "")
    return f'<div class="{classes}">{shown}</div>' if shown else ""


def source_lines(citations: Iterable[Citation]) -> list[str]:
    """The sources for plain text: a line for each, with its number."""
    return [f"[{number}] {cut(redact(str(source)), 2 * LONGEST_TITLE)}" for number, source in enumerate(citations, 1)]


def _images(urls: Iterable[str]) -> Iterable[str]:
    room = SHOWN_BYTES
    for url in urls:
        image, words = _image(url)
        if image is None:
            yield f"<p><small>{words}</small></p>"
        elif len(image.content) > room or max(image.width, image.height) > MOST_PIXELS:
            size = f"{image.width} × {image.height}, {_size(len(image.content))}"  # noqa: RUF001 - multiplication
            yield f"<p><small>An image ({size}) is too large to be shown here: {SAVED_WITH}.</small></p>"
        else:
            room -= len(image.content)
            data = base64.b64encode(image.content).decode("ascii")
            yield (
                f'<p><img src="data:{image.type};base64,{data}" alt="image from the model" width="{image.width}" '
                'style="max-width: 100%; height: auto"></p>'
            )


def _image(url: str) -> tuple[ReadImage | None, str]:
    """The image in a ``data:`` URL, without metadata; or None and what is said in its place, as HTML."""
    head, _comma, data = url.partition(",")
    if not head.lower().startswith("data:"):
        return None, f"An image that is not loaded: {_link(url, url)}"
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
        image = read_image(content)
    except (binascii.Error, BrokenImageError, ValueError):
        return None, f"An image is broken and not shown: {SAVED_WITH}."
    if image is None:
        kind = as_html(cut(head[5:].partition(";")[0]) or "no type")
        return None, f"An image of a kind that is not shown ({kind}, {_size(len(content))}): {SAVED_WITH}."
    return image, ""


def _size(length: int) -> str:
    return f"{length / 2**20:.1f} MB" if length >= 2**20 else f"{max(1, round(length / 2**10))} kB"


def _sources(citations: Sequence[Citation]) -> str:
    if not citations:
        return ""
    items = "".join(f"<li>{_source(source)}</li>" for source in citations[:MOST_SOURCES])
    further = len(citations) - MOST_SOURCES
    more = f"<small>and {further} more in reply.citations</small>" if further > 0 else ""
    return f"<small>Sources</small><ol>{items}</ol>{more}"


def _source(source: Citation) -> str:
    quotes = (as_html(cut(redact(quote), LONGEST_TITLE)) for quote in source.quotes[:MOST_QUOTES])
    return _link(source.url, source.title or source.url) + "".join(f"<br><small>“{quote}”</small>" for quote in quotes)


def _link(url: str, title: str) -> str:
    """``title`` as a link, or as text if ``url`` is no address of the web."""
    url, words = redact(url), as_html(cut(redact(title), LONGEST_TITLE))
    if not (url.lower().startswith("http") and is_link(url)):
        return words if title == url or not url else f"{words} ({as_html(cut(url, LONGEST_TITLE))})"
    address = as_html(one_line(url)).replace('"', "&quot;")
    return f'<a href="{address}" target="_blank" rel="noopener noreferrer">{words}</a>'

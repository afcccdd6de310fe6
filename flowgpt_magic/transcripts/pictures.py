"""The pictures of a prompt in a transcript: a small copy, or a line with the name and the size of a large one."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowgpt_magic.control_characters import clean
from flowgpt_magic.prompt.pictures import (
    MAX_THUMBNAIL,
    Picture,
    attachment_name,
    picture_of_url,
    references_of,
)
from flowgpt_magic.text import escaped, one_line

if TYPE_CHECKING:
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.transcripts.transcript import TranscriptTurn

SIDE = 160  # pixels of the longer side of a picture that is shown
ROOM = 4_000_000  # characters of all thumbnails in one transcript
Thumbnails = Mapping[str, str]
"""``data:`` URLs of the small copies, by the digest of the picture."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture as a transcript shows it; ``url`` is empty if there is no small copy."""

    name: str
    description: str
    width: int
    height: int
    url: str

    @property
    def line(self) -> str:
        """A line about the picture."""
        size = f" ({self.width} \N{MULTIPLICATION SIGN} {self.height})" if self.width else ""
        return one_line(f"picture {self.name}{size}{f': {self.description}' if self.description else ''}")

    @property
    def html(self) -> str:
        """The picture, or the line about it, as HTML without any address."""
        if not self.url:
            return f'<p class="fg-caption">{html.escape(clean(self.line))}</p>'
        scale = min(1.0, SIDE / max(self.width, self.height, 1))
        size = f'width="{max(1, round(self.width * scale))}" height="{max(1, round(self.height * scale))}"'
        alt = html.escape(clean(self.description or self.name))
        return f'<p class="fg-picture"><img src="{self.url}" alt="{alt}" {size if self.width else ""}></p>'

    @property
    def markdown(self) -> str:
        """The same as Markdown."""
        if not self.url:
            return f"*{escaped(clean(self.line))}*"
        return f"![{escaped(clean(one_line(self.description or self.name)))}]({self.url})"


def pictures_of(turn: Turn | TranscriptTurn, thumbnails: Thumbnails | None = None) -> list[ShownPicture]:
    """The pictures that were sent with a turn. Without ``thumbnails``, those that are small are shown themselves."""
    pictures = [picture for url in dict.fromkeys(turn.images) if (picture := picture_of_url(url)) is not None]
    references = references_of(turn.prompt, [picture.digest for picture in pictures])
    return [
        ShownPicture(
            attachment_name("", picture) if reference is None else reference.name,
            "" if reference is None else reference.description,
            picture.width,
            picture.height,
            _small(picture) if thumbnails is None else thumbnails.get(picture.digest, ""),
        )
        for picture, reference in zip(pictures, references, strict=True)
    ]


def thumbnails_of(turns: Iterable[Turn], find: Callable[[str], Picture | None], room: int = ROOM) -> Thumbnails:
    """The small copies of the pictures of ``turns`` in at most ``room`` characters, those of the last turns first.

    ``find`` returns the picture with this digest as the history has it, with its thumbnail.
    """
    thumbnails: dict[str, str] = {}
    for url in dict.fromkeys(url for turn in reversed(list(turns)) for url in turn.images):
        picture = picture_of_url(url)
        if picture is None:
            continue
        small = _small(picture) or _small(find(picture.digest))
        if small and len(small) <= room:
            thumbnails[picture.digest] = small
            room -= len(small)
    return thumbnails


def _small(picture: Picture | None) -> str:
    """The thumbnail of a picture, or the picture itself if it is small; empty if it is large or of an unknown kind."""
    if picture is None or not picture.width:
        return ""
    content = picture.content if len(picture.content) <= MAX_THUMBNAIL else picture.thumbnail
    kind = "image/jpeg" if content.startswith(b"\xff\xd8") else "image/png" if content.startswith(b"\x89") else ""
    kind = kind or ("image/gif" if content.startswith(b"GIF8") else "image/webp")
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if content else ""

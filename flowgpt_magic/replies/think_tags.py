"""Split the text of a reply into reasoning and answer while it arrives, by the tags that reasoning models write.

``messages.reasoning`` says which tags count. The result is the same in whatever chunks the text arrives. A closing tag
without an opening one ends reasoning that was taken for the answer: then a ``NewSplit`` corrects what has arrived.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from flowgpt_magic.messages import NewSplit, Reasoning, Usage, is_text
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.messages.reasoning import LONGEST_TAG, TagSearch, end_of_opening, may_close, may_open, without_tags
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.received import Chunks, SplitChunks

Piece = str | NewSplit  # a string is text or ``Reasoning``
# Of closing tags, and at the end of a chunk of what may become one; most tags of HTML are none.
BEGINNING = re.compile(r"</(?:\Z|t(?:\Z|h(?:\Z|[io]))|s(?:\Z|e)|m(?:\Z|m))|\[/(?:\Z|t)|◁/", re.IGNORECASE)


async def split_think_tags(chunks: Chunks) -> SplitChunks:
    """The ``chunks`` of one attempt, with the reasoning in their text as ``Reasoning``."""
    tags, after_text = ThinkTags(), list[Usage | Extras]()
    async with InnerGenerator(chunks) as inner:
        try:
            async for chunk in inner:
                if type(chunk) is str and tags.passes(chunk):
                    yield chunk
                elif is_text(chunk):
                    for part in tags.add(chunk):
                        yield part
                elif isinstance(chunk, (Usage, Extras)) and not tags.is_settled:
                    after_text.append(chunk)
                else:
                    if isinstance(chunk, Reasoning):
                        tags.add_reasoning(chunk)
                    yield chunk
        except Exception:
            for rest in (*tags.finish(), *after_text):
                yield rest
            raise
    for rest in (*tags.finish(), *after_text):
        yield rest


class ThinkTags:
    """Splits the text of one attempt. ``add`` and ``finish`` return what can be passed on."""

    def __init__(self) -> None:
        self._text: list[str] = []  # all of it, as long as its meaning may change
        self._held: list[str] = []  # the end of it that is not passed on yet
        self._held_size = 0
        self._own: list[Reasoning] = []  # from the provider
        self._reasoning: list[str] = []  # from the text, passed on
        self._in_block = False  # is reasoning of the current tag passed on?
        self._search = TagSearch()
        self._searched = 0  # pieces of the text that a search for a closing tag has read
        self._near = 0  # characters that are searched as they arrive, because a tag may have begun
        self._has_tags = False  # has anything arrived that may be a tag?
        self._watches = False  # for a closing tag without an opening one
        self._read: Callable[[str], Iterator[Piece]] | None = self._begin  # None: what follows is the answer

    @property
    def is_settled(self) -> bool:
        """Is all text passed on, and will it stay text?"""
        return self._read is None or not (self._held or self._has_tags)

    def passes(self, chunk: str) -> bool:
        """Is ``chunk`` text as it stands? Nearly all chunks are, and need no ``add``."""
        if self._read is None:
            return True
        if not self._watches or self._near > 0 or "/" in chunk:
            return False
        self._text.append(chunk)
        return True

    def add_reasoning(self, chunk: Reasoning) -> None:
        """Note reasoning that the provider has told apart itself."""
        self._own.append(chunk)

    def add(self, chunk: str) -> Iterator[Piece]:
        """What can be passed on when ``chunk`` has arrived."""
        if self._read is None:
            yield chunk
        elif chunk:
            self._text.append(chunk)
            yield from self._read(chunk)

    def finish(self) -> Iterator[Piece]:
        """What is left at the end of the text, and the correction if its end has changed the meaning of its tags."""
        if self._read is None:
            return
        self._read, text = None, "".join(self._text)
        if not self._has_tags:
            if self._held:
                yield "".join(self._held)
            return
        reasoning, answer = without_tags(text)
        reasoned, answered = "".join(self._reasoning), text[: len(text) - self._held_size] if self._watches else ""
        if not (reasoning.startswith(reasoned) and answer.startswith(answered)):
            yield self._new_split(reasoning, answer)
            return
        if rest := reasoning[len(reasoned) :]:
            yield Reasoning(rest)
        if rest := answer[len(answered) :]:
            yield rest

    # From the start of the text to its answer. Each of these reads what has arrived.

    def _begin(self, chunk: str) -> Iterator[Piece]:
        """Before it is known whether the text begins with a tag."""
        self._hold(chunk)
        if chunk.isspace():
            return
        text = "".join(self._held)
        if end_of_opening(text):
            yield from self._enter(text)
        elif not may_open(text):
            self._hold_only("")
            self._read, self._watches = self._watch, True
            yield from self._watch(text)

    def _enter(self, text: str) -> Iterator[Piece]:
        """At an opening tag, with which ``text`` begins."""
        end = end_of_opening(text)
        self._search, self._in_block, self._has_tags = TagSearch(text[:end]), False, True
        self._hold_only("")
        self._read = self._reason
        if text[end:]:
            yield from self._reason(text[end:])

    def _reason(self, chunk: str) -> Iterator[Piece]:
        """Between the tags."""
        tag = self._search.add(chunk)
        self._hold(chunk)
        if tag is None and (chunk.isspace() or self._search.open >= self._held_size):
            return
        text = "".join(self._held)
        if tag is None:
            yield from self._pass_reasoning(text, len(text) - self._search.open)
            return
        before = self._search.size - len(text)
        start, end = (place - before for place in tag)
        yield from self._pass_reasoning(text[:start], start, is_last=True)
        self._hold_only("")
        self._read = self._leave
        if text[end:]:
            yield from self._leave(text[end:])

    def _leave(self, chunk: str) -> Iterator[Piece]:
        """Between the closing tag and the answer, or another block of reasoning."""
        self._hold(chunk)
        if chunk.isspace():
            return
        text = "".join(self._held)
        tags, place = self._search.after_tag(text)
        rest = text[place:]
        if not rest.strip():
            self._hold_only(text[tags:])
        elif self._search.is_bare:
            yield self._settle(rest)
        elif end_of_opening(rest):
            yield from self._enter(rest)
        elif may_open(rest) or may_close(rest):
            self._hold_only(text[tags:])
        else:
            yield self._settle(rest)

    def _watch(self, chunk: str) -> Iterator[Piece]:
        """In text without an opening tag: it is the answer, unless a closing tag follows that counts."""
        if self._near <= 0 and BEGINNING.search(self._end_before(chunk) + chunk):
            self._near = LONGEST_TAG
        if self._near <= 0:
            yield chunk
            return
        self._has_tags = True
        tag = self._search.add("".join(self._text[self._searched :]))
        self._searched = len(self._text)
        self._near = max(self._near - len(chunk), min(self._search.open, 1))
        self._hold(chunk)
        if tag is not None and not self._text_may_be_json():
            yield from self._correct(*tag)
        elif tag is not None:
            self._read = self._defer
            yield self._take_held()
        elif self._search.over:
            yield self._settle(self._take_held())
        elif self._search.open < self._held_size:
            text = "".join(self._held)
            ready = len(text) - self._search.open
            self._hold_only(text[ready:])
            yield text[:ready]

    def _defer(self, chunk: str) -> Iterator[Piece]:
        """In text that may be JSON: whether its closing tag counts is known at the end."""
        yield chunk

    # Parts of these

    def _pass_reasoning(self, text: str, size: int, *, is_last: bool = False) -> Iterator[Piece]:
        """Pass on the first ``size`` characters of ``text``, without blank characters at the ends of the block."""
        ready = text[:size]
        if not self._in_block:
            while end := end_of_opening(ready):
                ready = ready[end:]
            ready = ready.lstrip()
            if may_open(ready) and not is_last:
                self._hold_only(ready + text[size:])
                return
        body = ready.rstrip()
        self._hold_only(ready[len(body) :] + text[size:])
        if not body:
            return
        gap = "" if self._in_block else "\n\n"
        self._in_block = True
        self._reasoning.append(gap + body if self._reasoning else body)
        yield Reasoning(gap + body if self._own or len(self._reasoning) > 1 else body)

    def _correct(self, start: int, end: int) -> Iterator[Piece]:
        """The text so far was reasoning: a closing tag, which nothing opens, stands at ``start``."""
        text = "".join(self._text)
        reasoning = text[:start].strip()
        self._reasoning.append(reasoning)
        yield self._new_split(reasoning, "")
        self._hold_only("")
        self._watches, self._read = False, self._leave
        if text[end:]:
            yield from self._leave(text[end:])

    def _new_split(self, reasoning: str, answer: str) -> NewSplit:
        return NewSplit("\n\n".join(filter(None, ("".join(self._own), reasoning))), answer)

    def _end_before(self, chunk: str) -> str:
        """The last character before ``chunk``, with which the text ends."""
        size = len(chunk)
        for piece in reversed(self._text):
            if size < len(piece):
                return piece[len(piece) - size - 1]
            size -= len(piece)
        return ""

    def _text_may_be_json(self) -> bool:
        return "".join(self._text).lstrip().startswith(("{", "["))

    def _settle(self, rest: str) -> str:
        """``rest``, which begins the answer: what follows is a part of it, and nothing is kept any more."""
        self._read = None
        self._hold_only("")
        self._text.clear()
        return rest

    def _hold(self, chunk: str) -> None:
        self._held.append(chunk)
        self._held_size += len(chunk)

    def _take_held(self) -> str:
        text = "".join(self._held)
        self._hold_only("")
        return text

    def _hold_only(self, text: str) -> None:
        self._held, self._held_size = [text] if text else [], len(text)

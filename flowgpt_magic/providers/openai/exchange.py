"""One request to a server that streams its reply as events, whatever its protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any

from flowgpt_magic.errors import ProtocolError, ProviderError, ProviderTimeoutError, StreamInterruptedError
from flowgpt_magic.messages import Reasoning, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.errors import page_text
from flowgpt_magic.providers.http.lenient_events import JsonSplitter, LenientEventSplitter
from flowgpt_magic.providers.http.server_sent_events import BOM, Event
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.providers.openai.errors import ErrorMapper, path_advice
from flowgpt_magic.providers.openai.servers import ResolvedServer
from flowgpt_magic.text import cut, sentences

CreateReader = Callable[[http.Response, bool], "EventReader"]
EXCERPT_LIMIT = 100  # characters of a web page or of unexpected content


def looks_like_json(content: bytes) -> bool:
    """Does ``content`` begin like a JSON object or list? An event stream never does."""
    return content.removeprefix(BOM).lstrip()[:1] in (b"{", b"[")


def check_not_web_page(content: bytes, endpoint: Endpoint) -> None:
    """Raise ``ProtocolError`` for a web page: the address belongs to another service."""
    page = content.removeprefix(BOM).lstrip()
    if page.startswith(b"<"):
        text = cut(endpoint.hide_secrets(page_text(page.decode("utf-8", "replace"))), EXCERPT_LIMIT)
        message = sentences(f"{endpoint.host} answered with a web page: {text}", path_advice(endpoint))
        raise ProtocolError(message, page=True)


class EventReader(ABC):
    """Reads the events of one reply.

    ``read`` returns the text of each event, or its ``Reasoning``, until ``done``. After the last event call ``finish``,
    ``send_notices``, ``extras`` and ``usage``.

    Attributes:
        done: nothing comes any more.
        request_id: how the body of the reply names the request; empty if it does not.
        reasoning: what arrived with the text that ``read`` returned last, if an event has both.
    """

    def __init__(self) -> None:
        self.done = False
        self.request_id = ""
        self.reasoning = ""

    @property
    @abstractmethod
    def has_content(self) -> bool:
        """Has anything arrived with which the extras of a failed reply are kept?"""

    @property
    @abstractmethod
    def is_complete(self) -> bool:
        """Has the server said that the reply is complete?"""

    @abstractmethod
    def read(self, event: Event) -> str:
        """The text or the ``Reasoning`` of an event. Raises the error that the server reports."""

    def take_reasoning(self) -> Reasoning:
        """The reasoning that ``read`` has not returned; none where every event has either text or reasoning."""
        return Reasoning("")

    @abstractmethod
    def read_unfinished(self, events: list[Event]) -> str:
        """The text of events that the end of the connection completed; nothing for one that was cut off."""

    @abstractmethod
    def finish(self) -> str:
        """The rest of the text. Raises the error for a reply that is not complete."""

    @abstractmethod
    def extras(self) -> Extras:
        """Everything that came beside the text."""

    @abstractmethod
    def usage(self) -> Usage:
        """The token counts and why the reply ended."""

    @abstractmethod
    def send_notices(self) -> None:
        """Send notices about everything that the text does not show."""


async def exchange(
    server: ResolvedServer, body: Mapping[str, Any], errors: ErrorMapper, create_reader: CreateReader
) -> AsyncGenerator[str | Usage | Extras, None]:
    """Send ``body``; the chunks of the reply, its ``Extras`` and its ``Usage``.

    ``create_reader`` gets the response, and whether it is an event stream rather than JSON alone.
    """
    async with http.request("POST", server.endpoint, server.headers, body, errors.for_status) as response:
        beginning = await response.beginning()
        check_not_web_page(beginning, response.endpoint)
        # The content type is not reliable; a server that does not stream sends one JSON object.
        framed = not looks_like_json(beginning)
        reader = create_reader(response, framed)
        splitter = LenientEventSplitter(response.limit) if framed else JsonSplitter(response.limit)
        try:
            async with InnerGenerator(_texts(response, splitter, beginning, reader)) as texts:
                async for text in texts:
                    yield text
        except ProviderError:
            if reader.has_content and (extras := _extras(reader, response)):  # kept with the text so far
                yield extras
            raise
    reader.send_notices()
    if extras := _extras(reader, response):
        yield extras
    yield reader.usage()


def _extras(reader: EventReader, response: http.Response) -> Extras:
    """What the server sent beside the text. The id in its headers is the one that its support asks for."""
    return replace(reader.extras(), request_id=response.request_id or reader.request_id)


async def _texts(
    response: http.Response, splitter: LenientEventSplitter | JsonSplitter, beginning: bytes, reader: EventReader
) -> AsyncGenerator[str, None]:
    """The texts of the events up to the end of the reply. Raises the error for a reply that is not complete."""
    try:
        async for events in http.ItemStream(response.body, splitter, beginning):
            for event in events:
                if text := reader.read(event):
                    if reader.reasoning:
                        yield reader.take_reasoning()
                    yield text
                elif reader.done:
                    break
            if reader.done:
                break
    except (StreamInterruptedError, ProviderTimeoutError):
        if not reader.is_complete:
            raise
    text = "" if reader.done else reader.read_unfinished(splitter.unfinished())
    if reasoning := reader.take_reasoning():
        yield reasoning
    if text:
        yield text
    if rest := reader.finish():
        yield rest

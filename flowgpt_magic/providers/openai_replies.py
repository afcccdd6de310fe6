"""What a server of the OpenAI protocol answers: the text of a reply, how it ended, and what is said beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowgpt_magic.errors import ProtocolError, ProviderError, StreamInterruptedError
from flowgpt_magic.messages import Usage, notice
from flowgpt_magic.plain_text import cut
from flowgpt_magic.providers import http
from flowgpt_magic.providers.characters import WholeCharacters
from flowgpt_magic.providers.http_connection import Peer
from flowgpt_magic.providers.http_errors import readable
from flowgpt_magic.providers.openai_errors import Failures, path_advice
from flowgpt_magic.providers.server_sent_events import MESSAGE, Event

DONE = b"[DONE]"
SHOWN = 100  # characters of a web page
LIMITS = ("max_tokens", "max_completion_tokens")


def is_json(content: bytes) -> bool:
    """Does this begin as an object or a list does? No event stream with anything in it can."""
    return content.removeprefix(http.BOM).lstrip()[:1] in (b"{", b"[")


def check_is_no_page(content: bytes, peer: Peer) -> None:
    """Raise ``ProtocolError`` for a web page: somebody else answers at that address."""
    page = content.removeprefix(http.BOM).lstrip()
    if page.startswith(b"<"):
        shown = cut(readable(page.decode("utf-8", "replace")), SHOWN)
        raise ProtocolError(f"{peer.host} answered with a web page: {shown}. {path_advice(peer)}")


def model_names(content: bytes) -> list[str]:
    """The models of a list; raises ``ProtocolError`` for what is none."""
    content = content.removeprefix(http.BOM)
    found = http.read_object(b'{"data": %s}' % content if content.lstrip()[:1] == b"[" else content)
    entries = found.get("data") if "data" in found else found.get("models")
    if not isinstance(entries, list):
        raise http.unexpected(content, "something else than a list of models")
    names = (entry.get("id") or entry.get("name") if isinstance(entry, Mapping) else entry for entry in entries)
    return list(dict.fromkeys(name for name in names if name and isinstance(name, str)))


class Answer:
    """One reply, as its events tell it; ``body`` is what was asked.

    ``read`` gives the text of each event; ``done`` says that there are no more, ``finished`` that the text is whole.
    After them come ``rest``, ``usage`` and ``tell``.
    """

    def __init__(self, body: Mapping[str, Any], failures: Failures, peer: Peer) -> None:
        self.done = False
        self._body = body
        self._failures = failures
        self._peer = peer
        self._characters = WholeCharacters()
        self._empty = True
        self._finish_reason = ""
        self._counts: Mapping[str, Any] = {}
        self._answered_by = ""
        self._reasoning = 0  # characters
        self._tools: list[str] = []

    @property
    def finished(self) -> bool:
        """Has the server said that nothing of the text is missing?"""
        return self.done or bool(self._finish_reason)

    def read(self, event: Event) -> str:
        """The text that an event brings. Raises what the server reports, and ``ProtocolError`` for what is no event."""
        data = event.data
        if not data.startswith(b"{"):
            said = data.strip()
            self.done = self.done or said == DONE
            if said in (DONE, b"") or event.type not in (MESSAGE, "error"):  # somebody's own kind of sign of life
                return ""
        chunk = http.read_object(data)
        if event.type == "error" or chunk.get("error") or chunk.get("object") == "error":
            raise self._failures.reported(chunk, self._peer)
        return self._text(chunk, "delta", data)

    def read_unfinished(self, data: bytes) -> str:
        """The text of an event that the connection's end stands for the end of; none where it was cut off."""
        if data != DONE:
            try:
                http.read_object(data)
            except ProtocolError:
                return ""
        return self.read(Event(data))

    def read_whole(self, content: bytes) -> str:
        """The text of a reply that came as one JSON object, though events were asked for."""
        found = http.read_object(content.removeprefix(http.BOM))
        if found.get("error") or found.get("object") == "error":
            raise self._failures.reported(found, self._peer)
        if not found.get("choices"):
            raise http.unexpected(content, "an answer that is no chat completion")
        self.done = True
        return self._text(found, "message", content)

    def _text(self, chunk: Mapping[str, Any], where: str, data: bytes) -> str:
        try:
            if counts := chunk.get("usage"):
                self._counts = counts
            choices = chunk.get("choices")
            if not choices:  # as in the chunk that brings the usage
                return ""
            choice = choices[0]
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            self._answered_by = self._answered_by or chunk.get("model") or "?"
            delta = choice.get(where) or {}
            content = delta.get("content")
            text = content if content and type(content) is str else self._beside(delta, content)
        except (AttributeError, TypeError, KeyError):
            raise http.unexpected(data, "a chunk that is not of the OpenAI protocol") from None
        if not text:
            return ""
        self._empty = False
        return self._characters.mend(text)

    def _beside(self, delta: Mapping[str, Any], content: Any) -> str:
        """The text of a chunk that has none in the usual place; what is no text is counted, to be told."""
        text = ""
        for part in content or ():  # a list of parts, as Mistral's reasoning models send it
            if part.get("type") == "text":
                text += part["text"]
            else:
                self._reasoning += len(str(part.get("thinking", "")))
        self._reasoning += len(str(delta.get("reasoning_content") or delta.get("reasoning") or ""))
        for call in delta.get("tool_calls") or ():
            if name := (call.get("function") or {}).get("name"):
                self._tools.append(str(name))
        return text + (delta.get("refusal") or "")

    # The end

    def rest(self) -> str:
        """The text that was held back for what comes after it; raises what is missing of a reply that is not whole."""
        if not self.finished:
            raise StreamInterruptedError(f"{self._peer.host} ended the reply before it was complete")
        if self._finish_reason == "error":
            raise ProviderError(f"{self._peer.host} ended the reply with an error, and does not say which")
        return self._characters.rest()

    def usage(self) -> Usage:
        """The token counts that came with it, and how it ended."""
        counts = self._counts if isinstance(self._counts, Mapping) else {}
        prompt, completion = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
        return Usage(
            prompt if type(prompt) is int else None,
            completion if type(completion) is int else None,
            str(self._finish_reason) or None,
        )

    def tell(self) -> None:
        """Tell the person what the text does not say."""
        if self._finish_reason == "length":
            limits = [f"{name} = {self._body[name]}" for name in LIMITS if name in self._body]
            notice(f"the reply was cut off at {limits[0] if limits else 'the limit of the server'}")
        if self._finish_reason == "content_filter":
            notice(f"the content filter of {self._peer.host} ended the reply")
        if self._tools:
            notice(f"the model asked for tools, and there are none here: {cut(', '.join(self._tools))}")
        if self._reasoning:
            notice(f"the model reasoned before it answered: {self._reasoning:,} characters, not shown")
        if self._empty and not self._tools:
            notice(f"{self._peer.host} sent an empty reply")
        answered_by = self._peer.hide_secrets(str(self._answered_by))
        if _differ(str(self._body["model"]), answered_by):
            notice(f"{self._peer.host} says that another model answered: {cut(answered_by)}")


def _differ(asked: str, answered: str) -> bool:
    """Is this another model? Servers leave out, or add, whose it is, which version, and where its file is."""
    names = [name.lower().removesuffix(".gguf").rpartition("/")[2] for name in (asked, answered)]
    return answered != "?" and not any(one in other for one, other in (names, reversed(names)))

"""What a server of the OpenAI protocol answers: the text of a reply, how it ended, and what is said beside it.

A reply is whole when its server says so: with a ``finish_reason``, with ``[DONE]``, with Ollama's ``done``, or by
sending all of it as one JSON object. A connection that ends without any of these, however cleanly, has cut it off. A
``[DONE]`` alone is not believed when nothing came before it, or when the last thing before it was not of the protocol:
servers end a stream so after a failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.errors import ProtocolError, ProviderError, ProviderStatusError, StreamInterruptedError
from flowgpt_magic.messages import Usage, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.characters import WholeCharacters
from flowgpt_magic.providers.failure_reports import failure_text, refused_by_base, reports_failure
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Peer
from flowgpt_magic.providers.http.errors import readable
from flowgpt_magic.providers.http.loose_events import CUT, ERROR, UNFRAMED
from flowgpt_magic.providers.http.server_sent_events import MESSAGE, Event
from flowgpt_magic.providers.openai.errors import Failures, misses_version, path_advice
from flowgpt_magic.providers.openai.extras import OF_CHOICE, OF_CHUNK, SOURCES, Collected
from flowgpt_magic.providers.openai.usual_chunks import UsualChunk
from flowgpt_magic.text import cut, sentences

DONE = re.compile(rb"\s*[\"']?\[DONE\][\"']?\s*", re.IGNORECASE)
FEW = 8  # chunks; how to read the others faster is found out with the first one after them
SHOWN = 100  # characters of a web page, or of what is no JSON
LIMITS = ("max_tokens", "max_completion_tokens")
USUAL = {"role", "content"}  # in a delta
TEXTS = ("content", "text", "parts")  # of a delta, or of a message
PLACES = ("delta", "message", "text", "content")  # of a choice, where servers put what is said
NO_REASON = ("", "null", "none")  # what some servers send where the protocol has null
# Reasons for an end that are failures, as vLLM, SGLang, DeepSeek, Zhipu, Gemini, OpenRouter and proxies word them.
FAILED = re.compile(
    "error|fail|abort|cancel|interrupt|incomplete|exception|time[d_ -]*out|disconnect|malformed|crash|killed|"
    "unavailable|preempt|insufficient|overload"
)
BUSY = re.compile("insufficient_system_resource|overload|unavailable|server_error|internal_error")
# Words of the reasons for an end that is none of these. What has none of them is told as a notice.
ENDED = re.compile("stop|eos|end|complete|finish|done|success|normal|length|limit|max|token|tool|function|content|^ok$")
FILTERED = ("content_filter", "sensitive", "safety", "recitation", "prohibited_content", "blocklist", "refusal")
CUT_OFF = ("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "model_length")
VAGUE = {"auto", "default", "latest", "router"}  # in a name: which model that is, is the server's to choose


def is_json(content: bytes) -> bool:
    """Does this begin as an object or a list does? No event stream with anything in it can."""
    return content.removeprefix(http.BOM).lstrip()[:1] in (b"{", b"[")


def check_is_no_page(content: bytes, peer: Peer) -> None:
    """Raise ``ProtocolError`` for a web page: somebody else answers at that address."""
    page = content.removeprefix(http.BOM).lstrip()
    if page.startswith(b"<"):
        shown = cut(peer.hide_secrets(readable(page.decode("utf-8", "replace"))), SHOWN)
        raise ProtocolError(sentences(f"{peer.host} answered with a web page: {shown}", path_advice(peer)), page=True)


class Answer:
    """One reply, as its events tell it; ``body`` is what was asked. Is it ``framed`` as an event stream?

    ``read`` gives the text of each event; ``done`` says that there are no more, ``finished`` that the text is whole.
    After them come ``rest``, ``extras``, ``usage`` and ``tell``.
    """

    def __init__(self, body: Mapping[str, Any], failures: Failures, peer: Peer, *, framed: bool = True) -> None:
        self.done = False
        self._body = body
        self._failures = failures
        self._peer = peer
        self._framed = framed
        self._characters = WholeCharacters()
        self._collected = Collected()
        self._empty = True
        self._chunks = 0
        self._finish_reason = ""
        self._is_one_object = False  # did it come as a whole message?
        self._counts: Mapping[str, Any] = {}
        self._answered_by = ""
        self._unread = b""  # what was not of the protocol, since the last chunk
        self._is_cut = False  # did the body end in the middle of JSON?
        self._late = ""  # a failure that was reported after the end
        self._late_text = 0  # characters
        self._other_choices = False
        self._usual, self._is_usual = UsualChunk(), False  # is nothing but text to be expected in a chunk?

    @property
    def begun(self) -> bool:
        """Has any text come?"""
        return not self._empty

    @property
    def finished(self) -> bool:
        """Has the server said that nothing of the text is missing?"""
        return self.done or bool(self._finish_reason)

    @property
    def _ended(self) -> bool:
        """Has the text ended well? What comes after that is no part of it."""
        reason = self._finish_reason.lower()
        return bool(reason) and not self._empty and not FAILED.search(reason)

    def read(self, event: Event) -> str:
        """The text that an event brings.

        Raises what the server reports, and ``ProtocolError`` for what is neither of the protocol nor a sign of life.
        After the end of the text nothing is an error.
        """
        data = event.data
        if self._is_usual and event.type == MESSAGE and (text := self._usual.text_of(data)):
            self._chunks += 1
            self._unread = b""
            return self._characters.mend(text)
        self._is_usual = False
        if data[:1] != b"{" or event.type in (ERROR, CUT):
            return self._read_other(event)
        try:
            chunk = http.read_object(data, constants=True)
            choices = chunk.get("choices")
            if not choices or chunk.get("error") or "base_resp" in chunk:
                return self._read_unusual(chunk, event)
            text = self._read_choice(chunk, choices)
            if self._is_usual and self._chunks > FEW:
                self._usual.learn(data, chunk)
            return text
        except (AttributeError, TypeError, KeyError):
            error = http.unexpected(data, "a chunk that is not of the OpenAI protocol")
        except ProtocolError as found:
            error = found
            if b"\n" in data:  # events that no blank line stands between
                return "".join(self.read(Event(line, event.type, event.id)) for line in data.split(b"\n"))
        if self._finish_reason:
            return ""
        raise error

    def read_unfinished(self, events: list[Event]) -> str:
        """The text of what the connection's end stands for the end of; none where it was cut off."""
        text = ""
        for event in events:
            try:
                text += self.read(event)
            except ProtocolError:
                self._unread = self._unread or event.data
        return text

    # Events

    def _read_choice(self, chunk: Mapping[str, Any], choices: Any) -> str:
        """The text of a chunk that has choices. Choices other than the first are answers that nobody asked for."""
        if counts := chunk.get("usage"):
            self._counts = counts
        if not chunk.keys() <= OF_CHUNK:
            self._collected.of_chunk(chunk)
        choice = choices[0]
        if len(choices) > 1 or choice.get("index"):
            choice = self._first(choices)
            if choice is None:
                return ""
        self._answered_by = self._answered_by or chunk.get("model") or "?"
        self._unread = b""
        self._chunks += 1
        ended = self._ended
        reason = choice.get("finish_reason") or choice.get("finishReason")
        if reason:
            self._end(reason)
        if choice.get("error"):
            if not ended:
                raise self._failures.reported(choice, self._peer)
            self._late = self._late or failure_text(choice)
        if choice.get("logprobs") or not choice.keys() <= OF_CHOICE:
            self._collected.of_choice(choice)
        delta = choice.get("delta")
        text = delta["content"] if type(delta) is dict and "content" in delta and delta.keys() <= USUAL else None
        if not text or type(text) is not str:
            text = self._elsewhere(chunk, choice)
        elif not (counts or reason or self._finish_reason or choice.get("logprobs")):
            self._is_usual = len(choices) == 1 and chunk.keys() <= OF_CHUNK and choice.keys() <= OF_CHOICE
        if not text:
            return ""
        if ended and not reason:  # one that gives a reason with every chunk is not at its end
            self._late_text += len(text)
            return ""
        self._empty = False
        return self._characters.mend(text)

    def _first(self, choices: Any) -> Any:
        """The first of several choices, or None where a chunk has others only."""
        first = [each for each in choices if each.get("index") in (None, 0, "0")]
        self._other_choices = self._other_choices or len(first) < len(choices)
        return first[0] if first else None

    def _elsewhere(self, chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
        """The text of a choice that has it in another place than ``delta.content``, or more than that."""
        if "message" in choice and self._chunks == 1:
            kind = chunk.get("object")
            self._is_one_object = kind == "chat.completion" or (not self._framed and kind != "chat.completion.chunk")
        for place in PLACES:
            if (said := choice.get(place)) and (text := self._text_of(said)):
                return text
        return ""

    def _text_of(self, said: Any) -> str:
        """The text of a delta or a message; what else is in it is collected."""
        if isinstance(said, (str, list)):
            return self._parts(said)
        self._collected.of_delta(said)
        text = next((text for place in TEXTS if (text := self._parts(said.get(place)))), "")
        refusal = said.get("refusal") or ""
        if not isinstance(refusal, str):
            raise TypeError(refusal)
        return text + refusal

    def _parts(self, content: Any) -> str:
        """The text of a content: a text, or parts that are texts or objects. Cloudflare sends digits as a number."""
        if isinstance(content, str):
            return content
        if type(content) in (int, float):
            return json.dumps(content)
        if not content:
            return ""
        parts = [content] if isinstance(content, dict) else content
        return "".join(part if isinstance(part, str) else self._collected.of_part(part) for part in parts)

    def _read_unusual(self, chunk: Mapping[str, Any], event: Event) -> str:
        """An object without choices: a failure, a count of tokens, Ollama's own shape, or a sign of life."""
        choices = chunk.get("choices")
        named = event.type not in (MESSAGE, UNFRAMED)
        if (chunk.get("error") or refused_by_base(chunk)) and not self._ended:
            raise self._failures.reported(chunk, self._peer, begun=self._chunks > 0)
        if choices:
            return self._read_choice(chunk, choices)
        if isinstance(chunk.get("message"), Mapping) and ("done" in chunk or "role" in chunk["message"]):
            return self._read_ollama(chunk)
        if not named and reports_failure(chunk):
            if not self._ended:
                raise self._failures.reported(chunk, self._peer, begun=self._chunks > 0)
            self._late = self._late or failure_text(chunk)
            return ""
        if counts := chunk.get("usage"):
            self._counts = counts
        if not chunk.keys() <= OF_CHUNK:
            self._collected.of_chunk(chunk)
        unknown = "choices" not in chunk and not counts and chunk.keys().isdisjoint(SOURCES)
        if unknown and not named:
            self._unread = self._unread or event.data
        return ""

    def _read_ollama(self, chunk: Mapping[str, Any]) -> str:
        """A line of Ollama's own protocol, https://github.com/ollama/ollama/blob/main/docs/api.md."""
        self._chunks += 1
        self._answered_by = self._answered_by or chunk.get("model") or "?"
        text = self._text_of(chunk["message"])
        if chunk.get("done"):
            self._end(chunk.get("done_reason") or "stop")
            counts = (chunk.get("prompt_eval_count"), chunk.get("eval_count"))
            self._counts = dict(zip(("prompt_tokens", "completion_tokens"), counts, strict=True))
        self._empty = self._empty and not text
        return self._characters.mend(text) if text else ""

    def _read_other(self, event: Event) -> str:
        """What is no object: the end, the words of a failure, or a sign of life."""
        said = event.data.strip()
        if event.type == CUT:
            self._unread, self._is_cut = said, True
            return ""
        if DONE.fullmatch(said):
            self.done = True
            return ""
        if event.type == ERROR and said and not self._ended:
            raise self._failures.reported(_failure_in(said), self._peer, begun=self._chunks > 0)
        if said.startswith(b"[{") and (found := _objects(said)):
            return "".join(self.read(Event(json.dumps(each).encode(), event.type, event.id)) for each in found)
        if said and event.type in (MESSAGE, UNFRAMED):
            self._unread = self._unread or said
        return ""

    def _end(self, reason: Any) -> None:
        """The server says how the text ended."""
        if str(reason).strip().lower() not in NO_REASON:
            self._finish_reason = str(reason)

    # The end

    def rest(self) -> str:
        """The text that was held back for what comes after it; raises what is missing of a reply that is not whole."""
        host, reason = self._peer.host, self._finish_reason.lower()
        something = not self._empty or bool(self.extras())
        if BUSY.search(reason):
            raise ProviderStatusError(f"{host} ended the reply before it was complete ({reason}).", 503)
        if FAILED.search(reason):
            raise ProviderError(f"{host} ended the reply with an error ({reason}), and does not say which.")
        if reason in FILTERED and not something:
            raise ProviderError(f"the content filter of {host} stopped the reply before its first word ({reason}).")
        if not (reason or (self._is_one_object and self._chunks == 1)):
            quoted = cut(self._peer.hide_secrets(self._unread.decode("utf-8", "replace")), SHOWN)
            after = f"; the last thing it sent: {quoted}" if quoted else ""
            if quoted and not self._chunks and not self._is_cut:
                error = http.unexpected(self._unread, "an answer that is no chat completion")
                raise ProtocolError(sentences(str(error), path_advice(self._peer)))
            if not self.done or quoted or not something:
                advice = path_advice(self._peer) if not self._chunks and misses_version(self._peer) else ""
                raise StreamInterruptedError(sentences(f"{host} ended the reply before it was complete{after}", advice))
        return self._characters.rest() or self._from_reasoning()

    def _from_reasoning(self) -> str:
        """The JSON that was asked for, where all of it came as reasoning: vLLM and LM Studio do that."""
        reasoning = "".join(self._collected.reasoning).strip()
        if not self._empty or not reasoning or "json" not in str(self._body.get("response_format", "")):
            return ""
        try:
            http.read_object(reasoning.encode("utf-8", "replace"))
        except ProtocolError:
            return ""
        self._empty = False
        notice("the text of the reply came as reasoning, and is taken as its text")
        return reasoning

    def extras(self) -> Extras:
        """What came beside the text."""
        return self._collected.extras()

    def usage(self) -> Usage:
        """The token counts that came with it, and how it ended."""
        counts = self._counts if isinstance(self._counts, Mapping) else {}
        prompt, completion = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
        return Usage(
            prompt if type(prompt) is int else None,
            completion if type(completion) is int else None,
            self._finish_reason or None,
        )

    def tell(self) -> None:
        """Tell the person what the text does not say."""
        host, reason = self._peer.host, self._finish_reason.lower()
        if reason in CUT_OFF:
            limits = [f"{name} = {self._body[name]}" for name in LIMITS if name in self._body]
            notice(f"the reply was cut off at {limits[0] if limits else 'the limit of the server'}")
        if reason in FILTERED:
            notice(f"the content filter of {host} ended the reply")
        elif reason and not ENDED.search(reason):
            notice(f"{host} ended the reply for a reason that is not known here, so it may be cut off: {cut(reason)}")
        tools, reasoning = self._collected.asked_tools, sum(map(len, self._collected.reasoning))
        if tools:
            notice(f"the model asked for tools, and there are none here: {cut(', '.join(tools))}")
        if reasoning:
            notice(f"the model reasoned before it answered: {reasoning:,} characters, in reply.reasoning")
        if self._empty and not self.extras():
            notice(f"{host} sent an empty reply")
        elif self._empty and reasoning:
            notice("the reply has no text beside its reasoning")
        if self._other_choices:
            notice(f"{host} sent more than one answer: the first one is shown")
        if self._late_text:
            notice(f"{host} sent {self._late_text:,} characters after the end of the reply: they were left out")
        if self._late:
            notice(f"{host} reported a failure after the end of the reply: {cut(self._peer.hide_secrets(self._late))}")
        answered_by = self._peer.hide_secrets(str(self._answered_by))
        if _differ(str(self._body["model"]), answered_by) and not host.endswith(".azure.com"):
            notice(f"{host} says that another model answered: {cut(answered_by)}")


def _failure_in(said: bytes) -> Mapping[str, Any]:
    """The report of a failure: an object, or words alone."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = said.decode("utf-8", "replace")
    return found if isinstance(found, dict) else {"message": found}


def _objects(said: bytes) -> list[Mapping[str, Any]]:
    """The objects of a list; none where it is no list, or holds anything else."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return []
    return found if all(isinstance(each, dict) for each in found) else []


def _differ(asked: str, answered: str) -> bool:
    """Is this another model? Servers leave out, or add, whose it is, which version, and where its file is."""
    if answered == "?":
        return False
    one, other = _plain(asked), _plain(answered)
    if one in other or other in one:
        return False
    words = set(one.split("-"))
    return not (words & VAGUE and words - VAGUE <= set(re.split("[-.]", other)))


def _plain(name: str) -> str:
    """A model's name without its owner, its file's ending and the date of its version, in one spelling."""
    short = name.lower().removesuffix(".gguf").rpartition("/")[2].removesuffix(":latest")
    plain = re.sub("[._:@ -]+", "-", short)
    return re.sub(r"-(20[0-9]{6}|20[0-9]{2}-[0-9]{2}-[0-9]{2})$", "", plain)

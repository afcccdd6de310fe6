"""What the readers of OpenAI's two APIs share: reasoning beside the text, how a reply ends, and what the user is told.

A reply is complete when its server says so. A connection that ends without that, however cleanly, has cut it off.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from flowgpt_magic.control_characters import SurrogateJoiner
from flowgpt_magic.errors import ProtocolError, ProviderError, ProviderStatusError, StreamInterruptedError
from flowgpt_magic.messages import Reasoning, Usage, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.server_sent_events import Event
from flowgpt_magic.providers.openai.errors import ErrorMapper, misses_version, path_advice
from flowgpt_magic.providers.openai.exchange import EXCERPT_LIMIT, EventReader
from flowgpt_magic.providers.openai.extras import ExtrasCollector
from flowgpt_magic.providers.openai.usage import usage_of
from flowgpt_magic.text import cut, sentences

DONE = re.compile(rb"\s*[\"']?\[DONE\][\"']?\s*", re.IGNORECASE)
TEMPLATE_AFTER = 8  # chunks; only longer replies are worth a template
LENGTH_PARAMETERS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# Finish reasons that are failures, in the words of vLLM, SGLang, DeepSeek, Zhipu, Gemini, OpenRouter and proxies.
FAILED_REASON = re.compile(
    "error|fail|abort|cancel|interrupt|incomplete|exception|time[d_ -]*out|disconnect|malformed|crash|killed|"
    "unavailable|preempt|insufficient|overload"
)
BUSY_REASON = re.compile("insufficient_system_resource|overload|unavailable|server_error|internal_error")
# Known finish reasons that are no failures. For others there is a notice.
KNOWN_REASON = re.compile(
    "stop|eos|end|complete|finish|done|success|normal|length|limit|max|token|tool|function|content|^ok$"
)
FILTER_REASONS = ("content_filter", "sensitive", "safety", "recitation", "prohibited_content", "blocklist", "refusal")
LENGTH_REASONS = ("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "model_length")
VAGUE_WORDS = {"auto", "default", "latest", "router"}  # in a model's name: the server chooses the model


class Reader(EventReader):
    """Reads the events of one reply of either API.

    Attributes:
        answer: what the server should have sent, for errors.
        trusts_done: ``done`` means that the reply is complete, also without a finish reason.

    Args:
        body: the body of the request.
        errors: makes the errors for failures that the server reports.
        endpoint: the server, for messages.
        framed: the reply is an event stream, not JSON alone.
        cost: what the headers of the reply say about its cost.
    """

    answer: ClassVar[str]
    trusts_done: ClassVar[bool] = True

    def __init__(
        self,
        body: Mapping[str, Any],
        errors: ErrorMapper,
        endpoint: Endpoint,
        *,
        framed: bool = True,
        cost: object = None,
    ) -> None:
        super().__init__()
        self._body = body
        self._errors = errors
        self._endpoint = endpoint
        self._framed = framed
        self._cost = cost
        self._surrogates, self._reasoning_surrogates = SurrogateJoiner(), SurrogateJoiner()
        self._extras = ExtrasCollector()
        self._reasoning_read = 0  # pieces
        self._empty = True
        self._chunks = 0
        self._finish_reason = ""
        self._counts: Mapping[str, Any] = {}
        self._answered_by = ""  # the model that the server names; "?" if it names none
        self._service_tier: object = ""
        self._unread = b""  # content outside the protocol since the last chunk
        self._is_cut_off = False  # the body ended in the middle of JSON
        self._late_failure = ""  # reported after the end of the text
        self._late_characters = 0  # of text after the end
        self._has_other_choices = False

    @property
    def has_content(self) -> bool:
        """Has any text arrived?"""
        return not self._empty

    @property
    def is_complete(self) -> bool:
        """Has the server said that the text is complete?"""
        return (self.done and self.trusts_done) or bool(self._finish_reason)

    @property
    def _ended_well(self) -> bool:
        """Has the text ended without a failure? What comes after that is not part of it."""
        reason = self._finish_reason.lower()
        return bool(reason) and not self._empty and not FAILED_REASON.search(reason)

    @property
    def _is_whole(self) -> bool:
        """Is the reply complete by its form, whatever its server says about the end?"""
        return False

    @property
    def _wants_json(self) -> bool:
        """Was the text of the reply requested as JSON?"""
        return "json" in str(self._body.get("response_format", ""))

    @property
    def _tool_names(self) -> list[str]:
        """The names of the tools that the model called."""
        return self._extras.tool_names

    @property
    def _has_reasoned(self) -> bool:
        """Has the model reasoned? Some servers send the count of its tokens only."""
        return bool(self._extras.reasoning or self.usage().reasoning_tokens)

    @abstractmethod
    def read(self, event: Event) -> str:
        """The text of an event, or its reasoning.

        Raises the error that the server reports, and ``ProtocolError`` for content that is neither of the protocol nor
        a keep-alive. After the end of the text nothing is an error.
        """

    @abstractmethod
    def _read(self, event: Event) -> str:
        """The text of an event that was read without a template."""

    def _with_reasoning(self, text: str) -> str:
        """What ``read`` returns for an event with this text, and perhaps with reasoning."""
        if self._reasoning_read == len(self._extras.reasoning):
            return text
        if not text:
            return self._new_reasoning()
        self.reasoning = self._new_reasoning()
        return text

    def _new_reasoning(self) -> Reasoning:
        """The reasoning that has arrived since the last call."""
        pieces = self._extras.reasoning
        new, self._reasoning_read = "".join(pieces[self._reasoning_read :]), len(pieces)
        return Reasoning(self._reasoning_surrogates.join(new))

    def take_reasoning(self) -> Reasoning:
        """The reasoning that ``read`` has not returned."""
        reasoning, self.reasoning = Reasoning(self.reasoning + self._new_reasoning()), ""
        return reasoning

    def read_unfinished(self, events: list[Event]) -> str:
        """The text of events that the end of the connection completed; nothing for one that was cut off."""
        text = ""
        for event in events:
            try:
                text += self._read(event)
            except ProtocolError:
                self._unread = self._unread or event.data
        return text

    # The end

    def finish(self) -> str:
        """The rest of the text. Raises the error for a reply that is not complete."""
        host, reason = self._endpoint.host, self._finish_reason.lower()
        has_content = not self._empty or bool(self.extras())
        if BUSY_REASON.search(reason):
            raise ProviderStatusError(f"{host} ended the reply before it was complete ({reason}).", 503)
        if FAILED_REASON.search(reason):
            raise ProviderError(f"{host} ended the reply with an error ({reason}), and does not say which.")
        if reason in FILTER_REASONS and not has_content:
            raise ProviderError(f"the content filter of {host} stopped the reply before its first word ({reason}).")
        if not (reason or self._is_whole):
            self._check_done(has_content)
        return self._surrogates.finish() or self._text_from_reasoning()

    def _check_done(self, has_content: bool) -> None:
        """Raise the error for a reply without a finish reason, unless ``done`` can be trusted."""
        quote = cut(self._endpoint.hide_secrets(self._unread.decode("utf-8", "replace")), EXCERPT_LIMIT)
        if quote and not self._chunks and not self._is_cut_off:
            error = http.unexpected_content(self._unread, f"an answer that is not {self.answer}")
            raise ProtocolError(sentences(str(error), path_advice(self._endpoint)))
        if not (self.done and self.trusts_done) or quote or not has_content:
            text = f"{self._endpoint.host} ended the reply before it was complete"
            advice = path_advice(self._endpoint) if not self._chunks and misses_version(self._endpoint) else ""
            raise StreamInterruptedError(
                sentences(f"{text}; the last thing it sent: {quote}" if quote else text, advice)
            )

    def _text_from_reasoning(self) -> str:
        """The JSON that was asked for, if all of it came as reasoning: vLLM and LM Studio do that."""
        reasoning = "".join(self._extras.reasoning).strip()
        if not self._empty or not reasoning or not self._wants_json:
            return ""
        try:
            http.read_object(reasoning.encode("utf-8", "replace"))
        except ProtocolError:
            return ""
        self._empty = False
        notice("the text of the reply came as reasoning, and is used as its text")
        return reasoning

    def extras(self) -> Extras:
        """Everything that came beside the text."""
        return self._extras.extras()

    def usage(self) -> Usage:
        """The token counts, the finish reason and the cost."""
        return usage_of(
            self._counts,
            finish_reason=self._finish_reason,
            service_tier=self._service_tier,
            answered_by="" if self._answered_by == "?" else self._answered_by,
            cost=self._cost,
        )

    def send_notices(self) -> None:
        """Send notices about everything that the text does not show."""
        self._notice_end()
        self._notice_content()
        answered_by = self._endpoint.hide_secrets(str(self._answered_by))
        if _is_other_model(str(self._body["model"]), answered_by) and not self._endpoint.host.endswith(".azure.com"):
            notice(f"{self._endpoint.host} says that another model answered: {cut(answered_by)}")

    def _notice_end(self) -> None:
        host, reason = self._endpoint.host, self._finish_reason.lower()
        if reason in LENGTH_REASONS:
            limits = [f"{name} = {self._body[name]}" for name in LENGTH_PARAMETERS if name in self._body]
            limit = limits[0] if limits else "the limit of the server"
            if self._empty and self._has_reasoned:
                advice = "allow more with --max-tokens, or less reasoning with --think low"
                notice(f"the model used all its tokens for reasoning ({limit}): {advice}")
            else:
                notice(f"the reply was cut off at {limit}")
        if reason in FILTER_REASONS:
            notice(f"the content filter of {host} ended the reply")
        elif reason and not KNOWN_REASON.search(reason):
            notice(f"{host} ended the reply for an unknown reason, so it may be cut off: {cut(reason)}")

    def _notice_content(self) -> None:
        host, tools, reasoning = self._endpoint.host, self._tool_names, self._has_reasoned
        if tools:
            notice(f"the model called tools, which are not supported: {cut(', '.join(tools))}")
        if self._empty and not reasoning and not self.extras():
            notice(f"{host} sent an empty reply")
        elif self._empty and reasoning and self._finish_reason.lower() not in LENGTH_REASONS:
            notice("the reply has no text beside its reasoning")
        if self._has_other_choices:
            notice(f"{host} sent more than one answer; only the first one is used")
        if self._late_characters:
            notice(f"{host} sent {self._late_characters:,} characters after the end of the reply; they were left out")
        if self._late_failure:
            failure = cut(self._endpoint.hide_secrets(self._late_failure))
            notice(f"{host} reported a failure after the end of the reply: {failure}")


def _is_other_model(requested: str, answered_by: str) -> bool:
    """Is this another model? Servers omit or add its owner, its version and the path of its file."""
    if answered_by == "?":
        return False
    first, second = _plain_name(requested), _plain_name(answered_by)
    if first in second or second in first:
        return False
    words = set(first.split("-"))
    return not (words & VAGUE_WORDS and words - VAGUE_WORDS <= set(re.split("[-.]", second)))


def _plain_name(name: str) -> str:
    """A model's name without owner, file extension and date, in one spelling."""
    short = name.lower().removesuffix(".gguf").rpartition("/")[2].removesuffix(":latest")
    plain = re.sub("[._:@ -]+", "-", short)
    return re.sub(r"-(20[0-9]{6}|20[0-9]{2}-[0-9]{2}-[0-9]{2})$", "", plain)

"""The two APIs of OpenAI, chat completions and Responses, and the choice between them.

The setting ``openai_api`` decides. With ``auto`` OpenAI's own servers are asked by the Responses API and others by chat
completions; where the server's error names the other one, that is asked, and for this model from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from flowgpt_magic.errors import ProviderError
from flowgpt_magic.messages import Messages, notice
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.openai import requests, responses_body
from flowgpt_magic.providers.openai.errors import ChatErrorMapper, ErrorMapper, OtherApiError, RefusedFieldError
from flowgpt_magic.providers.openai.reader import Reader
from flowgpt_magic.providers.openai.replies import ReplyReader
from flowgpt_magic.providers.openai.responses_errors import ResponsesErrorMapper
from flowgpt_magic.providers.openai.responses_reader import ResponsesReader
from flowgpt_magic.providers.openai.servers import ResolvedServer, has_responses
from flowgpt_magic.providers.openai.usage import COST_HEADER
from flowgpt_magic.text import sentences

AUTO = "auto"
REQUEST_FIELDS = "fields of the request"  # instead of a provider, for fields that a server does not accept
WRONG_APIS = "OpenAI's APIs"  # instead of a provider, for the APIs that a server does not have for a model


@dataclass(frozen=True)
class Call:
    """What is requested, in the parameters of the provider. None as a value stands for nothing."""

    model: str
    messages: Messages
    parameters: Mapping[str, Any]
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def length_parameter(self) -> str:
        """The name of the parameter that limits the length of the reply."""
        return "max_completion_tokens" if self.parameters.get("max_tokens") is None else "max_tokens"


@dataclass(frozen=True)
class Api:
    """One of the APIs.

    Attributes:
        name: the value of ``openai_api``.
        path: of the endpoint, behind the base URL.
        label: for messages.
        body: makes the body of a request; the second argument says whether OpenAI's own server is asked.
        parts: the names of all parts of a body that a server may have refused before.
        without: a body without one of these parts, or with its replacement.
        errors: makes the errors of a request with this body.
        reader: reads the reply.
    """

    name: str
    path: str
    label: str
    body: Callable[[Call, bool], dict[str, Any]]
    parts: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    without: Callable[[Mapping[str, Any], str], dict[str, Any]]
    errors: Callable[[Mapping[str, Any], Call], ErrorMapper]
    reader: type[Reader]


CHAT = Api(
    "chat",
    "chat/completions",
    "the chat completions API",
    lambda call, _own: requests.request_body(call.model, call.messages, {**call.parameters, **call.extra_body}),
    lambda body: {**body, requests.REASONING_PARTS: None},
    requests.without_field,
    lambda body, _call: ChatErrorMapper(body),
    ReplyReader,
)
RESPONSES = Api(
    "responses",
    "responses",
    "the Responses API",
    lambda call, own: responses_body.request_body(
        call.model, call.messages, call.parameters, call.extra_body, summary=own
    ),
    lambda body: dict.fromkeys(responses_body.optional_parts(body)),
    responses_body.without_part,
    lambda body, call: ResponsesErrorMapper(body, call.length_parameter),
    ResponsesReader,
)


def chosen_api(setting: str, url: URL, model: str) -> Api:
    """The API by which the server at ``url`` is asked, with what was learnt about the model in this process."""
    if setting != AUTO:
        return RESPONSES if setting == RESPONSES.name else CHAT
    first = RESPONSES if has_responses(url) else CHAT
    is_wrong = registry.refused_parameters().known((str(url), WRONG_APIS, model), {first.name: None})
    return _other(first) if is_wrong else first


def _other(api: Api) -> Api:
    return CHAT if api is RESPONSES else RESPONSES


class Attempts:
    """The requests of one call, until one is answered.

    ``body`` is the next one to send, by ``api``; ``errors`` makes its errors. ``answered``: its reply has begun.
    """

    def __init__(self, call: Call, server: ResolvedServer) -> None:
        self.answered = False
        self._call, self._server = call, server
        self._switched_after: ProviderError | None = None
        self._use(chosen_api(server.chosen.openai_api, server.url, call.model))

    def _use(self, api: Api) -> None:
        self.api = api
        self._refused: list[str] = []
        self._set_body(api.body(self._call, has_responses(self._server.url)))
        known = registry.refused_parameters().known(self._place(REQUEST_FIELDS), api.parts(self.body))
        for name in known:
            self._set_body(api.without(self.body, name))

    @property
    def server(self) -> ResolvedServer:
        """The server for a call of this API."""
        return self._server.at(self.api.path)

    def create_reader(self, response: http.Response, framed: bool) -> Reader:
        """The reader of the reply."""
        cost = response.headers.get(COST_HEADER)
        return self.api.reader(self.body, self.errors, response.endpoint, framed=framed, cost=cost)

    def _set_body(self, body: Mapping[str, Any]) -> None:
        self.body, self.errors = body, self.api.errors(body, self._call)

    def _place(self, kind: str) -> tuple[str, str, str]:
        return str(self._server.url), kind, self._call.model

    def go_on_after(self, error: RefusedFieldError | OtherApiError) -> None:
        """Prepare the next attempt. Raises ``error`` if there is none, or the one that led to this API."""
        if self.answered:
            raise error
        if isinstance(error, RefusedFieldError):
            if error.parameter in self._refused:
                raise error
            self._refused.append(error.parameter)
            self._set_body(self.api.without(self.body, error.parameter))
            return
        if self._switched_after is not None:
            raise self._switched_after
        other = _other(self.api)
        if self._server.chosen.openai_api != AUTO:
            advice = f"The setting openai_api is {self.api.name}; {other.name} asks {other.label}, auto either."
            error.args = (sentences(str(error), advice),)
            raise error
        self._switched_after = error
        self._use(other)

    def begin_answer(self) -> None:
        """Remember, for this process, what the server did not accept."""
        self.answered = True
        learned = registry.refused_parameters()
        for name in self._refused:
            if name == requests.REASONING_PARTS:  # these depend on the conversation
                notice("the reasoning of earlier turns was left out, because the server refuses it")
            else:
                learned.learn(self._place(REQUEST_FIELDS), name, None, "")
        if self._switched_after is not None and learned.learn(self._place(WRONG_APIS), _other(self.api).name, None, ""):
            notice(
                f"{self._server.url.host} has {self._call.model} in {self.api.label} only, which is used from now on "
                f"(setting openai_api = {self.api.name})"
            )

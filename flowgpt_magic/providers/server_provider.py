"""What providers share whose server the user chooses: only that server knows its models."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from multidict import CIMultiDict
from yarl import URL

from flowgpt_magic import keys
from flowgpt_magic.errors import ModelNotFoundError, ModelNotSupportedError, ProviderError, SettingError, closest
from flowgpt_magic.messages import notices_to
from flowgpt_magic.providers.arguments import check_model
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.openai.servers import ResolvedServer, Server, UserHeaders
from flowgpt_magic.providers.request_group import await_once
from flowgpt_magic.settings import Settings, load, with_tables
from flowgpt_magic.text import sentences

HINT_SECONDS = 2.0  # seconds for the list of models, from which an error suggests one


class ServerProvider(AsyncGeneratorProvider, ProviderModelMixin, ABC):
    """A provider that asks the server at its ``address_setting``.

    Attributes:
        name: its name in the registry.
        example_model: a model for the error that asks for one.
        call_path: the path of the call that is asked for a reply, below the server's address.
    """

    name: ClassVar[str]
    example_model: ClassVar[str]
    call_path: ClassVar[str]

    @classmethod
    @abstractmethod
    def find_server(cls, chosen: Settings) -> Server:
        """The server that the settings select. Raises ``SettingError`` for an invalid address."""

    @classmethod
    @abstractmethod
    def headers_for(cls, key: str, extra: UserHeaders, url: URL) -> Mapping[str, str]:
        """The headers of one request to the server at ``url``; ``extra`` are the user's."""

    @classmethod
    def get_models(cls) -> list[str]:
        """An empty list: only the server knows its models."""
        return []

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """``name`` unchanged. Raises ``ModelNotSupportedError`` if it is empty."""
        if name := check_model(name, cls.__name__):
            return name
        raise ModelNotSupportedError(
            f"{cls.name} needs the name of a model, such as -m {cls.name}:{cls.example_model}; "
            f"%flowgpt models {cls.name} lists the models of the server."
        )

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - the server decides
        """Which server the answer depends on, or which key is missing."""
        try:
            server = cls.find_server(chosen)
        except SettingError as error:
            return f"no: {error}"
        if server.key_name and (reason := keys.missing(server.key_name)):
            return f"no: {reason}"
        return f"if the server at {server.url} does"

    @classmethod
    def think_parameters(cls, model: str, think: str) -> Mapping[str, Any]:  # noqa: ARG003 - the server decides
        """``reasoning_effort``, which is ``none`` to switch thinking off."""
        return {"reasoning_effort": "none" if think == "off" else think}

    @classmethod
    async def resolve(cls, options: Mapping[str, Any]) -> ResolvedServer:
        """The server for the settings ``options``; ``extra_headers`` among them may be None.

        Raises ``SettingError``, ``MissingKeyError`` and ``ProxyError``.
        """
        others = dict(options)
        extra_headers = others.pop("extra_headers")
        notices: list[str] = []
        with notices_to(notices.append):
            chosen = with_tables(load(others), cls.address_setting)
            server = cls.find_server(chosen)
            key = await server.read_key()
            extra = server.user_headers(chosen.extra_headers if extra_headers is None else extra_headers)
        endpoint = http.resolve_endpoint(server.url_for(cls.call_path), server.route(chosen, key, extra))
        headers = CIMultiDict(cls.headers_for(key, extra, server.url))
        return ResolvedServer(server.url, endpoint, headers, notices, chosen)

    @classmethod
    async def suggest_model(cls, error: ModelNotFoundError, model: str, options: Mapping[str, Any]) -> None:
        """Add to ``error`` the model of the server whose name is closest to ``model``, if there is one."""
        models = await await_once(cls._models_soon, options)
        if hint := closest(model, models).strip(";? ."):
            error.args = (sentences(str(error), f"{hint[:1].upper()}{hint[1:]}?"),)

    @classmethod
    async def _models_soon(cls, options: Mapping[str, Any]) -> list[str]:
        """The models of a server that lists them within ``HINT_SECONDS``, else none."""
        try:
            return await asyncio.wait_for(cls.list_models(**options), HINT_SECONDS)
        except (ProviderError, asyncio.TimeoutError):
            return []

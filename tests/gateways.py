"""A gateway's client, and a provider behind it that does what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.gateway import Gateway
from flowgpt_magic.messages import Messages, Usage
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.flowgpt import PATH, FlowGpt, request_body, request_headers

HELLO = [{"role": "user", "content": "hello big world"}]
SECRET = "s3cret-word"
PROMPT = 5  # seconds in which everything here has to happen
AT_ONCE = 0.2  # seconds in which a reply nobody waits for has to stop


class Script(AsyncGeneratorProvider, ProviderModelMixin):
    """Does what the test in hand wants."""

    default_model = "script"
    models = ["script", "other", "failing"]  # noqa: RUF012
    model_aliases = {"short": "other"}  # noqa: RUF012
    settings = ("read_timeout",)

    steps: list[Any] = []  # noqa: RUF012
    calls: list[dict[str, Any]] = []  # noqa: RUF012
    started: asyncio.Event
    stopped: asyncio.Event
    go: asyncio.Event

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float = -1,
        **kwargs: Any,
    ) -> AsyncGenerator[str | Usage, None]:
        cls.calls.append({"model": model, "messages": messages, "temperature": temperature, **kwargs})
        cls.started.set()
        try:
            for step in cls.steps:
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    await cls.go.wait()
                else:
                    yield step
        finally:
            cls.stopped.set()


def ask(server: Gateway, messages: Any = HELLO, model: str = "", **options: Any) -> AsyncGenerator[str, None]:
    return FlowGpt.create_async_generator(model, messages, base_url=server.url, **options)  # type: ignore[return-value]


async def read(chunks: AsyncGenerator[str, None]) -> tuple[list[str], FlowGptError | None]:
    found: list[str] = []
    try:
        async for chunk in chunks:
            found.append(chunk)
    except FlowGptError as error:
        return found, error
    return found, None


async def until(come_true: Callable[[], bool]) -> None:
    """What the gateway does inside is no event a test could wait for."""

    async def look() -> None:
        while not come_true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), PROMPT)


@asynccontextmanager
async def posted(server: Gateway, **changes: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to a request that is good but for ``changes``; a header of None is left out."""
    headers: dict[str, Any] = {**request_headers(""), **changes.get("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    body = changes.get("body", json.dumps({**request_body("m", HELLO, 0.5), **changes.get("fields", {})}).encode())
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url + changes.get("path", PATH), data=body, headers=headers) as response,
    ):
        yield response


async def status(server: Gateway, **changes: Any) -> tuple[int, str]:
    """The status and the message of a refusal."""
    async with posted(server, **changes) as response:
        report = json.loads(await response.text())
        assert report["statusCode"] == response.status
        return response.status, report["message"]

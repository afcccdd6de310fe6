"""Servers of models that run on this machine at their usual ports, such as Ollama's, found by asking the ports.

Only the loopback address is asked, without a key or a proxy, and all ports at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from yarl import URL

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Route
from flowgpt_magic.providers.openai.models import listed_models

PORTS = {"Ollama": 11434, "LM Studio": 1234}
TIMEOUT = 0.3  # seconds for all of them; a port where nobody listens refuses at once
HEADERS = {"User-Agent": "flowgpt_magic", "Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class LocalServer:
    """A server that answered: its program, its base URL, and its models, which may be none."""

    program: str
    url: str
    models: tuple[str, ...]


async def find_servers(ports: Mapping[str, int] = PORTS, timeout: float = TIMEOUT) -> list[LocalServer]:
    """The servers that answer within ``timeout`` seconds, in the order of ``ports``."""
    asked = [asyncio.create_task(_ask(program, port, timeout)) for program, port in ports.items()]
    found = await asyncio.gather(*asked)
    return [server for server in found if server is not None]


async def _ask(program: str, port: int, timeout: float) -> LocalServer | None:
    url = f"http://127.0.0.1:{port}/v1"
    route = Route(connect_timeout=timeout, read_timeout=timeout)
    with suppress(FlowGptError, asyncio.TimeoutError):  # whatever is wrong there, it is no server to be told of
        models = await asyncio.wait_for(_models(url, route), timeout)
        return LocalServer(program, url, tuple(models))
    return None


async def _models(url: str, route: Route) -> list[str]:
    endpoint = http.resolve_endpoint(URL(url) / "models", route)
    async with http.request("GET", endpoint, HEADERS, None) as response:
        return [*listed_models(await response.read_all(), endpoint)]

"""Servers of this machine at their usual ports: here at the ports of the tests."""

from __future__ import annotations

import time

from flowgpt_magic.providers import local_servers
from flowgpt_magic.providers.local_servers import find_servers
from tests.openai_servers import speaking
from tests.servers import answering, closed_port, serving, stalling, whole

PATIENT = 30.0  # seconds; a busy machine answers late


async def test_servers_that_answer_are_found_with_their_models() -> None:
    async with serving(speaking(models=["llama3.2:3b"])) as one, serving(speaking(models=["a", "b"])) as other:
        found = await find_servers({"Ollama": one.port, "LM Studio": other.port}, PATIENT)

    assert [(server.program, server.url, server.models) for server in found] == [
        ("Ollama", f"{one.url}/v1", ("llama3.2:3b",)),
        ("LM Studio", f"{other.url}/v1", ("a", "b")),
    ]
    assert [request.line for request in one.requests] == ["GET /v1/models HTTP/1.1"]
    assert "Authorization" not in one.requests[0].headers


async def test_a_port_where_nobody_listens_is_none() -> None:
    assert await find_servers({"Ollama": closed_port(), "LM Studio": closed_port()}, PATIENT) == []


async def test_a_server_of_another_kind_is_none() -> None:
    page = answering(whole(b"<html>", Content_Type="text/html"))
    async with serving(page) as one, serving(answering(whole(b"{}", 404))) as other:
        assert await find_servers({"Ollama": one.port, "LM Studio": other.port}, PATIENT) == []


async def test_silent_ports_are_given_up_together() -> None:
    async with serving(stalling()) as one, serving(stalling()) as other:
        begun = time.monotonic()
        assert await find_servers({"Ollama": one.port, "LM Studio": other.port}, 0.3) == []
        assert time.monotonic() - begun < 0.6 + 5  # not one after the other, each by its own long timeout

    assert local_servers.TIMEOUT <= 0.3


async def test_no_proxy_and_no_key_of_the_environment_is_used(monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("FLOWGPT_TRUST_ENV", "on")
    monkeypatch.setenv("FLOWGPT_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijklmnop")
    async with serving(speaking(models=["m"])) as server:
        assert [found.models for found in await find_servers({"Ollama": server.port}, PATIENT)] == [("m",)]
    assert "Authorization" not in server.requests[0].headers

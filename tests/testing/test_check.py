"""The contract test itself: what passes it, where it runs, and how it says what does not pass."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
import warnings

import pytest

from flowgpt_magic.errors import FlowGptWarning
from flowgpt_magic.messages import notice
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.llama_cpp import runtime
from flowgpt_magic.providers.local import Local
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from flowgpt_magic.testing import ContractError, check_provider
from tests.contracts import POINTS, provider
from tests.models_on_disk import weights_on_disk
from tests.servers import Connection, Request, line, replying, serving


def test_a_provider_that_keeps_every_point_is_told_so():
    assert check_provider(provider(), failing={"fail": True}) == POINTS
    assert len(POINTS) == len(set(POINTS))
    assert all(POINTS)


def test_ours_pass():
    assert check_provider(Echo, name="echo", failing={"fail_after": 1}) == POINTS


async def test_the_client_of_flowgpt_passes_with_a_server_that_answers(recwarn):
    """Its errors are checked at an address where nobody listens, so no warning asks for settings that fail."""
    async with serving(replying(*map(line, ["one ", "two ", "three"]))) as server:
        kept = await asyncio.to_thread(check_provider, FlowGpt, name="flowgpt", base_url=server.url, token="t0p-secret")

    assert kept == POINTS
    assert not [warning for warning in recwarn if issubclass(warning.category, FlowGptWarning)]


async def test_so_does_the_client_of_openai_compatible_servers():
    async def answer(request: Request, connection: Connection) -> None:
        words = ['{"count": ', "3}"] if b"json_schema" in request.body else ["one ", "two"]
        events = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
        await replying(*lines, b"data: [DONE]\n\n")(request, connection)

    async with serving(answer) as server:
        where = {"model": "m", "openai_base_url": f"{server.url}/v1"}
        kept = await asyncio.to_thread(check_provider, OpenAICompatible, name="openai_compatible", **where)

    assert kept == POINTS


def test_the_embedded_model_passes(monkeypatch):
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(weights_on_disk()))
    try:
        kept = check_provider(
            Local, name="local", failing={"model": "/no/such/file.gguf"}, temperature=0, max_tokens=12
        )
    finally:
        runtime.close_runner()

    assert kept == POINTS


def test_it_runs_in_a_script_without_pytest():
    code = """
import sys
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.testing import check_provider
print(len(check_provider(Echo, failing={"fail_after": 0})), "pytest" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.stdout.split(), ended.stderr) == ([str(len(POINTS)), "False"], "")


async def test_it_runs_where_a_loop_runs_already():
    assert check_provider(provider(), failing=()) == POINTS


def test_a_name_that_is_not_checked_is_no_trouble():
    class Any(provider()):
        @classmethod
        def get_model(cls, name):
            return name or "m"

    assert check_provider(Any, failing={"fail": True}) == POINTS


def test_a_model_that_answers_differently_each_time_is_no_trouble():
    async def different(cls, model, messages, **kwargs):
        cls.get_model(model)
        yield f"{time.perf_counter_ns()} "
        yield "is the time"

    assert check_provider(provider(different), failing=()) == POINTS


def test_a_worker_thread_that_is_started_once_is_no_leak():
    threads: list[threading.Thread] = []

    async def with_worker(cls, model, messages, **kwargs):
        cls.get_model(model)
        if not threads:
            threads.append(threading.Thread(target=threading.Event().wait, daemon=True))
            threads[0].start()
        yield "one "
        yield "two"

    assert check_provider(provider(with_worker), failing=()) == POINTS


def test_a_notice_goes_nowhere_and_a_warning_on_to_whoever_called():
    async def noisy(cls, model, messages, **kwargs):
        cls.get_model(model)
        notice("a notice")
        warnings.warn("a warning", DeprecationWarning, stacklevel=1)
        yield "one "
        yield "two"

    with pytest.warns(DeprecationWarning, match="a warning") as warned:
        check_provider(provider(noisy), failing=())

    assert not any("a notice" in str(each.message) for each in warned)


def test_one_chunk_only_is_a_warning():
    async def whole(cls, model, messages, **kwargs):
        cls.get_model(model)
        yield "one two three"

    with pytest.warns(FlowGptWarning, match="Theirs: it answered in one chunk"):
        check_provider(provider(whole), failing=())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_provider(provider(whole, supports_stream=False), failing=())


def test_errors_that_were_not_checked_are_a_warning():
    with pytest.warns(FlowGptWarning, match="its errors were not checked"):
        check_provider(provider())


def test_every_point_that_is_not_kept_is_listed():
    async def careless(cls, model, messages, **kwargs):
        messages = messages + [{}]  # noqa: RUF005
        messages[0]["role"] = "user"
        yield "one "
        yield "two"

    with pytest.raises(ContractError) as caught:
        check_provider(provider(careless), failing=())

    assert len(caught.value.violations) == 2
    assert str(caught.value).count("\n- ") == 2

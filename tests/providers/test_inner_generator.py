"""Async generators that are left early: their loop ends without a word, whoever closes them."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from flowgpt_magic.providers.inner_generator import InnerGenerator
from tests import certificates
from tests.models_on_disk import weights_on_disk
from tests.openai_servers import STREAM, chunk, streaming
from tests.servers import Way, framed, line, replying, served, speaking_by, stalling

LEAVING = """
import asyncio, contextlib
MESSAGES = [{"role": "user", "content": "one two three four"}]

async def breaks():
    async for _ in ask():
        break

async def raises():
    async for _ in ask():
        raise ZeroDivisionError

async def closes():
    chunks = ask()
    await anext(chunks)
    await chunks.aclose()

async def forgets():
    chunks = ask()
    await anext(chunks)
    KEPT.append(chunks)  # the loop closes it, not the garbage collector

async def is_cancelled():
    begun = asyncio.Event()
    async def read():
        async for _ in ask():
            begun.set()
            await asyncio.Event().wait()
    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

async def is_cancelled_by_the_end():
    begun = asyncio.Event()
    async def read():
        async for _ in ask():
            begun.set()
            await asyncio.Event().wait()
    KEPT.append(asyncio.create_task(read()))
    await begun.wait()

KEPT = []
for way in (breaks, raises, closes, forgets, is_cancelled, is_cancelled_by_the_end):
    with contextlib.suppress(ZeroDivisionError):
        asyncio.run(way())
    print(way.__name__)
"""
WAYS = ["breaks", "raises", "closes", "forgets", "is_cancelled", "is_cancelled_by_the_end"]
ECHO = """
from flowgpt_magic.providers.echo import Echo
def ask():
    return Echo.create_async_generator("words", MESSAGES, pace=0.0)
"""
OPENAI = """
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
def ask():
    return OpenAICompatible.create_async_generator("m", MESSAGES, openai_base_url=URL + "/v1")
"""
FLOWGPT = """
from flowgpt_magic.providers.flowgpt import FlowGpt
def ask():
    return FlowGpt.create_async_generator("gpt-3.5-turbo", MESSAGES, base_url=URL)
"""
LOCAL = """
from flowgpt_magic.providers.local import Local
def ask():
    return Local.create_async_generator(Local.default_model, MESSAGES, max_tokens=8)
"""
LLM = """
import llm
from llm.plugins import load_plugins, pm
from flowgpt_magic.providers.llm_models import Llm
load_plugins()

async def words():
    try:
        for word in ("one ", "two ", "three "):
            yield word
            await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)

class Model(llm.AsyncModel):
    model_id = "nested"
    can_stream = True

    async def execute(self, prompt, stream, response, conversation):
        async with contextlib.aclosing(words()) as said:
            async for word in said:
                yield word

class Blocking(llm.Model):
    model_id = "blocking"
    can_stream = True

    def execute(self, prompt, stream, response, conversation):
        yield from ("one ", "two ", "three ")

class Plugin:
    @llm.hookimpl
    def register_models(self, register):
        register(Blocking(), Model() if NESTED else None)

pm.register(Plugin(), name="test")

def ask():
    return Llm.create_async_generator("blocking", MESSAGES)
"""


def left_early(program: str, **variables: str) -> tuple[list[str], str]:
    """The ways of leaving that the program came through, and what it has to say about them."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", LEAVING.replace("KEPT = []", textwrap.dedent(program) + "\nKEPT = []")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # A busy machine is slow, and asyncio's debug mode says so: that is no word about the generator.
    words = [each for each in done.stderr.splitlines() if not (each.startswith("Executing") and "took" in each)]
    return done.stdout.split(), "\n".join(words)


@pytest.fixture(params=["http", "https"])
def spoken(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Servers speak in this way; the variables of a process that trusts them."""
    with speaking_by(Way(tls=request.param == "https")):
        yield {"SSL_CERT_FILE": str(certificates.authority().bundle)}


@pytest.mark.parametrize("ends", [True, False])
def test_an_openai_server_is_left_without_a_word(spoken: dict[str, str], ends: bool) -> None:
    blocks = [chunk("one "), chunk("two "), chunk("three ")]
    whole = streaming(*blocks, chunk(None, "stop"), b"data: [DONE]\n\n")
    with served(whole if ends else stalling(STREAM, *map(framed, blocks))) as url:
        assert left_early(f"URL = {url!r}\n{OPENAI}", **spoken) == (WAYS, "")


def test_a_flowgpt_server_is_left_without_a_word(spoken: dict[str, str]) -> None:
    with served(replying(line("one "), line("two "), line("three "))) as url:
        assert left_early(f"URL = {url!r}\n{FLOWGPT}", **spoken) == (WAYS, "")


def test_the_echo_is_left_without_a_word() -> None:
    assert left_early(ECHO) == (WAYS, "")


def test_the_embedded_model_is_left_without_a_word() -> None:
    assert left_early(LOCAL, FLOWGPT_DATA_DIR=str(weights_on_disk())) == (WAYS, "")


@pytest.mark.parametrize("nested", [True, False])
def test_a_model_of_llm_is_left_without_a_word(nested: bool) -> None:
    assert left_early(f"NESTED = {nested}\n{LLM}") == (WAYS, "")


# The class by itself


class Letters:
    """Generators, one in the other, that take their time to close."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    async def inner(self) -> AsyncGenerator[str, None]:
        try:
            for letter in "abc":
                yield letter
        finally:
            await asyncio.sleep(0)
            self.closed.append("inner")

    async def outer(self) -> AsyncGenerator[str, None]:
        try:
            async with InnerGenerator(self.inner()) as letters:
                async for letter in letters:
                    yield letter
        finally:
            self.closed.append("outer")


async def test_items_come_in_order_and_the_end_closes() -> None:
    letters = Letters()
    async with InnerGenerator(letters.outer()) as found:
        assert [each async for each in found] == ["a", "b", "c"]
    assert letters.closed == ["inner", "outer"]


def test_only_the_outer_generator_is_known_to_the_loop_and_closing_that_closes_all() -> None:
    letters, known = Letters(), []

    async def main() -> None:
        before = sys.get_asyncgen_hooks()
        outer = letters.outer()
        sys.set_asyncgen_hooks(known.append, before.finalizer)
        await anext(outer)
        assert [each.ag_code.co_name for each in known] == ["outer"]
        assert sys.get_asyncgen_hooks() == (known.append, before.finalizer)
        await outer.aclose()

    asyncio.run(main())
    assert letters.closed == ["inner", "outer"]


def test_one_that_was_never_begun_is_closed_too() -> None:
    reports: list[Any] = []
    letters = Letters()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
        async with InnerGenerator(letters.inner()) as found:
            pass
        with pytest.raises(StopAsyncIteration):
            await found.__anext__()
        del found
        gc.collect()

    asyncio.run(main())
    assert (letters.closed, reports) == ([], [])

"""For each point that is told by asking a provider, one that does not keep it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from contextlib import suppress

import pytest

from flowgpt_magic.errors import ProviderError, SchemaNotSupportedError
from flowgpt_magic.messages import Reasoning, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.testing import check_provider
from tests.contracts import POINTS, broken, good, provider, the_broken
from tests.servers import line, replying, serving


async def yields_bytes(cls, model, messages, **kwargs):
    yield "one "
    yield b"two"


async def reasons_late(cls, model, messages, **kwargs):
    yield "one"
    yield Extras(request_id="r")
    yield Reasoning("hm")


async def yields_nothing(cls, model, messages, **kwargs):
    for _ in range(2):
        yield ""


async def counts_first(cls, model, messages, **kwargs):
    yield Usage()
    yield "one"


async def counts_twice(cls, model, messages, **kwargs):
    yield "one"
    yield Usage()
    yield Usage()


async def fails(cls, model, messages, **kwargs):
    raise ProviderError("the model is overloaded")
    yield ""


async def exits(cls, model, messages, **kwargs):
    sys.exit(3)
    yield ""


async def extras_first(cls, model, messages, **kwargs):
    yield Extras(reasoning="hm")
    yield "one two"


async def extras_twice(cls, model, messages, **kwargs):
    yield "one two"
    yield Extras(reasoning="hm")
    yield Extras(reasoning="hm")


async def cancels_itself(cls, model, messages, **kwargs):
    raise asyncio.CancelledError
    yield ""


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (yields_bytes, "it yields b'two', of the type bytes: yield text or Reasoning"),
        (yields_nothing, "is empty: check it, or pass another prompt"),
        (extras_first, "it yields text, reasoning or a second Extras after an Extras"),
        (reasons_late, "it yields text, reasoning or a second Extras after an Extras"),
        (extras_twice, "it yields text, reasoning or a second Extras after an Extras"),
        (counts_first, "it yields a Usage at position 1 of 2"),
        (counts_twice, "it yields a Usage at position 2 of 3"),
        (fails, "it raises ProviderError: the model is overloaded"),
        (exits, "it raises SystemExit: 3"),
        (cancels_itself, "it raises CancelledError although it was not cancelled"),
    ],
)
def test_an_answer_that_is_none_ends_the_test(method, said):
    found = the_broken(provider(method))

    assert found.startswith("It answers in chunks of text")
    assert said in found


def test_a_provider_that_reasons_keeps_every_point():
    async def reasons(cls, model, messages, *args, **kwargs):
        yield Reasoning("two ")
        yield Reasoning("and two")
        async for chunk in good(cls, model, messages, *args, **kwargs):
            yield chunk

    check_provider(provider(reasons), failing={"fail": True})


def test_an_answer_that_never_comes_ends_the_test():
    async def silent(cls, model, messages, **kwargs):
        await asyncio.Event().wait()
        yield ""

    assert "it does not end within 0.05 s, read to its end; patience= sets a longer limit" in the_broken(
        provider(silent), patience=0.05
    )


def test_a_loop_that_is_not_given_back_ends_the_test(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.testing.contract.PROVIDER_TIMEOUT", 0.02)
    released = threading.Event()

    async def stuck(cls, model, messages, **kwargs):
        released.wait(30)
        yield ""

    try:
        found = the_broken(provider(stuck), patience=0.05)
    finally:
        released.set()

    assert "it blocks the event loop" in found


async def test_what_works_on_one_loop_only_is_seen():
    kept: list[asyncio.Event] = []

    async def bound(cls, model, messages, **kwargs):
        cls.get_model(model)
        if not kept:
            kept.append(asyncio.Event())
            asyncio.get_running_loop().call_later(0.01, kept[0].set)
            await kept[0].wait()
        elif not kept[0].is_set() or asyncio.get_running_loop() is not kept[0]._loop:
            raise RuntimeError("bound to a different event loop")
        yield "one "
        yield "two"

    found = broken(provider(bound), failing=())

    assert found[0] == (
        "It answers again, on another event loop. But it raises RuntimeError: bound to a different event loop."
    )


async def appends(cls, model, messages, **kwargs):
    cls.get_model(model)
    with suppress(AttributeError):
        messages.append({"role": "assistant", "content": ""})
    yield "one "
    yield "two"


async def edits(cls, model, messages, **kwargs):
    cls.get_model(model)
    with suppress(TypeError):
        messages[-1]["content"] = "something else"
    yield "one "
    yield "two"


@pytest.mark.parametrize("method", [appends, edits])
def test_messages_that_are_changed_are_seen(method):
    assert "it changes the messages that it was given" in the_broken(provider(method), failing=())


async def dumps(cls, model, messages, **kwargs):
    cls.get_model(model)
    json.dumps(list(messages))
    yield "one "
    yield "two"


async def adds(cls, model, messages, **kwargs):
    cls.get_model(model)
    [{"role": "system", "content": ""}] + messages  # noqa: RUF005
    yield "one "
    yield "two"


@pytest.mark.parametrize("method", [dumps, adds])
def test_messages_that_must_not_be_read_only_are_seen(method):
    found = the_broken(provider(method), failing=())

    assert "it fails with messages that are read-only mappings in a tuple: TypeError" in found


def test_messages_of_a_kind_it_does_not_take_are_not_sent():
    async def choosy(cls, model, messages, **kwargs):
        cls.get_model(model)
        assert [message["role"] for message in messages] == ["user"]
        yield "one "
        yield "two"

    found = provider(choosy, supports_message_history=False, supports_system_message=False)
    assert check_provider(found, failing=()) == POINTS
    assert any("AssertionError" in each for each in broken(provider(choosy), failing=()))


def test_keyword_arguments_that_are_passed_on_to_who_knows_none_are_seen():
    def sdk(messages, temperature=0.7):
        return "one ", "two"

    async def passes_on(cls, model, messages, proxy=None, **kwargs):
        cls.get_model(model)
        for word in sdk(messages, **kwargs):
            yield word

    found = the_broken(provider(passes_on), failing=())

    assert found.startswith(
        "It stops immediately when it is closed after the first chunk, and takes unknown keyword arguments"
    )
    assert "TypeError" in found


def test_a_slow_close_is_seen(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.testing.contract_replies.PROVIDER_TIMEOUT", 0.05)

    async def slow_to_close(cls, model, messages, **kwargs):
        cls.get_model(model)
        try:
            yield "one "
            yield "two"
        finally:
            await asyncio.sleep(0.1)

    assert any("s to close after the first chunk" in each for each in broken(provider(slow_to_close), failing=()))


def test_a_cancellation_that_is_swallowed_is_seen():
    async def deaf(cls, model, messages, **kwargs):
        cls.get_model(model)
        for _ in range(5):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
            yield "word "

    found = broken(provider(deaf), failing=())

    assert any("it continues after its task was cancelled" in each for each in found)


def test_a_cancellation_that_is_turned_into_an_error_is_seen():
    async def renames(cls, model, messages, **kwargs):
        cls.get_model(model)
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            raise ProviderError("stopped") from None
        yield "one "
        yield "two"

    found = the_broken(provider(renames), failing=())

    assert "cancelled, it raises ProviderError: stopped: let CancelledError through" in found


def test_replies_that_mix_are_seen():
    class Shared(provider()):
        words: list[str]

        @classmethod
        async def create_async_generator(cls, model, messages, proxy=None, **kwargs):
            cls.get_model(model)
            cls.words = messages[-1]["content"].split()
            for _ in range(len(cls.words)):
                await asyncio.sleep(0)
                if cls.words:
                    yield cls.words.pop(0)

    found = broken(Shared, failing=())

    assert any(each.startswith("Two replies at the same time do not mix.") for each in found)


@pytest.mark.parametrize("models", [("m",), None, [1]])
def test_a_list_of_models_that_is_none_is_seen(models):
    async def list_models(cls, **settings):
        return models

    found = the_broken(provider(list_models=classmethod(list_models)), failing=())

    assert f"list_models() returns {models!r}" in found


def test_no_list_of_models_is_fine_where_there_is_a_reason():
    async def list_models(cls, **settings):
        raise ProviderError("the server keeps it to itself")

    assert check_provider(provider(list_models=classmethod(list_models)), failing=()) == POINTS


@pytest.mark.parametrize(("error", "fine"), [(ProviderError("no images"), True), (KeyError("images"), False)])
def test_an_image_is_answered_or_refused_with_a_reason(error, fine):
    async def looks(cls, model, messages, **kwargs):
        cls.get_model(model)
        if "images" in messages[-1]:
            raise error
        yield "one "
        yield "two"

    found = provider(looks, supports_images=True)
    if fine:
        assert check_provider(found, failing=()) == POINTS
    else:
        assert the_broken(found, failing=()).endswith("But it raises KeyError: 'images'.")


@pytest.mark.parametrize(
    ("answer", "fine"),
    [('{"count": 3}', True), (SchemaNotSupportedError("not this model", 400), True), ("three", False), ("[3]", False)],
)
def test_a_schema_is_kept_or_refused(answer, fine):
    async def counts(cls, model, messages, schema=None, **kwargs):
        cls.get_model(model)
        if isinstance(answer, Exception) and schema:
            raise answer
        yield "one " if schema is None else answer
        yield "two" if schema is None else ""

    found = provider(counts, supports_schema=True)
    if fine:
        assert check_provider(found, failing=()) == POINTS
    else:
        assert f"it answers {answer!r}: raise SchemaNotSupportedError" in the_broken(found, failing=())


def test_a_schema_that_was_cut_off_by_a_limit_cannot_be_told():
    async def short(cls, model, messages, schema=None, **kwargs):
        cls.get_model(model)
        yield "one "
        yield "two"
        yield Usage(finish_reason="length")

    assert check_provider(provider(short, supports_schema=True), failing=()) == POINTS


# What does not, when it fails


def failing_with(error: BaseException):
    async def answer(cls, model, messages, *, key=None, fail=False, **kwargs):
        cls.get_model(model)
        if fail:
            raise error
        yield "one "
        yield "two"

    return provider(answer)


def test_a_foreign_error_is_named_with_what_to_raise():
    found = the_broken(failing_with(json.JSONDecodeError("Expecting value", "", 0)))

    assert "with fail=True it raises json.decoder.JSONDecodeError: raise a subclass of ProviderError" in found


def test_no_error_where_one_was_due_is_seen():
    assert "with key=… it does not fail, although it should" in the_broken(
        failing_with(ProviderError("no")), failing={"key": "abcdef"}
    )


def test_an_error_that_shows_a_key_is_seen_and_the_key_not_shown():
    found = the_broken(failing_with(ProviderError("bad key s3cr3t")), failing={"fail": True, "key": "s3cr3t"})

    assert found.endswith("But with fail=True, key=… its error shows the key: remove it.")
    assert "s3cr3t" not in found


def test_every_case_is_tried():
    asked = []

    async def answer(cls, model, messages, *, wrong=0, **kwargs):
        asked.append((model, wrong))
        if wrong or model != "m":
            raise ProviderError("no")
        yield "one "
        yield "two"

    check_provider(provider(answer), failing=[{"wrong": 1}, {"wrong": 2}, {"model": "other"}])

    assert asked[-4:] == [("m", 1), ("m", 2), ("other", 0), ("no-such-model-0", 0)]


def test_an_unknown_model_that_is_answered_is_seen():
    async def answers_all(cls, model, messages, **kwargs):
        yield "one "
        yield "two"

    assert "with model='no-such-model-0' it does not fail" in the_broken(provider(answers_all), failing=())


def http(read):
    """A provider that asks a server, whose address is a setting."""

    async def answer(cls, model, messages, *, base_url=None, **kwargs):
        cls.get_model(model)
        host, port = base_url.removeprefix("http://").split(":")
        async for chunk in read(host, int(port)):
            yield chunk

    return provider(answer, settings=("base_url",))


async def asks(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        yield "one "
        yield "two"
    finally:
        writer.close()


async def test_an_unreachable_server_is_tried_without_being_asked_for():
    async with serving(replying(line("hi"))) as server:
        found = await asyncio.to_thread(broken, http(asks), failing=None, base_url=server.url)

    assert any("it raises ConnectionRefusedError: raise a subclass of ProviderError" in each for each in found)


async def test_a_silent_server_is_one_to_be_cancelled_at():
    async def deaf(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        try:
            while not reading.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({reading}, timeout=2)
                    break
            yield "one "
            yield "two"
        finally:
            reading.cancel()
            writer.close()

    async with serving(replying(line("hi"))) as server:
        found = await asyncio.to_thread(broken, http(deaf), failing=None, base_url=server.url)

    assert any("it continues after its task was cancelled" in each for each in found)


# What does not, in all of that


def test_a_provider_that_blocks_is_seen(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.testing.contract_replies.MAX_BLOCK", 0.1)

    async def blocks(cls, model, messages, **kwargs):
        cls.get_model(model)
        time.sleep(0.3)  # noqa: ASYNC251
        yield "one "
        yield "two"

    found = the_broken(provider(blocks), failing=())

    assert found.startswith("It does not block the event loop. But the event loop was blocked for 0.")


def test_a_task_that_is_left_running_is_seen(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.testing.isolation.GRACE", 0.01)

    async def forgetful(cls, model, messages, **kwargs):
        cls.get_model(model)
        cls.task = asyncio.create_task(asyncio.sleep(60))
        yield "one "
        yield "two"

    found = the_broken(provider(forgetful), failing=())

    assert "it leaves behind: the task sleep, read to its end" in found


def test_a_generator_that_is_left_to_the_collector_is_seen():
    async def inner():
        yield "one "
        yield "two"

    async def outer(cls, model, messages, **kwargs):
        cls.get_model(model)
        async for chunk in inner():
            yield chunk

    found = the_broken(provider(outer), failing=())

    assert "inner, left to the garbage collector, closed after the first chunk" in found
    assert "aclosing()" in found


def test_threads_that_are_left_running_are_seen(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.testing.isolation.GRACE", 0.01)
    released = threading.Event()

    async def threads(cls, model, messages, **kwargs):
        cls.get_model(model)
        threading.Thread(target=released.wait, args=(30,), name="theirs", daemon=True).start()
        yield "one "
        yield "two"

    try:
        found = the_broken(provider(threads), failing=())
    finally:
        released.set()

    assert "threads (theirs, theirs, theirs, …)" in found


@pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="/dev/fd tells what is open")
def test_files_that_are_left_open_are_seen():
    kept = []

    async def opens(cls, model, messages, **kwargs):
        cls.get_model(model)
        kept.append(open(__file__, encoding="utf-8"))  # noqa: SIM115, ASYNC230
        yield "one "
        yield "two"

    try:
        found = the_broken(provider(opens), failing=())
    finally:
        for file in kept:
            file.close()

    assert "open files or connections" in found

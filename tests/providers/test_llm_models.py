"""The models of llm, through a plug-in of it that is registered for each test."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator

import httpx2 as httpx
import llm
import pytest
from llm.parts import StreamEvent
from llm.plugins import pm
from pydantic import Field

from flowgpt_magic import Conversation, bridge, installing
from flowgpt_magic.errors import (
    ConnectTimeoutError,
    ImagesRefusedError,
    MissingKeyError,
    ModelNotSupportedError,
    NotInstalledError,
    OptionError,
    PromptError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    RateLimitError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import Reasoning, Usage, notices_to
from flowgpt_magic.providers import models
from flowgpt_magic.providers.llm_models import Llm
from flowgpt_magic.replies.retry import is_temporary
from flowgpt_magic.testing import check_provider
from flowgpt_magic.testing.check import STAGES
from tests.image_files import picture

TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three four"},
]
KEY = "sk-0123456789"


class Options(llm.Options):
    temperature: float | None = Field(default=None)
    max_tokens: int | None = Field(default=None)
    shout: bool | None = Field(default=None)


def said(prompt) -> str:
    """What a model of today reads, in a line."""
    return " | ".join(f"{each.role}: {each.parts[0].text}" for each in prompt.messages)


class Sync(llm.Model):
    """Repeats what it is sent, a word at a time; waits for ``released`` after the first one."""

    model_id = "test/sync"
    can_stream = True
    Options = Options
    released = threading.Event()
    closed = threading.Event()

    def execute(self, prompt, stream, response, conversation):
        try:
            for count, word in enumerate(said(prompt).split()):
                if count:
                    self.released.wait(30)
                yield word + " "
            response.set_usage(input=7, output=count + 1)
        finally:
            self.closed.set()


class Async(llm.AsyncModel):
    """The same, async, with events beside the text."""

    model_id = "test/async"
    can_stream = True
    Options = Options
    hold: asyncio.Event | None = None
    closed = threading.Event()

    async def execute(self, prompt, stream, response, conversation):
        try:
            yield StreamEvent(type="reasoning", chunk="let me think")
            for word in said(prompt).split():
                yield StreamEvent(type="text", chunk=word + " ")
                if self.hold:
                    await self.hold.wait()
            yield f"temperature {prompt.options.temperature}"
            response.set_usage(input=3, output=5, details={"completion_tokens_details": {"reasoning_tokens": 4}})
        finally:
            self.closed.set()


class AsyncsSync(llm.Model):
    """llm knows an async model by its sync one; this must not be asked."""

    model_id = "test/async"

    def execute(self, prompt, stream, response, conversation):
        raise AssertionError("the async model was there")


class Old(llm.Model):
    """Of a plug-in from before there were messages."""

    model_id = "test/old"

    def execute(self, prompt, stream, response, conversation):
        yield f"{prompt.system} / {prompt.prompt}"


def in_turns(prompt, conversation) -> str:
    """What a plug-in from before there were messages reads of a conversation."""
    before = [f"{each.prompt.prompt} > {each.text_or_raise()}" for each in conversation.responses]
    return " / ".join([prompt.system or "", *before, prompt.prompt])


class Responses(llm.Model):
    model_id = "test/responses"

    def execute(self, prompt, stream, response, conversation):
        yield in_turns(prompt, conversation)


class AsyncResponses(llm.AsyncModel):
    model_id = "test/responses-async"

    async def execute(self, prompt, stream, response, conversation):
        yield in_turns(prompt, conversation)


class SyncOfAsyncResponses(llm.Model):
    model_id = "test/responses-async"

    def execute(self, prompt, stream, response, conversation):
        raise AssertionError("the async model was there")


class Keyed(llm.KeyModel):
    model_id = "test/keyed"
    needs_key = "test"
    key_env_var = "LLM_TEST_KEY"
    error: Exception | None = None

    def execute(self, prompt, stream, response, conversation, key):
        if self.error:
            raise self.error
        yield "a key was there"


class Single(llm.Model):
    model_id = "test/single"
    supports_conversation = False

    def execute(self, prompt, stream, response, conversation):
        yield f"once: {said(prompt)}"


class Sees(llm.Model):
    """It says which attachments it got."""

    model_id = "test/sees"
    attachment_types = frozenset({"image/png", "image/jpeg"})

    def execute(self, prompt, stream, response, conversation):
        parts = [part.attachment for each in prompt.messages for part in each.parts if hasattr(part, "attachment")]
        yield ", ".join(f"{one.type} {one.url or f'{len(one.content)} bytes'}" for one in parts)


class Plugin:
    __name__ = "a plug-in of llm"

    @llm.hookimpl
    def register_models(self, register):
        register(Sync(), aliases=("syn",))
        register(AsyncsSync(), Async())
        register(Old())
        register(Keyed())
        register(Single())
        register(Sees())
        register(Responses())
        register(SyncOfAsyncResponses(), AsyncResponses())


@pytest.fixture(autouse=True)
def plugin(tmp_path, monkeypatch) -> Iterator[None]:
    """llm with its own folder for this test, this plug-in, and none that is installed."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    monkeypatch.setattr(llm.plugins, "LLM_LOAD_PLUGINS", "")
    monkeypatch.delenv("LLM_TEST_KEY", raising=False)
    for made in (Sync, Async):
        made.closed.clear()
    Sync.released.set()
    Async.hold = Keyed.error = None
    pm.register(Plugin(), name="test")
    yield
    pm.unregister(name="test")
    Sync.released.set()


async def heard(model: str, messages=TALK, **options) -> list[str | Usage]:
    return [chunk async for chunk in Llm.create_async_generator(model, messages, **options)]


async def test_an_async_model_answers_with_its_reasoning_and_its_text():
    reasoning, *chunks, usage = await heard("test/async")

    assert isinstance(reasoning, Reasoning)
    assert reasoning == "let me think"
    assert chunks[:2] == ["system: ", "be "]
    assert "".join(chunks) == ("system: be brief | user: one | assistant: two | user: three four temperature None")
    assert usage == Usage(3, 5, reasoning_tokens=4)


@pytest.mark.parametrize("name", ["test/sync", "syn"])
async def test_a_sync_model_answers_by_its_name_and_by_its_alias(name):
    *chunks, usage = await heard(name)

    assert chunks[:2] == ["system: ", "be "]
    assert "".join(chunks) == "system: be brief | user: one | assistant: two | user: three four "
    assert usage == Usage(prompt_tokens=7, completion_tokens=len(chunks))


async def test_messages_that_end_with_the_assistants_are_sent_as_they_are():
    assert "".join(map(str, (await heard("test/sync", TALK[:3]))[:-1])).endswith("user: one | assistant: two ")


async def test_no_messages_are_an_error():
    with pytest.raises(PromptError, match="there is no message to send"):
        await heard("test/sync", [])


# As one of ours


@pytest.mark.parametrize("name", ["llm:test/async", "llm/test/async"])
def test_it_is_asked_by_its_name_like_any_other(name):
    conversation = Conversation(configured=lambda: {"model": name})

    reply = conversation.ask("hi", system="be brief", temperature=0.5)

    assert reply.text == "system: be brief | user: hi temperature 0.5"
    assert (reply.provider, reply.model) == ("llm", "test/async")
    assert conversation.ask("and now?").text == (
        "user: hi | assistant: system: be brief | user: hi temperature 0.5 | user: and now? temperature None"
    )


def test_without_a_model_it_is_the_default_one_of_llm():
    llm.set_default_model("syn")

    assert str(models.find_model("llm")) == "llm:syn"


async def test_its_models_are_listed_when_they_are_asked_for_and_not_before():
    listed = await Llm.list_models()

    assert {"test/sync", "test/async", "test/old", "test/keyed", "test/single"} <= set(listed)
    assert Llm.get_models() == []
    lacks = {str(model): model.lacks for model in listed}
    assert lacks["test/keyed"].startswith("no key: llm keys set ")
    assert lacks["test/sync"] == ""


@pytest.mark.parametrize("model", ["test/sync", "test/async"])
def test_it_keeps_the_contract(model):
    kept = check_provider(Llm, name="llm", model=model, failing=[{"model": "nobody"}, {"model": "test/keyed"}])

    assert len(kept) == sum(map(len, STAGES))


# Leaving it


async def test_an_async_model_is_closed_at_once_when_it_is_left():
    Async.hold = asyncio.Event()
    chunks = Llm.create_async_generator("test/async", TALK)
    assert [await anext(chunks), await anext(chunks)] == ["let me think", "system: "]

    await chunks.aclose()

    assert Async.closed.is_set()


async def test_an_async_model_is_closed_at_once_when_its_task_is_cancelled():
    Async.hold = asyncio.Event()
    got = asyncio.Event()

    async def read() -> None:
        async for _chunk in Llm.create_async_generator("test/async", TALK):
            got.set()

    task = asyncio.create_task(read())
    await got.wait()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert Async.closed.is_set()


async def test_a_sync_model_is_left_at_once_and_closed_at_its_next_chunk():
    Sync.released.clear()
    chunks = Llm.create_async_generator("test/sync", TALK)
    assert await anext(chunks) == "system: "

    await chunks.aclose()
    assert not Sync.closed.is_set()
    Sync.released.set()

    assert await asyncio.to_thread(Sync.closed.wait, 30)


def test_a_reply_of_a_sync_model_can_be_cancelled():
    Sync.released.clear()
    reply = Conversation(configured=lambda: {"model": "llm:test/sync"}).ask("one two three")
    for _chunk in reply:
        break

    assert (reply.status, reply.text_so_far) == ("cancelled", "user: ")


async def test_a_loop_that_is_closed_meanwhile_is_no_trouble():
    Sync.released.clear()

    async def first() -> str:
        return str(await anext(Llm.create_async_generator("test/sync", TALK)))

    assert await asyncio.to_thread(asyncio.run, first()) == "system: "
    Sync.released.set()

    assert await asyncio.to_thread(Sync.closed.wait, 30)


async def test_a_model_in_a_thread_keeps_nothing_else_waiting():
    Sync.released.clear()
    chunks = Llm.create_async_generator("test/sync", TALK)
    await anext(chunks)
    waiting = asyncio.ensure_future(anext(chunks))

    assert await heard("test/old") != []
    assert not waiting.done()
    Sync.released.set()
    assert await waiting == "be "
    await chunks.aclose()


# Options


async def test_options_that_the_model_has_are_given_to_it():
    assert (await heard("test/async", temperature=0.25, options={"shout": True}))[-2] == "temperature 0.25"


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (
            "test/sync",
            {"options": {"shuot": 1}},
            "test/sync has no option shuot; did you mean shout? It has max_tokens, ",
        ),
        ("test/old", {"temperature": 1}, "test/old has no option temperature. It has none."),
    ],
)
async def test_one_that_it_does_not_have_is_an_error(model, options, said):
    with pytest.raises(OptionError) as caught:
        await heard(model, **options)

    assert said in str(caught.value)


async def test_a_value_that_an_option_cannot_have_is_an_error():
    with pytest.raises(ProviderError, match="max_tokens"):
        await heard("test/sync", options={"max_tokens": "many"})


def test_options_are_given_in_python_and_kept_with_the_turn():
    conversation = Conversation(configured=lambda: {"model": "llm:test/sync"})
    assert conversation.ask("hi", params={"options": {"shout": True}, "max_tokens": 3}).text

    assert conversation.turns[0].parameters == {"options": {"shout": True}, "max_tokens": 3}


# What goes wrong


async def test_an_unknown_model_is_answered_with_a_known_one():
    with pytest.raises(ModelNotSupportedError, match=r"llm has no model 'test/snyc'; did you mean test/sync\?"):
        await heard("test/snyc")


async def test_a_key_that_is_missing_is_named_with_how_to_set_it():
    with pytest.raises(MissingKeyError, match="llm keys set test' or set the LLM_TEST_KEY environment variable"):
        await heard("test/keyed")


async def test_a_key_that_llm_keeps_is_used(tmp_path):
    (tmp_path / "llm").mkdir(exist_ok=True)
    (tmp_path / "llm" / "keys.json").write_text(f'{{"test": "{KEY}"}}')

    assert (await heard("test/keyed"))[0] == "a key was there"


async def test_an_error_of_a_plug_in_is_ours_without_its_key(monkeypatch):
    monkeypatch.setenv("LLM_TEST_KEY", KEY)
    Keyed.error = RuntimeError(f"401: wrong\nkey {KEY} for https://me:{KEY}@host")

    with pytest.raises(ProviderError) as caught:
        await heard("test/keyed")

    assert str(caught.value) == "test/keyed: RuntimeError: 401: wrong key *** for https://***@host."
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("model", ["test/single", "test/old"])
async def test_a_model_that_reads_the_last_message_only_says_so(model):
    told: list[str] = []
    with notices_to(told.append):
        whole = await heard(model)
        assert told == [f"1 older turn left out: {model} reads the last message only"]
        await heard(model, [TALK[0], TALK[-1]])

    assert (
        whole[0]
        == {"test/single": "once: system: be brief | user: three four", "test/old": "be brief / three four"}[model]
    )
    assert len(told) == 1


@pytest.mark.parametrize("model", ["test/responses", "test/responses-async"])
async def test_a_plug_in_that_reads_the_responses_of_a_conversation_gets_the_earlier_turns(model):
    told: list[str] = []
    messages = [*TALK[:3], {"role": "user", "content": "a"}, {"role": "user", "content": "b"}, *TALK[2:]]
    with notices_to(told.append):
        text = (await heard(model, messages))[0]

    assert text == "be brief / one > two / a\n\nb > two / three four"
    assert told == []


@pytest.mark.parametrize("model", ["test/responses", "test/responses-async", "test/sync", "test/async"])
async def test_a_conversation_of_one_turn_leaves_nothing_out(model):
    told: list[str] = []
    with notices_to(told.append):
        await heard(model, TALK[-1:])

    assert told == []


async def test_parts_of_a_message_are_read_and_an_image_is_refused():
    parts = [{"type": "text", "text": "three"}, {"type": "text", "text": "four"}]
    assert (await heard("test/old", [{"role": "user", "content": parts}]))[0] == " / three\nfour"

    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(ImagesRefusedError, match="llm:test/old takes no images"):
        await heard("test/old", [{"role": "user", "content": [image]}])


async def test_images_are_attachments_and_one_with_an_address_is_passed_on():
    content = picture()
    data = f"data:image/png;base64,{b64encode(content).decode()}"
    earlier = {"role": "user", "content": "one", "images": ["https://example.org/a.jpg?size=2"]}
    talk = [earlier, {"role": "assistant", "content": "two"}, {"role": "user", "content": "three", "images": [data]}]

    heard_of = (await heard("test/sees", talk))[0]

    assert heard_of == f"image/jpeg https://example.org/a.jpg?size=2, image/png {len(content)} bytes"


async def test_an_image_of_a_type_that_the_model_does_not_take_is_refused():
    with pytest.raises(ImagesRefusedError, match="takes no image/gif, only image/jpeg, image/png"):
        await heard("test/sees", [{"role": "user", "content": "a", "images": ["data:image/gif;base64,R0lG"]}])
    with pytest.raises(PromptError, match="must be in base64"):
        await heard("test/sees", [{"role": "user", "content": "a", "images": ["data:image/png;base64,%%%"]}])


def httpx_error(status: int, **headers: str) -> Exception:
    request = httpx.Request("POST", "http://host")
    return httpx.HTTPStatusError(f"{status}", request=request, response=httpx.Response(status, headers=headers))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx_error(429, **{"Retry-After": "7"}), RateLimitError),
        (httpx_error(503), ProviderStatusError),
        (httpx.ConnectError("refused"), ProviderConnectionError),
        (httpx.ConnectTimeout("late"), ConnectTimeoutError),
        (httpx.RemoteProtocolError("cut"), StreamInterruptedError),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_request_of_a_plug_in_that_failed_for_a_moment_may_be_made_again(error, kind, monkeypatch):
    monkeypatch.setenv("LLM_TEST_KEY", KEY)
    Keyed.error = error

    with pytest.raises(ProviderError) as caught:
        await heard("test/keyed")

    assert type(caught.value) is kind
    assert is_temporary(caught.value)
    if kind is RateLimitError:
        assert (caught.value.status, caught.value.retry_after) == (429, 7)


@pytest.mark.parametrize("error", [httpx.ReadTimeout("silent"), httpx_error(400), TimeoutError("silent")])
async def test_one_that_would_fail_again_or_was_repeated_already_is_not(error, monkeypatch):
    monkeypatch.setenv("LLM_TEST_KEY", KEY)
    Keyed.error = error

    with pytest.raises(ProviderError) as caught:
        await heard("test/keyed")

    assert not is_temporary(caught.value)


async def test_a_plug_in_that_ends_the_process_does_not():
    Keyed.error = SystemExit(1)
    with pytest.raises(MissingKeyError):
        await heard("test/keyed")
    Keyed.key = KEY
    try:
        with pytest.raises(ProviderError, match="SystemExit"):
            await heard("test/keyed")
    finally:
        Keyed.key = None


async def test_a_plug_in_that_cannot_register_its_models_is_told():
    class Broken:
        @llm.hookimpl
        def register_models(self, register):
            raise RuntimeError("no server")

    pm.register(Broken(), name="broken")
    try:
        with pytest.raises(ProviderError, match="RuntimeError: no server"):
            await heard("test/sync")
    finally:
        pm.unregister(name="broken")


def python(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    return ended.stdout.strip()


@pytest.mark.parametrize(
    "how", ["models.find_model('llm')", "bridge.run(Llm.create_async('x', [{'role': 'user', 'content': 'x'}]))"]
)
def test_where_it_is_not_installed_the_command_is_told(how):
    code = f"""
import sys
sys.modules["llm"] = None
from flowgpt_magic import bridge
from flowgpt_magic.providers import models
from flowgpt_magic.providers import registry
from flowgpt_magic.errors import NotInstalledError
from flowgpt_magic.providers.llm_models import Llm
assert registry.find_provider("llm") is Llm
try:
    {how}
except NotInstalledError as error:
    print(error)
"""
    assert python(code).endswith(f": {installing.command('llm', '--upgrade')} installs it.")


def test_an_llm_that_is_too_old_is_told_so(monkeypatch):
    monkeypatch.delattr(llm, "ConversationNotSupported")

    with pytest.raises(NotInstalledError, match=r"older than 0\.36"):
        bridge.run(Llm.create_async("test/sync", TALK))


def test_whether_it_would_answer_is_known_without_importing_it():
    code = """
import sys
from flowgpt_magic.providers import models
from flowgpt_magic.providers import registry
from flowgpt_magic.settings import load
names = registry.provider_names()
assert "llm" in names and models.is_model_name("llm:anything") and not models.is_model_name("anything")
found = models.find_model("llm:any-model")
print(found, found.provider_class.get_models(), repr(found.provider_class.would_answer(load())), "llm" in sys.modules)
"""
    assert python(code) == "llm:any-model [] '' False"


def test_how_much_a_model_of_llm_thinks_is_an_option_of_its_plug_in():
    with pytest.raises(OptionError, match="llm takes no --think: the option of the model does that"):
        Conversation(configured=lambda: {"model": "llm:test/sync"}).ask("hi", think="low")

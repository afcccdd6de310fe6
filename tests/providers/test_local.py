"""The embedded model itself: these tests load it and read its replies."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from flowgpt_magic import bridge, installing, settings
from flowgpt_magic.errors import (
    ContextLengthError,
    ModelNotSupportedError,
    NotInstalledError,
    OptionError,
    ProviderError,
    SchemaNotSupportedError,
    SettingError,
)
from flowgpt_magic.messages import Usage, notices_to, progress_to
from flowgpt_magic.providers import local
from flowgpt_magic.providers.llama_cpp import install, runtime, weights
from flowgpt_magic.providers.local import Local
from tests.model_hubs import REPOSITORY, ModelHub, serving_models
from tests.models_on_disk import weights_on_disk

pytestmark = pytest.mark.filterwarnings("ignore:the reply was cut off")
STORY = (  # its reply is some hundreds of tokens long
    "Write a long story about a dragon who lives in a mountain, a knight who is afraid of heights, and the village "
    "between them. Tell what each of them wants, how they meet, what goes wrong, and how it ends."
)


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return weights_on_disk()


@pytest.fixture
def embedded(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model is installed."""
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(model_folder))


@pytest.fixture(scope="module", autouse=True)
def _model_leaves_memory() -> Iterator[None]:
    yield
    runtime.close_runner()


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


async def read(chunks: AsyncGenerator[str | Usage, None]) -> tuple[str, Usage]:
    text, usage = "", Usage()
    async with aclosing(chunks):
        async for chunk in chunks:
            if isinstance(chunk, Usage):
                usage = chunk
            else:
                text += chunk
    return text, usage


# What it answers


async def test_a_reply_arrives_in_chunks_and_ends_with_its_usage(embedded: None) -> None:
    chunks = [
        chunk async for chunk in Local.create_async_generator("", user("Write reverse_string in Python."), seed=1)
    ]
    *text, usage = chunks
    assert len(text) > 10
    assert "revers" in "".join(map(str, text))
    assert isinstance(usage, Usage)
    assert usage.finish_reason == "stop"
    assert usage.prompt_tokens is not None
    assert 20 < usage.prompt_tokens < 40
    assert usage.completion_tokens is not None
    assert usage.completion_tokens >= len(text)


async def test_a_system_message_changes_the_reply(embedded: None) -> None:
    system = {"role": "system", "content": "You are a pirate. Begin every answer with: Arr, matey!"}
    plain = await Local.create_async("smollm2", user("Who are you?"), temperature=0, max_tokens=30)
    pirate = await Local.create_async("smollm2", [system, *user("Who are you?")], temperature=0, max_tokens=30)
    assert pirate != plain


async def test_without_a_system_message_the_recommended_one_is_sent(embedded: None) -> None:
    system = {"role": "system", "content": local.DEFAULT_SYSTEM}
    _, alone = await read(Local.create_async_generator("", user("Hello"), max_tokens=1))
    _, told = await read(Local.create_async_generator("", [system, *user("Hello")], max_tokens=1))
    assert alone.prompt_tokens == told.prompt_tokens


@pytest.mark.parametrize(("country", "capital"), [("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid")])
async def test_a_question_about_a_country_is_not_answered_in_scraps_of_its_language(
    embedded: None, country: str, capital: str
) -> None:
    for _ in range(3):
        assert capital in await Local.create_async("", user(f"What is the capital of {country}?"), max_tokens=20)


async def test_the_same_seed_gives_the_same_reply_at_a_high_temperature(embedded: None) -> None:
    async def ask(seed: int) -> str:
        return await Local.create_async("", user("Invent a word."), temperature=2, top_p=1, seed=seed, max_tokens=20)

    first = await ask(1)
    assert await ask(1) == first
    assert await ask(2) != first


async def test_earlier_messages_are_read(embedded: None) -> None:
    earlier = [*user("My number is 4711."), {"role": "assistant", "content": "I see."}]
    _, with_history = await read(Local.create_async_generator("", [*earlier, *user("Hello")], max_tokens=1))
    _, without = await read(Local.create_async_generator("", user("Hello"), max_tokens=1))
    assert (with_history.prompt_tokens or 0) > (without.prompt_tokens or 0) + 10


async def test_the_messages_are_left_as_they_were(embedded: None) -> None:
    messages = user("Hello")
    await Local.create_async("", messages, max_tokens=1)
    assert messages == user("Hello")


async def test_a_stop_word_ends_the_reply_before_it(embedded: None) -> None:
    text, usage = await read(Local.create_async_generator("", user("Write reverse_string."), stop="return", seed=1))
    assert "return" not in text
    assert usage.finish_reason == "stop"


async def test_a_reply_that_reaches_max_tokens_says_so(embedded: None) -> None:
    told: list[str] = []
    with notices_to(told.append):
        _, usage = await read(Local.create_async_generator("", user(STORY), max_tokens=5))
    assert (usage.finish_reason, usage.completion_tokens) == ("length", 5)
    assert told == ["the reply was cut off at max_tokens = 5"]


async def test_a_reply_that_repeats_itself_is_stopped_and_says_so(embedded: None) -> None:
    told: list[str] = []
    prompt = user("Go on: " + "The dog went home. " * 8)
    options = {"temperature": 0, "dry_multiplier": 0, "max_tokens": 400}
    with notices_to(told.append):
        text, usage = await read(Local.create_async_generator("", prompt, **options))
    assert usage.finish_reason == "repetition"
    assert told == [runtime.REPETITION_NOTICE]
    assert len(text) < 200


async def test_no_chunk_ends_inside_a_character(embedded: None) -> None:
    prompt = user("Repeat exactly: 🤗🎉🦜 日本語 ünïcödé 🤗🎉🦜")
    texts = []
    for tokens in range(1, 13):
        text, _ = await read(Local.create_async_generator("", prompt, temperature=0, max_tokens=tokens))
        assert "\ufffd" not in text
        text.encode()
        texts.append(text)
    assert len(set(texts)) <= 6  # most end inside a character, which has three tokens


async def test_half_a_surrogate_pair_in_a_prompt_is_replaced(embedded: None) -> None:
    assert await Local.create_async("", user("hello \ud83d world \x00 end"), max_tokens=2)


def test_it_is_read_from_synchronous_code_too(embedded: None) -> None:
    chunks = list(Local.create_completion("", user("Write reverse_string in Python."), seed=1, max_tokens=40))
    assert "revers" in "".join(chunks)


# Which file


def test_its_names_lead_to_the_embedded_model() -> None:
    assert {Local.get_model(name) for name in (None, "", "smollm2", "smollm2-135m-instruct")} == {Local.default_model}


def test_a_path_is_a_model(tmp_path: Path) -> None:
    assert Local.get_model("~/x.gguf") == str(Path.home() / "x.gguf")
    assert Local.get_model(str(tmp_path / "weights")) == str(tmp_path / "weights")
    assert Local.get_model("x.GGUF") == str(Path.cwd() / "x.GGUF")


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ModelNotSupportedError, match=r"did you mean smollm2\? .*install-model --list shows six"):
        Local.get_model("smolm2")
    with pytest.raises(ModelNotSupportedError, match=r"did you mean qwen2\.5-coder-7b"):
        Local.get_model("qwen-coder-7b")


async def test_any_gguf_file_answers_and_replaces_the_model_in_memory(
    embedded: None, model_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.symlink_to(model_folder / weights.SMOLLM2.filename)
    await Local.create_async("", user("Hello"), max_tokens=1)
    assert await Local.create_async(str(other), user("Write reverse_string."), max_tokens=3)
    gc.collect()
    assert sum(isinstance(each, runtime.LoadedModel) for each in gc.get_objects()) == 1


async def test_a_model_from_a_hub_answers_by_its_name(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    content = (model_folder / weights.SMOLLM2.filename).read_bytes()
    with serving_models(ModelHub(files={"Small-Q4_K_M.gguf": content})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.hub.url)
        model = await asyncio.to_thread(install.install, f"hf:{REPOSITORY}", say=print)

    assert Local.get_models() == [Local.default_model, "small-q4_k_m"]
    assert Local.would_answer(settings.load(), model.name) == ""
    text, usage = await read(Local.create_async_generator(model.name, user("Write reverse_string in Python."), seed=1))
    assert "revers" in text
    assert usage.finish_reason in ("stop", "length")


def test_a_model_of_the_list_that_is_not_installed_says_how_to_install_it() -> None:
    assert Local.get_model("Phi-4") == "phi-4"
    command = installing.module("install-model phi-4")
    assert Local.would_answer(settings.load(), "phi-4") == f"not installed: {command}"
    with pytest.raises(NotInstalledError, match="phi-4 is not installed: %flowgpt install-model phi-4, or in"):
        list(Local.create_completion("phi-4", user("Hello")))


def test_a_larger_model_without_a_limit_may_fill_its_context() -> None:
    unset, chosen = settings.load(), settings.load({"max_tokens": 100})

    assert local._max_tokens(unset, embedded=True) == 512
    assert local._max_tokens(unset, embedded=False) == unset.context_size
    assert local._max_tokens(chosen, embedded=False) == 100


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"", "is not a GGUF file"),
        (b"<html>", "is not a GGUF file"),
    ],
)
async def test_a_file_that_is_no_model_is_refused_before_it_is_loaded(
    content: bytes | None, expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelNotSupportedError, match=expected):
        await Local.create_async(str(file), user("Hello"))


@pytest.mark.parametrize("damage", ["header", "cut"])
async def test_a_damaged_model_fails_and_the_next_reply_comes(
    damage: str, embedded: None, model_folder: Path, tmp_path: Path
) -> None:
    whole = (model_folder / weights.SMOLLM2.filename).read_bytes()
    file = tmp_path / "damaged.gguf"
    file.write_bytes(b"GGUF" + b"\xff" * 1000 if damage == "header" else whole[:50_000_000])
    with pytest.raises(ProviderError, match="damaged"):
        await Local.create_async(str(file), user("Hello"))
    assert await Local.create_async("", user("Hello"), max_tokens=2)


async def test_without_the_weights_the_message_holds_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(tmp_path))
    assert not local.is_installed()
    with pytest.raises(NotInstalledError) as caught:
        await Local.create_async("", user("Hello"))
    assert str(caught.value).endswith(f": {installing.module('install-model')} installs it.")


def test_without_the_runtime_the_message_holds_both_commands(tmp_path: Path) -> None:
    # -S leaves the site folder out; what the package needs is linked into a folder without the runtime.
    site = Path(psutil.__file__).parents[1]
    bare = tmp_path / "site"
    bare.mkdir()
    for entry in site.iterdir():
        if not entry.name.startswith(("xllamacpp", "_")):
            (bare / entry.name).symlink_to(entry)
    (bare / "flowgpt_magic").symlink_to(Path(local.__file__).parents[1]) if not (
        bare / "flowgpt_magic"
    ).exists() else None
    script = (
        "from flowgpt_magic.providers.local import Local, is_installed; print(is_installed())\n"
        "try: list(Local.create_completion('', [{'role': 'user', 'content': 'x'}]))\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={**os.environ, "PYTHONPATH": str(bare), "FLOWGPT_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "False",
        "the embedded model is not installed: "
        f"{installing.command('local')} && {installing.module('install-model')} installs it.",
    ]


def test_importing_the_provider_imports_no_runtime() -> None:
    script = (
        "import sys; from flowgpt_magic.providers import local; local.is_installed(); print('xllamacpp' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"


# Settings


@pytest.mark.parametrize(
    "options", [{"max_tokens": 0}, {"context_size": "much"}, {"threads": -1}], ids=["max_tokens", "context", "threads"]
)
async def test_a_setting_that_cannot_be_is_refused(options: dict[str, int], embedded: None) -> None:
    with pytest.raises(SettingError, match=next(iter(options))):
        await Local.create_async("", user("Hello"), **options)


async def test_another_context_size_loads_the_model_again(embedded: None) -> None:
    filler = "word " * 600
    with pytest.raises(ContextLengthError):
        await Local.create_async("", user(filler), context_size=512)
    assert await Local.create_async("", user("Hello"), context_size=1024, max_tokens=1)


# Longer than the context window


async def test_old_turns_that_do_not_fit_are_left_out_and_counted(embedded: None) -> None:
    system = {"role": "system", "content": "You are a helpful assistant."}
    turns = [
        message
        for number in range(20)
        for message in (*user(f"{number} " + "word " * 20), {"role": "assistant", "content": "yes " * 20})
    ]
    told: list[str] = []
    with notices_to(told.append):
        _, usage = await read(
            Local.create_async_generator("", [system, *turns, *user("Hello")], context_size=512, max_tokens=3)
        )
    assert usage.prompt_tokens is not None
    assert 400 < usage.prompt_tokens <= 512 - 3
    left_out = int(told[0].split()[0])
    assert left_out % 2 == 0
    assert 0 < left_out < 40
    assert told[0].endswith("older turns left out: the model sees 512 tokens")


async def test_a_prompt_that_is_too_long_alone_names_both_numbers(embedded: None) -> None:
    with pytest.raises(ContextLengthError, match=r"has 2\d\d\d tokens, the context window 1024: .* context_size"):
        await Local.create_async("", user("word " * 2000), context_size=1024)


async def test_a_reply_that_fills_the_context_window_says_so(embedded: None) -> None:
    told: list[str] = []
    with notices_to(told.append):
        chunks = Local.create_async_generator("", user(STORY), context_size=256, max_tokens=400)
        _, usage = await read(chunks)
    assert usage.finish_reason == "length"
    assert told == ["the reply was cut off at context_size = 256"]


# Leaving early, and waiting in line


async def test_leaving_early_lets_the_next_reply_begin_soon(embedded: None) -> None:
    chunks = Local.create_async_generator("", user(STORY), max_tokens=2000)
    async with aclosing(chunks):
        async for _ in chunks:
            break
    # The reply that was left would take some forty seconds to its end.
    await asyncio.wait_for(Local.create_async("", user("Hello"), max_tokens=1), 8)


async def test_a_cancelled_task_stops_the_computation_while_the_prompt_is_read(embedded: None) -> None:
    long = user("word " * 3000)
    reading = asyncio.create_task(Local.create_async("", long, max_tokens=5))
    await job_begun()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    # Reading all of it takes more than ten seconds here; the next reply is there long before.
    await asyncio.wait_for(Local.create_async("", user("Hello"), max_tokens=1), 8)


async def job_begun() -> None:
    """Wait until the runtime's thread has taken a reply up."""
    while runtime.runner().current is None:  # noqa: ASYNC110 - the thread knows nothing of this loop
        await asyncio.sleep(0.01)


async def test_replies_come_in_the_order_in_which_they_were_asked_for(embedded: None) -> None:
    ended: list[int] = []

    async def ask(number: int) -> None:
        await Local.create_async("", user(f"Say {number}"), max_tokens=4)
        ended.append(number)

    await asyncio.gather(*map(ask, range(6)))
    assert ended == list(range(6))


async def test_a_reply_that_waits_can_be_cancelled_without_a_trace(embedded: None) -> None:
    first = asyncio.create_task(Local.create_async("", user(STORY), max_tokens=40))
    await job_begun()
    second = asyncio.create_task(Local.create_async("", user("word " * 3000), max_tokens=5))
    third = asyncio.create_task(Local.create_async("", user("Hello"), max_tokens=2))
    await asyncio.sleep(0)
    second.cancel()
    assert await first
    assert await asyncio.wait_for(third, 8)
    assert second.cancelled()


async def test_a_reply_that_waits_for_another_says_so_until_it_is_taken_up(embedded: None) -> None:
    async def ask(told: list[str]) -> None:
        with progress_to(told.append):
            await Local.create_async("", user("word " * 200), max_tokens=5)

    first, second = [], []
    begun = asyncio.create_task(ask(first))
    await job_begun()
    await asyncio.gather(begun, ask(second))
    assert "waits for another reply" not in first
    assert second[:2] == ["waits for another reply", ""]
    assert any(text.startswith("reads the prompt, ") for text in first)


async def test_event_loops_share_one_queue(embedded: None) -> None:
    here = asyncio.create_task(Local.create_async("", user("Hello"), max_tokens=5))
    there = await asyncio.to_thread(bridge.run, Local.create_async("", user("Hello"), max_tokens=5))
    assert there
    assert await here


async def test_the_event_loop_runs_on_while_the_model_loads_and_answers(embedded: None) -> None:
    runtime.close_runner()
    reply = asyncio.create_task(Local.create_async("", user(STORY), max_tokens=20))
    ticks = 0
    while not reply.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks > 50
    assert await reply


COUNTRY = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "cold": {"type": "boolean"}},
    "required": ["name", "cold"],
    "additionalProperties": False,
}


async def test_with_a_schema_the_reply_is_a_value_that_fits(embedded):
    text, usage = await read(Local.create_async_generator("", user("Describe Norway."), schema=COUNTRY, max_tokens=200))

    found = json.loads(text)
    assert (set(found), type(found["name"]), type(found["cold"])) == ({"name", "cold"}, str, bool)
    assert usage.finish_reason == "stop"


async def test_a_schema_the_runtime_cannot_keep_to_is_refused_and_the_model_goes_on_answering(embedded):
    odd = {"type": "object", "properties": {"n": {"$ref": "http://127.0.0.1:1/elsewhere"}}}

    with pytest.raises(SchemaNotSupportedError, match="does not support this schema"):
        await read(Local.create_async_generator("", user("hi"), schema=odd, max_tokens=8))

    text, _usage = await read(Local.create_async_generator("", user("Say hi."), max_tokens=8))
    assert text


def test_the_embedded_model_never_thinks_and_what_another_file_does_cannot_be_set() -> None:
    assert Local.think_parameters("", "off") == Local.think_parameters("phi-4", "off") == {}
    for model, reason in (("", "never thinks"), ("phi-4", "never thinks"), ("own.gguf", "cannot be set")):
        with pytest.raises(OptionError, match=reason):
            Local.think_parameters(model, "low")

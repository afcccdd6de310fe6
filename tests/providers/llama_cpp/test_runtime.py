"""The runtime of the embedded model: what it drops of a long prompt, and what it does to the process it runs in."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import ProviderError
from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.llama_cpp import runtime, weights
from flowgpt_magic.providers.llama_cpp.machine import Machine
from flowgpt_magic.providers.local import Local
from tests.models_on_disk import run_script, weights_on_disk

HELLO = [{"role": "user", "content": "Hello"}]
pytestmark = pytest.mark.filterwarnings("ignore:the reply was cut off")


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return weights_on_disk()


@pytest.fixture
def embedded(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model is installed."""
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(model_folder))


# What is dropped of a long prompt

roles = st.sampled_from(["user", "assistant", "system"])
messages_of_any_kind = st.lists(st.tuples(roles, st.integers(1, 50)), min_size=1, max_size=30)


def weigh(messages: runtime.ChatMessages) -> int:
    return sum(int(message["content"]) for message in messages)


@given(messages_of_any_kind, st.integers(0, 600))
def test_trimming_keeps_system_messages_and_the_newest_turns(made: list[tuple[str, int]], room: int) -> None:
    messages = [{"role": role, "content": str(size)} for role, size in made]
    kept = runtime.newest_that_fit(messages, lambda some: weigh(some) <= room)
    ids = [id(message) for message in kept]
    order = [id(message) for message in messages]
    gone = [message for message in messages if id(message) not in ids]
    talk = [message for message in messages if message["role"] != "system"]
    kept_talk = [message for message in kept if message["role"] != "system"]
    assert ids == [each for each in order if each in set(ids)]
    assert all(message["role"] != "system" for message in gone)
    assert kept_talk == talk[len(gone) :]
    assert id(talk[-1]) in ids if talk else not gone
    assert not gone or not kept_talk or kept_talk[0]["role"] == "user"
    assert weigh(kept) <= room or sum(message["role"] == "user" for message in kept_talk[1:]) == 0


@given(messages_of_any_kind, st.integers(0, 600))
def test_trimming_drops_no_more_than_it_must(made: list[tuple[str, int]], room: int) -> None:
    messages = [{"role": role, "content": str(size)} for role, size in made]
    kept = runtime.newest_that_fit(messages, lambda some: weigh(some) <= room)
    gone = [message for message in messages if all(message is not each for each in kept)]
    if gone:
        last_turn = max(position for position, message in enumerate(gone) if position == 0 or message["role"] == "user")
        assert weigh(kept) + weigh(gone[last_turn:]) > room


def test_a_prompt_is_counted_to_the_token(model_folder: Path) -> None:
    model = runtime.LoadedModel(runtime.ModelConfig(model_folder / weights.SMOLLM2.filename, 512, 1))
    assert model.count([{"role": "user", "content": "hi"}]) == 31  # with the template's own system message
    assert model.count([{"role": "user", "content": "hi a a a"}]) == 34


# What its reader is told


class Heard(runtime.ReplyJob):
    """A job that keeps what its reader would get."""

    def __init__(self, **options: Any) -> None:
        request = runtime.GenerationRequest(runtime.ModelConfig(Path("x.gguf"), 512, 1), HELLO, 64, {}, **options)
        super().__init__(request, asyncio.new_event_loop())
        self.loop.close()
        self.items: list[runtime.JobItem] = []

    def put(self, item: runtime.JobItem) -> None:
        self.items.append(item)


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"finish_reason": None, "delta": {"content": text}}]}


def has_read(processed: int, total: int, cache: int = 0) -> dict[str, Any]:
    return {"prompt_progress": {"total": total, "cache": cache, "processed": processed, "time_ms": 1}}


def test_a_reply_that_repeats_itself_stops_the_runtime() -> None:
    job = Heard()
    reading = runtime.RuntimeEventReader(job)
    assert not reading.handle(has_read(27, 27))
    chunks = 0
    while not reading.handle(said(" The dog went home.")):
        chunks += 1
        assert chunks < 100
    assert reading.looped
    assert "".join(map(str, job.items)).count("dog") == 3
    assert reading.result() == Usage(27, chunks + 1, "repetition")


def test_a_reply_that_may_repeat_itself_goes_on() -> None:
    job = Heard(may_repeat=True)
    reading = runtime.RuntimeEventReader(job)
    assert not any(reading.handle(said(" The dog went home.")) for _ in range(200))
    assert len(job.items) == 200


def test_what_was_held_back_of_a_reply_that_ended_goes_out() -> None:
    job = Heard()
    reading = runtime.RuntimeEventReader(job)
    for _ in range(6):
        reading.handle(said(" The dog went home."))
    reading.handle({"choices": [{"finish_reason": "length", "delta": {}}]})
    reading.handle({"choices": [], "usage": {"prompt_tokens": 27, "completion_tokens": 30}})
    assert reading.result() == Usage(27, 30, "length")
    assert "".join(map(str, job.items)) == " The dog went home." * 6


def test_progress_is_told_of_a_long_prompt_once_for_each_percent() -> None:
    job = Heard()
    reading = runtime.RuntimeEventReader(job)
    for processed in range(1000, 3001, 8):
        reading.handle(has_read(processed, 3000, cache=1000))
    assert len(job.items) == 101
    assert job.items[0] == runtime.Progress("reads the prompt, 0 %")
    assert job.items[-1] == runtime.Progress("reads the prompt, 100 %")


def test_nothing_is_told_of_a_prompt_that_is_short_or_known_already() -> None:
    job = Heard()
    reading = runtime.RuntimeEventReader(job)
    reading.handle(has_read(8, 27))
    reading.handle(has_read(2990, 3000, cache=2980))
    assert job.items == []


# What it runs on


def test_half_of_the_processors_compute_but_not_one_of_two() -> None:
    assert runtime.threads_for(1) == 1
    assert runtime.threads_for(2) == 2
    assert runtime.threads_for(4) == 2
    assert runtime.threads_for(12) == 6
    assert runtime.threads_for(96) == 8


def test_a_missing_system_library_is_named() -> None:
    hint = runtime._import_hint("libgomp.so.1: cannot open shared object file: No such file or directory")
    assert "install the package libgomp1" in hint


def test_reasoning_stays_in_the_text_of_a_reply(tmp_path: Path) -> None:
    library = runtime._import_runtime()

    parameters = runtime._parameters(library, runtime.ModelConfig(tmp_path / "x.gguf", 4096, 2), tmp_path)

    assert parameters.reasoning_format == library.common_reasoning_format.COMMON_REASONING_FORMAT_NONE


def test_a_model_larger_than_the_free_memory_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 1000)
    config = runtime.ModelConfig(file, 4096, 2)

    runtime.check_memory(config, Machine(memory=None, free_memory=None, free_disk=0))
    runtime.check_memory(config, Machine(memory=10**10, free_memory=None, free_disk=0))
    runtime.check_memory(config, Machine(memory=10**10, free_memory=10**9, free_disk=0))
    with pytest.raises(ProviderError, match=r"x\.gguf needs about 969 MB of memory .* and 500 MB are free: close"):
        runtime.check_memory(config, Machine(memory=10**10, free_memory=5 * 10**8, free_disk=0))


# What it does to the process


def test_nothing_is_printed_whatever_happens(model_folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + b"\xff" * 1000)
    body = f"""
        prompt = [{{"role": "user", "content": "Hello"}}]
        for model, size, words in (("", 512, 1), ({str(damaged)!r}, 512, 1), ("", 512, 900), ("", 1024, 500)):
            try:
                list(Local.create_completion(model, [{{"role": "user", "content": "Hello " * words}}], max_tokens=2000,
                                             context_size=size, temperature=0))
            except Exception as error:
                assert type(error).__name__ in ("ProviderError", "ContextLengthError"), error
    """
    done = run_script(body, model_folder, PYTHONWARNINGS="ignore")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_nobody_can_connect_to_the_runtime(embedded: None) -> None:
    list(Local.create_completion("", HELLO, max_tokens=1))
    open_here = psutil.Process().net_connections(kind="all")
    listening = [each for each in open_here if each.status == psutil.CONN_LISTEN]
    assert [each.laddr for each in listening if each.laddr] == []
    sockets = [each.laddr for each in open_here if isinstance(each.laddr, str) and "flowgpt-" in each.laddr]
    assert [name for name in sockets if Path(name).exists()] == []


@pytest.mark.parametrize("moment", ["loading", "reading", "generating", "idle"])
def test_a_process_that_exits_is_not_aborted(moment: str, model_folder: Path) -> None:
    words = 3000 if moment == "reading" else 1
    body = f"""
        import time
        from flowgpt_magic import bridge
        from flowgpt_magic.providers.llama_cpp import runtime

        async def ask():
            async for chunk in Local.create_async_generator("", [{{"role": "user", "content": "Count. " * {words}}}],
                                                            max_tokens=2000 if {moment != "idle"} else 2):
                arrived.append(chunk)

        arrived = []
        future = bridge.worker().submit(ask())
        while not arrived if {moment == "generating"} else not future.done() if {moment == "idle"} else (
            not runtime._runners or runtime._runners[0].current is None):
            time.sleep(0.001)
        if {moment == "reading"}:
            time.sleep(2)
    """
    done = run_script(body, model_folder, PYTHONWARNINGS="ignore")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_process_says_that_it_cannot_answer(model_folder: Path) -> None:
    body = """
        import multiprocessing
        def ask():
            return "".join(Local.create_completion("", [{"role": "user", "content": "Hello"}], max_tokens=3))
        def try_to_ask(answers):
            try:
                ask()
            except Exception as error:
                answers.put(str(error))
        assert ask()
        fork = multiprocessing.get_context("fork")
        answers = fork.Queue()
        child = fork.Process(target=try_to_ask, args=(answers,))
        child.start()
        print(answers.get(timeout=20))
        child.join()
        assert child.exitcode == 0
        assert ask()
    """
    done = run_script(body, model_folder, PYTHONWARNINGS="ignore")
    expected = "the embedded model does not answer in a forked process; start it with 'spawn'.\n"
    assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


def test_an_interrupt_still_reaches_python(model_folder: Path) -> None:
    body = """
        import os, signal
        try:
            for chunk in Local.create_completion("", [{"role": "user", "content": "Count."}], max_tokens=2000):
                os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = run_script(body, model_folder)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_the_environment_is_left_as_it_was(model_folder: Path) -> None:
    body = """
        import os
        before = dict(os.environ)
        list(Local.create_completion("", [{"role": "user", "content": "Hello"}], max_tokens=1))
        assert dict(os.environ) == before
    """
    done = run_script(body, model_folder, PYTHONWARNINGS="ignore")
    assert (done.stderr, done.returncode) == ("", 0)


def test_closing_ends_the_thread_and_the_next_reply_starts_another(embedded: None) -> None:
    list(Local.create_completion("", HELLO, max_tokens=1))
    before = runtime.runner().thread
    runtime.close_runner()
    assert not before.is_alive()
    assert list(Local.create_completion("", HELLO, max_tokens=1))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

"""Many prompts at once: what comes of each, in which order, and what is left after every kind of end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import threading

import pandas
import pytest

from flowgpt_magic import Conversation, bridge, map_prompts
from flowgpt_magic.batch.batch import Batch
from flowgpt_magic.errors import (
    BatchError,
    OptionError,
    PromptError,
    ProviderError,
    ReplyInterrupted,
    SettingError,
)
from flowgpt_magic.history.current import current_history, streaming_replies
from tests import processes
from tests.batches import LIMIT, Asked, batch_of, end, kernel, when


@pytest.fixture
def chat() -> Conversation:
    return Conversation(configured=lambda: {"model": "echo"})


async def wait_for_ever(prompt):
    await asyncio.Event().wait()
    yield ""


def stopping_at(*stops):
    """Answers; those prompts wait for ever after their first word."""

    async def answer(prompt):
        yield "begun "
        if prompt in stops:
            await asyncio.Event().wait()
        yield prompt

    return answer


def failing_at(*failing, error=None):
    async def answer(prompt):
        if prompt in failing:
            raise error or ProviderError(f"no {prompt}")
        yield prompt

    return answer


# Reading


def test_each_prompt_is_asked_and_the_results_are_in_order(chat):
    batch = chat.map(["one", "two", "three"])

    assert [(result.index, result.prompt, result.text, result.status) for result in batch] == [
        (0, "one", "one", "complete"),
        (1, "two", "two", "complete"),
        (2, "three", "three", "complete"),
    ]
    assert batch.status == "complete"
    assert [str(result) for result in batch.results] == batch.texts == ["one", "two", "three"]


def test_nothing_is_asked_before_it_is_read():
    asked = Asked()
    batch = batch_of(["one"], asked=asked)

    assert (batch.status, asked.prompts) == (None, [])
    assert repr(batch) == "<Batch of 1 prompts for told:words, not sent yet>"


def test_results_come_in_order_though_the_first_is_the_last_to_end():
    last = asyncio.Event()

    async def answer(prompt):
        if prompt == "0":
            await last.wait()
        elif prompt == "9":
            last.set()
        yield prompt

    assert [result.text for result in batch_of(map(str, range(10)), answer)] == list("0123456789")


def test_as_completed_hands_out_whichever_comes_first():
    read = asyncio.Event()

    async def answer(prompt):
        if prompt == "slow":
            await read.wait()
        yield prompt

    batch, found = batch_of(["slow", "quick"], answer), []
    for result in batch.as_completed():
        found.append(result.text)
        batch._run._worker.loop.call_soon_threadsafe(read.set)

    assert found == ["quick", "slow"]
    assert batch.texts == ["slow", "quick"]


async def test_code_that_is_async_reads_it_in_all_three_ways():
    assert [result.text async for result in batch_of(["one", "two"])] == ["one", "two"]
    assert {result.text async for result in batch_of(["one", "two"]).as_completed()} == {"one", "two"}
    assert [result.text for result in await batch_of(["one", "two"])] == ["one", "two"]


async def test_prompts_may_come_from_an_async_generator_of_the_same_loop():
    asking = asyncio.Queue()
    for word in ("one", "two", "three"):
        asking.put_nowait(word)

    async def words():
        while not asking.empty():
            yield await asking.get()

    assert [result.text async for result in batch_of(words())] == ["one", "two", "three"]


def test_an_async_generator_is_read_by_code_that_is_not_async_too():
    async def words():
        for word in ("one", "two"):
            await asyncio.sleep(0)
            yield word

    assert batch_of(words()).texts == ["one", "two"]


def test_a_generator_runs_in_the_thread_of_its_reader():
    threads = []

    def words():
        for word in ("one", "two"):
            threads.append(threading.get_ident())
            yield word

    assert batch_of(words()).texts == ["one", "two"]
    assert set(threads) == {threading.get_ident()}


def test_no_more_than_so_many_are_asked_at_once():
    asked, together = Asked(), asyncio.Event()

    async def answer(prompt):
        if asked.open == 3:
            together.set()
        await together.wait()
        yield prompt

    batch_of([str(n) for n in range(20)], answer, asked=asked, concurrency=3).read()

    assert asked.most == 3


def test_who_reads_slowly_has_few_asked_in_advance():
    fetched = []

    def million():
        for number in range(1_000_000):
            fetched.append(number)
            yield f"prompt {number}"

    asked = Asked()
    batch = batch_of(million(), asked=asked, concurrency=4)
    reading = iter(batch)
    first = [next(reading).text for _ in range(3)]
    reading.close()

    assert first == ["prompt 0", "prompt 1", "prompt 2"]
    assert len(asked.prompts) < 40
    assert len(fetched) < 200


def test_a_slow_first_reply_does_not_let_the_others_pile_up(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.batch.run.MAX_BLOCKED", 20)
    asked, first = Asked(), asyncio.Event()

    async def answer(prompt):
        if prompt == "0":
            await first.wait()
        elif int(prompt) == 20:
            first.set()
        yield prompt

    numbers = [int(result.text) for result in batch_of(map(str, range(500)), answer, asked=asked)]

    assert numbers == list(range(500))


def test_a_batch_runs_once_and_is_a_value_afterwards():
    asked = Asked()
    batch = batch_of(["one", "two"], asked=asked)
    batch.read()

    assert [result.text for result in batch] == [result.text for result in batch] == ["one", "two"]
    assert asked.prompts == ["one", "two"]


async def test_a_batch_is_read_by_one_reader_at_a_time():
    batch = batch_of(["one"], wait_for_ever)
    reading = asyncio.create_task(batch._steps())
    await asyncio.sleep(0)

    with pytest.raises(BatchError, match="is already being read"):
        batch.read()
    reading.cancel()


def test_results_of_a_generator_that_were_handed_out_are_not_kept():
    batch = batch_of(iter(["one", "two"]))
    for _result in batch:
        pass

    with pytest.raises(BatchError, match="iterated over and are not stored"):
        _ = batch.results
    assert batch_of(iter(["one", "two"])).texts == ["one", "two"]


def test_a_batch_can_be_asked_about_another_one(chat):
    first = chat.map(["one", "two"])

    assert chat.map(first, "again: {text}").texts == ["again: one", "again: two"]


# What is sent


def test_each_prompt_is_asked_as_if_it_were_the_next_one(chat):
    chat.set(system="be brief")
    list(chat.ask("my name is Ada"))

    batch = chat.map(["who am I?", "who are you?"], model="echo:messages")

    assert batch.texts[1].splitlines() == [
        "system: be brief",
        "user: my name is Ada",
        "assistant: my name is Ada",
        "user: who are you?",
    ]
    assert [turn.prompt for turn in chat.turns] == ["my name is Ada"]


def test_the_turns_are_those_of_the_call_though_it_is_read_later(chat):
    batch = chat.map(["hi"], model="echo:messages")
    list(chat.ask("something else"))

    assert batch.texts == ["user: hi"]


def test_map_prompts_sends_nothing_of_what_was_said(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo:messages")
    list(Conversation().ask("my name is Ada"))

    assert map_prompts(["who am I?"], system="be brief").texts == ["system: be brief\nuser: who am I?"]


def test_a_list_of_messages_is_sent_instead_of_the_turns(chat):
    list(chat.ask("one"))
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]

    assert chat.map([said], model="echo:messages").texts == ["user: a\nassistant: b\nuser: c"]


def test_a_template_is_filled_with_the_rows_of_a_table(chat):
    frame = pandas.DataFrame({"word": ["rot", "blau"], "language": ["English", "French"]})

    batch = chat.map(frame, "Translate to {language}{sign} {word}", values={"sign": ":"})

    assert batch.texts == ["Translate to English: rot", "Translate to French: blau"]


# Failures


def test_one_that_fails_costs_no_other_its_result():
    batch = batch_of([str(n) for n in range(10)], failing_at("3", "7"))

    assert [result.status for result in batch] == ["failed" if n in (3, 7) else "complete" for n in range(10)]
    assert batch.status == "complete"
    assert [(each.index, str(each.error), each.text) for each in batch.failed] == [(3, "no 3.", ""), (7, "no 7.", "")]
    assert batch.texts[2:5] == ["2", None, "4"]
    with pytest.raises(ProviderError, match="no 3"):
        batch.raise_failed()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ZeroDivisionError("of a plug-in"), ZeroDivisionError),
        (SystemExit(1), ProviderError),
        (asyncio.CancelledError(), ProviderError),
    ],
    ids=repr,
)
def test_whatever_a_provider_raises_is_the_failure_of_its_item(error, kind):
    batch = batch_of(["one", "bad", "two"], failing_at("bad", error=error))

    assert batch.texts == ["one", None, "two"]
    assert type(batch.failed[0].error) is kind


def test_a_chunk_that_is_no_text_is_the_failure_of_its_item():
    async def answer(prompt):
        yield 42 if prompt == "bad" else prompt

    assert str(batch_of(["bad", "good"], answer).failed[0].error) == "told sent int where text was expected."


def test_what_a_generator_brings_that_cannot_be_asked_is_a_result_with_its_error():
    batch = batch_of(iter(["one", None, "two"]))

    results = batch.results

    assert [result.status for result in results] == ["complete", "failed", "complete"]
    assert isinstance(results[1].error, PromptError)


def test_an_error_of_the_generator_comes_after_what_it_brought_before():
    def words():
        yield "one"
        yield "two"
        raise ZeroDivisionError("mine")

    batch, found = batch_of(words()), []
    with pytest.raises(ZeroDivisionError, match="mine"):
        found.extend(batch)

    assert ([result.text for result in found], batch.status) == (["one", "two"], "failed")


async def test_an_error_of_an_async_generator_comes_after_what_it_brought_before():
    async def words():
        yield "one"
        raise ZeroDivisionError("mine")

    batch, found = batch_of(words()), []

    async def read() -> None:
        async for result in batch:
            found.append(result.text)

    with pytest.raises(ZeroDivisionError, match="mine"):
        await read()
    assert found == ["one"]


def test_a_generator_without_prompts_is_an_empty_batch():
    with pytest.raises(PromptError, match="there are no prompts"):
        batch_of(iter([])).read()


async def test_so_is_an_async_one():
    async def none():
        for never in ():
            yield never

    with pytest.raises(PromptError, match="there are no prompts"):
        await batch_of(none())


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"concurrency": 0}, SettingError, "concurrency is 0; it must be"),
        ({"concurrency": -1}, SettingError, "concurrency is -1; it must be"),
        ({"concurrency": 1.5}, SettingError, r"concurrency is 1\.5; it must be a whole number of at least 1"),
        ({"concurrency": True}, SettingError, "concurrency is True"),
        ({"concurrency": "many"}, SettingError, "concurrency is 'many'"),
        ({"requests_per_minute": 0}, SettingError, "requests_per_minute is 0; it must be a number above 0"),
        ({"requests_per_minute": -5}, SettingError, "requests_per_minute is -5"),
        ({"requests_per_minute": float("inf")}, SettingError, "requests_per_minute is inf"),
        ({"requests_per_minute": float("nan")}, SettingError, "requests_per_minute is nan"),
        ({"retries": -1}, SettingError, "retries"),
        ({"temperature": 3}, SettingError, "temperature"),
        ({"concurency": 3}, SettingError, "there is no setting 'concurency'"),
        ({"cache": False}, SettingError, "refresh=True sends everything again"),
        ({"params": {"seed": 1}}, OptionError, "echo takes no parameter seed"),
        ({"template": "no field"}, PromptError, "the template has no field"),
    ],
)
def test_what_is_wrong_is_said_at_the_call(chat, how, error, said):
    with pytest.raises(error, match=said):
        chat.map(["hi"], **how)


# Leaving early


def test_leaving_a_loop_stops_what_is_under_way_and_keeps_what_is_done():
    asked = Asked()
    batch = batch_of(["one", "stop", "two"], stopping_at("stop", "two"), asked=asked)
    for _result in batch:
        break

    assert batch.status == "cancelled"
    assert [(each.status, each.text) for each in batch.results] == [
        ("complete", "begun one"),
        ("cancelled", "begun "),
        ("cancelled", "begun "),
    ]


def test_cancel_stops_it_from_another_thread_though_no_chunk_has_come():
    asked = Asked()
    batch = batch_of([str(n) for n in range(10)], wait_for_ever, asked=asked, concurrency=2)
    when(lambda: len(asked.prompts) == 2, batch.cancel)

    batch.read()

    assert batch.status == "cancelled"
    assert [result.status for result in batch.results] == ["cancelled"] * 2 + [None] * 8


def test_what_was_stopped_closes_its_connection():
    begun, closed = threading.Event(), threading.Event()

    async def answer(prompt):
        try:
            yield "begun"
            begun.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    batch = batch_of(["one"], answer)
    when(begun.is_set, batch.cancel)
    batch.read()

    assert closed.wait(LIMIT)


def test_what_waits_for_its_turn_was_not_asked():
    asked = Asked()
    batch = batch_of(["one", "two", "three"], wait_for_ever, asked=asked, per_minute=1)
    when(lambda: asked.prompts, batch.cancel)
    batch.read()

    assert [result.status for result in batch.results] == ["cancelled", None, None]


def test_whatever_stops_replies_stops_a_batch_too(chat):
    batch = chat.map(["one"], params={"pace": 3600})
    when(streaming_replies, lambda: [each.cancel() for each in streaming_replies()])
    batch.read()

    assert (batch.status, streaming_replies()) == ("cancelled", [])


def test_a_batch_that_is_cancelled_before_it_is_read_asks_nothing():
    asked = Asked()
    batch = batch_of(["one"], asked=asked)
    batch.cancel()

    assert ([each.status for each in batch.results], asked.prompts) == ([None], [])


def test_an_interrupt_ends_it_with_one_line_and_keeps_what_is_done():
    async def answer(prompt):
        if prompt == "2":
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        yield prompt

    batch = batch_of([str(n) for n in range(5)], answer, concurrency=1)
    with pytest.raises(ReplyInterrupted) as caught:
        batch.read()

    assert str(caught.value) == "Interrupted: 2 of 5 prompts are done and stored; run again, only the others are sent."
    assert [result.status for result in batch.results] == ["complete", "complete", "cancelled", None, None]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_in_the_generator_of_the_prompts_ends_it_too():
    def words():
        yield "one"
        signal.raise_signal(signal.SIGINT)
        yield "two"

    batch = batch_of(words())
    with pytest.raises(ReplyInterrupted, match="are done and stored"):
        batch.read()

    assert batch.status == "cancelled"


def test_an_interrupt_returns_though_the_loop_is_busy():
    over = threading.Event()

    async def answer(prompt):
        signal.raise_signal(signal.SIGINT)
        over.wait(LIMIT)  # a provider that blocks the loop of everybody
        yield prompt

    try:
        with pytest.raises(ReplyInterrupted):
            batch_of(["one"], answer).read()
    finally:
        over.set()


async def test_a_reader_that_is_cancelled_stops_the_batch():
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    async def answer(prompt):
        yield prompt
        if prompt == "stop":
            loop.call_soon_threadsafe(begun.set)
            await asyncio.Event().wait()

    batch = batch_of(["one", "stop"], answer, concurrency=1)
    reading = asyncio.create_task(batch._steps())
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    await asyncio.wrap_future(bridge.worker().submit(asyncio.sleep(0)))
    assert [(result.status, result.text) for result in batch.results] == [("complete", "one"), ("cancelled", "stop")]


# Going on where it was


def test_run_again_only_what_is_missing_is_asked(tmp_path):
    notebook_history, asked, again = kernel(tmp_path), Asked(), Asked()
    prompts = [str(n) for n in range(10)]
    for _result in batch_of(
        prompts, stopping_at("4", "6"), asked=asked, notebook_history=notebook_history, concurrency=1
    ).as_completed():
        if _result.text.endswith("3"):
            break

    batch = batch_of(prompts, asked=again, notebook_history=notebook_history)
    batch.read()

    assert set(again.prompts) == set(prompts[4:])
    assert [(each.replayed, each.text) for each in batch.results[3:5]] == [(True, "begun 3"), (False, "4")]
    assert batch.results[0].turn_id
    assert batch._run.counts.replayed == 4
    end(notebook_history)


def test_after_a_restart_only_what_is_missing_is_asked(tmp_path):
    first, again = kernel(tmp_path), Asked()
    batch_of(["one", "two", "three"], failing_at("two"), notebook_history=first).read()
    end(first)

    second = kernel(tmp_path)
    batch = batch_of(["one", "two", "three", "four"], asked=again, notebook_history=second)

    assert batch.texts == ["one", "two", "three", "four"]
    assert again.prompts == ["two", "four"]
    end(second)


PROGRAM = """
import os, signal, sqlite3, sys, time
from flowgpt_magic import map_prompts
count = int(sys.argv[1])
for result in map_prompts((f"prompt {n}" for n in range(count))):
    print(result.text, result.replayed, flush=True)
    if len(sys.argv) > 2:
        file = sqlite3.connect(os.environ["FLOWGPT_HISTORY"])  # what has ended is saved without being asked for
        while file.execute("SELECT count(*) FROM turns WHERE status = 'complete'").fetchone() < (count,):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_program_that_was_killed_goes_on_where_it_was_when_it_is_run_again(tmp_path):
    env = {**os.environ, "FLOWGPT_HISTORY": str(tmp_path / "history.sqlite3"), "FLOWGPT_MODEL": "echo"}

    def run(*words: str) -> list[str]:
        return processes.run([sys.executable, "-c", PROGRAM, *words], env=env).stdout.splitlines()

    killed, again = run("10", "kill"), run("12")

    assert killed == ["prompt 0 False"]
    assert again == [f"prompt {n} {n < 10}" for n in range(12)]


def test_after_an_error_of_the_generator_only_what_is_missing_is_asked(tmp_path):
    notebook_history, again = kernel(tmp_path), Asked()

    def words(*, broken):
        yield from ("one", "two")
        if broken:
            raise ZeroDivisionError
        yield "three"

    with pytest.raises(ZeroDivisionError):
        batch_of(words(broken=True), notebook_history=notebook_history).read()

    assert batch_of(words(broken=False), asked=again, notebook_history=notebook_history).texts == [
        "one",
        "two",
        "three",
    ]
    assert again.prompts == ["three"]
    end(notebook_history)


def test_another_request_is_asked_though_the_prompts_are_the_same(tmp_path):
    notebook_history, again = kernel(tmp_path), Asked()
    batch_of(["one"], notebook_history=notebook_history).read()

    batch_of(["one"], asked=again, notebook_history=notebook_history, options={"system": "be brief"}).read()

    assert again.prompts == ["one"]
    end(notebook_history)


def test_refresh_asks_everything_anew_and_what_it_brings_counts(tmp_path):
    notebook_history, again = kernel(tmp_path), Asked()
    batch_of(["one"], notebook_history=notebook_history).read()

    async def otherwise(prompt):
        yield f"other {prompt}"

    assert batch_of(["one"], otherwise, asked=again, notebook_history=notebook_history, refresh=True).texts == [
        "other one"
    ]
    assert batch_of(["one"], notebook_history=notebook_history).texts == ["other one"]
    assert again.prompts == ["one"]
    end(notebook_history)


def test_another_sample_is_asked_once(tmp_path):
    notebook_history, again = kernel(tmp_path), Asked()
    batch_of(["one"], notebook_history=notebook_history).read()
    for _ in range(2):
        batch_of(["one"], asked=again, notebook_history=notebook_history, sample="second").read()

    assert again.prompts == ["one"]
    end(notebook_history)


def test_the_same_prompt_several_times_has_as_many_replies_each_time(tmp_path):
    notebook_history, count = kernel(tmp_path), iter(range(100))

    async def different(prompt):
        yield f"{prompt} {next(count)}"

    prompts = ["a", "b", "a", "a"]
    first = batch_of(prompts, different, notebook_history=notebook_history).texts
    again = batch_of(prompts, different, notebook_history=notebook_history).texts
    more = batch_of(["c", *prompts, "a"], different, notebook_history=notebook_history).texts

    assert len(set(first)) == 4
    assert again == first
    assert more[1:5] == first
    assert more[5] not in first
    end(notebook_history)


def test_a_cell_with_cache_knows_what_a_batch_has_asked(chat):
    chat.map(["one"]).read()

    reply = chat.ask("one", cache=True)

    assert (reply.text, reply.replayed) == ("one", True)


def test_a_batch_knows_what_a_cell_has_asked(chat):
    list(chat.ask("one"))
    chat.clear()

    assert [result.replayed for result in chat.map(["one", "two"])] == [True, False]


def test_without_history_nothing_is_kept_and_nothing_taken(chat):
    for _ in range(2):
        assert [result.replayed for result in chat.map(["one"], history=False)] == [False]

    assert current_history().search("one") == ()


def test_with_the_history_off_it_says_that_nothing_is_kept(monkeypatch):
    monkeypatch.setenv("FLOWGPT_HISTORY", "off")

    async def answer(prompt):
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
        yield prompt

    with pytest.raises(ReplyInterrupted, match="run again, all prompts are sent: they are not in a history"):
        batch_of(["one"], answer).read()


def test_where_the_history_cannot_be_read_nothing_is_paid_for_twice(tmp_path, monkeypatch):
    notebook_history, asked = kernel(tmp_path), Asked()
    batch = batch_of(["one"], asked=asked, notebook_history=notebook_history)
    monkeypatch.setattr(notebook_history, "read", lambda _ask, otherwise: otherwise)

    with pytest.raises(Exception, match="the history cannot be read, so stored replies are unknown"):
        batch.read()

    assert (asked.prompts, batch.results[0].status) == ([], None)
    end(notebook_history)


# A notebook


def test_a_batch_is_no_turn_and_on_no_list_and_still_found(chat):
    list(chat.ask("a real turn"))
    chat.map([f"batched {n}" for n in range(50)]).read()
    notebook_history = current_history()

    assert [turn.prompt for turn in chat.turns] == ["a real turn"]
    assert notebook_history.names() == ["main"]
    assert [summary.conversation.name for summary in notebook_history.summaries()] == ["main"]
    (hit,) = notebook_history.search("batched 17")
    assert (hit.turn.prompt, hit.conversation.name) == ("batched 17", "batches of main")
    assert sum(row.requests for row in notebook_history.read(lambda history: history.usage_rows(), ())) == 51


def test_all_batches_of_a_conversation_are_kept_in_one_place(chat):
    chat.map(["one"]).read()
    chat.map(["two"]).read()

    found = {hit.turn.conversation_id for word in ("one", "two") for hit in current_history().search(word)}

    assert len(found) == 1


def test_opening_a_notebook_reads_nothing_of_its_batches(tmp_path, monkeypatch):
    first = kernel(tmp_path)
    batch_of([f"prompt {n}" for n in range(300)], notebook_history=first, concurrency=50).read()
    end(first)

    second, read = kernel(tmp_path), []
    made = "flowgpt_magic.history.database.turn_of"
    monkeypatch.setattr(made, lambda row: read.append(row))
    turns = Conversation(notebook_history=second).turns

    assert (turns, read) == ([], [])
    end(second)


def test_the_table_counts_what_has_become_of_it():
    batch = batch_of(["one", "bad", "two"], failing_at("bad"))
    before = batch.table().text()
    batch.read()

    text = batch.table().text()

    assert "not sent yet        3" in before
    headline, _empty, columns, _rule, *rows, note = text.splitlines()
    assert re.fullmatch(r"told:words · 2 complete · 1 failed · \d\.\d s", headline)
    assert columns.split() == ["prompt", "answer", "time"]
    assert [re.sub(r" +", " ", re.sub(r"\d\.\d s", "N s", row)).strip() for row in rows] == [
        "0 one one N s",
        "1 bad ProviderError: no bad. failed",
        "2 two two N s",
    ]
    assert note == "batch.failed lists the failures; run again to send only those"


def test_the_table_has_the_first_results_and_the_reasons_of_failures_that_are_not_among_them():
    names = [f"prompt {number}" for number in range(40)]
    batch = batch_of(names, failing_at(*names[20:23], error=ProviderError("no & <never>")), concurrency=8)
    batch.read()

    table = batch.table()

    assert [row[0] for row in table.rows] == [str(number) for number in range(10)]
    assert "the first 10 of 40. 3 times, first 20: ProviderError: no & <never>" in table.note
    assert "37 complete · 3 failed" in table.html()
    assert "<never>" not in table.html()


def test_the_table_of_a_batch_is_bounded_and_says_what_comes_from_the_history(tmp_path):
    notebook_history = kernel(tmp_path)
    for _time in range(2):
        batch = batch_of(["word " * 5000, "two"], notebook_history=notebook_history)
        batch.read()

    assert max(len(cell) for row in batch.table().rows for cell in row) <= 100
    assert [row[-1] for row in batch.table().rows] == ["from the history"] * 2
    assert "2 complete · 2 from the history" in batch.table().headline
    end(notebook_history)


def test_a_batch_says_what_it_is():
    batch = batch_of(["one", "two"])
    batch.read()

    assert repr(batch) == "<Batch of 2 prompts for told:words, 2 done, complete>"
    assert repr(batch_of(iter(["one"]))) == "<Batch of prompts for told:words, not sent yet>"
    assert isinstance(batch, Batch)


def test_usage_counts_what_was_asked_and_not_what_comes_from_the_history(tmp_path):
    notebook_history = kernel(tmp_path)
    first, again = (batch_of(["one", "two"], notebook_history=notebook_history) for _ in range(2))
    first.read()
    again.read()

    assert (first._run.counts.prompt_tokens, first._run.counts.completion_tokens) == (2, 4)
    assert (again._run.counts.prompt_tokens, again._run.counts.completion_tokens) == (0, 0)
    assert again.results[0].usage.completion_tokens == 2
    end(notebook_history)


def test_as_the_last_line_of_a_cell_of_marimo_a_batch_is_asked_and_shown():
    batch = Conversation(configured=lambda: {"model": "echo"}).map(["one", "two"], progress=False)

    kind, shown = batch._mime_()

    assert (kind, batch.status) == ("text/html", "complete")
    assert "complete" in shown

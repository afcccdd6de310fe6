"""The run of a batch: retries, pauses, an early stop, schemas, and what is saved meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from flowgpt_magic import map_prompts
from flowgpt_magic.batch import breaker as batch_breaker
from flowgpt_magic.batch import rate_limit as pacing
from flowgpt_magic.batch import run as batch_run
from flowgpt_magic.batch import server_state as batch_server
from flowgpt_magic.errors import (
    AuthenticationError,
    BatchError,
    MismatchError,
    MissingKeyError,
    ModelNotFoundError,
    NotInstalledError,
    ParameterRefusedError,
    PermissionDeniedError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import notice
from flowgpt_magic.providers import flowgpt, openai_compatible, server_provider
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.tls import TlsFiles
from flowgpt_magic.providers.openai import servers as openai_servers
from flowgpt_magic.replies import resolved, tracing
from flowgpt_magic.replies import retry as attempts
from tests import servers
from tests.batches import Asked, batch_of, end, kernel, when


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses that would have been made before another try."""
    made: list[float] = []

    def pause_before(error: ProviderError, attempt: int) -> float | None:
        pause = attempts.pause_before(error, attempt)
        if pause is not None:
            made.append(pause)
        return None if pause is None else 0.0

    monkeypatch.setattr(batch_server, "pause_before", pause_before)
    monkeypatch.setattr(batch_breaker, "FIRST_PROBE", 0.001)
    monkeypatch.setattr(batch_breaker, "LONGEST_PROBE", 0.01)
    return made


class Failing:
    """Fails so many times for each prompt, after a first chunk if wanted, and then answers it."""

    def __init__(self, error: Exception, times: int = 1, *, after_a_chunk: bool = False) -> None:
        self.error, self.times, self.after_a_chunk = error, times, after_a_chunk
        self.tried: dict[str, int] = {}

    async def __call__(self, prompt):
        self.tried[prompt] = self.tried.get(prompt, 0) + 1
        if self.tried[prompt] <= self.times:
            if self.after_a_chunk:
                yield f"half {self.tried[prompt]}"
            raise self.error
        yield prompt


@pytest.mark.parametrize("after_a_chunk", [False, True])
def test_one_that_fails_is_asked_again_as_a_whole(pauses, after_a_chunk):
    answer = Failing(StreamInterruptedError("cut"), 2, after_a_chunk=after_a_chunk)

    batch = batch_of(["one", "two"], answer, retries=2)

    assert batch.texts == ["one", "two"]
    assert batch.results[0].notices == ("asked again after it closed the connection",)
    assert len(pauses) == 4


def test_the_pauses_grow(pauses):
    batch_of(["one"], Failing(ProviderConnectionError("refused"), 9), retries=4).read()

    assert all(one * 1.3 < other for one, other in pairwise(pauses[:4]))


def test_after_its_retries_a_failure_is_the_result(pauses):
    answer = Failing(ProviderStatusError("busy", 503), 9)

    batch = batch_of(["one"], answer, retries=2)

    assert (batch.failed[0].status, str(batch.failed[0].error), answer.tried) == ("failed", "busy.", {"one": 3})


@pytest.mark.parametrize("error", [ProtocolError("what?"), ProviderStatusError("no", 404), QuotaError("empty", 429)])
def test_what_would_fail_again_is_not_asked_again(pauses, error):
    answer = Failing(error, 9)

    batch_of(["one"], answer, retries=5).read()

    assert answer.tried == {"one": 1}


def test_what_had_come_before_a_failure_is_kept_as_an_earlier_version(tmp_path, pauses):
    notebook_history = kernel(tmp_path)
    batch = batch_of(
        ["one"],
        Failing(StreamInterruptedError("cut"), 1, after_a_chunk=True),
        retries=1,
        notebook_history=notebook_history,
    )
    batch.read()

    kept = notebook_history.turn(batch.results[0].turn_id)
    versions = notebook_history.versions(kept.conversation_id, kept.place)

    assert [(each.version, each.text, each.status, each.error) for each in versions] == [
        (1, "half 1", "failed", "StreamInterruptedError: cut."),
        (2, "one", "complete", ""),
    ]
    end(notebook_history)


def test_when_the_server_asks_to_wait_nobody_goes_on(monkeypatch, pauses):
    paused: list[float] = []
    monkeypatch.setattr(pacing.RateLimiter, "pause", lambda _self, seconds: paused.append(seconds))

    batch = batch_of(["one"], Failing(RateLimitError("slow down", 429, 0.05)), retries=0)

    assert (batch.texts, paused) == (["one"], [0.05])


def test_every_try_takes_its_turn(monkeypatch, pauses):
    turns: list[None] = []

    async def turn(_self) -> None:
        turns.append(None)

    monkeypatch.setattr(pacing.RateLimiter, "turn", turn)
    monkeypatch.setattr(pacing.RateLimiter, "is_free", False)

    batch_of(["one", "two"], Failing(StreamInterruptedError("cut")), retries=1).read()

    assert len(turns) == 4


FOR_ALL = [
    AuthenticationError("no key", 401),
    PermissionDeniedError("not you", 403),
    ParameterRefusedError("no temperature", 400, "temperature"),
    ModelNotFoundError("no such model", 404),
    ProviderStatusError("nothing here", 404),
    ProviderConnectionError("bad certificate", lasting=True),
    QuotaError("empty", 429),
    RateLimitError("tomorrow", 429, 86400.0),
    MissingKeyError("set KEY"),
    NotInstalledError("pip install it"),
]


@pytest.mark.parametrize("error", FOR_ALL, ids=lambda error: str(error))
def test_what_is_refused_for_all_stops_the_batch_and_the_rest_is_not_asked(error, pauses):
    asked = Asked()
    batch = batch_of([str(n) for n in range(100)], Failing(error, 99), asked=asked, concurrency=1)

    with pytest.raises(BatchError, match=f"so the others were not asked: {error}"):
        batch.read()

    statuses = [result.status for result in batch.results]
    assert batch.status == "failed"
    assert len(asked.prompts) > 5 or not any(result.notices for result in batch.results)
    assert 5 <= statuses.count("failed") <= 5 + batch_breaker.REFUSED_PROBES
    assert statuses.count(None) == 100 - statuses.count("failed")
    assert len(asked.prompts) <= 5 + batch_breaker.REFUSED_PROBES


OUTAGES = [
    ProviderConnectionError("no connection"),
    ProviderConnectionError("nobody listens", refused=True),
    StreamInterruptedError("closed"),
    ProviderStatusError("error", 500),
    ProviderStatusError("busy", 503),
    RateLimitError("slow down", 429),
]


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: str(error))
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_server_that_fails_for_all_burns_no_prompt(error, concurrency, pauses):
    asked = Asked()
    batch = batch_of(
        [str(n) for n in range(300)], Failing(error, 999), asked=asked, concurrency=concurrency, patience=0.1, retries=2
    )

    with pytest.raises(BatchError, match=r"no prompt was answered for 0 s, so the others were not asked"):
        batch.read()

    assert {result.status for result in batch.results} == {None}
    assert len(asked.prompts) < 100


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: str(error))
def test_after_an_outage_every_prompt_is_answered_once(error, pauses):
    asked, down = Asked(), iter(range(15))

    async def answer(prompt):
        if next(down, None) is not None:
            raise error
        yield prompt

    batch = batch_of([str(n) for n in range(50)], answer, asked=asked, retries=0)

    assert batch.texts == [str(n) for n in range(50)]
    assert len(asked.prompts) == 65


def test_what_is_done_before_an_early_stop_is_kept(pauses):
    async def answer(prompt):
        if int(prompt) >= 5:
            raise AuthenticationError("the key has expired", 401)
        yield prompt

    batch, found = batch_of([str(n) for n in range(50)], answer, concurrency=1), []
    with pytest.raises(BatchError, match="the key has expired"):
        found.extend(batch)

    assert [result.text for result in found[:5]] == ["0", "1", "2", "3", "4"]
    assert {result.status for result in found[5:]} == {"failed"}
    assert batch.results[: len(found)] == found


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("own"),
        ProtocolError("what?"),
        ProviderStatusError("blocked by the content filter", 400),
        PermissionDeniedError("your input was flagged", 403),
        ValueError("plug-in"),
    ],
    ids=str,
)
def test_what_may_be_the_prompts_own_fault_stops_nothing(error):
    batch = batch_of([str(n) for n in range(30)], Failing(error, 99), concurrency=1)

    assert [result.status for result in batch.results] == ["failed"] * 30


def test_one_good_reply_in_between_and_it_goes_on(pauses):
    async def answer(prompt):
        if int(prompt) % 5:
            raise PermissionDeniedError("not this one", 403)
        yield prompt

    batch = batch_of([str(n) for n in range(50)], answer, concurrency=1)

    assert len(batch.failed) == 40


def test_a_failure_of_one_prompt_is_its_own_when_others_are_answered(pauses):
    answer = Failing(ProviderStatusError("it breaks the server", 500), 99)

    async def one_bad(prompt):
        async for chunk in answer(prompt) if prompt == "5" else Failing(ValueError(), 0)(prompt):
            yield chunk

    batch = batch_of([str(n) for n in range(50)], one_bad, concurrency=1, retries=2)

    assert [result.prompt for result in batch.failed] == ["5"]
    assert answer.tried == {"5": 3}


# Schemas

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_with_a_schema_each_result_has_its_value():
    async def answer(prompt):
        yield f'{{"n": {prompt[0]}}}'

    batch = batch_of(["1", "2"], answer, options={"schema": NUMBER})

    assert [result.data for result in batch.results] == [{"n": 1}, {"n": 2}]


def test_a_schema_that_the_model_never_meets_is_a_failure_of_its_prompt_alone(tmp_path):
    notebook_history = kernel(tmp_path)

    async def answer(prompt):
        yield '{"n": 1}' if prompt.startswith("good") else "I will not"

    batch = batch_of(
        ["good", "bad", "good one"], answer, options={"schema": NUMBER}, retries=1, notebook_history=notebook_history
    )

    assert [result.data for result in batch.results] == [{"n": 1}, None, {"n": 1}]
    (failed,) = batch.failed
    assert isinstance(failed.error, MismatchError)
    assert failed.text == "I will not"
    kept = notebook_history.turn(failed.turn_id)
    versions = notebook_history.versions(kept.conversation_id, kept.place)
    assert [(each.version, each.status) for each in versions] == [(1, "failed"), (2, "failed")]
    end(notebook_history)


def test_a_value_comes_from_the_history_too(tmp_path):
    notebook_history, again = kernel(tmp_path), Asked()

    async def answer(prompt):
        yield '{"n": 1}'

    batch_of(["one"], answer, options={"schema": NUMBER}, notebook_history=notebook_history).read()
    batch = batch_of(["one"], answer, options={"schema": NUMBER}, asked=again, notebook_history=notebook_history)

    assert (batch.results[0].data, batch.results[0].replayed, again.prompts) == ({"n": 1}, True, [])
    end(notebook_history)


# What is measured, told and saved


def test_notices_of_a_reply_go_with_its_result():
    async def answer(prompt):
        notice(f"about {prompt}")
        yield prompt

    assert [result.notices for result in batch_of(["one", "two"], answer)] == [("about one",), ("about two",)]


def test_each_reply_has_its_own_times_and_counts():
    (result,) = batch_of(["one"])

    assert (result.usage.prompt_tokens, result.usage.completion_tokens, result.usage.chunks) == (1, 2, 1)
    assert 0 < result.usage.first_chunk_seconds <= result.usage.seconds


def test_a_provider_that_is_silent_for_too_long_is_given_up():
    async def answer(prompt):
        if prompt == "slow":
            await asyncio.Event().wait()
        yield prompt

    batch = batch_of(["quick", "slow"], answer, options={"read_timeout": 0.5})

    assert batch.texts == ["quick", None]
    assert isinstance(batch.failed[0].error, ProviderTimeoutError)


def test_waiting_for_a_turn_is_not_the_providers_silence(monkeypatch):
    async def turn(_self) -> None:
        await asyncio.sleep(0.8)

    monkeypatch.setattr(pacing.RateLimiter, "turn", turn)

    assert batch_of(["one"], options={"read_timeout": 0.5}).texts == ["one"]


def test_a_reply_that_takes_long_is_saved_while_it_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_run, "GROW_INTERVAL", 0.01)
    monkeypatch.setattr(batch_run, "SAVE_INTERVAL", 0.01)
    notebook_history, go_on = kernel(tmp_path), threading.Event()

    async def answer(prompt):
        yield "the first half "
        await asyncio.to_thread(go_on.wait)
        yield "and the rest"

    batch = batch_of(["one"], answer, notebook_history=notebook_history)
    reading = threading.Thread(target=batch.read)
    reading.start()
    kept: Any = None
    while kept is None or not kept.text:
        found = notebook_history.read(lambda history: history._turns("WHERE prompt = ?", ("one",)), ())
        kept = found[0] if found else None
    go_on.set()
    reading.join()

    assert (kept.text, kept.status, kept.live) == ("the first half ", "streaming", False)
    assert (notebook_history.turn(kept.turn_id).text, notebook_history.turn(kept.turn_id).status) == (
        "the first half and the rest",
        "complete",
    )
    end(notebook_history)


def test_what_was_stopped_is_kept_with_its_text_and_what_never_began_is_not(tmp_path):
    notebook_history, asked, begun = kernel(tmp_path), Asked(), threading.Event()

    async def answer(prompt):
        if prompt == "begun":
            yield "half a reply"
            begun.set()
        await asyncio.Event().wait()

    batch = batch_of(["begun", "silent"], answer, asked=asked, notebook_history=notebook_history)
    when(lambda: begun.is_set() and len(asked.prompts) == 2, batch.cancel)
    batch.read()

    kept = notebook_history.read(lambda history: history._turns("ORDER BY place", ()), ())
    assert [(turn.prompt, turn.text, turn.status) for turn in kept] == [("begun", "half a reply", "cancelled")]
    end(notebook_history)


def test_a_failure_is_kept_with_its_error(tmp_path):
    notebook_history = kernel(tmp_path)
    batch = batch_of(["one"], Failing(ProviderError("no"), 9), notebook_history=notebook_history)
    batch.read()

    turn = notebook_history.turn(batch.results[0].turn_id)

    assert (turn.status, turn.error, turn.place, turn.live) == ("failed", "ProviderError: no.", 1, False)
    end(notebook_history)


def test_an_error_in_the_result_holds_on_to_nothing_that_was_said():
    (failed,) = batch_of(["one"], Failing(ProviderError("no"), 9)).results

    assert (failed.error.__traceback__, failed.error.__context__) == (None, None)


def test_replies_of_a_batch_are_in_the_log(caplog):
    with caplog.at_level("INFO", logger="flowgpt_magic"):
        batch_of(["one"]).read()

    assert [record.message.split(",")[0] for record in caplog.records] == ["told:words asked", "told:words complete"]


def test_a_refusal_among_a_crowd_of_replies_leaves_as_many_under_way():
    """Those that follow the replies have not been sent when it is read: the server seems to be idle, and is not."""
    arrived: list[str] = []
    later = most = 0
    crowd: list[asyncio.Event] = []

    async def answer(prompt):
        nonlocal later, most
        arrived.append(prompt)
        if len(arrived) <= 11:
            crowd[:] = crowd or [asyncio.Event()]
            if len(arrived) == 11:
                asyncio.get_running_loop().call_soon(crowd[0].set)  # it is the last one that goes on
            await crowd[0].wait()
            if prompt == "prompt 10":
                raise ProviderStatusError("no place", 503)
        else:
            later += 1
            if 23 <= len(arrived) <= 40:  # those that followed the crowd have been answered
                most = max(most, later)
            for _ in range(50):
                await asyncio.sleep(0)
            later -= 1
        yield prompt

    batch = batch_of([f"prompt {number}" for number in range(60)], answer, concurrency=11)

    assert all(batch.texts)
    assert most >= 10


WHOLE = b'data: {"choices": [{"index": 0, "delta": {"content": "yes"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
COMMON = [  # what all requests of a batch have in common, by the function that works it out
    *(
        (flowgpt, "load"),
        (server_provider, "load"),
        (http, "check_base_url"),
        (http, "resolve_endpoint"),
        (http, "_session"),
    ),
    *((resolved, "parameters"), (openai_servers.Server, "read_key"), (openai_servers.Server, "route")),
    *((openai_compatible, "headers"), (TlsFiles, "context")),
]


@pytest.mark.parametrize(
    ("model", "setting", "path", "body"),
    [
        ("flowgpt", "base_url", "", servers.line("yes")),
        ("openai_compatible:m", "openai_base_url", "/v1", WHOLE),
    ],
)
def test_what_all_requests_have_in_common_is_worked_out_once(monkeypatch, model, setting, path, body):
    counts: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        whole = getattr(owner, name)

        def call(*args: Any, **named: Any) -> Any:
            counts[name] += 1
            return whole(*args, **named)

        monkeypatch.setattr(owner, name, call)

    for owner, name in COMMON:
        counted(owner, name)
    monkeypatch.setattr(tracing, "_current_context", lambda: None)  # a span has the parameters of its own request

    async def answer(_request, connection):
        await connection.send(servers.CHUNKED + servers.framed(body) + servers.END)

    def counts_of(prompts: int) -> dict[str, int]:
        counts.clear()
        asked = [f"prompt {number}" for number in range(prompts)]
        how = {"model": model, setting: url + path, "history": False, "progress": False}
        assert map_prompts(asked, **how).texts == ["yes"] * prompts
        return dict(counts)

    with servers.served(answer) as url:
        of_one, of_many = counts_of(1), counts_of(40)

    assert of_many == of_one
    assert (of_many["load"], of_many["resolve_endpoint"], of_many["_session"]) == (1, 1, 1)

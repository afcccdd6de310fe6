"""Batches against servers that die, flap, refuse and push back: nothing is lost and nothing is answered twice."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from flowgpt_magic import map_prompts
from flowgpt_magic.batch import breaker as batch_breaker
from flowgpt_magic.batch import server_state as batch_server
from flowgpt_magic.errors import BatchError, ProviderStatusError, ReplyInterrupted
from flowgpt_magic.replies import retry as attempts
from tests.hostile_servers import CLAUDE, OPENAI, RESET, RESPONSES, Good, Hostile, Refusal, batch_at, hostile, words

GOOD = Good()
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
FILTERED = {
    "error": {"message": "The response was filtered by the content management policy", "code": "content_filter"}
}


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Pauses that are as short as a test may be."""
    for module in (attempts, batch_breaker):
        for name in ("FIRST_PAUSE", "FIRST_PROBE"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, 0.02)
        for name in ("LONGEST_PAUSE", "LONGEST_PROBE"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, 0.1)
    monkeypatch.setattr(batch_breaker, "MEANT_WAIT", 0.05)
    monkeypatch.setattr(batch_server, "MEANT_WAIT", 0.05)


def assert_all_answered_once(server: Hostile, prompts: list[str], batch: Any) -> None:
    assert batch.texts == [f"answer to {prompt}" for prompt in prompts]
    assert server.answered == Counter(prompts)


# Servers that come back


BROKEN = [(OPENAI, broken) for broken in (RESET, Refusal(500), Refusal(503), Refusal(429))]
BROKEN += [(CLAUDE, broken) for broken in (RESET, Refusal(529, report=OVERLOADED))]
BROKEN += [(RESPONSES, broken) for broken in (RESET, Refusal(503))]


@pytest.mark.parametrize(("protocol", "broken"), BROKEN, ids=lambda each: str(each)[:19])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_a_server_that_flaps_loses_no_prompt(protocol, broken, concurrency, monkeypatch):
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(attempts, name, 0.5)  # other prompts fail too before the first is tried again
    prompts = words(60)

    def decide(_prompt: str, number: int) -> Any:
        return broken if number % 30 in range(12, 22) and number < 60 else GOOD

    with hostile(decide, protocol) as server:
        batch = batch_at(server, prompts, concurrency=concurrency)
        batch.read()

        assert_all_answered_once(server, prompts, batch)


def test_a_server_that_refuses_connections_for_a_while_loses_no_prompt():
    prompts, died = words(100), threading.Event()

    def decide(_prompt: str, number: int) -> Good:
        if number == 30:
            died.set()
        return GOOD if number < 30 else Good(0.01)

    with hostile(decide) as server:

        def die_and_come_back() -> None:
            died.wait()
            server.die()
            time.sleep(0.5)
            server.listen()

        restarting = threading.Thread(target=die_and_come_back)
        restarting.start()
        batch = batch_at(server, prompts, concurrency=8)
        batch.read()
        restarting.join()

        assert_all_answered_once(server, prompts, batch)


def test_the_last_prompts_are_waited_for_too_when_the_server_has_answered_before():
    prompts = words(20)
    down = iter(range(6))
    with hostile(lambda _prompt, number: GOOD if number <= 18 or next(down, None) is None else Refusal(502)) as server:
        batch = batch_at(server, prompts, concurrency=1, retries=0)
        batch.read()

        assert_all_answered_once(server, prompts, batch)


# Servers that push back


def test_429_for_every_second_request_loses_no_prompt():
    prompts = words(60)
    with hostile(lambda _prompt, number: GOOD if number % 2 else Refusal(429)) as server:
        batch = batch_at(server, prompts, retries=0)
        batch.read()

        assert_all_answered_once(server, prompts, batch)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0.2"}], ids=["without a wait", "with a wait"])
def test_a_queue_that_is_full_loses_no_prompt_and_is_kept_full(headers):
    prompts = words(100)
    with hostile(lambda _prompt, _number: Refusal(503, headers) if server.open >= 10 else Good(0.05)) as server:
        begun = time.monotonic()
        batch = batch_at(server, prompts, concurrency=64)
        batch.read()
        seconds = time.monotonic() - begun

        assert_all_answered_once(server, prompts, batch)
        # 10 replies at a time take half a second; a batch that waits with every refusal takes much longer.
        print(f"{seconds:.2f} s, {server.refused} refused")
        assert server.refused < 54 + 50


def rate_limited(limit: int, window: float, *, claude: bool = False, **headers: str):
    """So many requests in each window; with ``claude`` the headers are those of Claude's API."""
    begun: list[float] = []
    counts: Counter[int] = Counter()

    def decide(_prompt: str, _number: int) -> Good | Refusal:
        now = time.monotonic()
        begun.append(now)
        place = int((now - begun[0]) / window)
        if counts[place] >= limit:
            return Refusal(429, dict(headers))
        counts[place] += 1
        if claude:
            end = datetime.now(timezone.utc) + timedelta(seconds=(place + 1) * window - now + begun[0])
            name = "anthropic-ratelimit-requests"
            left = {f"{name}-remaining": str(limit - counts[place]), f"{name}-reset": end.isoformat()}
            return Good(headers=left)
        left = {
            "x-ratelimit-remaining-requests": str(limit - counts[place]),
            "x-ratelimit-reset-requests": f"{1000 * ((place + 1) * window - now + begun[0]):.0f}ms",
        }
        return Good(headers={} if headers else left)

    return decide


@pytest.mark.parametrize("concurrency", [8, 64])
def test_a_limit_of_requests_in_a_time_loses_no_prompt(concurrency):
    prompts = words(80)
    with hostile(rate_limited(40, 1.5, **{"Retry-After": "0.2"})) as server:
        batch = batch_at(server, prompts, concurrency=concurrency, retries=0)
        batch.read()

        assert_all_answered_once(server, prompts, batch)


@pytest.mark.parametrize("protocol", [OPENAI, RESPONSES, CLAUDE], ids=repr)
def test_headers_slow_a_batch_before_it_is_refused(protocol):
    prompts = words(60)
    with hostile(rate_limited(20, 1.0, claude=protocol is CLAUDE), protocol) as server:
        batch = batch_at(server, prompts, concurrency=8)
        batch.read()

        assert_all_answered_once(server, prompts, batch)
        assert server.refused == 0


def test_a_reset_that_is_far_away_is_not_waited_for_while_the_server_answers():
    prompts = words(50)
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "24h0m0s"}
    with hostile(lambda _prompt, _number: Good(headers=headers)) as server:
        batch = batch_at(server, prompts)
        batch.read()

        assert_all_answered_once(server, prompts, batch)


def test_two_batches_at_once_share_a_limit_and_lose_no_prompt():
    prompts = words(120)
    with hostile(rate_limited(40, 1.0, **{"Retry-After": "0.2"})) as server:
        batches = [batch_at(server, prompts[start::2], concurrency=16, retries=0) for start in (0, 1)]
        readers = [threading.Thread(target=batch.read) for batch in batches]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()

        assert [set(batch.texts) for batch in batches] == [{f"answer to {p}" for p in prompts[s::2]} for s in (0, 1)]
        assert server.answered == Counter(prompts)


def test_a_wait_that_is_a_date_is_heeded():
    def decide(_prompt: str, number: int) -> Good | Refusal:
        soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2), usegmt=True)
        return GOOD if number > 1 else Refusal(503, {"Retry-After": soon})

    with hostile(decide) as server:
        assert batch_at(server, ["one"], retries=0).texts == ["answer to one"]
        assert server.arrivals[1] - server.arrivals[0] > 0.9


def test_a_wait_of_an_hour_stops_the_batch_and_says_so():
    with hostile(lambda _prompt, number: GOOD if number <= 20 else Refusal(429, {"Retry-After": "3600"})) as server:
        batch = batch_at(server, words(200), concurrency=8)
        with pytest.raises(BatchError, match="the server asks to wait 3,600 s, so the others were not asked"):
            batch.read()

        statuses = Counter(result.status for result in batch.results)
        assert statuses["complete"] == 20
        assert statuses[None] > 160
        assert len(server.arrivals) < 40


def test_the_total_wait_of_one_prompt_has_a_limit():
    with hostile(lambda prompt, _number: Refusal(429) if prompt.endswith(" 5") else GOOD) as server:
        batch = batch_at(server, words(30), concurrency=1, patience=0.1)
        batch.read()

        assert [result.prompt for result in batch.failed] == ["prompt number 5"]
        assert server.answered == Counter(word for word in words(30) if not word.endswith(" 5"))


# Servers that stay down, and prompts that are refused


@pytest.mark.parametrize("reading", ["in order", "as completed", "async"])
def test_slow_death_keeps_what_was_answered_and_the_next_run_asks_the_rest(reading):
    prompts = words(60)
    dying = [True]

    def decide(_prompt: str, number: int) -> Good | str:
        return Good(min(0.02, number / 2000)) if number <= 30 or not dying[0] else RESET

    def read(batch: Any) -> list[Any]:
        found: list[Any] = []

        async def read_async() -> None:
            async for result in batch:
                found.append(result)

        if reading == "async":
            asyncio.run(read_async())
        else:
            for result in batch if reading == "in order" else batch.as_completed():
                found.append(result)
        return found

    with hostile(decide) as server:
        batch = batch_at(server, prompts, patience=0.3)
        with pytest.raises(BatchError, match="no prompt was answered for 0 s, so the others were not asked"):
            read(batch)
        first = Counter(result.status for result in batch.results)
        dying[0] = False
        second = read(batch_at(server, prompts))

        assert first == {"complete": 30, None: 30}
        assert len(second) == 60
        assert server.answered == Counter(prompts)


def test_a_key_that_is_revoked_in_the_middle_stops_the_batch_soon():
    revoked = Refusal(401, report={"error": {"message": "invalid key"}})
    with hostile(lambda _prompt, number: GOOD if number <= 20 else revoked) as server:
        batch = batch_at(server, words(200), concurrency=8)
        with pytest.raises(BatchError, match=r"in a row failed, so the others were not asked: .*401"):
            batch.read()

        assert len(server.arrivals) <= 40
        assert Counter(result.status for result in batch.results)["complete"] == 20


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_prompt_that_breaks_the_server_fails_alone(concurrency):
    prompts = words(60)
    with hostile(lambda prompt, _number: Refusal(500) if prompt.endswith(" 30") else Good(0.002)) as server:
        batch = batch_at(server, prompts, concurrency=concurrency)
        batch.read()

        assert [result.prompt for result in batch.failed] == ["prompt number 30"]
        assert isinstance(batch.failed[0].error, ProviderStatusError)
        assert server.asked == Counter({prompt: 3 if prompt.endswith(" 30") else 1 for prompt in prompts})


def test_a_content_filter_that_refuses_five_prompts_in_a_row_stops_nothing():
    bad = {f"prompt number {number}" for number in range(20, 30)}
    with hostile(lambda prompt, _number: Refusal(400, report=FILTERED) if prompt in bad else GOOD) as server:
        batch = batch_at(server, words(60), concurrency=1)
        batch.read()

        assert {result.prompt for result in batch.failed} == bad
        assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("protocol", [OPENAI, RESPONSES, CLAUDE], ids=repr)
def test_half_a_reply_is_asked_again_and_never_kept_as_complete(protocol):
    prompts, cut = words(20), set()

    def decide(prompt: str, _number: int) -> Good:
        first = prompt not in cut
        cut.add(prompt)
        return Good(cut=first)

    with hostile(decide, protocol) as server:
        failed = batch_at(server, prompts[:4], retries=0)
        failed.read()
        cut.clear()
        batch = batch_at(server, prompts)
        batch.read()

        assert {result.status for result in failed.results} == {"failed"}
        assert_all_answered_once(server, prompts, batch)


# What is done meanwhile


def pausing_batch(server: Hostile, prompts: Any, **how: Any) -> tuple[Any, threading.Event]:
    """A batch whose server fails for all, and an event that is set when it pauses."""
    paused = threading.Event()
    batch = batch_at(server, prompts, patience=60, **how)

    def look() -> None:
        while not paused.is_set():
            run = batch._run
            if run is not None and run.pause is not None and run.pause.patience is not None:
                paused.set()
            time.sleep(0.005)

    threading.Thread(target=look, daemon=True).start()
    return batch, paused


def test_a_batch_that_pauses_can_be_cancelled_at_once(monkeypatch):
    monkeypatch.setattr(batch_breaker, "FIRST_PROBE", 60.0)
    with hostile(lambda _prompt, _number: RESET) as server:
        batch, paused = pausing_batch(server, words(50))
        reader = threading.Thread(target=batch.read)
        reader.start()
        assert paused.wait(30)
        batch.cancel()
        reader.join(30)

        assert not reader.is_alive()
        assert batch.status == "cancelled"
        assert {result.status for result in batch.results} <= {None, "cancelled"}  # the probe that was under way


def test_an_interrupt_ends_a_pause_at_once(monkeypatch):
    monkeypatch.setattr(batch_breaker, "FIRST_PROBE", 60.0)
    with hostile(lambda _prompt, _number: RESET) as server:
        batch, paused = pausing_batch(server, words(50))
        main = threading.main_thread().ident
        assert main is not None
        stopper = threading.Thread(target=lambda: paused.wait(30) and signal.pthread_kill(main, signal.SIGINT))
        stopper.start()
        with pytest.raises(ReplyInterrupted, match="run again, only the others are sent"):
            batch.read()
        stopper.join()


def test_an_error_of_the_generator_during_a_pause_is_raised():
    answering = threading.Event()

    def prompts():
        for number in range(1000):
            if number == 20:
                answering.set()
                raise ValueError("the file ended")
            yield f"prompt number {number}"

    with hostile(lambda _prompt, _number: GOOD if answering.is_set() else RESET) as server:
        batch = batch_at(server, prompts())
        found = []
        with pytest.raises(ValueError, match="the file ended"):
            found.extend(batch)

        assert [result.text for result in found] == [f"answer to prompt number {number}" for number in range(20)]


def test_the_pause_is_told_with_the_patience_that_is_left(monkeypatch):
    monkeypatch.setattr(batch_breaker, "FIRST_PROBE", 60.0)
    with hostile(lambda _prompt, _number: RESET) as server:
        batch, paused = pausing_batch(server, words(50))
        reader = threading.Thread(target=batch.read)
        reader.start()
        assert paused.wait(30)
        told = str(batch._run.pause)
        batch.cancel()
        reader.join(30)

    assert told.startswith("the server fails: next try in ")
    assert batch._run.pause is None


def test_patience_is_checked_like_other_limits():
    for wrong in (-1, "long", float("nan")):
        with pytest.raises(Exception, match="patience"):
            map_prompts(["one"], model="echo", patience=wrong)


def test_a_server_that_is_killed_and_stays_away_is_not_connected_to_in_a_loop(monkeypatch):
    monkeypatch.setattr(batch_breaker, "NOBODY_LISTENS", 0.5)
    killed = threading.Event()

    def decide(_prompt: str, number: int) -> Good:
        if number == 30:
            killed.set()
        return GOOD if number < 30 else Good(60)

    with hostile(decide) as server:
        killing = threading.Thread(target=lambda: killed.wait(30) and server.die())
        killing.start()
        batch = batch_at(server, words(300), concurrency=16)
        processor = time.process_time()
        with pytest.raises(BatchError, match="connection refused"):
            batch.read()
        killing.join()

        found = Counter(result.status for result in batch.results)
        assert (found["complete"], found[None] + found["cancelled"]) == (
            29,
            271,
        )  # a probe may be on its way at the end
        assert time.process_time() - processor < 5
        assert len(server.arrivals) < 60

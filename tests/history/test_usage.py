"""The sums of usage: what the requests say, however many there are, and without looking at them again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.history.database import PERIODS_AT_ONCE, History
from flowgpt_magic.history.records import ConversationRecord, KeyChange
from flowgpt_magic.history.usage import PERIOD
from flowgpt_magic.messages import Usage
from tests.records import conversation_record, notebook_record, request_record, turn_record

NOON = datetime(2026, 3, 4, 12).timestamp()  # in local time, as days are counted
DAY = 86_400
MOMENTS = [0.0, NOON, NOON + 1, NOON + PERIOD - 0.5, NOON + PERIOD, NOON + DAY / 2, NOON + DAY]
KEYS = ("/a.ipynb", "/b.ipynb", "/c.ipynb")
# The statement that counts every request each time it is asked.
PLAIN = """
SELECT date(started, 'unixepoch', 'localtime') AS day, provider, model, count(*),
    coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0), avg(first_chunk_seconds),
    avg(CASE WHEN chunks > 1 AND seconds > first_chunk_seconds
        THEN (chunks - 1) / (seconds - first_chunk_seconds) END), sum(estimated),
    coalesce(sum(reasoning_tokens), 0), coalesce(sum(cached_tokens), 0), total(cost),
    sum(cost_source = 'computed'), sum(cost_source = 'unknown')
FROM requests WHERE started >= ? AND (? IS NULL OR notebook_id IN
    (SELECT notebook_id FROM notebooks WHERE key = (SELECT key FROM notebooks WHERE notebook_id = ?)))
GROUP BY day, provider, model ORDER BY day DESC, provider, model
"""
SPENT = st.builds(
    Usage,
    prompt_tokens=st.none() | st.integers(0, 10**6),
    completion_tokens=st.none() | st.integers(0, 10**6),
    first_chunk_seconds=st.none() | st.floats(0, 100),
    seconds=st.none() | st.floats(0, 100),
    chunks=st.integers(0, 9),
    reasoning_tokens=st.none() | st.integers(0, 10**6),
    cached_tokens=st.none() | st.integers(0, 10**6),
    cost=st.none() | st.floats(0, 100),
    cost_source=st.sampled_from(["", "server", "computed", "unknown"]),
)
REQUESTS = st.fixed_dictionaries(
    {"usage": SPENT, "started": st.sampled_from(MOMENTS), "estimated": st.booleans()},
    optional={"model": st.sampled_from(["words", "messages", "half\ud83d"])},
)
NUMBERS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("save"), NUMBERS, REQUESTS),
    st.tuples(st.just("delete"), NUMBERS, st.none()),
    st.tuples(st.just("copy"), NUMBERS, st.none()),
    st.tuples(st.just("adopt"), NUMBERS, st.sampled_from(KEYS)),
    st.tuples(st.just("remove"), NUMBERS, st.none()),
    st.tuples(st.just("sum"), NUMBERS, st.sampled_from(MOMENTS)),
)


@pytest.fixture
def history() -> Iterator[History]:
    with closing(History(":memory:")) as history:
        yield history


def begun(history: History, key: str = "/a.ipynb") -> ConversationRecord:
    """A conversation of a notebook."""
    notebook = notebook_record(key=key)
    conversation = conversation_record(notebook)
    history.save(notebook, conversation)
    return conversation


def change(history: History, homes: list[ConversationRecord], step: str, number: int, values: Any) -> None:
    """One thing that happens to a history: requests end, are saved twice or deleted, notebooks are copied or moved."""
    home = homes[number % len(homes)]
    if step == "save":
        history.save(request_record(home, **{"request_id": f"request {number}"} | values))
    elif step == "delete":
        history._run("DELETE FROM requests WHERE request_id = ?", (f"request {number}",))
    elif step == "copy":
        history.save(turn_record(home), *history.copies(home.notebook_id, homes[0].notebook_id))
    elif step == "adopt":
        history.save(KeyChange(KEYS[number % len(KEYS)], values))
    elif step == "remove":
        history.save(replace(home, removed=True, changed=home.changed + number))
    else:
        history.sum_usage(values)


@settings(deadline=None, max_examples=100)
@given(st.lists(STEPS, max_size=15), st.sampled_from(MOMENTS))
def test_the_sums_are_what_the_requests_say_whatever_happened_to_them(steps, since):
    with closing(History(":memory:")) as history:
        homes = [begun(history, key) for key in KEYS]
        for number, step in enumerate(steps):
            change(history, homes, *step)
            if number % 3 and number < len(steps) - 1:
                continue
            for notebook_id in (None, *(home.notebook_id for home in homes)):
                plain = history._run(PLAIN, (since, notebook_id, notebook_id)).fetchall()
                found = [astuple(row) for row in history.usage_rows(since, notebook_id)]
                assert len(found) == len(plain)
                for row, counted in zip(found, plain, strict=True):
                    day, provider, model, *numbers = counted
                    assert row[:2] == (day, provider)
                    assert row[2] == (model.decode("utf-8", "surrogatepass") if isinstance(model, bytes) else model)
                    assert row[3:] == tuple(None if each is None else pytest.approx(each) for each in numbers)


def test_what_was_summed_up_is_not_counted_from_the_requests_again(history):
    home = begun(history)
    history.save(*(request_record(home, started=NOON + DAY * number) for number in range(50)))
    history.usage_rows()

    history._run("DROP TRIGGER request_takes_usage")  # so that nobody notices
    history._run("DELETE FROM requests")

    assert sum(row.requests for row in history.usage_rows(1.0)) == 50


def test_a_day_of_any_number_of_requests_is_a_few_rows(history):
    home = begun(history)
    history.save(*(request_record(home, started=NOON + number / 10) for number in range(1000)))

    assert [row.requests for row in history.usage_rows(1.0)] == [1000]
    assert history._run("SELECT count(*) FROM usage").fetchone() == (1,)


def test_more_periods_than_are_summed_up_at_once_are_all_summed_up(history):
    home, many = begun(history), 2 * PERIODS_AT_ONCE + 1
    history.save(*(request_record(home, started=NOON + PERIOD * number) for number in range(many)))

    assert sum(row.requests for row in history.usage_rows()) == many
    assert history._run("SELECT count(*) FROM usage_stale").fetchone() == (0,)


def test_a_period_that_is_not_over_is_left_for_later(history):
    home = begun(history)
    history.save(request_record(home, started=NOON), request_record(home, started=NOON + PERIOD))

    assert not history.sum_usage(NOON + PERIOD + 1)

    stale = history._rows(("period",), "SELECT period FROM usage_stale")
    assert stale == [{"period": NOON // PERIOD + 1}]


def test_where_nothing_can_be_written_the_requests_are_counted(tmp_path: Path):
    path = tmp_path / "history.sqlite3"
    with closing(History(path)) as writing:
        writing.save(request_record(begun(writing), started=NOON))
        with closing(History.read_only(path)) as reading:
            assert [row.requests for row in reading.usage_rows()] == [1]
            assert reading._run("SELECT count(*) FROM usage_stale").fetchone() == (1,)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows has one time zone for all processes")
def test_in_another_time_zone_the_days_are_those_of_that_zone(history, monkeypatch):
    def days(zone: str) -> list[str]:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        return [row.day for row in history.usage_rows()]

    history.save(request_record(begun(history), started=datetime(2026, 3, 4, 18, 20, tzinfo=timezone.utc).timestamp()))
    try:
        assert [days(zone) for zone in ("UTC", "Asia/Kathmandu", "Asia/Kolkata")] == [
            ["2026-03-04"],
            ["2026-03-05"],
            ["2026-03-04"],
        ]
        assert history._run("SELECT count(*) FROM usage").fetchone() == (1,)
    finally:
        monkeypatch.undo()
        time.tzset()

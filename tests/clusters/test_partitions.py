"""A partition of a table is asked, here or on a worker, and comes back with its answers."""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import polars
import pydantic
import pytest

from flowgpt_magic import bridge, map_partition, map_prompts, merge_history
from flowgpt_magic.errors import AuthenticationError, MissingKeyError, PromptError, SettingError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.history.database import History
from flowgpt_magic.history.merge import history_files
from tests import processes
from tests.openai_servers import STREAM, background, chunk, refusing, reply, streaming
from tests.servers import Connection, Request, Server, framed

SECRET = "sEcret-w0rd"
FRAME = pandas.DataFrame({"id": [1, 2, 3], "text": ["one", "two", "three"]}, index=["a", "b", "b"])


def prompt_of(request: Request) -> str:
    prompt: str = request.json["messages"][-1]["content"]
    return prompt


async def repeating(request: Request, connection: Connection) -> None:
    """Answers with the prompt."""
    await streaming(reply(prompt_of(request)))(request, connection)


def asked(server: Server) -> Counter[str]:
    """How often each prompt was asked."""
    return Counter(map(prompt_of, server.requests))


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has chosen whom to ask; without a choice nothing is sent."""
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with background(repeating) as server:
        monkeypatch.setenv("FLOWGPT_MODEL", "openai_compatible:m")
        monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", f"{server.url}/v1")
        yield server


def on_a_worker() -> Any:
    """As a worker gets it."""
    return pickle.loads(pickle.dumps(map_partition))


# What comes back


def test_the_frame_comes_back_with_text_status_and_error():
    whole = map_partition(FRAME, "say {text}", model="echo")

    pandas.testing.assert_frame_equal(whole[["id", "text"]], FRAME)
    assert list(whole.columns) == ["id", "text", "reply_text", "status", "error"]
    assert whole["reply_text"].tolist() == ["say one", "say two", "say three"]
    assert whole["status"].tolist() == ["complete"] * 3
    assert whole["error"].isna().all()
    assert list(FRAME.columns) == ["id", "text"]


def test_an_empty_partition_has_the_same_columns_and_types_and_asks_nobody(server):
    whole = map_partition(FRAME, "say {text}")
    server.requests.clear()

    empty = map_partition(FRAME.iloc[:0], "say {text}")

    assert empty.dtypes.equals(whole.dtypes)
    assert len(empty) == 0
    assert server.requests == []


def test_a_partition_of_one_row_and_of_another_kind():
    assert map_partition({"n": [7]}, "say {n}", model="echo") == {
        "n": [7],
        "text": ["say 7"],
        "status": ["complete"],
        "error": [None],
    }
    assert map_partition(polars.DataFrame({"n": [7]}), "{n}", model="echo")["text"].to_list() == ["7"]


def test_a_row_that_cannot_be_asked_costs_no_other_its_answer():
    frame = pandas.DataFrame({"word": ["one", None, " ", "four"]})

    whole = map_partition(frame, "{word}", model="echo")

    assert whole["status"].tolist() == ["complete", "failed", "failed", "complete"]
    assert whole["error"][1].startswith("PromptError: the value for {word} is missing")
    assert whole["error"][2] == "PromptError: it is empty."


def test_a_row_that_fails_costs_no_other_its_answer(monkeypatch):
    async def answer(request: Request, connection: Connection) -> None:
        told = refusing(422, {"error": {"message": "not this one"}}) if prompt_of(request) == "two" else repeating
        await told(request, connection)

    monkeypatch.setenv("FLOWGPT_MODEL", "openai_compatible:m")
    with background(answer) as server:
        whole = map_partition(FRAME, "{text}", openai_base_url=f"{server.url}/v1", retries=0)

    assert whole["status"].tolist() == ["complete", "failed", "complete"]
    assert "not this one" in whole["error"].iloc[1]
    assert whole["reply_text"].isna().tolist() == [False, True, False]


def test_rows_of_a_batch_that_was_stopped_say_why():
    frame = pandas.DataFrame({"n": range(100)})
    with background(refusing(401, {"error": {"message": "wrong key"}})) as server:
        whole = map_partition(
            frame, "{n}", model="openai_compatible:m", openai_base_url=f"{server.url}/v1", concurrency=1
        )

    assert set(whole["status"].dropna()) == {"failed"}
    assert whole["status"].isna().sum() > 50
    assert whole["error"].iloc[0].startswith(AuthenticationError.__name__)
    assert whole["error"].iloc[99].startswith("BatchError")
    assert len(server.requests) < 50


def test_with_a_schema_there_is_a_column_of_json():
    class City(pydantic.BaseModel):
        name: str

    @dataclass
    class Place:
        name: str

    frame = pandas.DataFrame({"text": ['{"name": "Oslo"}']})
    for schema in (City, Place, {"type": "object", "required": ["name"]}):
        whole = map_partition(frame, "{text}", model="echo", schema=schema)

        assert list(whole.columns) == ["text", "reply_text", "data", "status", "error"]
        assert whole["data"].tolist() == ['{"name": "Oslo"}']


def test_values_fill_the_template_too():
    whole = map_partition({"n": [1]}, "{n} in {language}", values={"language": "French"}, model="echo")

    assert whole["text"] == ["1 in French"]


@pytest.mark.parametrize(
    ("frame", "template", "options", "kind", "said"),
    [
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "{a}", {}, PromptError, "several columns called 'a'"),
        (FRAME, "{txt}", {}, PromptError, "uses {txt}"),
        (FRAME.iloc[:0], "{txt}", {}, PromptError, "uses {txt}"),
        (FRAME, "no field", {}, PromptError, "the template has no field"),
        (["a"], "{}", {}, PromptError, "a partition is a table"),
        (FRAME, "{text}", {"workers": 0}, SettingError, "workers is 0"),
        (FRAME, "{text}", {"requests_per_minute": 0}, SettingError, "requests_per_minute is 0"),
        (FRAME, "{text}", {"history": True}, SettingError, "history is the folder"),
        (FRAME, "{text}", {"token": SECRET}, SettingError, "token contains a key"),
        (FRAME, "{text}", {"temprature": 1}, SettingError, "temprature"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_sent(server, frame, template, options, kind, said):
    with pytest.raises(kind, match=said):
        map_partition(frame, template, **options)
    assert server.requests == []


# On its way to a worker


def test_it_asks_on_a_worker_as_it_would_here(server, monkeypatch):
    monkeypatch.setenv("FLOWGPT_SYSTEM", "be brief")
    travelled = on_a_worker()
    for name in [each for each in os.environ if each.startswith("FLOWGPT_") and each != "FLOWGPT_DATA_DIR"]:
        monkeypatch.delenv(name)

    whole = travelled(FRAME, "{text}")

    assert whole["reply_text"].tolist() == FRAME["text"].tolist()
    assert {request.json["messages"][0]["content"] for request in server.requests} == {"be brief"}


def test_a_key_travels_by_its_name_and_is_read_on_the_worker(server, monkeypatch):
    monkeypatch.setenv("FLOWGPT_OPENAI_KEY", "CLUSTER_KEY")
    monkeypatch.setenv("CLUSTER_KEY", SECRET)
    sent = pickle.dumps(functools.partial(map_partition, template="{text}"))
    monkeypatch.setenv("CLUSTER_KEY", "own-key-of-the-worker")

    pickle.loads(sent)(FRAME)

    assert SECRET.encode() not in sent
    assert b"CLUSTER_KEY" in sent
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer own-key-of-the-worker"}


def test_a_secret_that_is_not_on_the_worker_is_told_before_anything_is_sent(server, monkeypatch):
    monkeypatch.setenv("FLOWGPT_PROXY", f"http://me:{SECRET}@127.0.0.1:1")
    travelled = on_a_worker()
    monkeypatch.delenv("FLOWGPT_PROXY")

    with pytest.raises(MissingKeyError, match="set the environment variable FLOWGPT_PROXY on each worker"):
        travelled(FRAME, "{text}")
    assert server.requests == []


def test_what_has_travelled_travels_on_with_the_same_settings(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo:messages")
    travelled = on_a_worker()
    monkeypatch.setenv("FLOWGPT_MODEL", "echo:words")

    again = copy.copy(pickle.loads(pickle.dumps(travelled)))

    assert again({"n": [1]}, "{n}")["text"] == ["user: 1"]
    assert repr(again) == "<map_partition with the settings of another process>"
    assert repr(map_partition) == map_partition.__name__ == "map_partition"


# The limit


def test_a_limit_is_divided_over_the_workers_and_holds_over_all_partitions_of_one(server):
    begun = time.monotonic()
    for n in range(3):
        map_partition({"n": [n]}, "{n}", requests_per_minute=1200, workers=2)

    assert time.monotonic() - begun >= 0.2  # 600 a minute are one in 0.1 s


def test_partitions_of_one_process_share_the_limit_of_their_worker():
    limit = map_partition._pace(1200, 2)

    assert limit is map_partition._pace(600, None)
    assert limit is not map_partition._pace(1200, None)
    assert map_partition._pace(None, 2) is None


def test_a_limit_on_a_worker_needs_to_know_how_many_share_it(server):
    with pytest.raises(SettingError, match="give workers= too"):
        on_a_worker()({"n": [1]}, "{n}", requests_per_minute=600)
    assert on_a_worker()({"n": [1]}, "{n}", requests_per_minute=600, workers=4)["status"] == ["complete"]


# What was answered before


def test_nothing_is_kept_unless_a_folder_is_given(server, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
    for _ in range(2):
        map_partition({"n": [1]}, "{n}")

    assert asked(server) == {"1": 2}
    assert current_history().read(lambda history: list(history.all_turns()), None) == []


def test_a_second_run_asks_only_what_is_missing_however_the_rows_are_divided(server, tmp_path):
    rows = [f"row {n}" for n in range(20)]
    for part in (rows[:7], rows[7:12]):
        map_partition({"q": part}, "{q}", history=tmp_path)
    server.requests.clear()

    whole = [map_partition({"q": rows[n::3]}, "{q}", history=tmp_path)["text"] for n in range(3)]

    assert sorted(text for part in whole for text in part) == sorted(rows)
    assert asked(server) == dict.fromkeys(rows[12:], 1)


def test_equal_rows_are_not_asked_again_when_they_meet_in_one_partition(server, tmp_path):
    for _ in range(2):
        map_partition({"q": ["same"]}, "{q}", history=tmp_path)

    assert map_partition({"q": ["same"] * 3}, "{q}", history=tmp_path)["text"] == ["same"] * 3
    assert asked(server) == {"same": 1}


def test_another_sample_and_refresh_ask_anew(server, tmp_path):
    for how in ({}, {"sample": "b"}, {"sample": "b"}, {"refresh": True}):
        map_partition({"q": ["one"]}, "{q}", history=tmp_path, **how)

    assert asked(server) == {"one": 3}


def test_what_workers_were_answered_is_merged_into_the_history(server, tmp_path, monkeypatch):
    map_partition({"q": ["one", "two"]}, "{q}", history=tmp_path / "answers")
    monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
    server.requests.clear()

    assert str(merge_history(tmp_path / "answers")) == "2 turns added from 1 file"
    assert str(merge_history(tmp_path / "answers")).startswith("0 turns added")
    assert map_prompts(["one", "two", "three"], progress=False).texts == ["one", "two", "three"]
    assert asked(server) == {"three": 1}


WORKER = """
import pickle, sys
work, rows, folder = pickle.load(sys.stdin.buffer)
work({"q": rows}, "{q}", history=folder, concurrency=4)
"""


@contextmanager
def worker(rows: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that asks these rows with the settings of this one."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGPT_")}
    with processes.running([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, env=bare) as process:
        process.stdin.write(pickle.dumps((map_partition, rows, folder)))
        process.stdin.close()
        yield process


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_what_a_worker_was_answered_before_its_end_is_not_asked_again(monkeypatch, tmp_path, ending):
    rows = [f"row {n}" for n in range(40)]
    answered, numbers, ended = 25, itertools.count(1), threading.Event()

    async def answer(request: Request, connection: Connection) -> None:
        if next(numbers) <= answered or ended.is_set():
            await repeating(request, connection)
        else:
            await connection.send(STREAM, framed(chunk("half")))
            await asyncio.Event().wait()

    with background(answer) as server:
        monkeypatch.setenv("FLOWGPT_MODEL", "openai_compatible:m")
        monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", f"{server.url}/v1")
        with worker(rows, tmp_path) as process:
            saved = _wait_for_turns(tmp_path, answered)
            process.send_signal(getattr(signal, ending))
            assert process.wait(processes.LIMIT) != 0
        ended.set()
        before = asked(server)

        whole = map_partition({"q": rows}, "{q}", history=tmp_path)

        assert whole["text"] == rows
        assert {prompt: count for prompt, count in asked(server).items() if prompt in saved} == dict.fromkeys(saved, 1)
        assert set(asked(server)) == set(rows)
        assert sum(before.values()) <= answered + 4


def _wait_for_turns(folder: Path, wanted: int) -> set[str]:
    """The prompts that are answered in the files of ``folder``, when there are so many."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: set[str] = set()
        for file in history_files(folder):
            with closing(History.read_only(file)) as history:
                found |= {turn.prompt for turns in history.all_turns() for turn in turns if turn.status == "complete"}
        if len(found) >= wanted:
            return found
        time.sleep(0.02)
    raise AssertionError("the worker was not answered")


def test_partitions_can_be_asked_in_several_threads_of_one_worker(server, tmp_path):
    parts = [[f"row {n}-{k}" for k in range(10)] for n in range(6)]
    with ThreadPoolExecutor(3) as pool:
        whole = list(pool.map(lambda part: map_partition({"q": part}, "{q}", history=tmp_path)["text"], parts))

    assert whole == parts
    assert set(asked(server).values()) == {1}
    assert bridge.worker().alive

"""Ray Data workers in front of Ray Serve: by hand, with ``map_partition``, with a limit, and when something dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flowgpt_magic import map_prompts
from flowgpt_magic.history.database import History
from flowgpt_magic.history.merge import history_files
from tests.engines.conftest import Cluster, Run, begun

START = """
import json, os, time
import ray
ray.init(address=os.environ["CLUSTER"], logging_level="ERROR", log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
NAME = os.environ["NAME"]
ROWS = [f"{NAME} {n}" for n in range(int(os.environ["ROWS"]))]
table = ray.data.from_items([{"q": row} for row in ROWS]).repartition(int(os.environ["PARTS"]))
"""
BY_HAND = {
    "batches of pandas": """
def ask(frame):
    from flowgpt_magic import map_prompts
    batch = map_prompts(frame, "{q}", model="openai_compatible:m", openai_base_url=URL, progress=False)
    return frame.assign(text=batch.texts)
found = table.map_batches(ask, batch_format="pandas").take_all()
""",
    "actors": """
class Ask:
    def __init__(self):
        from flowgpt_magic import Conversation
        self.chat = Conversation("actor", model="openai_compatible:m", openai_base_url=URL)
    def __call__(self, batch):
        batch["text"] = self.chat.map(list(batch["q"]), progress=False).texts
        return batch
found = table.map_batches(Ask, concurrency=2).take_all()
""",
    "rows": """
def ask(row):
    from flowgpt_magic import map_prompts
    batch = map_prompts([row["q"]], model="openai_compatible:m", openai_base_url=URL, progress=False)
    return {**row, "text": batch.texts[0]}
found = table.map(ask).take_all()
""",
    "remote functions": """
@ray.remote(num_cpus=1)
def ask(rows):
    from flowgpt_magic import map_prompts
    batch = map_prompts(rows, model="openai_compatible:m", openai_base_url=URL, progress=False)
    return [{"q": row, "text": text} for row, text in zip(rows, batch.texts)]
found = sum(ray.get([ask.remote(ROWS[:6]), ask.remote(ROWS[6:])]), [])
""",
}
MAP_PARTITION = (
    START
    + """
from functools import partial
from flowgpt_magic import map_partition
ask = partial(map_partition, template="{q}", **json.loads(os.environ["HOW"]))
if os.environ["WARM"]:  # the processes are there, and have imported everything
    rows = [{"q": f"warm {NAME} {n}"} for n in range(16)]
    ray.data.from_items(rows).repartition(int(os.environ["PARTS"])).map_batches(ask, batch_format="pandas").take_all()
table = table.materialize()
begun = time.monotonic()
found = table.map_batches(ask, batch_format=os.environ["FORMAT"] or "pandas", batch_size=None).take_all()
print(json.dumps({"rows": found, "seconds": time.monotonic() - begun}))
"""
)


def settings(cluster: Cluster, app: str, name: str, *, rows: int, parts: int, how: str = "{}") -> dict[str, str]:
    """What the program is told, and what is set on the driver alone."""
    told = {
        "CLUSTER": cluster.address,
        "NAME": name,
        "ROWS": str(rows),
        "PARTS": str(parts),
        "HOW": how,
        "FORMAT": "",
        "WARM": "",
    }
    return {**told, "FLOWGPT_MODEL": "openai_compatible:m", "FLOWGPT_OPENAI_BASE_URL": cluster.base_url(app)}


def all_rows(name: str, count: int) -> list[str]:
    return sorted(f"{name} {n}" for n in range(count))


@pytest.mark.parametrize("way", BY_HAND)
def test_map_prompts_works_in_a_worker_when_written_by_hand(cluster, run: Run, way):
    code = f"{START}\nURL = {cluster.base_url('two')!r}\n{BY_HAND[way]}\nprint(json.dumps(found))"

    found = run(code, **settings(cluster, "two", way, rows=12, parts=2))

    assert sorted(row["q"] for row in found) == all_rows(way, 12)
    assert all(row["text"] == row["q"] for row in found)


@pytest.mark.parametrize("kind", ["pandas", "pyarrow", "numpy"])
def test_map_partition_asks_with_the_settings_of_the_driver(cluster, run: Run, kind):
    found = run(MAP_PARTITION, **{**settings(cluster, "two", f"as {kind}", rows=12, parts=3), "FORMAT": kind})

    assert sorted(row["text"] for row in found["rows"]) == all_rows(f"as {kind}", 12)
    assert {row["status"] for row in found["rows"]} == {"complete"}
    assert {row["error"] for row in found["rows"]} == {None}


def test_two_workers_are_almost_twice_as_fast_as_one(cluster, run: Run, quick: str):
    seconds = {}
    for workers in (1, 2):
        told = settings(cluster, "wide", f"{workers} workers", rows=640, parts=workers, how='{"concurrency": 4}')
        told |= {"WARM": "yes", "FLOWGPT_OPENAI_BASE_URL": quick}
        seconds[workers] = run(MAP_PARTITION, **told)["seconds"]

    print(f"Ray Data, 640 prompts of 200 ms, 4 at once in each worker: {seconds[1]:.2f} s, with two {seconds[2]:.2f} s")
    assert seconds[1] / seconds[2] >= 1.8


def test_two_replicas_are_almost_twice_as_fast_as_one(cluster):
    seconds = {app: min(_seconds(cluster, app, part) for part in range(3)) for app in ("one", "two")}

    one, two = seconds["one"], seconds["two"]
    print(f"Ray Serve, 80 prompts of 200 ms, 4 at once in each replica: {one:.2f} s, with two {two:.2f} s")
    assert one / two >= 1.8


def _seconds(cluster: Cluster, app: str, part: int) -> float:
    prompts = [f"{app} {part} {n}" for n in range(80)]
    begun_at = time.monotonic()
    batch = map_prompts(
        prompts, model="openai_compatible:m", openai_base_url=cluster.base_url(app), concurrency=8, progress=False
    )
    assert batch.texts == prompts
    return time.monotonic() - begun_at


def wait_for(ready: Callable[[], Any]) -> Any:
    """The first true value."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := ready():
            return found
        time.sleep(0.02)
    raise AssertionError("it has not happened")


def saved_prompts(file: Path) -> set[str]:
    with closing(History.read_only(file)) as history:
        return {turn.prompt for turns in history.all_turns() for turn in turns if turn.status == "complete"}


def test_a_killed_worker_loses_nothing_and_nothing_that_was_answered_is_asked_twice(cluster, python, tmp_path):
    answers = tmp_path / "answers"
    how = f'{{"concurrency": 4, "history": "{answers}"}}'
    told = settings(cluster, "wide", "worker", rows=300, parts=4, how=how)
    with begun(python, MAP_PARTITION, tmp_path, **told) as program:
        files = wait_for(lambda: [file for file in history_files(answers) if len(_saved(file)) >= 20])
        pid = int(files[0].stem.split("-")[-2])
        os.kill(pid, signal.SIGKILL)
        saved = saved_prompts(files[0])
        out, err = program.communicate(timeout=600)

    assert program.returncode == 0, err[-3000:]
    asked = cluster.record.count("asked", "worker ")
    twice = {prompt for prompt, count in asked.items() if count > 1}
    print(f"300 prompts, a worker killed: {len(saved)} it had answered, {len(twice)} in flight were asked again")
    assert sorted(asked) == all_rows("worker", 300)
    assert out.count('"status": "complete"') == 300
    assert not twice & saved
    assert len(twice) <= 4
    assert max(asked.values()) <= 2


def _saved(file: Path) -> set[str]:
    from flowgpt_magic.errors import HistoryError

    try:
        return saved_prompts(file)
    except HistoryError:  # it is being made
        return set()


def test_a_second_run_asks_nothing_however_the_rows_are_divided(cluster, run: Run, tmp_path):
    how = f'{{"history": "{tmp_path / "answers"}"}}'
    for parts in (3, 4):
        found = run(MAP_PARTITION, **settings(cluster, "wide", "second run", rows=40, parts=parts, how=how))
        assert sorted(row["text"] for row in found["rows"]) == all_rows("second run", 40)

    assert cluster.record.count("asked", "second run ") == dict.fromkeys(all_rows("second run", 40), 1)


def test_a_limit_is_kept_by_all_workers_together(cluster, run: Run):
    how = '{"requests_per_minute": 600, "workers": 2}'

    found = run(MAP_PARTITION, **settings(cluster, "wide", "limited", rows=40, parts=2, how=how))

    assert found["seconds"] >= 19 * 0.2  # of each worker, one in 0.2 s
    assert {row["status"] for row in found["rows"]} == {"complete"}


def test_a_killed_replica_loses_nothing_and_doubles_nothing(cluster):
    prompts = [f"replica {n}" for n in range(300)]
    batch = map_prompts(
        prompts, model="openai_compatible:m", openai_base_url=cluster.base_url("two"), concurrency=16, progress=False
    )
    killed = 0
    for number, result in enumerate(batch.as_completed()):
        assert result.error is None
        if number == 100:
            killed = min(wait_for(lambda: cluster.record.busy("replica ")))
            os.kill(killed, signal.SIGKILL)

    asked = cluster.record.count("asked", "replica ")
    print(f"300 prompts, one of two replicas killed: {sum(asked.values()) - 300} in flight were asked again")
    assert len(cluster.record.processes("replica ")) == 3  # another one has taken its place
    assert sum(asked.values()) > 300
    assert batch.texts == prompts
    assert cluster.record.count("answered", "replica ") == dict.fromkeys(prompts, 1)


def test_a_full_queue_loses_nothing_and_doubles_nothing(cluster):
    prompts = [f"queue {n}" for n in range(300)]
    batch = map_prompts(
        prompts, model="openai_compatible:m", openai_base_url=cluster.base_url("narrow"), concurrency=32, progress=False
    )
    begun_at = time.monotonic()

    assert batch.texts == prompts
    seconds = time.monotonic() - begun_at
    print(f"300 prompts of 20 ms, 2 at once and 4 waiting: {seconds:.1f} s; the server allows {300 / 2 * 0.02:.1f} s")
    assert cluster.record.count("answered", "queue ") == dict.fromkeys(prompts, 1)

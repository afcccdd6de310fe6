"""Dask workers in front of Ray Serve: by hand, and with ``map_partition``."""

from __future__ import annotations

import pytest

from tests.engines.conftest import Cluster, Run
from tests.engines.engines import SETTINGS

PROGRAM = """
import dask, pandas
import dask.bag, dask.dataframe
from dask.distributed import Client, LocalCluster


def main():
    workers = int(os.environ["WORKERS"])
    how = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(**how) as cluster, Client(cluster) as client:
        set_on_the_driver_alone()
        frame = pandas.DataFrame({"q": ROWS})
        table = dask.dataframe.from_pandas(frame, npartitions=workers)
        print(json.dumps(ask(client, frame, table)))


if __name__ == "__main__":
    main()
"""
BY_HAND = {
    "partitions of a table": """
def ask(client, frame, table):
    answered = table.map_partitions(lambda part: part.assign(t=texts(part.q)), meta={"q": str, "t": str})
    return answered.compute().t.tolist()
""",
    "delayed": """
def ask(client, frame, table):
    return sum(dask.compute(dask.delayed(texts)(ROWS[:6]), dask.delayed(texts)(ROWS[6:])), [])
""",
    "submit": """
def ask(client, frame, table):
    return sum(client.gather([client.submit(texts, ROWS[:6]), client.submit(texts, ROWS[6:])]), [])
""",
    "map": """
def ask(client, frame, table):
    return sum(client.gather(client.map(texts, [[row] for row in ROWS])), [])
""",
    "a bag": """
def ask(client, frame, table):
    return dask.bag.from_sequence(ROWS, npartitions=2).map_partitions(lambda part: texts(list(part))).compute()
""",
}
MAP_PARTITION = """
def ask(client, frame, table):
    from flowgpt_magic import map_partition

    work = partial(map_partition, template="{q}", **json.loads(os.environ["HOW"]))
    warm = pandas.DataFrame({"q": [f"warm {row}" for row in ROWS[:8]]})  # all is imported then
    workers = client.scheduler_info()["workers"]
    client.gather([client.submit(work, warm, workers=[each], pure=False) for each in workers])
    begun = time.monotonic()
    whole = table.map_partitions(work, meta=work(table._meta)).compute()
    return {
        "seconds": time.monotonic() - begun,
        "texts": whole.text.tolist(),
        "statuses": sorted(set(whole.status)),
        "index": whole.index.tolist(),
    }
"""


def settings(base_url: str, name: str, *, rows: int, workers: int = 2, how: str = "{}") -> dict[str, str]:
    return {"URL": base_url, "NAME": name, "ROWS": str(rows), "WORKERS": str(workers), "HOW": how}


@pytest.mark.parametrize("way", BY_HAND)
def test_map_prompts_works_in_a_worker_when_written_by_hand(cluster: Cluster, run: Run, way: str):
    told = settings(cluster.base_url("two"), f"dask {way}", rows=12)

    assert run(SETTINGS + BY_HAND[way] + PROGRAM, **told) == [f"dask {way} {n}" for n in range(12)]


def test_map_partition_asks_with_the_settings_of_the_driver(cluster: Cluster, run: Run):
    found = run(SETTINGS + MAP_PARTITION + PROGRAM, **settings(cluster.base_url("two"), "dask", rows=30))

    assert found["texts"] == [f"dask {n}" for n in range(30)]
    assert found["statuses"] == ["complete"]
    assert found["index"] == list(range(30))
    asked = cluster.record.count("asked", "dask ")
    assert [asked[text] for text in found["texts"]] == [1] * 30


def test_two_workers_are_almost_twice_as_fast_as_one(run: Run, quick: str):
    seconds = {}
    for workers in (1, 2):
        told = settings(quick, f"{workers} of dask", rows=320, workers=workers, how='{"concurrency": 4}')
        twice = [run(SETTINGS + MAP_PARTITION + PROGRAM, **told)["seconds"] for _ in range(2)]
        seconds[workers] = min(twice)  # a busy machine disturbs one of them

    print(f"Dask, 320 prompts of 200 ms, 4 at once in each worker: {seconds[1]:.2f} s, with two {seconds[2]:.2f} s")
    assert seconds[1] / seconds[2] >= 1.8

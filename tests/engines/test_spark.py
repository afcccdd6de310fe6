"""Spark's Python workers in front of Ray Serve: by hand, and with ``map_partition``."""

from __future__ import annotations

import shutil

import pytest

from tests.engines.conftest import Cluster, Run
from tests.engines.engines import SETTINGS

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs a Java runtime")
PROGRAM = """
import pandas
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, pandas_udf

building = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = building.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
table = spark.createDataFrame([(row,) for row in ROWS], "q string").repartition(2)
table.count()  # its workers are there, with what was set until now
set_on_the_driver_alone()
"""
BY_HAND = {
    "tables of pandas": """
def ask(frames):
    for frame in frames:
        yield frame.assign(t=texts(frame.q))
found = [row.t for row in table.mapInPandas(ask, "q string, t string").collect()]
""",
    "a function of a column": """
@pandas_udf("string")
def ask(column: pandas.Series) -> pandas.Series:
    return pandas.Series(texts(column))
found = [row.t for row in table.select(ask(col("q")).alias("t")).collect()]
""",
    "partitions of rows": """
found = table.rdd.mapPartitions(lambda rows: texts([row.q for row in rows])).collect()
""",
}
MAP_PARTITION = """
from flowgpt_magic import map_partition
work = partial(map_partition, template="{q}")
columns = "q string, text string, status string, error string"
if os.environ["ARROW"]:
    whole = table.mapInArrow(lambda frames: map(work, frames), columns)
else:
    whole = table.mapInPandas(lambda frames: map(work, frames), columns)
rows = whole.collect()
found = {"texts": [row.text for row in rows], "statuses": sorted({row.status for row in rows})}
"""
END = """
spark.stop()
print(json.dumps(found))
"""


def settings(cluster: Cluster, name: str, arrow: str = "") -> dict[str, str]:
    return {"URL": cluster.base_url("two"), "NAME": name, "ROWS": "12", "ARROW": arrow, "SPARK_LOCAL_IP": "127.0.0.1"}


@pytest.mark.parametrize("way", BY_HAND)
def test_map_prompts_works_in_a_worker_when_written_by_hand(cluster: Cluster, run: Run, way: str):
    found = run(SETTINGS + PROGRAM + BY_HAND[way] + END, **settings(cluster, f"spark {way}"))

    assert sorted(found) == sorted(f"spark {way} {n}" for n in range(12))


@pytest.mark.parametrize("kind", ["", "arrow"])
def test_map_partition_asks_with_the_settings_of_the_driver(cluster: Cluster, run: Run, kind: str):
    found = run(SETTINGS + PROGRAM + MAP_PARTITION + END, **settings(cluster, f"spark{kind}", kind))

    assert sorted(found["texts"]) == sorted(f"spark{kind} {n}" for n in range(12))
    assert found["statuses"] == ["complete"]

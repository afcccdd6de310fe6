"""What the notebook says about Ray Data, Dask and Spark is run as it stands there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas
import pytest

from tests.engines.conftest import Cluster, Run
from tests.engines.recipes import NOTEBOOK, recipe

WORDS = {"ray": "ray.data", "dask": "dask.dataframe", "spark": "spark.read"}
BEFORE = {
    "ray": """
import os, ray
ray.init(address=os.environ["CLUSTER"], logging_level="ERROR", log_to_driver=False)
""",
    "dask": "",
    "spark": """
from pyspark.sql import SparkSession
building = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = building.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
""",
}
TEXTS = """
import pandas
texts = pandas.DataFrame({"id": range(8), "text": ["text %d of NAME" % n for n in range(8)]})
texts.to_parquet("FOLDER/texts/one.parquet")
"""
ANSWERS = """
import json
import pyarrow.parquet
print(json.dumps(pyarrow.parquet.read_table("FOLDER/answers").to_pylist()))
"""


@pytest.mark.parametrize("engine", WORDS)
def test_a_recipe_runs_as_it_is_written(cluster: Cluster, run: Run, tmp_path: Path, engine: str):
    if engine == "spark" and shutil.which("java") is None:
        pytest.skip("Spark needs a Java runtime")
    (tmp_path / "texts").mkdir()
    name = f"{engine} in {Path(NOTEBOOK).stem}"
    code = recipe("partial(map_partition") + recipe(WORDS[engine])
    code = "".join([TEXTS, BEFORE[engine], code, ANSWERS]).replace("/shared", str(tmp_path))
    told = {"CLUSTER": cluster.address, "FLOWGPT_MODEL": "openai_compatible:m", "SPARK_LOCAL_IP": "127.0.0.1"}

    found = run(
        code.replace("FOLDER", str(tmp_path)).replace("NAME", name),
        FLOWGPT_OPENAI_BASE_URL=cluster.base_url("two"),
        **told,
    )

    prompts = [f"Sum up in one sentence: text {n} of {name}" for n in range(8)]
    table = pandas.DataFrame(found).sort_values("id")
    assert table["reply_text"].tolist() == prompts
    assert table["status"].tolist() == ["complete"] * 8
    asked = cluster.record.count("asked", "Sum up")
    assert [asked[prompt] for prompt in prompts] == [1] * 8
    assert list((tmp_path / "history").glob("*.sqlite3"))

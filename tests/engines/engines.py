"""What the programs for Dask and Spark begin with."""

from __future__ import annotations

SETTINGS = """
import json, os, time
from functools import partial
URL, NAME = os.environ["URL"], os.environ["NAME"]
ROWS = [f"{NAME} {n}" for n in range(int(os.environ["ROWS"]))]


def set_on_the_driver_alone():
    os.environ["FLOWGPT_MODEL"] = "openai_compatible:m"
    os.environ["FLOWGPT_OPENAI_BASE_URL"] = URL


def texts(rows):
    from flowgpt_magic import map_prompts

    how = {"model": "openai_compatible:m", "openai_base_url": URL, "progress": False}
    return map_prompts(list(rows), **how).texts if len(rows) else []
"""

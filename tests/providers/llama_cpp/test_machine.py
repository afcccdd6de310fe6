"""What this machine has."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from flowgpt_magic.providers.llama_cpp import machine


def test_memory_and_disk_are_those_of_this_machine(tmp_path: Path) -> None:
    here = machine.this_machine(tmp_path / "not" / "there")

    assert here.free_disk > 0
    assert here.memory is not None
    assert here.memory <= psutil.virtual_memory().total * 1.01
    assert here.free_memory is None or 0 <= here.free_memory <= here.memory


@pytest.mark.skipif(os.name != "posix", reason="Windows has another source")
def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"max": "2000000", "current": "1500000", "stat": "anon 5\ninactive_file 300000\nother 1\n"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(machine, "MEMORY_LIMITS", (tuple(tmp_path / name for name in contents),))

    here = machine.this_machine(tmp_path)
    assert here.memory == 2_000_000
    assert here.free_memory == 800_000

    (tmp_path / "max").write_text("max\n")  # no limit
    unlimited = machine.this_machine(tmp_path).memory
    assert unlimited is not None
    assert unlimited > 2_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_free_memory_is_known_on_linux(tmp_path: Path) -> None:
    assert machine.this_machine(tmp_path).free_memory

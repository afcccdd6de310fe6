"""The README: its length, and that everything in it that can be typed works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from flowgpt_magic import gateway
from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from tests.example_shell import example_shell, fix_with_a_correction, prepare, run_cell

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LINES = re.findall(r"`(%flowgpt [^`]+)`", README)
SPOKEN_OF = ("NAME", "TEXT", "WORDS")  # words that stand for the reader's own


@pytest.fixture
def shell(monkeypatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    with example_shell(monkeypatch, tmp_path) as shell:
        yield shell


def test_it_has_at_most_120_lines():
    assert len(README.splitlines()) <= 120


def test_its_cells_run_one_after_the_other(shell, monkeypatch, capsys):
    cells = [text for language, text in BLOCKS if language in ("", "python")]
    with gateway.start("echo") as server:
        monkeypatch.setenv("FLOWGPT_BASE_URL", server.url)
        for cell in cells:
            run_cell(shell, cell)

    printed = capsys.readouterr().out
    assert "def " in printed
    assert "What is the capital of France?" in printed


@pytest.mark.parametrize("line", [line for line in LINES if not any(word in line for word in SPOKEN_OF)])
def test_a_line_runs_as_it_stands(shell, line):
    prepare(shell)
    if line == "%flowgpt apply":
        fix_with_a_correction(shell)

    run_cell(shell, line)


def test_every_subcommand_it_names_exists():
    named = {line.split()[1] for line in LINES if not line.startswith(("%flowgpt -", "%flowgpt why"))}

    assert named <= set(SUBCOMMANDS)


def test_every_extra_it_names_exists_and_every_file_it_links_to():
    extras = metadata("flowgpt_magic").get_all("Provides-Extra")
    named = re.findall(r"\[([a-z,]+)\]\"", README)

    assert {name for group in named for name in group.split(",")} <= set(extras)
    assert all((CHECKOUT / path).exists() for path in re.findall(r"\]\(([^)]+)\)", README))

"""Every notebook runs from top to bottom, and what is saved in it is what comes out of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def kinds(notebook: nbformat.NotebookNode) -> list[set[tuple[str, ...]]]:
    """For each cell, what kinds of output it has; the words of a model differ from run to run."""
    return [
        {tuple(sorted(output.get("data", [output.output_type]))) for output in cell.get("outputs", [])}
        for cell in notebook.cells
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_saved_outputs_are_real(path, tmp_path, own_settings, monkeypatch, embedded_model):
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(embedded_model))
    saved = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh.cells:
        cell.get("outputs", []).clear()

    for file in (path, *path.parent.glob("*.py")):  # a picture in a prompt is looked for in its notebook
        shutil.copy(file, tmp_path)
    NotebookClient(fresh, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert kinds(fresh) == kinds(saved)
    assert all(output.output_type != "error" for cell in saved.cells for output in cell.get("outputs", []))


def test_there_are_notebooks():
    assert NOTEBOOKS

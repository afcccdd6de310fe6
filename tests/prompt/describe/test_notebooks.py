"""Notebook files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowgpt_magic.prompt.attachments import Attachment, attach
from flowgpt_magic.prompt.describe.problems import AttachmentError


def code(source: object, *outputs: object) -> dict[str, object]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {}}


def attached(folder: Path, cells: list[object], budget: int = 1_000) -> Attachment:
    path = folder / "work.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4, "metadata": {"kernel": "M"}}))
    (attachment,) = attach([str(path)], {}, budget=budget)
    return attachment


def test_it_is_its_cells_with_their_outputs(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        code("print(1)", {"output_type": "stream", "text": ["1\n"]}),
        code(
            "plot()", {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 900, "text/plain": "<Fig>"}}
        ),
        code("1/0", {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division", "traceback": ["x"]}),
        code(""),
    ]

    attachment = attached(tmp_path, cells)

    assert attachment.text.partition("\n")[2] == (
        "```\n[1, markdown]\n# Title\ntext\n\n[2, code]\nprint(1)\nOutput: 1\n\n"
        "[3, code]\nplot()\nOutput: <Fig> [picture, image/png]\n\n"
        "[4, code]\n1/0\nOutput: ZeroDivisionError: division\n```"
    )
    assert attachment.about.endswith("work.ipynb, 4 cells")


def test_long_outputs_are_shortened_so_that_all_cells_fit(tmp_path):
    cells = [code(f"step_{number}()", {"output_type": "stream", "text": "line\n" * 5_000}) for number in range(10)]

    attachment = attached(tmp_path, cells)

    assert "step_9()" in attachment.text
    assert attachment.text.endswith("… parts of the outputs are not shown")


def test_one_with_more_cells_than_fit_says_how_many_are_sent(tmp_path):
    attachment = attached(tmp_path, [code("some code here\n" * 40) for _ in range(50)])

    assert " of 50 cells" in attachment.about
    assert attachment.is_cut


def test_json_of_another_form_is_sent_as_text(tmp_path):
    path = tmp_path / "other.ipynb"
    path.write_text('{"worksheets": []}')

    assert '{"worksheets": []}' in attach([str(path)], {}, budget=100)[0].text


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_broken_one_is_refused(tmp_path, content):
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content)

    with pytest.raises(AttachmentError, match="cannot be read as a notebook"):
        attach([str(path)], {}, budget=100)


@pytest.mark.parametrize("cells", [[None, 3, {}], [code(None, None, {"data": [1]}, {"data": {"text/plain": 3}})]])
def test_odd_cells_do_no_harm(tmp_path, cells):
    assert attached(tmp_path, cells).text

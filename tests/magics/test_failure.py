"""What is sent about an error that is known only as its traceback in the notebook."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.magics.correction import Correction
from flowgpt_magic.magics.failed_cells import CellCode
from flowgpt_magic.magics.failure import failure

CELLS = [CellCode("1 / 0", 1, " (In[3])")]


def test_a_traceback_is_sent_without_its_colours_below_the_cell():
    sent = failure(CELLS, {}, 1000, "\x1b[31mZeroDivisionError\x1b[39m: division by zero")

    assert sent.startswith("This was run (In[3]):\n\n```python\n1 / 0\n```\n\n")
    assert sent.endswith("The error:\n\n```text\nZeroDivisionError: division by zero\n```")


def test_of_a_long_traceback_the_end_is_sent():
    sent = failure(CELLS, {}, 200, "frame\n" * 1000 + "ValueError: the end")

    assert "ValueError: the end\n```" in sent
    assert "characters above\n" in sent
    assert len(sent) < 1200


def test_a_fence_in_a_traceback_does_not_end_the_block():
    assert "````text\n```\nValueError\n````" in failure(CELLS, {}, 1000, "```\nValueError")


@given(st.text("ab\n"), st.text("ab\n"))
def test_the_rows_of_a_correction_hold_both_cells(before, after):
    rows = Correction(CellCode(before), after).rows

    assert "\n".join(line for mark, line in rows if mark != "+") == before
    assert "\n".join(line for mark, line in rows if mark != "-") == after

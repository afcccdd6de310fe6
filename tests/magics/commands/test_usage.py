"""``%flowgpt usage``."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest

from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.commands.usage import show_usage
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.messages import Usage
from flowgpt_magic.notebook.place import NO_CELL
from tests.records import notebook_record, request_record
from tests.shell_states import column


def test_usage_is_of_this_notebook_and_says_how_to_see_all(state):
    assert show_usage(state, "") == ("this notebook, last 31 days: no requests; %flowgpt usage all shows all notebooks")
    assert show_usage(state, "all 1") == "all notebooks, today: no requests"

    list(state.conversation().ask("one two", cell=NO_CELL))
    table = show_usage(state, "7")

    assert table.title == "this notebook, last 7 days"
    assert (column(table, "model"), column(table, "requests")) == (["echo:words"], ["1"])
    assert column(table, "day") == [str(date.today())]


def test_other_notebooks_and_earlier_days_are_shown_when_asked_for(state):
    notebook_history = state.notebook_history
    notebook = notebook_record()
    now = request_record(notebook, model="elsewhere")
    notebook_history.save_notebook()
    notebook_history._writer.save(notebook)
    notebook_history.count(now, request_record(notebook_history.notebook, started=now.started - 40 * 86400))

    assert isinstance(show_usage(state, ""), str)
    assert column(show_usage(state, "all"), "model") == ["echo:elsewhere"]
    assert column(show_usage(state, "45"), "model") == ["echo:words"]
    assert column(show_usage(state, "45 all"), "model") == ["echo:elsewhere", "echo:words", "in 2 days"]
    assert len(column(show_usage(state, f"all {10**30}"), "model")) == 3


@pytest.mark.parametrize(("seconds", "days"), [(0, 7), (-1, 8)])
def test_the_first_of_the_days_begins_at_midnight(state, seconds, days):
    """A request at the first second of the seventh day, and one a second before it."""
    midnight = datetime.combine(date.today() - timedelta(6), time.min)
    notebook_history = state.notebook_history
    started = midnight.timestamp() + seconds
    notebook_history.count(request_record(notebook_history.notebook, started=started))

    assert isinstance(show_usage(state, f"{days - 1}"), str)
    assert column(show_usage(state, f"{days}"), "requests") == ["1"]


@pytest.mark.parametrize("rest", ["0", "-3", "all 1 2", "all notebooks", "yesterday", "²", "1.5"])
def test_anything_else_is_no_number_of_days(state, rest):
    with pytest.raises(OptionError, match="takes all or notebooks, a number of days, or both"):
        show_usage(state, rest)


def test_each_notebook_has_its_sum_and_its_cost(state):
    notebook_history = state.notebook_history
    other = notebook_record(label="other.ipynb")
    dear = Usage(9, 12, cost=0.5, cost_source="server")
    notebook_history.save_notebook()
    notebook_history._writer.save(other)
    notebook_history.count(
        *(request_record(other, request_id=f"r{number}", usage=dear) for number in range(2)),
        request_record(notebook_history.notebook, request_id="r3", usage=Usage(1, 2, cost_source="unknown")),
    )

    table = show_usage(state, "notebooks")

    assert table.title == "all notebooks, last 31 days"
    costs = dict(zip(column(table, "notebook"), column(table, "cost"), strict=True))
    assert costs["other.ipynb"] == "$1.00"
    assert costs[notebook_history.notebook.label] == "\N{EN DASH}"
    assert "in 2 notebooks" in column(table, "model")


def test_a_history_that_is_off_knows_nothing():
    off = ShellState(lambda: {"model": "echo", "history": "off"}, {})

    assert show_usage(off, "") == "the history is off, so there are no tokens, times and costs to show"

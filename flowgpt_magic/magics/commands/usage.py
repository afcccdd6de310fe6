"""``%flowgpt usage``: tokens, times and costs by model and day."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from flowgpt_magic.errors import OptionError
from flowgpt_magic.history.records import OFF, UsageRow
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.usage_chart import usage_table

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.state import ShellState

DAYS, MAX_DAYS = 31, 10_000  # default and maximum


@subcommand(
    "Show tokens, times and costs by model and day: ``usage [all] [DAYS]``; ``all`` is all notebooks, DAYS is 31 by "
    "default.",
    "Every request that was sent counts: interrupted ones, attempts that were discarded, batches, and --no-history, of "
    "which only the counts are stored. Token counts are the server's; those marked \N{ALMOST EQUAL TO} are estimated. "
    "Replies from the history cost nothing, and requests of other programs to the gateway are not counted.",
    group="settings",
    examples=("%flowgpt usage", "%flowgpt usage all 7"),
)
def show_usage(state: ShellState, rest: str) -> Shown:
    words = rest.split()
    numbers = [word for word in words if word != "all"]
    if len(numbers) > 1 or any(not word.isdecimal() or not int(word[:9]) for word in numbers):
        raise OptionError(
            "%flowgpt usage takes all, a number of days, or both; to send it as a prompt, write %flowgpt -- before it"
        )
    if state.notebook_history.location == OFF:
        return "the history is off, so there are no tokens, times and costs to show"
    days = min(int(numbers[0][:9]), MAX_DAYS) if numbers else DAYS
    everywhere = "all" in words
    since = datetime.combine(date.today() - timedelta(days - 1), time.min).timestamp()
    notebook_id = None if everywhere else state.notebook_history.notebook.notebook_id
    nothing: tuple[UsageRow, ...] = ()
    rows = state.notebook_history.read(lambda history: history.usage_rows(since, notebook_id), nothing)
    title = f"{'all notebooks' if everywhere else 'this notebook'}, {f'last {days} days' if days > 1 else 'today'}"
    if not rows:
        return f"{title}: no requests{'' if everywhere else '; %flowgpt usage all shows all notebooks'}"
    return usage_table(rows, title)


SUBCOMMANDS: dict[str, Subcommand] = {"usage": show_usage}

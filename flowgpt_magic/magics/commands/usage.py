"""``%flowgpt usage``: tokens, times and costs by model and day."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from flowgpt_magic.errors import OptionError
from flowgpt_magic.history.records import OFF, UsageRow
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.usage_chart import usage_table

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.state import ShellState

DAYS, MAX_DAYS = 31, 10_000  # default and maximum
SCOPES = ("all", "notebooks")


@subcommand(
    "Show tokens, times and costs by model and day: ``usage [all|notebooks] [DAYS]``; DAYS is 31 by default.",
    "``all`` is all notebooks, ``notebooks`` a sum for each. Every request that was sent counts: interrupted ones, "
    "attempts that were discarded, batches, and --no-history, of which only the counts are stored. Token counts are "
    "the server's; those marked \N{ALMOST EQUAL TO} are estimated. Replies from the history cost nothing, and requests "
    "of other programs to the gateway are not counted.",
    group="settings",
    examples=("%flowgpt usage all 7", "%flowgpt usage notebooks"),
)
def show_usage(state: ShellState, rest: str) -> Shown:
    words = rest.split()
    numbers = [word for word in words if word not in SCOPES]
    scopes, is_number = len(words) - len(numbers), all(word.isdecimal() and int(word[:9]) for word in numbers)
    if len(numbers) > 1 or scopes > 1 or not is_number:
        raise OptionError(
            "%flowgpt usage takes all or notebooks, a number of days, or both; to send it as a prompt, write "
            "%flowgpt -- before it"
        )
    if state.notebook_history.location == OFF:
        return "the history is off, so there are no tokens, times and costs to show"
    days = min(int(numbers[0][:9]), MAX_DAYS) if numbers else DAYS
    everywhere, by_notebook = bool(scopes), "notebooks" in words
    since = datetime.combine(date.today() - timedelta(days - 1), time.min).timestamp()
    notebook_id = None if everywhere else state.notebook_history.notebook.notebook_id
    nothing: tuple[UsageRow, ...] = ()

    def usage(history: History) -> tuple[UsageRow, ...]:
        return history.usage_by_notebook(since) if by_notebook else history.usage_rows(since, notebook_id)

    rows = state.notebook_history.read(usage, nothing)
    title = f"{'all notebooks' if everywhere else 'this notebook'}, {f'last {days} days' if days > 1 else 'today'}"
    if not rows:
        return f"{title}: no requests{'' if everywhere else '; %flowgpt usage all shows all notebooks'}"
    return usage_table(rows, title, "notebook" if by_notebook else "day")


SUBCOMMANDS: dict[str, Subcommand] = {"usage": show_usage}

"""``%flowgpt fix`` and ``%flowgpt apply``: a prompt about the last error, and the corrected cell of its reply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flowgpt_magic.errors import CorrectionFailedError, OptionError, last_error
from flowgpt_magic.magics import typos
from flowgpt_magic.magics.commands.code import ask_about
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import models
from flowgpt_magic.text import sentences

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.correction import Correction
    from flowgpt_magic.magics.state import ShellState

_SWITCH = re.compile(r"(?<!\S)--(apply|run)(?!\S)")


@subcommand(
    "Explain the last error and correct the code: ``fix [--apply] [--run] [MODEL] [options] [WORDS]``.",
    "The failed cell is sent with its error and the functions that it called. With it go the sizes, columns and types "
    "of the variables in the failing line, and the cells that made them. Secrets are masked.\n\n"
    "``--apply`` puts the corrected cell below when the reply is complete; ``--run`` runs it in this cell.",
    group="ask",
    examples=("%flowgpt fix", "%flowgpt fix -t 0 Keep the column names."),
)
def fix(state: ShellState, rest: str) -> Shown:
    from flowgpt_magic.display.show import show_remark
    from flowgpt_magic.magics.failed_cells import failed_cells
    from flowgpt_magic.magics.failure import FIX_PROMPT, failure
    from flowgpt_magic.magics.state import LastFix

    rest, switches = _cut_switches(rest)
    read = magic_line.read_line(rest, models.is_model_name)
    typos.refuse_model(read, above=False)
    error = last_error()
    if error is None:
        raise OptionError(
            "there is no error yet: %flowgpt fix explains the last error of a cell; "
            "errors of other threads and of logs can be pasted below %%flowgpt"
        )
    cells = failed_cells(error, state.names)
    del error  # its frames hold the values of variables
    reply = ask_about(state, lambda budget: failure(cells, state.names, budget, last_error()), FIX_PROMPT, read)
    if reply is None:
        return None
    state.last_fix = LastFix(tuple(cells), reply, str(read.options.get("chat", "")))
    if switches:
        _apply(state, run="run" in switches)
    elif not read.options.keys() & {"quiet", "next-cell"}:
        show_remark(_offer(state))
    return reply


def _cut_switches(rest: str) -> tuple[str, set[str]]:
    """``rest`` without ``--apply`` and ``--run`` among its options, and which of them it has."""
    switches: set[str] = set()
    while match := _SWITCH.search(rest):
        before = rest[: match.start()]
        if "--" in before.split() or magic_line.read_line(before, models.is_model_name).prompt:
            break
        switches.add(match[1])
        rest = before + rest[match.end() :]
    return rest, switches


def _offer(state: ShellState) -> str:
    """The line below the reply to ``fix``: what can be done with it."""
    try:
        correction = _correction(state)
    except OptionError as error:
        return error.clause
    warning = correction.warning
    return sentences(
        "%flowgpt apply puts the corrected cell below; %flowgpt apply --run runs it", warning[:1].upper() + warning[1:]
    )


@subcommand(
    "Put the corrected cell of the last ``fix`` below, with its changes shown: ``apply [--run]``.",
    "``--run`` runs the corrected code in this cell, which then holds it in place of ``%flowgpt apply --run``.",
    group="ask",
    examples=("%flowgpt apply", "%flowgpt apply --run"),
)
def apply(state: ShellState, rest: str) -> Shown:
    if rest not in ("", "--run"):
        raise OptionError(f"%flowgpt apply takes --run or nothing; {magic_line.SEND_INSTEAD}")
    _apply(state, run=bool(rest))
    return None


def _apply(state: ShellState, *, run: bool) -> None:
    """Show the changes and put the corrected cell below, or run it here."""
    from flowgpt_magic.display.show import show_answer, show_remark
    from flowgpt_magic.notebook import ipython

    correction = _correction(state)
    show_answer(correction, [])
    remark = correction.warning or (ipython.why_not_run(correction.source) if run else "")
    show_remark(remark)
    if run and not remark:
        _run(correction.source)
    else:
        show_remark(state.put_below([correction.source]))


def _correction(state: ShellState) -> Correction:
    """The correction in the reply to the last ``fix``. Raises ``OptionError`` if there is none."""
    from flowgpt_magic.magics.correction import correction_in

    last = state.last_fix
    if last is None:
        raise OptionError("there is no correction yet: %flowgpt fix asks for one")
    if not last.cells:
        raise OptionError("the code of the cell that failed is not known, so it cannot be replaced")
    turns = state.conversation(last.chat).turns if last.reply.turn is not None else []
    return correction_in(last.text(turns), last.cells)


def _run(source: str) -> None:
    """Run ``source`` as a cell of its own. The running cell becomes it. Raises ``CorrectionFailedError``."""
    from flowgpt_magic.notebook import ipython

    if not ipython.run_inside(source):
        raise CorrectionFailedError("the corrected code failed too, see above: %flowgpt fix asks about the new error")


SUBCOMMANDS: dict[str, Subcommand] = {"fix": fix, "error": fix, "apply": apply}

"""``%flowgpt explain``: a prompt about an object or a cell.

Braces in code are sent as they are, never read as references.
"""

from __future__ import annotations

import builtins
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.failed_cells import CellCode, block, cells_so_far
from flowgpt_magic.messages.token_estimate import characters_for
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.references import leading, look_up, names_secret, steps

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.state import ShellState
    from flowgpt_magic.replies.reply import Reply

EXPLAIN_PROMPT = "Explain this from my notebook: what it is, what it does step by step, and what may surprise."


@subcommand(
    "Explain a function, class, module or variable, or the cell before this one: ``explain [NAME [WORDS]]``.",
    group="ask",
    examples=("%flowgpt explain", "%flowgpt explain frame In two sentences."),
)
def explain(state: ShellState, rest: str) -> Shown:
    read = magic_line.read_line(rest, lambda _word: False)  # a variable may have the name of a provider
    name, words = _name_and_words(read.prompt)
    behind = magic_line.read_line(words, lambda _word: False)
    if twice := sorted(read.options.keys() & behind.options.keys()):
        raise OptionError(f"--{twice[0]} is given twice")
    read = magic_line.MagicLine(read.options | behind.options, behind.prompt)
    if not name:
        cell = _cell_before(state.names)
        return ask_about(
            state, lambda budget: block("The cell", cell, characters_for(budget, cell.source)), EXPLAIN_PROMPT, read
        )
    meant, name = name.endswith("!"), name.removesuffix("!")
    value = _find(name, ChainMap(state.names, vars(builtins)), meant=meant)

    def described(budget: int) -> str:
        from flowgpt_magic.prompt.attachments import describe

        target = value.fget if isinstance(value, property) and value.fget else value
        text = describe(name, target, budget, forced=meant)
        return text if text.startswith(name) else f"{name}:\n{text}"

    return ask_about(state, described, EXPLAIN_PROMPT, read)


def _name_and_words(text: str) -> tuple[str, str]:
    """The name to explain, as typed, and the words after it."""
    length = len(leading(text))
    length += text.startswith("!", length)
    if text[length : length + 1].strip():  # not a valid reference; take the whole word
        length = len(text.split(None, 1)[0])
    return text[:length], text[length:].strip()


def _cell_before(names: Mapping[str, Any]) -> CellCode:
    own = re.compile(r"\s*(?:get_ipython\(\)\.run_(?:line|cell)_magic\('(?:flowgpt|ai)'|$)")
    for code, cell in cells_so_far(names)[-2::-1]:
        if not own.match(code):
            return cell
    raise OptionError("there is no cell before this one: %flowgpt explain NAME explains a function, class or variable")


def _find(name: str, names: Mapping[str, Any], *, meant: bool) -> object:
    if not steps(name):
        raise OptionError(f"{name}: explain takes a name such as frame.columns[0], without calls")
    try:
        value = look_up(name, names)
    except LookupError:
        base = name.rpartition(".")[0]
        candidates = [other for other in names if not other.startswith("_")]
        with suppress(Exception):  # a failing object of the user must not hide the wrong name
            candidates += [f"{base}.{other}" for other in dir(look_up(base, names)) if not other.startswith("_")]
        hint = f"{closest(name, candidates)} %flowgpt -- sends it as a prompt"
        raise OptionError(f"there is no {name} here{hint}") from None
    if names_secret(name) and not meant and not isinstance(value, (FunctionType, ModuleType, type)):
        raise OptionError(f"{name} looks like a secret, so it is not sent; to send it anyway: %flowgpt explain {name}!")
    return value


def ask_about(state: ShellState, show: Callable[[int], str], prompt: str, read: magic_line.MagicLine) -> Reply | None:
    """Send ``prompt``, the words of the line, and what ``show`` returns for a budget in tokens."""
    from flowgpt_magic.magics.state import Asked

    options = {name: value for name, value in read.options.items() if name != "help"}
    asked = Asked.read("\n\n".join(filter(None, [prompt, read.prompt])), {**options, "raw": True})
    return state.ask(replace(asked, below=show))


SUBCOMMANDS: dict[str, Subcommand] = {"explain": explain}

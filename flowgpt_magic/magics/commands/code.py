"""``%flowgpt fix`` and ``%flowgpt explain``: prompts about the last error, an object or a cell.

Braces in code and tracebacks are sent as they are, never read as references.
"""

from __future__ import annotations

import builtins
import linecache
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from traceback import walk_tb
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from flowgpt_magic.errors import OptionError, closest, last_error
from flowgpt_magic.magics import typos
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.messages.token_estimate import characters_for
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.describe.code import is_cell
from flowgpt_magic.prompt.references import leading, look_up, names_secret, steps
from flowgpt_magic.providers import models

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.state import ShellState

MAX_SENT_CAUSES = 6  # errors of a chain whose cells are sent
MARK_LENGTH = 60  # characters, at most, of the lines that say what an excerpt leaves out
FIX_PROMPT = (
    "This failed in my notebook. Say what is wrong and why, then give the corrected code, whole, in one code block."
)
EXPLAIN_PROMPT = "Explain this from my notebook: what it is, what it does step by step, and what may surprise."

# Code that ``%time`` runs has another file name than its cell. Older IPython catches its error, so that the cell is not
# among the frames of the traceback.
_TIMED = ("<timed eval>", "<timed exec>")
_TIMES = re.compile(r"run_(?:cell|line)_magic\('time'")


@subcommand(
    "Explain the last error and correct the code: ``fix [MODEL] [options] [WORDS]``.",
    group="ask",
    examples=("%flowgpt fix", "%flowgpt fix -t 0 Keep the column names."),
)
def fix(state: ShellState, rest: str) -> Shown:
    read = magic_line.read_line(rest, models.is_model_name)
    typos.refuse_model(read, above=False)
    if last_error() is None:
        raise OptionError(
            "there is no error yet: %flowgpt fix explains the last error of a cell; "
            "errors of other threads and of logs can be pasted below %%flowgpt"
        )
    return _ask(state, lambda budget: _failure(state.names, budget), FIX_PROMPT, read)


def _failure(names: Mapping[str, Any], budget: int) -> str:
    """The last error and the cells in its traceback, the outermost first."""
    from flowgpt_magic.prompt.attachments import describe

    error = last_error()
    cells = _cells(error, names) if error is not None else []
    room = characters_for(budget, "".join(cell.source for cell in cells))
    code = sum(len(cell.source) + MARK_LENGTH for cell in cells)
    text = describe("The error", error, budget * max(room // 2, room - code) // max(1, room))
    room -= len(text)
    parts = []
    for number, cell in enumerate(cells):
        words = "The error passed through this code" if number else "This was run"
        parts.append(block(words, cell, room // (len(cells) - number)))
        room -= len(parts[-1])
    return "\n\n".join([*parts, text])


@dataclass(frozen=True)
class CellCode:
    """The code of a cell, the line of interest, and a label such as `` (In[3])``."""

    source: str
    line: int = 1
    label: str = ""


def _cells(error: BaseException, names: Mapping[str, Any]) -> list[CellCode]:
    """The cells in the traceback of an error, each once, the outermost first."""
    places = dict(_places(error))
    cells: list[CellCode] = []
    for file, line in places.items():
        if not is_cell(file):
            continue
        cell = _as_typed("".join(linecache.getlines(file)), line, names)
        if not any(cell.source.strip() in other.source for other in cells):  # a magic may run a part of its cell
            cells.append(cell)
    if any(file in _TIMED for file in places) and not any("%time" in cell.source for cell in cells):
        cells[:0] = _timed(error, names)
    return cells


def _timed(error: BaseException, names: Mapping[str, Any]) -> list[CellCode]:
    """The last cell with ``%time`` that contains all names of the code that failed."""
    frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
    used, line = next((set(code.co_names), line) for code, line in frames if code.co_filename in _TIMED)
    for code, cell in reversed(_inputs(names)[:-1]):
        if _TIMES.search(code) and used <= set(re.findall(r"\w+", cell.source)):
            magic = next(place for place, text in enumerate(cell.source.split("\n"), 1) if "%time" in text)
            return [replace(cell, line=magic + line if "%%time" in cell.source else magic)]
    return []


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    """The files and lines in the tracebacks of an error, its causes and the members of its group."""
    visited: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(visited) < MAX_SENT_CAUSES:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or any(current is other for other in visited):
            continue
        visited.append(current)
        for frame, line in walk_tb(current.__traceback__):
            yield frame.f_code.co_filename, line
        if isinstance(current, SyntaxError) and current.filename:
            yield current.filename, current.lineno or 1
        inner = getattr(current, "exceptions", ())  # of a group
        context = None if current.__suppress_context__ else current.__context__
        waiting += [current.__cause__, context, *(inner if isinstance(inner, tuple) else ())]


def _as_typed(source: str, line: int, names: Mapping[str, Any]) -> CellCode:
    """The cell as it was typed; if it is not among the inputs any more, the code that IPython ran."""
    same = [cell for code, cell in _inputs(names) if code.rstrip() == source.rstrip()]
    return replace(same[-1], line=line) if same else CellCode(source, line)


def _inputs(names: Mapping[str, Any]) -> list[tuple[str, CellCode]]:
    """For each cell so far the code that Python ran and the cell as typed; the last one is the running cell."""
    inputs = names.get("In")
    codes = inputs[1:] if isinstance(inputs, list) else []
    # Counted from the end: after %reset, IPython clears the list but continues the numbers.
    last = max((int(name[2:]) for name in names if re.fullmatch("_i[0-9]+", name)), default=len(codes))
    cells = []
    for number, code in enumerate(map(str, codes), last - len(codes) + 1):
        typed = names.get(f"_i{number}")
        cell = CellCode((typed if isinstance(typed, str) else code).strip("\n"), label=f" (In[{number}])")
        cells.append((code, cell))
    return cells


def excerpt(text: str, line: int, room: int) -> str:
    """``text``, or as many lines around ``line`` as fit into ``room`` characters, and how many lines are left out."""
    if len(text) <= room:
        return text
    room = max(room - MARK_LENGTH, 0)
    lines = text.split("\n")
    first = last = min(max(line, 1), len(lines)) - 1
    used, grown = len(lines[first]), True
    while grown:
        grown = False
        for place in (first - 1, last + 1):
            if 0 <= place < len(lines) and used + len(lines[place]) + 1 <= room:
                first, last, grown = min(first, place), max(last, place), True
                used += len(lines[place]) + 1
    above = [f"# … {first} lines above"] if first else []
    below = [f"# … {len(lines) - 1 - last} lines below"] if last < len(lines) - 1 else []
    return "\n".join([*above, "\n".join(lines[first : last + 1])[:room], *below])


def block(words: str, cell: CellCode, room: int) -> str:
    """``words`` and a cell in a code block whose fence is longer than any backticks in the cell."""
    fence = "`" * (max((len(run) for run in re.findall(r"`{3,}", cell.source)), default=2) + 1)
    return f"{words}{cell.label}:\n\n{fence}python\n{excerpt(cell.source, cell.line, room)}\n{fence}"


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
        return _ask(
            state, lambda budget: block("The cell", cell, characters_for(budget, cell.source)), EXPLAIN_PROMPT, read
        )
    meant, name = name.endswith("!"), name.removesuffix("!")
    value = _find(name, ChainMap(state.names, vars(builtins)), meant=meant)

    def described(budget: int) -> str:
        from flowgpt_magic.prompt.attachments import describe

        target = value.fget if isinstance(value, property) and value.fget else value
        text = describe(name, target, budget, forced=meant)
        return text if text.startswith(name) else f"{name}:\n{text}"

    return _ask(state, described, EXPLAIN_PROMPT, read)


def _name_and_words(text: str) -> tuple[str, str]:
    """The name to explain, as typed, and the words after it."""
    length = len(leading(text))
    length += text.startswith("!", length)
    if text[length : length + 1].strip():  # not a valid reference; take the whole word
        length = len(text.split(None, 1)[0])
    return text[:length], text[length:].strip()


def _cell_before(names: Mapping[str, Any]) -> CellCode:
    own = re.compile(r"\s*(?:get_ipython\(\)\.run_(?:line|cell)_magic\('(?:flowgpt|ai)'|$)")
    for code, cell in _inputs(names)[-2::-1]:
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


def _ask(state: ShellState, show: Callable[[int], str], prompt: str, read: magic_line.MagicLine) -> Shown:
    """Send ``prompt``, the words of the line, and what ``show`` returns for a budget in tokens."""
    from flowgpt_magic.magics.state import Asked

    options = {name: value for name, value in read.options.items() if name != "help"}
    asked = Asked.read("\n\n".join(filter(None, [prompt, read.prompt])), {**options, "raw": True})
    return state.ask(replace(asked, below=show))


SUBCOMMANDS: dict[str, Subcommand] = {"fix": fix, "error": fix, "explain": explain}

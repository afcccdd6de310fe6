"""What is sent about an error: the code that failed, the variables in the failing lines, and the error itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flowgpt_magic.control_characters import clean
from flowgpt_magic.magics.failed_cells import MARK_LENGTH, CellCode, block
from flowgpt_magic.magics.failing_names import failing_names, making_cells
from flowgpt_magic.messages.token_estimate import characters_for, tokens_in
from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe.look import look
from flowgpt_magic.prompt.references import names_secret
from flowgpt_magic.redaction import redact_environment

FIX_PROMPT = (
    "This failed in my notebook. Say in one or two sentences what is wrong and why. "
    "Then give the corrected cell, whole, in one Python code block."
)
LOOK_LENGTH = 600  # characters of the look of one variable, at most
SHORTEST_LOOK = 40


def failure(cells: Sequence[CellCode], names: Mapping[str, Any], budget: int, error: BaseException | str | None) -> str:
    """The cells that an error passed through, the outermost first; the variables in them; the error.

    Args:
        cells: the cells.
        names: the user's variables.
        budget: the number of tokens that it may take.
        error: the error, or its traceback as the notebook shows it. Then no variables are sent.
    """
    variables = _variables(error, cells, names, budget // 3) if isinstance(error, BaseException) else []
    budget = max(0, budget - sum(map(tokens_in, variables)))
    room = characters_for(budget, "".join(cell.source for cell in cells))
    code = sum(len(cell.source) + MARK_LENGTH for cell in cells)
    share = budget * max(room // 2, room - code) // max(1, room)
    text = _traceback(error, share) if isinstance(error, str) else describe("The error", error, share)
    room -= len(text)
    parts = []
    for number, cell in enumerate(cells):
        words = "The error passed through this code" if number else "This was run"
        parts.append(block(words, cell, room // (len(cells) - number)))
        room -= len(parts[-1])
    return "\n\n".join([*parts, *variables, text])


def _traceback(shown: str, budget: int) -> str:
    """The end of a traceback, which says what failed, in about ``budget`` tokens; secrets are masked."""
    text = redact_environment(clean(shown)).strip("\n")
    room = max(characters_for(budget, text), MARK_LENGTH)
    if len(text) > room:
        text = f"… {len(text) - room} characters above\n{text[-room:]}"
    fence = "`" * (max((len(run) for run in re.findall(r"`{3,}", text)), default=2) + 1)
    return f"The error:\n\n{fence}text\n{text}\n{fence}"


def _variables(error: BaseException, cells: Sequence[CellCode], names: Mapping[str, Any], budget: int) -> list[str]:
    """The cells that made the variables in the failing lines, and their looks, in about ``budget`` tokens."""
    room = characters_for(budget)
    variables = failing_names(error)
    lines = []
    for variable in variables:
        share = min(room // 2, LOOK_LENGTH)
        if variable.is_code or share < SHORTEST_LOOK:
            continue
        is_secret = any(map(names_secret, variable.names))
        value = "not sent, its name is that of a secret" if is_secret else look(variable.value, share)
        lines.append(f"{' = '.join(variable.names)}: {value}")
        room -= len(lines[-1])
    parts = []
    makers = making_cells(variables, cells, names)
    for number, cell in enumerate(makers):
        share = room // (len(makers) - number)
        if share > 2 * MARK_LENGTH:
            parts.append(block("This was run before", cell, share))
            room -= len(parts[-1])
    return [*parts, "\n".join(["The variables when it failed:\n", *lines])] if lines else parts

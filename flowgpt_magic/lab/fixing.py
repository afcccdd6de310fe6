"""A page asks for the correction of a failed cell, and is told what arrives.

The prompt and the way its reply is read are those of ``%flowgpt fix``. The cell and its error are what the page shows:
the error may be that of an earlier cell, or of an earlier kernel.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any

from flowgpt_magic import bridge
from flowgpt_magic.control_characters import clean, join_surrogates
from flowgpt_magic.errors import FlowGptError, OptionError, last_error
from flowgpt_magic.lab.page import Facts, Page, magics_state
from flowgpt_magic.notebook.ipython import prompt_context
from flowgpt_magic.notebook.place import NO_CELL

if TYPE_CHECKING:
    from flowgpt_magic.magics.correction import Correction
    from flowgpt_magic.magics.failed_cells import CellCode
    from flowgpt_magic.replies.reader import Reader
    from flowgpt_magic.replies.reply import Reply

PACE = 0.25  # seconds between two messages to the page while the reply arrives
_ARROW = re.compile(r"^-+> *(\d+) ?(.*)$", re.MULTILINE)  # the line of a traceback where the error occurred


def fix(page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """Ask for the correction of a cell: the ``turn`` that brings it, and the ``model`` that is asked.

    The request has the ``source`` and the ``number`` of the cell, ``ename``, ``evalue`` and ``traceback`` of its error,
    and an id, ``fix``, that the messages about the reply have. ``text`` in them is what stands from the character
    ``from`` on; the last one is described at `_ending`.
    """
    from flowgpt_magic.magics.failure import FIX_PROMPT, failure
    from flowgpt_magic.magics.state import LastFix
    from flowgpt_magic.replies.request import TypedPrompt

    state = magics_state()
    cells = _running_cells(request, state.names)
    shown = "" if cells else clean(str(request.get("traceback", "")))
    cells = cells or [_cell_shown(request, state.names)]
    conversation = state.conversation()

    def below(budget: int) -> str:
        return failure(cells, state.names, budget, shown or last_error())

    typed = TypedPrompt(FIX_PROMPT, raw=True, below=below)
    prepared = conversation.prepare(typed, {}, context=prompt_context(with_running_cell=True))
    reply = conversation.ask_prepared(prepared, cell=NO_CELL)
    reader = reply.open()
    state.last_fix = LastFix(tuple(cells), reply)
    bridge.worker().submit(_follow(page, request.get("fix"), reply, reader, cells))
    return {"turn": reply.turn_id, "model": join_surrogates(f"{reply.provider}:{reply.model}")}


def _running_cells(request: Facts, names: Mapping[str, Any]) -> list[CellCode]:
    """The cells that the last error of this kernel passed through, if it is the error that the page shows."""
    from flowgpt_magic.magics.failed_cells import failed_cells

    error = last_error()
    if error is None or type(error).__name__ != request.get("ename"):
        return []
    if str(request.get("evalue", "")) not in "".join(format_exception_only(error)):
        return []
    cells = failed_cells(error, names)
    return cells if any(cell.label == f" (In[{request.get('number')}])" for cell in cells) else []


def _cell_shown(request: Facts, names: Mapping[str, Any]) -> CellCode:
    """The cell as it was run, if this kernel ran it; else as the page shows it now."""
    from flowgpt_magic.magics.failed_cells import CellCode

    number, source = request.get("number"), str(request.get("source", "")).strip("\n")
    arrow = _ARROW.search(clean(str(request.get("traceback", ""))))
    line, code = (int(arrow[1]), arrow[2].strip()) if arrow else (1, "")
    typed = str(names.get(f"_i{number}", "")).strip("\n")
    if typed.strip() and code in typed and (code or typed == source):  # and not a cell of another kernel
        return CellCode(typed, line, f" (In[{number}])")
    if not source.strip():
        raise OptionError("the cell is empty, and this kernel did not run it: there is nothing to correct")
    return CellCode(source, line)


async def _follow(page: Page, fix_id: object, reply: Reply, reader: Reader, cells: Sequence[CellCode]) -> None:
    """Tell the page what arrives, and in the end what became of it."""
    length = 0
    read = asyncio.ensure_future(_read(reader))
    while not read.done():
        await asyncio.wait({read}, timeout=PACE)
        text = reply.text_so_far
        if len(text) < length:  # another attempt began
            length = 0
        told = {"text": join_surrogates(text[length:]), "from": length, "doing": join_surrogates(reply.progress)}
        page.tell({"kind": "fix", "fix": fix_id, **told})
        length = len(text)
    reply.detach(reader)
    ending = await asyncio.to_thread(_ending, reply, cells)
    page.tell({"kind": "fix", "fix": fix_id, "ending": ending})


async def _read(reader: Reader) -> None:
    while await reader.take_async():
        pass


def _ending(reply: Reply, cells: Sequence[CellCode]) -> Facts:
    """What the page shows of an ended reply.

    ``explanation`` and ``whole`` are HTML blocks. With a correction there are ``failed`` and ``corrected``, the sources
    of the cell; ``label``, its number; ``rows``, see ``Correction.rows``; and ``remarks``. Otherwise ``trouble`` says
    why there is none.
    """
    from flowgpt_magic.markdown.html.changes import static_blocks_of
    from flowgpt_magic.transcripts.caption import caption

    blocks = [join_surrogates(block) for block in static_blocks_of(reply.text_so_far)]
    facts = {
        "explanation": [block for block in blocks if "data-language=" not in block.partition(">")[0]],
        "whole": blocks,
        "caption": join_surrogates(caption(reply)),
    }
    try:
        return facts | _facts(_correction(reply, cells), reply)
    except FlowGptError as error:
        return facts | {"trouble": join_surrogates(str(error))}


def _correction(reply: Reply, cells: Sequence[CellCode]) -> Correction:
    """The correction in an ended reply. Raises ``FlowGptError`` if there is none."""
    from flowgpt_magic.magics.correction import correction_in

    if reply.status == "cancelled":
        raise OptionError(f"stopped: {reply.interrupt_summary}")
    if reply.status == "failed":
        error = reply.error
        raise error if isinstance(error, FlowGptError) else OptionError(f"{type(error).__name__}: {error}")
    return correction_in(reply.text_so_far, cells)


def _facts(correction: Correction, reply: Reply) -> Facts:
    from flowgpt_magic.notebook.code_cells import code_cells

    count = len(code_cells((block.language, block) for block in reply.code_blocks).sources)
    several = f"the reply has {count} blocks of code: shown is the one most like the cell that failed"
    remarks = [correction.warning, several if count > 1 else ""]
    return {
        "failed": join_surrogates(correction.cell.source),
        "corrected": join_surrogates(correction.source),
        "label": correction.cell.label.strip(" ()"),
        "rows": [[mark, join_surrogates(line)] for mark, line in correction.rows],
        "remarks": [join_surrogates(remark) for remark in remarks if remark],
    }

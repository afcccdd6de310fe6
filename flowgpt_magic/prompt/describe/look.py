"""The look of a value on one line: what it is, its size, and the names and types of its columns.

No cell of a table is shown. Other values are shortened, and secrets in them are masked.
"""

from __future__ import annotations

from flowgpt_magic.prompt.describe.budget import Inspection, amount, type_name
from flowgpt_magic.prompt.describe.containers import short, structure_of
from flowgpt_magic.prompt.describe.recognize import headline
from flowgpt_magic.prompt.describe.tables import table_columns, table_index
from flowgpt_magic.redaction import redact_environment
from flowgpt_magic.text import cut, one_line

MAX_TEXT = 80  # characters of a text; of a container, MAX_ITEMS
MAX_ITEMS = 200


def look(value: object, room: int) -> str:
    """The look of ``value`` in at most ``room`` characters."""
    inspection = Inspection(room)
    columns = table_columns(value)
    if columns is not None:
        return _table(value, columns, room)
    if line := headline(value):
        return cut(line, room)
    length = MAX_TEXT
    size = f", {amount(len(value), 'character')}" if isinstance(value, str) else ""
    structure = structure_of(value)
    if structure is not None:
        length, size = MAX_ITEMS, f", {amount(structure.length, 'field' if structure.between == '=' else 'item')}"
    kind = f" ({type_name(value)}{size})"
    text = short(value, max(1, min(length, room - len(kind))), inspection)
    return one_line(redact_environment(f"{text}{kind}"))[: max(0, room)]


def _table(value: object, columns: list[tuple[str, str]], room: int) -> str:
    head = headline(value)
    if index := table_index(value):
        head += f"; index: {index}"
    entries = [f"{cut(name)} ({kind})" for name, kind in columns]
    text = _with_columns(head, entries, len(entries))
    shown = min(len(entries), room // 4)
    while shown and len(text) > room:
        shown -= 1
        text = _with_columns(head, entries, shown)
    return cut(text, max(1, room))


def _with_columns(head: str, entries: list[str], shown: int) -> str:
    left_out = [f"… {amount(len(entries) - shown, 'more column')}"] if shown < len(entries) else []
    return f"{head}; columns: {', '.join([*entries[:shown], *left_out])}" if entries else head

"""A conversation as this process knows it: its turns, what arrives in it, and what its cells have asked."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowgpt_magic.records import ConversationRecord
from flowgpt_magic.timeline import Timeline

if TYPE_CHECKING:
    from flowgpt_magic.reply import Reply


@dataclass
class CellRun:
    """One run of a cell: the places its last run had turns at, and how many prompts it has asked by now."""

    run: str
    places: list[int]
    asked: int = 0


@dataclass
class Kept:
    """A conversation as this process knows it; every ``Conversation`` of one name shares it."""

    record: ConversationRecord
    timeline: Timeline
    lock: threading.RLock = field(default_factory=threading.RLock)
    listed: bool = False  # is it in the history, or about to be?
    handed_over: bool = False  # does this process's saver have the record?
    runs: dict[str, CellRun] = field(default_factory=dict)  # by the cell's id
    replies: dict[str, Reply] = field(default_factory=dict)  # those that arrive just now, by their turns' ids

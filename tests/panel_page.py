"""A page that shows a panel, without a browser: it asks for what it needs and applies what it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.markdown.html.changes import Change
from flowgpt_magic.panel.actions import answer
from flowgpt_magic.panel.state import PanelState
from tests.shown import changed

PATIENCE = 20.0  # seconds after which a test fails that waits for something to happen

# What the kernel tells a page, and what the page then has. The tests of the page's script in `panel_js` read it too.
CASES = json.loads(Path(__file__).with_name("panel_changes.json").read_text("utf-8"))


def cases(kind: str) -> dict[str, dict[str, Any]]:
    """The cases of one kind, by their names."""
    return {case["name"]: case for case in CASES[kind]}


class Page:
    """The page's side of the protocol, as ``panel/src`` has it."""

    def __init__(self, conversation: Conversation | None = None, name: str = "a") -> None:
        self.name = name
        self.truth: dict[str, Any] = {}
        self.rows: list[list[Any]] = []
        self.turns: dict[str, dict[str, Any]] = {}
        self.ends: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.truths: list[dict[str, Any]] = []
        self.revision = -1
        self._changed = threading.Condition()
        self.state = PanelState(conversation, send=self.hear, show=self.learn)
        self.open()

    def open(self) -> None:
        self.tell("open")

    def tell(self, kind: str, buffers: Sequence[bytes] = (), **more: Any) -> dict[str, Any]:
        """Send a request; what is answered."""
        message = answer(self.state, {"kind": kind, "page": self.name, "id": 1, **more}, buffers) or {}
        return {name: value for name, value in message.items() if name not in ("kind", "page", "id")}

    def learn(self, values: dict[str, Any]) -> None:
        with self._changed:
            self.truth = values
            self.truths.append(values)
            self._changed.notify_all()

    def hear(self, message: dict[str, Any]) -> None:
        message = json.loads(json.dumps(message, allow_nan=False))
        if message.get("page", self.name) != self.name:
            return
        with self._changed:
            self.messages.append(message)
            getattr(self, f"_{message['kind']}")(message)
            self._changed.notify_all()

    def _outline(self, told: dict[str, Any]) -> None:
        self.rows, self.revision, self.turns = told["rows"], told["revision"], {}

    def _ended(self, told: dict[str, Any]) -> None:
        self.ends.append(told["turn"])

    def _splice(self, told: dict[str, Any]) -> None:
        if self.revision < 0:
            return
        assert told["revision"] == self.revision + 1
        self.revision += 1
        self.rows[told["at"] : told["at"] + told["gone"]] = told["rows"]

    def _turn(self, told: dict[str, Any]) -> None:
        facts, start = told["turn"], told["from"]
        if not start:
            self.turns[facts["id"]] = {**facts, "blocks": []}
        self.turns[facts["id"]]["blocks"][start:] = told["blocks"]

    def _grow(self, told: dict[str, Any]) -> None:
        for short, number, keep, cut, add, *more in told["turns"]:
            turn = next((turn for turn_id, turn in self.turns.items() if turn_id.startswith(short)), None)
            if turn is None or number <= turn["n"]:
                continue
            assert number == turn["n"] + 1
            turn["n"] = number
            turn["blocks"] = changed(turn["blocks"], Change(keep, cut, add, tuple(more[0]) if more else ()))
        if "end" in told and told["end"]["id"] in self.turns:
            self.turns[told["end"]["id"]].update(told["end"])

    def _pause(self, told: dict[str, Any]) -> None:
        if told["turn"] in self.turns:
            self.turns[told["turn"]]["pause"] = told["pause"]

    def load(self) -> list[dict[str, Any]]:
        """What is in all turns."""
        self.tell("need", turns=[row[0] for row in self.rows])
        return [self.turns[row[0]] for row in self.rows]

    def wait(self, until: Callable[[], object]) -> None:
        """Wait until something is so on this page."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while not until():
                assert self._changed.wait(max(0.0, end - time.monotonic())), "it did not become so"

    def settled(self) -> None:
        """Wait until no reply arrives."""
        self.wait(lambda: self.rows and not any(row[3].startswith("streaming") for row in self.rows))

    @property
    def statuses(self) -> list[str]:
        return [row[3] for row in self.rows]

    def close(self) -> None:
        self.state.close()

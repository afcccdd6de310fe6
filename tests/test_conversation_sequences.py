"""Any sequence of asking, editing, undoing, branching and restarting loses nothing and keeps the order."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ComparisonError, NothingToUndoError, ProviderError
from flowgpt_magic.history import conversation_state as kept
from flowgpt_magic.history import timeline
from flowgpt_magic.history.database import History
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.notebook.place import NO_CELL, Cell, Place
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.replies.reply import Reply

CELLS = st.sampled_from("abc")
NAMES = st.sampled_from(["main", "second", "third"])


@dataclass(frozen=True)
class Asked:
    """What stands at a place."""

    prompt: str
    cell: str = ""
    run: str = ""
    answered: bool = True


@dataclass
class Expected:
    """What a conversation should be: what is live at which place, and what undo and redo would make of it."""

    live: dict[int, Asked] = field(default_factory=dict)
    before: list[dict[int, Asked]] = field(default_factory=list)
    undone: list[dict[int, Asked]] = field(default_factory=list)
    places: int = 0
    runs: dict[str, tuple[str, list[int], int]] = field(default_factory=dict)

    def change(self, live: dict[int, Asked]) -> None:
        self.before.append(self.live)
        self.live, self.undone = live, []

    def in_order(self) -> list[Asked]:
        return [self.live[place] for place in sorted(self.live)]

    def messages(self, place: int | None, prompt: str) -> list[str]:
        earlier = [self.live[each] for each in sorted(self.live) if place is None or each < place]
        return [text for each in earlier if each.answered for text in (each.prompt, each.prompt)] + [prompt]

    def spot(self, cell: str, run: str) -> tuple[int | None, list[int]]:
        """Where the next prompt of this run of the cell goes, and the places it clears."""
        if self.runs.get(cell, ("", [], 0))[0] != run:
            last = [each.run for each in self.in_order() if each.cell == cell][-1:]
            old = [
                place for place in sorted(self.live) if (self.live[place].cell, [self.live[place].run]) == (cell, last)
            ]
            self.runs[cell] = (run, old, 0)
        _run, old, asked = self.runs[cell]
        self.runs[cell] = (run, old, asked + 1)
        return (old[asked], old[asked:]) if asked < len(old) else (None, [])

    def put(self, asked: Asked, place: int | None, clears: list[int]) -> None:
        if not asked.answered and any(each in self.live for each in [place, *clears]):
            self.undone = []  # a failure gives the place back, but it was a change all the same
            run, old, count = self.runs.get(asked.cell, ("", [], 0))
            if run == asked.run:
                self.runs[asked.cell] = (run, old, count - 1)
            return
        if place is None:
            place = self.next_place()
        self.change({**{each: old for each, old in self.live.items() if each not in clears}, place: asked})

    def next_place(self) -> int:
        self.places += 1
        return self.places


class Sequences(RuleBasedStateMachine):
    limit = 0  # tokens of earlier turns that are sent along; 0 for all

    @initialize()
    def begin(self) -> None:
        self.stack = contextlib.ExitStack()
        self.file = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "history.sqlite3"
        self.notebook_history = self.open()
        self.expected: dict[str, Expected] = {}
        self.asked: set[str] = set()
        self.numbers = map(str, itertools.count())
        self.name = "main"
        for number in range(3):
            aliases.save(Alias(f"words{number}", "echo:words", temperature=number / 10))

    def open(self) -> NotebookHistory:
        return NotebookHistory(Place("folder", "", "a folder", "folder:/a"), str(self.file))

    def conversation(self, name: str = "") -> Conversation:
        return Conversation(name or self.name, configured=self.configured, notebook_history=self.notebook_history)

    def configured(self) -> dict[str, object]:
        return {"model": "echo", "history_tokens": self.limit}

    def expect(self, name: str = "") -> Expected:
        return self.expected.setdefault(name or self.name, Expected())

    def prompt(self) -> str:
        prompt = f"prompt-{next(self.numbers)}"
        self.asked.add(prompt)
        return prompt

    def read(self, reply: Reply, sent: list[str], *, fails: bool = False) -> None:
        assert reply.left_out == (len(sent) - 1 if self.limit else 0)
        assert [message["content"] for message in reply.messages] == (sent[-1:] if self.limit else sent)
        if fails:
            reply._source = lambda: Echo.create_async_generator("words", reply.messages, fail_after=0)
            with contextlib.suppress(ProviderError):
                list(reply)
        else:
            assert reply.text == sent[-1]

    @rule(fails=st.booleans())
    def ask(self, fails: bool) -> None:
        prompt, expected = self.prompt(), self.expect()
        self.read(self.conversation().ask(prompt, cell=NO_CELL), expected.messages(None, prompt), fails=fails)
        expected.put(Asked(prompt, answered=not fails), None, [])

    @rule(cell=CELLS, failures=st.lists(st.booleans(), min_size=1, max_size=3))
    def run_cell(self, cell: str, failures: list[bool]) -> None:
        run = next(self.numbers)
        for fails in failures:
            prompt, expected = self.prompt(), self.expect()
            place, clears = expected.spot(cell, run)
            reply = self.conversation().ask(prompt, cell=Cell(cell, run))
            self.read(reply, expected.messages(place, prompt), fails=fails)
            expected.put(Asked(prompt, cell, run, answered=not fails), place, clears)

    @rule(cell=CELLS, failures=st.lists(st.booleans(), min_size=2, max_size=3), keep=st.integers(0, 2))
    def compare(self, cell: str, failures: list[bool], keep: int) -> None:
        run, prompt, expected = next(self.numbers), self.prompt(), self.expect()
        place, clears = expected.spot(cell, run)
        sent = expected.messages(place, prompt)
        models = [f"words{number}" for number, _fails in enumerate(failures)]
        comparison = self.conversation().compare(prompt, models, cell=Cell(cell, run))
        for reply, fails in zip(comparison, failures, strict=True):
            assert [message["content"] for message in reply.messages] == (sent[-1:] if self.limit else sent)
            if fails:
                reply._source = partial(Echo.create_async_generator, "words", reply.messages, fail_after=0)
        with contextlib.suppress(ComparisonError):
            comparison.read()
        expected.put(Asked(prompt, cell, run, answered=not all(failures)), place, clears)
        if not all(failures):
            assert comparison.live == 1 + failures.index(False)
            keep %= len(failures)
            if not failures[keep] and comparison.live != keep + 1:
                comparison.keep(keep + 1)
                expected.change(dict(expected.live))

    @rule(cell=CELLS)
    def append(self, cell: str) -> None:
        prompt, expected, run = self.prompt(), self.expect(), next(self.numbers)
        reply = self.conversation().ask(prompt, cell=Cell(cell, run), append=True)
        self.read(reply, expected.messages(None, prompt))
        expected.put(Asked(prompt, cell, run), None, [])

    @rule(number=st.integers(0, 5), retry=st.booleans())
    def edit(self, number: int, retry: bool) -> None:
        expected = self.expect()
        if not expected.live:
            return
        number %= len(expected.live)
        place = sorted(expected.live)[number]
        old = expected.live[place]
        prompt = old.prompt if retry else self.prompt()
        conversation = self.conversation()
        reply = conversation.retry(number + 1) if retry else conversation.edit(number + 1, prompt)
        self.read(reply, expected.messages(place, prompt))
        expected.put(Asked(prompt, old.cell, old.run), place, [place])

    @rule(redo=st.booleans())
    def undo(self, redo: bool) -> None:
        expected = self.expect()
        source, target = (expected.undone, expected.before) if redo else (expected.before, expected.undone)
        try:
            self.conversation().redo() if redo else self.conversation().undo()
        except NothingToUndoError:
            assert source == []
            return
        target.append(expected.live)
        expected.live = source.pop()

    @rule()
    def clear(self) -> None:
        expected = self.expect()
        assert self.conversation().clear() == len(expected.live)
        if expected.live:
            expected.change({})

    @rule(name=NAMES)
    def use(self, name: str) -> None:
        self.name = name

    @rule(name=NAMES, number=st.none() | st.integers(1, 4))
    def branch(self, name: str, number: int | None) -> None:
        source, other = self.expect(), self.expect(name)
        if name == self.name or (number or 0) > len(source.live):
            return
        taken = source.in_order()[:number]
        self.conversation().branch(name, number)
        self.name = name
        if taken or other.live:
            other.change({other.next_place(): each for each in taken})

    @rule()
    def restart(self) -> None:
        self.notebook_history.close()
        self.notebook_history = self.open()
        for each in self.expected.values():
            each.runs.clear()

    @invariant()
    def the_live_turns_are_those_expected_in_order(self) -> None:
        if not hasattr(self, "notebook_history"):
            return
        for name, expected in self.expected.items():
            turns = self.conversation(name).turns
            assert [(turn.prompt, turn.cell_id) for turn in turns] == [
                (each.prompt, each.cell) for each in expected.in_order()
            ]

    def teardown(self) -> None:
        if not hasattr(self, "notebook_history"):
            return
        self.notebook_history.close()
        if self.file.exists():
            history = History(self.file)
            (notebook,) = history.notebooks() or (None,)
            found = {
                turn.prompt
                for summary in (history.conversations(notebook.notebook_id, removed=True) if notebook else ())
                for turn in history.turns(summary.conversation.conversation_id, live_only=False)
            }
            history.close()
            assert found == self.asked
        self.stack.close()


class ShortMemory(Sequences):
    """The same, where a conversation keeps but two turns in memory, and no earlier turn is sent."""

    limit = 1

    @initialize()
    def begin(self) -> None:
        super().begin()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(kept, "TURNS_IN_MEMORY", 2)
        patch.setattr(timeline, "CHANGES_IN_MEMORY", 3)

    def read(self, reply: Reply, sent: list[str], *, fails: bool = False) -> None:
        super().read(reply, sent, fails=fails)
        assert self.notebook_history.flush()  # so that the next one finds the turns in the file

    @invariant()
    def the_live_turns_are_those_expected_in_order(self) -> None:
        if hasattr(self, "notebook_history"):
            for name, expected in self.expected.items():
                assert self.notebook_history.load(name).timeline.count == len(expected.live)

    @rule()
    def look(self) -> None:
        Sequences.the_live_turns_are_those_expected_in_order(self)


TestShortMemory = ShortMemory.TestCase
TestShortMemory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)

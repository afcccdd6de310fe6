"""Interrupts at every function that a prompt or a change of a conversation enters."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests import processes

PROGRAM = """
import json, os, signal, sqlite3, sys, time
from contextlib import closing
import flowgpt_magic
from flowgpt_magic import bridge
from flowgpt_magic.history.current import flush_all, current_history

HOME = os.path.dirname(flowgpt_magic.__file__)
KIND, SECOND, STEP = sys.argv[1], *map(int, sys.argv[2:])
LIMIT = 10.0  # seconds
UNFINISHED = "SELECT prompt FROM turns WHERE status = 'streaming'"
ANSWERED = "SELECT count(*) FROM turns WHERE status = 'complete' AND prompt LIKE 'after%'"

if KIND not in ("class", "comparison"):
    from IPython.terminal.interactiveshell import TerminalInteractiveShell
    shell = TerminalInteractiveShell.instance()
    shell.run_line_magic("load_ext", "flowgpt_magic")

def prompt(text):
    if KIND == "class":
        return flowgpt_magic.Conversation().ask(text, model="echo").text
    if KIND == "batch":
        return list(flowgpt_magic.Conversation().map([text, text + " again"], model="echo", progress=False))[0].text
    if KIND == "comparison":
        comparison = flowgpt_magic.Conversation().compare(text, ["echo", "echo:messages"])
        return comparison.texts["echo"]
    if KIND == "columns":
        shell.run_cell_magic("flowgpt", "-m echo,echo:messages -o replies", text)
        return shell.user_ns["replies"].texts["echo"]
    shell.run_cell_magic("flowgpt", "-m echo -o reply", text)
    return shell.user_ns["reply"].text

class Interrupts:
    '''A profiler that raises when this thread enters the functions of the package with these numbers.'''

    def __init__(self, *numbers):
        self.numbers, self.count = numbers, 0

    def __call__(self, frame, event, value):
        if event == "call" and frame.f_code.co_filename.startswith(HOME):
            self.count += 1
            if self.count in self.numbers:
                raise KeyboardInterrupt(frame.f_code.co_name)

def once(number):
    '''Interrupt a prompt at the function with this number. Returns how many functions it entered.'''
    flowgpt_magic.Conversation().clear()  # a longer conversation enters more functions
    interrupts = Interrupts(number, number + SECOND)
    try:
        sys.setprofile(interrupts)
        try:
            prompt(f"prompt {number}")
        finally:
            sys.setprofile(None)
    except (KeyboardInterrupt, flowgpt_magic.FlowGptError):
        pass
    return interrupts.count

def streaming():
    return [turn.prompt for turn in flowgpt_magic.Conversation().turns if turn.status == "streaming"]

before = signal.getsignal(signal.SIGINT)
faults = []
once(1)
prompt("warm")  # the first prompt of a process imports and starts things
once(0)
entered = once(0)
for number in range(1, entered + 1, STEP):
    once(number)
    if signal.getsignal(signal.SIGINT) is not before:
        faults.append(f"{number}: another handler")
        signal.signal(signal.SIGINT, before)
    if prompt(f"after {number}") != f"after {number}":
        faults.append(f"{number}: no answer")
    if not bridge.worker().alive:
        faults.append(f"{number}: no worker")
    deadline = time.monotonic() + LIMIT
    while streaming() and time.monotonic() < deadline:
        flush_all()
    if streaming():
        faults.append(f"{number}: streaming {streaming()}")
        break
flush_all()
with closing(sqlite3.connect(os.environ["FLOWGPT_HISTORY"])) as file:
    faults += [f"streaming in the file: {row}" for row in file.execute(UNFINISHED)]
    (answered,) = file.execute(ANSWERED).fetchone()
if answered < entered // STEP:
    faults.append(f"only {answered} in the file")
print("RESULT" + json.dumps([entered, faults]))
"""

CHANGES = """
import json, os, signal, sys
import flowgpt_magic
from flowgpt_magic.history.current import flush_all, current_history
from flowgpt_magic.history.notebook_history import NotebookHistory
from IPython.terminal.interactiveshell import TerminalInteractiveShell

STEP = int(sys.argv[1])
shell = TerminalInteractiveShell.instance()
shell.run_line_magic("load_ext", "flowgpt_magic")

def run(line):
    shell.run_line_magic("flowgpt", line)

def chat():
    return flowgpt_magic.Conversation(current_history().current)

def two_turns(number):
    '''Start conversation ``number``; its last turn has two versions.'''
    run(f"new c{number}")
    for text in ("one", "two"):
        assert chat().ask(text, model="echo").text
    assert chat().retry().text
    chat().undo()

def removed(number):
    two_turns(number)
    run("new other")
    run(f"rm c{number}")

# By name: the preparation, and the command that is interrupted.
COMMANDS = {
    "undo": (two_turns, lambda n: run("undo")),
    "redo": (two_turns, lambda n: run("redo")),
    "clear": (two_turns, lambda n: run("clear")),
    "choose": (two_turns, lambda n: chat().choose(2, 2)),
    "edit": (two_turns, lambda n: run("edit 1 un")),
    "branch": (two_turns, lambda n: run(f"branch b{n} 1")),
    "new": (two_turns, lambda n: run(f"new n{n}")),
    "rename": (two_turns, lambda n: run(f"rename r{n}")),
    "rm": (two_turns, lambda n: run(f"rm c{n}")),
    "use": (removed, lambda n: run(f"use c{n}")),
    "model": (two_turns, lambda n: run("model echo:messages")),
    "system": (two_turns, lambda n: run(f"system brief {n}")),
}

class Interrupt:
    '''A profiler that raises when this thread enters the function of the package with this number.'''

    def __init__(self, number):
        self.number, self.count = number, 0

    def __call__(self, frame, event, value):
        if event == "call" and frame.f_code.co_filename.startswith(os.path.dirname(flowgpt_magic.__file__)):
            self.count += 1
            if self.count == self.number:
                raise KeyboardInterrupt(frame.f_code.co_name)

def once(command, number, at):
    interrupt = Interrupt(at)
    try:
        sys.setprofile(interrupt)
        try:
            command(number)
        finally:
            sys.setprofile(None)
    except (KeyboardInterrupt, flowgpt_magic.FlowGptError):
        pass
    return interrupt.count

def contents(history):
    '''The conversations of a notebook history, as comparable values.'''
    conversations = {}
    for name in history.names():
        state = history.load(name)
        with state.lock:
            record, timeline = state.record, state.timeline
            turns = [(turn.turn_id, turn.place, turn.version, turn.prompt, turn.status) for turn in timeline.live]
            changes = [(change.change_id, change.kind, change.undone) for change in timeline._changes]
        conversations[name] = (record.model, record.system, record.removed, turns, changes)
    return conversations

def settled():
    '''The contents in memory and in the file, once other threads have finished what an interrupt left to them.'''
    here = current_history()
    for _ in range(200):
        here.flush()
        fresh = NotebookHistory(here.place, here.location)
        memory, file = contents(here), contents(fresh)
        fresh.close()
        if memory == file and not any(turn[-1] == "streaming" for *_, turns, _ in memory.values() for turn in turns):
            break
    return memory, file

before = signal.getsignal(signal.SIGINT)
faults, number, entered = [], 0, {}
for name, (prepare, command) in COMMANDS.items():
    number += 1
    prepare(number)
    entered[name] = once(command, number, 0)
    for at in range(1, entered[name] + 1, STEP):
        number += 1
        prepare(number)
        once(command, number, at)
        memory, file = settled()
        wrong = [other for other in memory.keys() | file.keys() if memory.get(other) != file.get(other)]
        faults += [f"{name} {at}: {other}: {memory.get(other)}, {file.get(other)}" for other in wrong]
        if signal.getsignal(signal.SIGINT) is not before:
            faults.append(f"{name} {at}: another handler")
            signal.signal(signal.SIGINT, before)
        for other in list(current_history().names()):  # each step stays as fast as the first
            flowgpt_magic.Conversation(other).remove()
        current_history().current = "main"
print("RESULT" + json.dumps([sum(entered.values()), faults]))
"""


def interrupted(kind: str, folder: Path, *, second: int = 0, step: int = 1) -> tuple[int, list[str]]:
    """The number of functions that a prompt enters, and the faults after interrupts in them."""
    return run(PROGRAM, [kind, str(second), str(step)], folder)


def run(program: str, arguments: list[str], folder: Path) -> tuple[int, list[str]]:
    """The result of ``program``: the number of functions entered, and the faults after interrupts in them."""
    environment = {**os.environ, "FLOWGPT_HISTORY": str(folder / "history.db"), "IPYTHONDIR": str(folder)}
    process = processes.run([sys.executable, "-c", program, *arguments], env=environment, cwd=folder)
    assert "RESULT" in process.stdout, process.stderr[-3000:]
    entered, faults = json.loads(process.stdout.rpartition("RESULT")[2])
    return entered, faults


STEPS = {
    "class": 1,
    "cell": 3,
    "batch": 2,
    "comparison": 4,
    "columns": 7,
}  # every n-th function: all of them would take long


@pytest.mark.parametrize("kind", STEPS)
def test_an_interrupt_at_any_function_leaves_nothing_by_half(kind: str, tmp_path: Path) -> None:
    entered, faults = interrupted(kind, tmp_path, step=STEPS[kind])
    assert faults == []
    assert entered > 50


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("second", [1, 5])
def test_two_interrupts_in_a_row_leave_nothing_by_half(kind: str, second: int, tmp_path: Path) -> None:
    _entered, faults = interrupted(kind, tmp_path, second=second, step=7)
    assert faults == []


def test_an_interrupt_at_any_function_of_a_change_leaves_memory_and_file_alike(tmp_path: Path) -> None:
    entered, faults = run(CHANGES, ["9"], tmp_path)  # every 9th function
    assert faults == []
    assert entered > 300

"""What IPython's completer is answered."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from flowgpt_magic.completion.names import Candidate
from flowgpt_magic.magics import completer
from flowgpt_magic.notebook.place import NO_CELL
from tests.shell_states import new_state


def test_ipython_gets_the_items_and_suppresses_its_own():
    shell = SimpleNamespace(user_ns={"name": 1}, user_ns_hidden={})
    text = "x = 1\n%flowgpt what is {na"
    context = SimpleNamespace(full_text=text, cursor_line=1, cursor_position=len(text) - 6)

    answer = completer.matcher(context, shell, None)

    assert answer == {
        "completions": [Candidate("name", "variable:\N{NO-BREAK SPACE}int")],
        "matched_fragment": "na",
        "suppress": True,
        "ordered": True,
    }


def test_ipython_gets_nothing_where_nothing_fits_and_keeps_its_own_elsewhere():
    shell = SimpleNamespace(user_ns={}, user_ns_hidden={})

    nothing = completer.matcher(
        SimpleNamespace(full_text="%%flowgpt\nfo", cursor_line=1, cursor_position=2), shell, None
    )
    elsewhere = completer.matcher(SimpleNamespace(full_text="fo", cursor_line=0, cursor_position=2), shell, None)

    assert nothing["suppress"] is True
    assert list(nothing["completions"]) == []
    assert len(nothing["completions"]) == 1
    assert elsewhere == {"completions": [], "suppress": False}


def test_the_first_tab_does_not_wait_for_the_modules_of_providers_where_there_is_something_else_to_offer():
    code = """
import sys, threading
from types import SimpleNamespace
from flowgpt_magic.magics import completer
from flowgpt_magic.notebook.place import NO_CELL
from tests.shell_states import new_state
from flowgpt_magic.completion import shell as completion_shell

def tab(text):
    shell = SimpleNamespace(user_ns={}, user_ns_hidden={})
    context = SimpleNamespace(full_text=text, cursor_line=0, cursor_position=len(text))
    return [each.text for each in completer.matcher(context, shell, None)["completions"]]

go = threading.Event()
find = completion_shell.threading.Thread.run
completion_shell.threading.Thread.run = lambda self: go.wait(10) and find(self)
print(tab("%flowgpt und"))
go.set()
for thread in threading.enumerate():
    if thread.name.startswith("flowgpt_magic"):
        thread.join(60)
print(tab("%flowgpt echo:w"))
late = ("history.current", "history.notebook_history", "history.database", "transcripts.files")
print([name for name in late if f"flowgpt_magic.{name}" in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.stdout, ended.stderr) == ("['undo']\n['echo:words']\n[]\n", "")


def test_keep_is_completed_with_the_last_comparison():
    state = new_state()
    shell = SimpleNamespace(user_ns={}, user_ns_hidden={})
    context = SimpleNamespace(full_text="%flowgpt keep ", cursor_line=0, cursor_position=14)
    assert list(completer.matcher(context, shell, state)["completions"]) == []

    state.conversation().compare("one", ["echo", "echo:messages"], cell=NO_CELL).read()

    texts = [item.text for item in completer.matcher(context, shell, state)["completions"]]
    assert texts == ["1", "2", "echo:words", "echo:messages"]

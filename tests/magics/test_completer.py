"""What IPython's completer is answered, and what is looked up for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from flowgpt_magic.completion import shell as completion_shell
from flowgpt_magic.completion.names import Item
from flowgpt_magic.magics import completer as completion_matcher


def test_ipython_gets_the_items_and_suppresses_its_own():
    shell = SimpleNamespace(user_ns={"name": 1}, user_ns_hidden={})
    text = "x = 1\n%flowgpt what is {na"
    context = SimpleNamespace(full_text=text, cursor_line=1, cursor_position=len(text) - 6)

    answer = completion_matcher.matcher(context, shell, None)

    assert answer == {
        "completions": [Item("name", "int")],
        "matched_fragment": "na",
        "suppress": True,
        "ordered": True,
    }


def test_ipython_gets_nothing_where_nothing_fits_and_keeps_its_own_elsewhere():
    shell = SimpleNamespace(user_ns={}, user_ns_hidden={})

    nothing = completion_matcher.matcher(
        SimpleNamespace(full_text="%%flowgpt\nfo", cursor_line=1, cursor_position=2), shell, None
    )
    elsewhere = completion_matcher.matcher(
        SimpleNamespace(full_text="fo", cursor_line=0, cursor_position=2), shell, None
    )

    assert nothing["suppress"] is True
    assert list(nothing["completions"]) == []
    assert len(nothing["completions"]) == 1
    assert elsewhere == {"completions": [], "suppress": False}


def test_models_are_known_without_asking_a_provider():
    shown = {each.text: each.type for each in completion_shell.all_models()}

    assert shown["echo"] == "provider"
    assert shown["echo:words"] == "model"
    assert shown["words"] == "model of echo"
    assert "local:smollm2-135m-instruct" in shown


def test_the_first_tab_does_not_wait_for_the_modules_of_providers_where_there_is_something_else_to_offer():
    code = """
import sys, threading
from types import SimpleNamespace
from flowgpt_magic.magics import completer as completion_matcher
from flowgpt_magic.completion import shell as completion_shell

def tab(text):
    shell = SimpleNamespace(user_ns={}, user_ns_hidden={})
    context = SimpleNamespace(full_text=text, cursor_line=0, cursor_position=len(text))
    return [each.text for each in completion_matcher.matcher(context, shell, None)["completions"]]

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


def test_a_folder_lists_its_files(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.md").touch()

    assert completion_shell._folder(f"{tmp_path}/") == [Item("one.md", "file"), Item("sub/", "folder")]
    assert completion_shell._folder(f"{tmp_path}/missing/") == []
    assert completion_shell._folder("\0") == []


def test_what_takes_long_is_there_the_next_time():
    import threading

    go = threading.Event()

    def look() -> list[str]:
        go.wait(10)
        return ["found"]

    assert completion_shell.in_time("slow", look, 0.01) == ()
    go.set()
    completion_shell._looking["slow"].join(10)
    go.clear()
    assert completion_shell.in_time("slow", look, 0.01) == ["found"]
    go.set()


def test_what_p_takes_is_that_of_all_providers():
    found = {each.text: each.type for each in completion_shell._all_parameters()}

    assert "openai_compatible" in found["extra_body="]
    assert "openai_compatible" in found["extra_headers="]
    assert "openai_compatible, local" in found["top_p="] or "local, openai_compatible" in found["top_p="]
    assert "echo" in found["fail_after="]
    assert not {"openai_key=", "proxy=", "schema=", "read_timeout="} & found.keys()

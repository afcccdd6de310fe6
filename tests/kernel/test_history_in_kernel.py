"""History that follows the cells, in real kernels that are restarted and killed."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernel.conftest import Kernel, Run
from tests.kernel.test_cells import shown


def lines(run: Run) -> list[str]:
    """What the ``messages`` model was sent, a line for each message."""
    return shown(run).splitlines()


@pytest.fixture
def notebook(start_kernel, tmp_path):
    """Start kernels of one notebook, as Jupyter Server starts them, on one history."""
    path = tmp_path / "analysis.ipynb"
    path.write_text("{}")

    def start(**environment: str) -> Kernel:
        own = {"FLOWGPT_HISTORY": str(tmp_path / "history.sqlite3"), "JPY_SESSION_NAME": str(path)}
        own |= {"FLOWGPT_MODEL": "echo:messages", **environment}
        own["COLAB_NOTEBOOK_ID"] = Path(own["JPY_SESSION_NAME"]).stem  # by which Colab's are known, and no others
        return start_kernel(**own)

    return start


def restart(kernel: Kernel, start) -> Kernel:
    kernel.close()
    return start()


def test_what_was_said_is_there_after_a_restart(notebook):
    kernel = notebook()
    kernel.good("%%flowgpt echo\nmy name is Ada", cell_id="a")

    kernel = restart(kernel, notebook)

    assert lines(kernel.good("%%flowgpt\nwho am I?", cell_id="b")) == [
        "user: my name is Ada",
        "assistant: my name is Ada",
        "user: who am I?",
    ]


def test_running_a_cell_again_replaces_its_turn_and_keeps_the_earlier_version(notebook):
    kernel = notebook()
    for cell_id, prompt in (("a", "one"), ("b", "two"), ("c", "three")):
        kernel.good(f"%%flowgpt echo\n{prompt}", cell_id=cell_id)

    again = kernel.good("%%flowgpt\nother two", cell_id="b")
    kernel.good("%%flowgpt echo\nanother two", cell_id="b")
    after = kernel.good("%%flowgpt\nfour", cell_id="d")
    versions = shown(kernel.good("%flowgpt show 2"))

    assert lines(again) == ["user: one", "assistant: one", "user: other two"]
    assert [line for line in lines(after) if line.startswith("user")] == [
        "user: one",
        "user: another two",
        "user: three",
        "user: four",
    ]
    assert "3 (live)" in versions
    assert [line.split()[1] for line in versions.splitlines() if line[:1].isdigit()][:2] == ["two", "other"]


def test_restart_and_run_all_twice_keeps_twenty_turns_each_with_those_before_it(notebook):
    cells = [(f"cell-{n}", f"%%flowgpt echo\nprompt {n}") for n in range(19)] + [("last", "%%flowgpt\nthe end")]
    expected = [line for n in range(19) for line in (f"user: prompt {n}", f"assistant: prompt {n}")]

    for _ in range(3):
        kernel = notebook()
        runs = [kernel.good(code, cell_id=cell_id) for cell_id, code in cells]
        table = shown(kernel.good("%flowgpt history"))
        kernel.close()

        assert lines(runs[-1]) == [*expected, "user: the end"]
        assert len(table.splitlines()) == 20 + 3


def test_with_cache_the_second_run_of_all_cells_asks_nobody(notebook):
    cells = [(f"cell-{n}", f"%%flowgpt echo --cache\nprompt {n}") for n in range(5)]
    kernel = notebook()
    first = [shown(kernel.good(code, cell_id=cell_id)) for cell_id, code in cells]

    kernel = restart(kernel, notebook)
    kernel.good("%config FlowGPT.pace = 3600")  # whoever is asked now does not answer
    again = [kernel.good(code, cell_id=cell_id) for cell_id, code in cells]

    assert [shown(run) for run in again] == first
    assert all(run.outputs[0]["metadata"]["flowgpt"]["replayed"] for run in again)
    assert "replayed" in again[0].outputs[0]["data"]["text/markdown"]


def test_refresh_asks_again_though_the_answer_is_known(notebook):
    kernel = notebook()
    kernel.good("%%flowgpt echo --cache\nhello", cell_id="a")

    known = kernel.good("%%flowgpt echo --cache\nhello", cell_id="a")
    fresh = kernel.good("%%flowgpt echo --cache --refresh\nhello", cell_id="a")

    assert [run.outputs[0]["metadata"]["flowgpt"]["replayed"] for run in (known, fresh)] == [True, False]


def test_append_adds_a_turn_and_no_history_leaves_none(notebook):
    kernel = notebook()
    kernel.good("%%flowgpt echo\none", cell_id="a")
    appended = kernel.good("%%flowgpt --append\ntwo", cell_id="a")
    alone = kernel.good("%%flowgpt --no-history\nthree", cell_id="b")

    assert lines(appended) == ["user: one", "assistant: one", "user: two"]
    assert lines(alone) == ["user: three"]
    assert len(shown(kernel.good("%flowgpt history")).splitlines()) == 2 + 3


def test_without_a_cell_id_a_run_appends(notebook):
    kernel = notebook()
    kernel.good("%%flowgpt echo\none")

    assert lines(kernel.good("%%flowgpt\none")) == ["user: one", "assistant: one", "user: one"]


def test_a_loop_in_a_cell_is_a_turn_for_each_prompt_and_run_again_it_replaces_them(notebook):
    kernel = notebook()
    loop = "for word in {}:\n    get_ipython().run_line_magic('flowgpt', 'echo ' + word)"
    kernel.good(loop.format("['one', 'two']"), cell_id="a")
    kernel.good("%%flowgpt echo\nafter", cell_id="b")

    kernel.good(loop.format("['un', 'deux']"), cell_id="a")

    assert [line for line in lines(kernel.good("%%flowgpt\nthe end")) if line.startswith("user")] == [
        "user: un",
        "user: deux",
        "user: after",
        "user: the end",
    ]


@pytest.mark.parametrize("setup", ["%load_ext flowgpt_magic", ""])
def test_what_is_asked_in_python_follows_its_cell_too(notebook, setup):
    kernel = notebook(setup=setup)
    kernel.good("from flowgpt_magic import Conversation\nchat = Conversation()")
    for prompt in ("one", "one", "other one"):
        kernel.good(f"print(chat.ask('{prompt}', model='echo').text)", cell_id="a")
    kernel.good("chat.ask('two', model='echo')", cell_id="b")

    kernel.good("%load_ext flowgpt_magic")

    assert lines(kernel.good("%%flowgpt\nthree", cell_id="c")) == [
        "user: other one",
        "assistant: other one",
        "user: two",
        "assistant: two",
        "user: three",
    ]


def test_what_is_configured_holds_for_python_too(notebook, tmp_path):
    kernel = notebook()
    kernel.good("%config FlowGPT.system = 'be kind'")
    kernel.good("from flowgpt_magic import Conversation\nchat = Conversation()\nprint(chat.ask('known').text)")
    kernel.good("%config FlowGPT.history = 'off'")
    asked = kernel.good("print(chat.ask('classified').text)\nprint(Conversation('other').ask('classified').text)")
    kernel.good("%%flowgpt\nclassified")
    kernel.close()

    stored = b"".join(path.read_bytes() for path in tmp_path.glob("history.sqlite3*"))

    assert asked.printed == "system: be kind\nuser: classified\n" * 2
    assert b"known" in stored
    assert b"classified" not in stored


def test_a_reload_of_the_extension_stays_in_the_conversation(notebook):
    kernel = notebook()
    kernel.good("%flowgpt new side")
    kernel.good("%%flowgpt echo\none")
    kernel.good("%reload_ext flowgpt_magic")

    assert lines(kernel.good("%%flowgpt\ntwo")) == ["user: one", "assistant: one", "user: two"]


def test_a_notebook_with_a_branch_in_it_runs_again_to_the_same_end(notebook):
    cells = ["%%flowgpt echo\none", "%flowgpt branch idea", "%%flowgpt echo\ntwo", "%%flowgpt\nthe end"]

    for _ in range(2):
        kernel = notebook()
        runs = [kernel.good(code, cell_id=f"cell-{number}") for number, code in enumerate(cells)]
        kernel.close()

        assert lines(runs[-1]) == ["user: one", "assistant: one", "user: two", "assistant: two", "user: the end"]


def test_a_run_without_a_person_begins_anew_each_time_and_is_kept(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
    cells = ["%load_ext flowgpt_magic", "%%flowgpt echo\nthe aardvark", "%%flowgpt echo:messages\ntwo"]

    for _ in range(2):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        made = NotebookClient(made, resources={"metadata": {"path": str(tmp_path)}}).execute()

        assert made.cells[2].outputs[0].data["text/plain"].splitlines() == [
            "user: the aardvark",
            "assistant: the aardvark",
            "user: two",
        ]
    assert shown(notebook().good("%flowgpt search aardvark")).count("the aardvark") >= 2


def test_a_conversation_in_a_variable_outlives_a_reload_of_the_extension(notebook):
    kernel = notebook()
    kernel.good(
        "from flowgpt_magic import Conversation\nchat = Conversation()\nprint(chat.ask('one', model='echo').text)"
    )
    kernel.good("%reload_ext flowgpt_magic")
    kernel.good("print(chat.ask('two', model='echo').text)")
    kernel.close()

    table = shown(notebook().good("%flowgpt history"))

    assert len(table.splitlines()) == 2 + 3


def test_undo_redo_clear_and_what_they_say(notebook):
    kernel = notebook()
    kernel.good("%%flowgpt echo\none")
    kernel.good("%%flowgpt echo\ntwo")

    assert kernel.good("%flowgpt undo").printed == "undone: ask; main has 1 turn\n"
    assert kernel.good("%flowgpt redo").printed == "redone: ask; main has 2 turns\n"
    assert kernel.good("%flowgpt clear").printed.startswith("2 turns set aside")
    assert lines(kernel.good("%%flowgpt\nthree")) == ["user: three"]
    kernel.good("%flowgpt undo")
    assert kernel.good("%flowgpt undo").printed == "undone: clear; main has 2 turns\n"
    kernel.good("%flowgpt undo")
    kernel.good("%flowgpt undo")
    nothing = kernel.run("%flowgpt undo")
    assert nothing.error == "NothingToUndoError: there is nothing to undo."


def test_retry_edit_and_continue_ask_at_the_place_of_the_turn(notebook):
    kernel = notebook()
    kernel.good("%%flowgpt echo\none")
    kernel.good("%%flowgpt echo\ntwo")

    edited = kernel.good("%flowgpt edit 1 another one")
    retried = kernel.good("%flowgpt retry -m echo:messages")
    continued = kernel.good("%flowgpt continue")

    assert lines(edited) == ["user: another one"]  # by the model of the conversation now
    assert lines(retried) == ["user: another one", "assistant: user: another one", "user: two"]
    assert shown(continued).startswith(shown(retried) + "user: another one")
    assert "main has 2 turns" in kernel.good("%flowgpt use main").printed


def test_conversations_are_apart_and_can_be_named_renamed_and_removed(notebook):
    kernel = notebook()
    kernel.good("%%flowgpt echo\nin main")
    kernel.good('%%flowgpt echo -c "side talk, 2"\naside')

    assert lines(kernel.good('%%flowgpt -c "side talk, 2"\nmore')) == ["user: aside", "assistant: aside", "user: more"]
    assert "side talk, 2" in shown(kernel.good("%flowgpt chats"))
    kernel.good("%flowgpt branch idea 1")
    assert lines(kernel.good("%%flowgpt\ngo on")) == ["user: in main", "assistant: in main", "user: go on"]
    kernel.good('%flowgpt rename "side talk, 2" aside')
    kernel.good("%flowgpt rm idea")
    kernel.close()

    kernel = notebook()
    table = shown(kernel.good("%flowgpt chats"))
    assert "aside" in table
    assert "idea" not in table
    assert "there is no conversation 'asde'; did you mean aside?" in kernel.run("%flowgpt use asde").error


def test_model_and_system_prompt_are_the_conversations_own_and_stay(notebook):
    kernel = notebook()
    kernel.good("%flowgpt model echo:messages")
    kernel.good('%flowgpt system "Be kind."')
    kernel.good("%%flowgpt echo\none")

    kernel = restart(kernel, lambda: notebook(FLOWGPT_MODEL="echo"))

    assert lines(kernel.good("%%flowgpt\ntwo"))[0] == "system: Be kind."
    assert lines(kernel.good("%%flowgpt -c other -m echo:messages\ntwo"))[0] == "user: two"


def test_a_search_finds_what_was_said_in_another_notebook(notebook, start_kernel, tmp_path):
    kernel = notebook()
    kernel.good("%%flowgpt echo\nthe aardvark eats ants")
    kernel.close()
    other = notebook(JPY_SESSION_NAME=str(tmp_path / "other.ipynb"))

    found = shown(other.good("%flowgpt search aardv"))

    assert "analysis" in found
    assert "eats ants" in found
    assert other.good("%flowgpt search zebra").printed == "nothing found for zebra\n"


def test_a_kernel_that_is_killed_in_mid_stream_loses_at_most_the_last_second(notebook):
    kernel = notebook()
    kernel.good("%config FlowGPT.pace = 0.02")
    request = kernel.send("%%flowgpt echo\n" + "word " * 3000, cell_id="a")
    seen: list[int] = []

    def kill_after_enough(message):
        text = message["content"].get("data", {}).get("text/markdown", "")
        seen.append(text.count("word"))
        if sum(seen) and len(seen) > 60:
            kernel.manager.signal_kernel(9)
            raise TimeoutError

    with pytest.raises(TimeoutError):
        kernel.collect(request, on_message=kill_after_enough)

    other = notebook()
    turn = shown(other.good("%flowgpt show 1"))
    assert "interrupted" in turn
    assert turn.startswith("word word")
    assert lines(other.good("%%flowgpt\nnext"))[0].startswith("user: word")


def test_nothing_secret_is_in_the_file(notebook, tmp_path):
    kernel = notebook(FLOWGPT_TOKEN="very-secret", FLOWGPT_PROXY="http://me:hidden@127.0.0.1:9")
    kernel.good("%%flowgpt echo\nhello")
    kernel.run("%%flowgpt flowgpt\nhello")
    kernel.close()

    stored = b"".join(path.read_bytes() for path in tmp_path.glob("history.sqlite3*"))

    assert b"hello" in stored
    assert b"very-secret" not in stored
    assert b"hidden" not in stored
    assert (tmp_path / "history.sqlite3").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"this is no database at all, just text" * 50, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_kept_beside_and_the_conversation_goes_on(notebook, tmp_path, content):
    (tmp_path / "history.sqlite3").write_bytes(content)
    kernel = notebook()

    first = kernel.good("%%flowgpt echo\none")
    kernel.good("%%flowgpt echo\ntwo")
    table = shown(kernel.good("%flowgpt history"))

    assert shown(first) == "one"
    assert len(table.splitlines()) == 2 + 3
    assert content in [path.read_bytes() for path in tmp_path.glob("history*")]


def test_without_a_history_nothing_is_written_and_all_else_works(notebook, tmp_path):
    kernel = notebook(FLOWGPT_HISTORY="off")
    kernel.good("%%flowgpt echo\none")

    assert lines(kernel.good("%%flowgpt\ntwo")) == ["user: one", "assistant: one", "user: two"]
    assert kernel.good("%flowgpt undo").printed == "undone: ask; main has 1 turn\n"
    assert list(tmp_path.glob("*.sqlite3*")) == []

"""The subcommands that send what failed, what a name stands for, or the cell before."""

from __future__ import annotations

import gc
import linecache
import sys
import weakref
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import OptionError, PromptError, ReplyInterrupted, keep_last_error, last_error
from flowgpt_magic.magics.commands.code import EXPLAIN_PROMPT
from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.magics.failed_cells import MARK_LENGTH, CellCode, block, excerpt
from flowgpt_magic.magics.failure import FIX_PROMPT
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.replies.reply import Reply
from tests.openai_servers import background, speaking

numbers = count(1)
LAST = ("last_exc", "last_value", "last_type", "last_traceback")


class Notebook:
    """Cells that are run as IPython does it: it keeps their code and the last error."""

    def __init__(self) -> None:
        self.number = 0
        self.names: dict[str, Any] = {"In": [""], "__name__": "__main__"}
        self.configured = {"model": "echo"}
        self.state = ShellState(lambda: self.configured, self.names)

    def cell(self, typed: str, code: str = "", *, file: str = "") -> None:
        """Run what was ``typed``, which is ``code`` for Python."""
        code = code or typed
        self.note(typed, code)
        file = file or f"/tmp/ipykernel_1/{next(numbers)}.py"
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        try:
            exec(compile(code, file, "exec"), self.names)
        except BaseException as error:
            sys.last_value = error

    def note(self, typed: str, code: str) -> None:
        """Number the cell that runs."""
        self.number += 1
        self.names[f"_i{self.number}"] = typed
        if isinstance(self.names["In"], list):
            self.names["In"].append(code)

    def run(self, line: str) -> str:
        """What is sent by a line; it is the cell that runs."""
        self.note(f"%flowgpt {line}", f"get_ipython().run_line_magic('flowgpt', {line!r})")
        word, _space, rest = line.partition(" ")
        reply = SUBCOMMANDS[word](self.state, rest)
        assert isinstance(reply, Reply)
        return self.state.conversation().turns[-1].prompt

    def command(self, line: str) -> None:
        """Run a line that sends nothing of its own."""
        self.note(f"%flowgpt {line}", f"get_ipython().run_line_magic('flowgpt', {line!r})")
        word, _space, rest = line.partition(" ")
        SUBCOMMANDS[word](self.state, rest)

    def answers(self, reply: str, line: str = "fix") -> None:
        """Run a line to which the model answers with ``reply``."""
        with background(speaking(reply)) as server:
            self.configured = {"model": "openai_compatible:m", "openai_base_url": f"http://127.0.0.1:{server.port}/v1"}
            self.command(line)


@pytest.fixture(autouse=True)
def no_error_yet() -> Iterator[None]:
    """Nothing has failed in this process; pytest itself notes its failures there."""
    before = {name: getattr(sys, name) for name in LAST if hasattr(sys, name)}
    forget_errors()
    yield
    forget_errors()
    vars(sys).update(before)


def forget_errors() -> None:
    for name in LAST:
        vars(sys).pop(name, None)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    known = set(linecache.cache)
    yield Notebook()
    for file in linecache.cache.keys() - known:
        del linecache.cache[file]


# -- fix ---------------------------------------------------------------------------------------------------------------


def test_fix_sends_the_cell_the_error_and_the_words(notebook):
    notebook.cell("x = 0\n1 / x")

    sent = notebook.run("fix why is that?")

    assert sent.startswith(f"{FIX_PROMPT}\n\nwhy is that?\n\nThis was run (In[1]):\n\n```python\nx = 0\n1 / x\n```")
    assert "The error: ZeroDivisionError" in sent
    assert "→    2 1 / x" in sent
    assert sent.rstrip("`\n").endswith("ZeroDivisionError: division by zero")
    assert SUBCOMMANDS["error"] is SUBCOMMANDS["fix"]


def test_the_code_that_a_cell_called_is_sent_too(notebook):
    notebook.cell("def half(x):\n    return x / 0")
    notebook.cell("z = 1")
    notebook.cell("half(5)")

    sent = notebook.run("fix")

    assert "This was run (In[3]):\n\n```python\nhalf(5)\n```" in sent
    assert "The error passed through this code (In[1]):\n\n```python\ndef half(x):\n    return x / 0\n```" in sent
    assert "z = 1" not in sent


def test_a_cell_is_sent_as_it_was_typed_and_once(notebook):
    inner = "1/0"
    notebook.names["run_cell"] = lambda: exec(compile(inner, "/tmp/ipykernel_1/inner.py", "exec"), {})
    linecache.cache["/tmp/ipykernel_1/inner.py"] = (3, None, [inner], "/tmp/ipykernel_1/inner.py")
    notebook.cell("%%capture\n1/0", "run_cell()")

    sent = notebook.run("fix")

    assert "This was run (In[1]):\n\n```python\n%%capture\n1/0\n```" in sent
    assert "passed through" not in sent


def test_a_timed_cell_is_found_where_ipython_shows_its_error_and_goes_on(notebook):
    def time(typed: str, body: str) -> None:
        """As older IPython: no frame of the cell is on the way to the error."""
        notebook.note(typed, "get_ipython().run_cell_magic('time', '', '...')")
        try:
            exec(compile(body, "<timed exec>", "exec"), notebook.names)
        except ValueError as error:
            sys.last_value = error

    time("%%time\nx = 1\nint('{x}')", "x = 1\nint('{x}')")
    time("%%time\nfloat('1')", "float('1')")
    notebook.cell("int")

    sent = notebook.run("fix")

    assert "This was run (In[1]):\n\n```python\n%%time\nx = 1\nint('{x}')\n```" in sent
    assert "float" not in sent


def test_code_that_is_not_among_the_inputs_any_more_is_sent_as_python_had_it(notebook):
    notebook.cell("1 / 0")
    notebook.names["In"] = "taken"

    assert "This was run:\n\n```python\n1 / 0\n```" in notebook.run("fix")


def test_causes_and_their_cells_are_sent(notebook):
    notebook.cell("def look(d):\n    return d['key']")
    notebook.cell("try:\n    look({})\nexcept KeyError as error:\n    raise RuntimeError('no luck') from error")

    sent = notebook.run("fix")

    assert "RuntimeError: no luck" in sent
    assert "KeyError: 'key'" in sent
    assert "The error passed through this code (In[1])" in sent


def test_a_cause_that_python_does_not_show_is_not_sent(notebook):
    notebook.cell("def look(d):\n    return d['key']")
    notebook.cell("try:\n    look({})\nexcept KeyError:\n    raise RuntimeError('no luck') from None")

    sent = notebook.run("fix")

    assert "RuntimeError: no luck" in sent
    assert "def look" not in sent


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of errors before")
def test_the_cells_of_the_errors_of_a_group_are_sent(notebook):
    notebook.cell("def bad():\n    raise ValueError('inside')")
    notebook.cell("found = []\ntry:\n    bad()\nexcept ValueError as error:\n    found.append(error)")
    notebook.cell("raise ExceptionGroup('several', found)")

    sent = notebook.run("fix")

    assert "This was run (In[3])" in sent
    assert "def bad():" in sent


def test_an_error_that_is_its_own_cause_ends(notebook):
    notebook.cell("error = ValueError('round')\nerror.__cause__ = error\nerror.exceptions = (1, error)\nraise error")

    assert "ValueError: round" in notebook.run("fix")


def test_a_syntax_error_shows_its_line(notebook):
    notebook.cell("a = 1\nif True\n    b = 2")

    sent = notebook.run("fix")

    assert "This was run (In[1]):\n\n```python\na = 1\nif True\n    b = 2\n```" in sent
    assert "line 2\n    if True\n" in sent
    assert "SyntaxError" in sent


def test_braces_and_backticks_are_text(notebook):
    notebook.names["secret"] = "hidden"
    notebook.cell("text = '{secret} {{secret}} ```'\nraise ValueError(text)")

    sent = notebook.run("fix what is {secret}?")

    assert "what is {secret}?" in sent
    assert "````python\ntext = '{secret} {{secret}} ```'\nraise ValueError(text)\n````" in sent
    assert "hidden" not in sent


def test_nothing_failed_yet_is_an_error_and_sends_nothing(notebook):
    with pytest.raises(OptionError, match="there is no error yet"):
        notebook.run("fix")

    assert notebook.state.conversation().turns == []


def test_a_long_error_keeps_its_newest_frames_and_the_lines_around_the_failing_one(notebook):
    many = "\n".join(f"value_{number} = {number}" for number in range(3000))
    notebook.cell(f"{many}\n\ndef deep(n):\n    return deep(n - 1) if n else 1 / 0\n\ndeep(300)\n{many}")

    sent = notebook.run("fix")

    assert len(sent) < 2000 * 4 + 500
    assert "ZeroDivisionError: division by zero" in sent
    assert "deep(n - 1) if n else 1 / 0" in sent
    assert "\n# … " in sent
    assert "lines above\n" in sent


def test_a_long_error_and_a_long_cell_share_the_room(notebook):
    values = "\n".join(f"value_{number} = {number}" for number in range(3000))
    calls = "\n".join(f"def f{number}(x):\n    y = '{60 * 'y'}'\n    return f{number + 1}(x)" for number in range(60))
    notebook.cell(f"{calls}\n\ndef f60(x):\n    return 1 / 0\n\nf0(300)\n{values}")

    cell, _error, error = notebook.run("fix").partition("The error: ")

    assert 0.5 < len(cell) / len(error) < 2


def test_the_setting_attach_tokens_bounds_what_is_sent(notebook):
    notebook.cell("\n".join([*(f"value_{number} = {number}" for number in range(500)), "1 / 0"]))
    notebook.state.conversation().set(attach_tokens=100)

    sent = notebook.run("fix")

    assert len(sent) < 700
    assert "\n1 / 0\n" in sent
    assert "ZeroDivisionError: division by zero" in sent


def test_options_and_a_model_stand_before_the_words(notebook):
    notebook.cell("1 / 0")

    sent = notebook.run("fix echo -t 0.5 -o answer in one word")

    turn = notebook.state.conversation().turns[-1]
    assert "\n\nin one word\n\n" in sent
    assert (turn.provider, turn.parameters["temperature"]) == ("echo", 0.5)
    assert notebook.names["answer"].text == turn.text


def test_an_unknown_option_is_an_error(notebook):
    notebook.cell("1 / 0")

    with pytest.raises(OptionError, match="there is no option --modle; did you mean --model"):
        notebook.run("fix --modle echo")


def test_errors_of_this_package_are_not_the_last_one(notebook):
    notebook.cell("1 / 0")
    for own in (OptionError("ours"), ReplyInterrupted("ours too")):
        keep_last_error(own)
        sys.last_value = own

    assert isinstance(last_error(), ZeroDivisionError)
    assert "ZeroDivisionError" in notebook.run("fix")

    sys.last_value = PromptError("raised in the user's own program")
    with pytest.raises(OptionError, match="there is no error yet"):
        notebook.run("fix")


def test_one_error_at_a_time_holds_on_to_what_failed_before():
    class OwnError(Exception):
        pass

    failed = OwnError()
    gone = weakref.ref(failed)
    first, second = OptionError("first"), OptionError("second")
    sys.last_value = failed

    keep_last_error(first)
    sys.last_value = first
    keep_last_error(second)
    sys.last_value = second
    assert last_error() is failed
    keep_last_error(second)  # a reply raises the same error again
    assert last_error() is failed

    forget_errors()
    del second, failed
    gc.collect()
    assert gone() is None
    assert first.args == ("first",)


def test_where_python_has_the_newer_name_alone_it_is_used():
    sys.last_exc = error = ValueError()

    assert last_error() is error


def test_nobody_but_python_keeps_the_error(notebook):
    notebook.cell("class Failed(Exception):\n    pass")
    notebook.cell("raise Failed")
    gone = weakref.ref(sys.last_value)
    notebook.run("fix")

    forget_errors()
    gc.collect()

    assert gone() is None


# -- variables in the failing line -------------------------------------------------------------------------------------


def test_a_key_error_brings_the_columns_of_the_frame_and_the_cell_that_made_it(notebook):
    notebook.cell("import pandas\nframe = pandas.DataFrame({'sales': [98765.25], 'region': ['north']})")
    notebook.cell("unrelated = 1")
    notebook.cell("total = frame['Sales'].sum()")

    sent = notebook.run("fix")

    assert (
        "frame: pandas DataFrame, 1 row \N{MULTIPLICATION SIGN} 2 columns; columns: 'sales' (float64), 'region' ("
        in sent
    )
    assert "This was run before (In[1]):\n\n```python\nimport pandas\nframe = " in sent
    assert sent.count("98765.25") == 1  # in the code that made it; of the table no cell is sent
    assert "unrelated" not in sent


def test_the_cell_that_made_a_variable_is_sent_behind_those_that_only_change_it(notebook):
    notebook.cell("rows = {'old': 0}")
    notebook.cell("rows = {'a': 1}")
    notebook.cell("rows = {**rows, 'b': 2}")
    notebook.cell("rows = dict(rows)\nrows['c']")

    sent = notebook.run("fix")

    assert sent.index("This was run before (In[2])") < sent.index("This was run before (In[3])")
    assert "'old'" not in sent


def test_the_values_are_those_of_the_function_that_failed(notebook):
    notebook.cell("rows = {'a': 1}")
    notebook.cell("def look(table, name):\n    return table[name]")
    notebook.cell("def outer():\n    return look(rows, 'b')")
    notebook.cell("outer()")

    sent = notebook.run("fix")

    assert "table = rows: {'a': 1} (dict, 1 item)\nname: 'b' (str, 1 character)" in sent
    assert "This was run before (In[1]):\n\n```python\nrows = {'a': 1}\n```" in sent
    assert sent.count("```python\ndef look") == sent.count("```python\ndef outer") == 1


def test_a_function_that_was_called_in_the_wrong_way_is_sent(notebook):
    notebook.cell("def half(x):\n    return x / 2")
    notebook.cell("half(1, 2)")

    assert "This was run before (In[1]):\n\n```python\ndef half(x):" in notebook.run("fix")


def test_attributes_of_an_object_are_read_from_its_own_dictionary_only(notebook):
    notebook.cell(
        "class Shop:\n    def __init__(self):\n        self.rows = {'a': 1}\n"
        "    @property\n    def total(self):\n        print('was run')\n"
        "    def get(self):\n        return self.rows['b'] + self.total"
    )
    notebook.cell("shop = Shop()\nshop.get()")

    sent = notebook.run("fix")

    assert "self.rows: {'a': 1} (dict, 1 item)" in sent
    assert "self.total" not in sent.partition("The variables")[2].partition("The error")[0]


@pytest.mark.parametrize(
    ("cell", "variables"),
    [
        ("n = 0\nfor i in [1, 2]:\n    m = 5\n    i / n", ["i: 1 (int)", "n: 0 (int)"]),
        ("items = None\nfor i in items:\n    print(other)", ["items: None"]),
        ("a = 1\nb = '2'\nc = (\n    a +\n    b\n)", ["a: 1", "b: '2'"]),
        ("x = 1\nx += 'a'", ["x: 1 (int)"]),
        ("n = 0\nf'{1 / n}'", ["n: 0 (int)"]),
        ("n = 0\nif 1 / n:\n    pass", ["n: 0 (int)"]),
    ],
)
def test_only_the_names_of_the_failing_statement_are_sent(notebook, cell, variables):
    notebook.cell(cell)

    lines = notebook.run("fix").partition("when it failed:\n\n")[2].partition("\n\nThe error")[0].split("\n")

    assert len(lines) == len(variables)
    assert all(line.startswith(variable) for line, variable in zip(lines, variables, strict=True))


def test_a_syntax_error_has_no_variables(notebook):
    notebook.cell("a = 1")
    notebook.cell("if a\n    b = 2")

    assert "when it failed" not in notebook.run("fix")


def test_secrets_in_variables_and_in_cells_are_masked(notebook):
    notebook.cell("api_key = 'sk-abcdefghijklmnopqrstuvwx'\nlogin = {'password': 'hunter2hunter2'}")
    notebook.cell("api_key + 1, login['user']")

    sent = notebook.run("fix")

    assert "sk-abcdef" not in sent
    assert "hunter2" not in sent
    assert "api_key: not sent, its name is that of a secret" in sent


def test_variables_take_a_third_of_the_room_at_most(notebook):
    notebook.cell("rows = [" + ", ".join(f"'{number}'" for number in range(5000)) + "]\n" + "#" * 9000)
    notebook.cell("rows['a']")
    notebook.state.conversation().set(attach_tokens=300)

    sent = notebook.run("fix")

    assert len(sent) < 2000
    assert "rows: ['0', '1'" in sent
    assert "TypeError: list indices must be integers" in sent


# -- apply -------------------------------------------------------------------------------------------------------------


def answer(notebook: Notebook, cell: str, reply: str, line: str = "fix") -> None:
    """Run a cell that fails; the model answers with this reply."""
    notebook.cell(cell)
    notebook.answers(reply, line)


@pytest.fixture
def put(notebook, monkeypatch) -> list[str]:
    """What is put into a cell below."""
    sources: list[str] = []
    monkeypatch.setattr(notebook.state, "put_below", lambda cells: sources.extend(cells) or "")
    return sources


def test_apply_shows_the_changes_and_puts_the_corrected_cell_below(notebook, put, capsys):
    answer(notebook, "x = 0\n1 / x", "It divides by zero.\n\n```python\nx = 1\n1 / x\n```")
    offer = capsys.readouterr().out

    notebook.command("apply")
    shown = capsys.readouterr().out

    assert "%flowgpt apply puts the corrected cell below; %flowgpt apply --run runs it.\n" in offer
    assert shown == "--- In[1]\n+++ corrected\n@@ -1,2 +1,2 @@\n-x = 0\n+x = 1\n 1 / x\n"
    assert put == ["x = 1\n1 / x"]


def test_fix_can_apply_at_once(notebook, put, capsys):
    answer(notebook, "x = 0\n1 / x", "```python\nx = 1\n1 / x\n```", "fix -t 0 --apply")

    assert put == ["x = 1\n1 / x"]
    assert "+x = 1" in capsys.readouterr().out


def test_the_switches_belong_to_the_words_behind_the_first_of_those(notebook, put):
    notebook.cell("1 / 0")

    assert "\n\nwhat is --run?\n\n" in notebook.run("fix what is --run?")
    assert "\n\n--apply it\n\n" in notebook.run("fix -- --apply it")
    assert put == []


def test_the_block_that_is_most_like_a_cell_corrects_that_cell(notebook, put, capsys):
    notebook.cell("def half(x):\n    return x / 0\n")
    reply = (
        "This fails:\n```python\nhalf(4)\n```\nWrite:\n```python\ndef half(x):\n    return x / 2\n```\n"
        "It prints\n```\n2.0\n```"
    )
    answer(notebook, "half(4)", reply)
    capsys.readouterr()

    notebook.command("apply")

    assert put == ["def half(x):\n    return x / 2"]
    assert capsys.readouterr().out.startswith("--- In[1]\n+++ corrected\n")


def test_a_package_that_is_missing_is_installed_before_the_code(notebook, put):
    answer(
        notebook, "import nowhere_at_all", "```bash\npip install nowhere\n```\n```python\nimport nowhere_at_all\n```"
    )

    notebook.command("apply")

    assert put == ["%pip install nowhere\nimport nowhere_at_all"]


def test_a_secret_that_the_model_was_not_sent_is_kept(notebook, put, capsys):
    cell = "api_key = 'sk-abcdefghijklmnopqrstuvwx'\n1 / 0"
    answer(notebook, cell, "```python\nif True:\n    api_key = 'sk-***'\n1 / 1\n```")

    notebook.command("apply")

    assert put == ["if True:\n    api_key = 'sk-abcdefghijklmnopqrstuvwx'\n1 / 1"]
    assert "sk-abc" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            "No idea.",
            "the reply to %flowgpt fix contains no code to apply; a better model may do it: %flowgpt fix -m NAME",
        ),
        ("```python\n1 / 0\n```", "the reply to %flowgpt fix repeats the code that failed"),
    ],
)
def test_a_reply_without_a_correction_is_said_below_it_and_by_apply(notebook, put, capsys, reply, message):
    answer(notebook, "1 / 0", reply)

    assert message in capsys.readouterr().out
    with pytest.raises(OptionError, match=message):
        notebook.command("apply")
    assert put == []


@pytest.mark.parametrize(
    ("code", "warning"),
    [
        ("x = = 1\ny\nz", "the corrected code is not valid Python"),
        ("x = 2", "the correction has 1 of 4 lines"),
        ("x = 1\ny = '***'\nz = 3", "*** in the corrected code stands for a secret that was not sent"),
    ],
)
def test_a_doubtful_correction_is_offered_with_a_warning_and_not_run(notebook, put, capsys, code, warning):
    answer(notebook, "x = 1\ny = 2\nz = 3\n1 / 0", f"```python\n{code}\n```")

    assert f"Careful: {warning}" in capsys.readouterr().out
    notebook.command("apply --run")

    assert f"careful: {warning}" in capsys.readouterr().out
    assert put == [code]


def test_apply_without_a_fix_or_with_other_words_is_an_error(notebook):
    with pytest.raises(OptionError, match="there is no correction yet: %flowgpt fix asks for one"):
        notebook.command("apply")
    with pytest.raises(OptionError, match="%flowgpt apply takes --run or nothing; to send it as a prompt"):
        notebook.command("apply this to all cells")


def test_code_that_is_not_known_cannot_be_replaced(notebook, put):
    sys.last_value = ValueError("raised elsewhere")
    notebook.answers("```python\nx = 1\n```")

    with pytest.raises(OptionError, match="the code of the cell that failed is not known"):
        notebook.command("apply")


def test_after_retry_the_new_version_is_applied(notebook, put):
    answer(notebook, "1 / 0", "```python\n1 / 1\n```")
    notebook.answers("```python\n1 / 2\n```", "retry -m openai_compatible:m")

    notebook.command("apply")

    assert put == ["1 / 2"]


# -- excerpts ----------------------------------------------------------------------------------------------------------


def test_an_excerpt_is_around_its_line():
    text = "\n".join(f"line {number}" for number in range(1, 101))

    shown = excerpt(text, 50, 120).splitlines()

    assert shown[0].startswith("# … ")
    assert "line 50" in shown
    assert shown[-1].endswith(" lines below")
    assert excerpt(text, 1, 120).startswith("line 1\n")
    assert excerpt(text, 100, 120).endswith("line 100")
    assert excerpt("short", 1, 5) == "short"


@given(st.text("ab\n", max_size=400), st.integers(-5, 500), st.integers(-10, 300))
def test_an_excerpt_has_no_more_room_than_it_was_given(text, line, room):
    shown = excerpt(text, line, room)

    assert len(shown) <= max(room, MARK_LENGTH)
    assert all(each.startswith("# … ") or each in text for each in shown.split("\n"))


@given(st.text("`a\n", max_size=60))
def test_a_block_ends_where_it_should(text):
    first, *inside, last = block("x", CellCode(text), 100).split("\n")[2:]

    assert first == f"{last}python"
    assert not any(line.startswith(last) for line in inside)
    assert "\n".join(inside) == text


# -- explain -----------------------------------------------------------------------------------------------------------


def test_a_function_and_a_class_of_a_cell_are_explained_by_their_source(notebook):
    notebook.cell("def half(x):\n    return x / 2")
    notebook.cell(
        "class Shape:\n    def area(self):\n        return 1\n\n    @property\n    def side(self):\n        return 7"
    )

    assert notebook.run("explain half").startswith(f"{EXPLAIN_PROMPT}\n\nhalf: function half\n```python\ndef half(x):")
    assert "class Shape:\n    def area" in notebook.run("explain Shape")
    assert "def area(self):" in notebook.run("explain Shape.area")
    assert "def side(self):\n    return 7" in notebook.run("explain Shape.side")


def test_variables_modules_and_builtins_are_explained_by_what_they_are(notebook):
    notebook.cell("import json\ntable = {'a': [1, 2, {'x y': 5}]}")

    assert "module json" in notebook.run("explain json")
    assert "[1, 2, {'x y': 5}]" in notebook.run("explain table")
    assert "5" in notebook.run('explain table["a"][2]["x y"]')
    assert "function print" in notebook.run("explain print")


def test_words_behind_the_name_are_asked_too(notebook):
    notebook.cell("def half(x):\n    return x / 2")

    sent = notebook.run("explain -t 0 half for which x?")

    assert sent.startswith(f"{EXPLAIN_PROMPT}\n\nfor which x?\n\nhalf: ")


def test_options_may_stand_before_the_name_and_behind_it(notebook):
    notebook.names["table"] = {"two words": 7}

    sent = notebook.run('explain -t 0 table["two words"] -m echo:messages -s brief -- why -t?')

    (turn,) = notebook.state.conversation().turns
    assert (turn.model, turn.system, turn.parameters["temperature"]) == ("messages", "brief", 0)
    assert sent.endswith('\n\nwhy -t?\n\ntable["two words"]:\n7')
    with pytest.raises(OptionError, match=r"there is no option --modle; did you mean --model\?"):
        notebook.run("explain table --modle echo")
    with pytest.raises(OptionError, match="--temperature is given twice"):
        notebook.run("explain -t 0 table -t 1")


def test_a_variable_may_be_called_like_a_provider(notebook):
    notebook.cell("def echo():\n    return 'again'")

    assert "return 'again'" in notebook.run("explain echo")


def test_without_a_name_the_cell_before_is_explained_but_not_one_of_ours(notebook):
    notebook.cell("%time x = 1", "x = 1")
    notebook.note("%flowgpt usage", "get_ipython().run_line_magic('flowgpt', 'usage')")
    notebook.note("  ", "  ")

    assert "The cell (In[1]):\n\n```python\n%time x = 1\n```" in notebook.run("explain")


def test_after_a_reset_cells_are_found_by_their_numbers(notebook):
    notebook.number = 7
    notebook.cell("!true", "get_ipython().system('true')")
    notebook.cell("%time 1 / 0", "1 / 0")

    assert "The cell (In[9]):\n\n```python\n%time 1 / 0\n```" in notebook.run("explain")
    assert "This was run (In[9]):\n\n```python\n%time 1 / 0\n```" in notebook.run("fix")


def test_a_long_cell_is_cut_and_says_so(notebook):
    notebook.cell("\n".join(f"value_{number} = {number}" for number in range(2000)))

    sent = notebook.run("explain")

    assert len(sent) < 2000 * 4 + 300
    assert "value_0 = 0\n" in sent
    assert "lines below\n```" in sent


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("explain", "there is no cell before this one"),
        ("explain tabel", r"there is no tabel here; did you mean table\?"),
        ("explain table.kyes", r"there is no table\.kyes here; did you mean table\.keys\?"),
        ("explain table.keys()", r"table\.keys\(\): explain takes a name such as frame\.columns\[0\], without calls"),
        ("explain table['b']", "there is no table"),
        ("explain the difference", r"there is no the here.* %flowgpt -- sends it as a prompt"),
        ("explain broken.x", r"there is no broken\.x here"),
    ],
)
def test_what_cannot_be_explained_is_an_error_that_says_why(notebook, line, message):
    class Broken:
        def __dir__(self):
            raise RuntimeError

        def __getattr__(self, name):
            raise RuntimeError

    notebook.names |= {"table": {"a": 1}, "broken": Broken()}

    with pytest.raises(OptionError, match=message):
        notebook.run(line)
    assert notebook.state.conversation().turns == []


def test_a_secret_is_sent_only_if_it_is_meant(notebook):
    notebook.names |= {"api_key": "12345", "make_token": lambda: 1}

    with pytest.raises(OptionError, match=r"api_key looks like a secret.*explain api_key!"):
        notebook.run("explain api_key")

    assert "12345" in notebook.run("explain api_key!")
    assert "make_token" in notebook.run("explain make_token")

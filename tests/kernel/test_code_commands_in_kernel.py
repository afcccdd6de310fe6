"""``%flowgpt fix``, ``explain``, ``usage`` and ``%%ai`` in a real kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kernel.conftest import Kernel, Run
from tests.openai_servers import speaking

FAILING = "def half(x):\n    return x / zero  # {zero} is no reference\n\nzero = 0\nhalf(8)"


@pytest.fixture
def kernel(kernel: Kernel) -> Kernel:
    """A kernel in which nothing has failed yet."""
    kernel.good(
        "import sys\n"
        "for name in ('last_exc', 'last_value', 'last_type', 'last_traceback'):\n"
        "    vars(sys).pop(name, None)"
    )
    return kernel


def shown(run: Run) -> str:
    """The text of the reply; below one to ``fix`` there is a remark."""
    reply, *_remark = run.outputs
    return reply["data"]["text/plain"]


def put_below(run: Run) -> list[tuple[str, bool]]:
    """What the front end was asked to put into a cell below, or in place of the running one."""
    return [(each["text"], each["replace"]) for each in run.reply["payload"] if each["source"] == "set_next_input"]


@pytest.fixture
def answering(kernel: Kernel, serve: Callable[..., str]) -> Kernel:
    """A kernel in which the model corrects each error with ``value = 42``."""
    corrected = "Its name is wrong.\n\n```python\nvalue = 42\nprint('value', value)\nvalue\n```"
    address = serve(speaking(corrected))
    kernel.good(f"%config FlowGPT.openai_base_url = '{address}/v1'\n%config FlowGPT.model = 'openai_compatible:m'")
    return kernel


def test_fix_sends_the_cell_that_failed_with_its_error(kernel):
    assert "ZeroDivisionError" in kernel.run(FAILING).error

    number = kernel.good("pass").reply["execution_count"] - 1
    sent = shown(kernel.good("%flowgpt fix why?"))

    assert f"\n\nwhy?\n\nThis was run (In[{number}]):" in sent
    assert f"```python\n{FAILING}\n```" in sent
    assert "The error: ZeroDivisionError" in sent
    assert "→    2     return x / zero  # {zero} is no reference" in sent
    assert "ipykernel" not in sent
    assert sent.rstrip().endswith("ZeroDivisionError: division by zero\n```")


def test_fix_again_is_about_the_same_error(kernel):
    kernel.run("1 / 0")
    kernel.good("x = 1")

    assert "ZeroDivisionError" in shown(kernel.good("%flowgpt fix"))
    assert "ZeroDivisionError" in shown(kernel.good("%flowgpt error echo"))


def test_fix_knows_a_cell_as_it_was_typed_and_the_line_of_a_syntax_error(kernel):
    kernel.run("%%time\nint('{x}')")
    timed = shown(kernel.good("%flowgpt fix"))
    kernel.run("a = 1\nif a\n    b = 2")
    syntax = shown(kernel.good("%flowgpt fix"))

    assert "```python\n%%time\nint('{x}')\n```" in timed
    assert "ValueError: invalid literal for int() with base 10: '{x}'" in timed
    assert "```python\na = 1\nif a\n    b = 2\n```" in syntax
    assert "line 2\n    if a\n" in syntax


def test_fix_sends_the_columns_of_the_frame_and_the_cell_that_made_it(kernel):
    kernel.good("import pandas\nframe = pandas.DataFrame({'sales': [98765.25], 'region': ['north']})")
    kernel.run("frame['Sales'].sum()")

    sent = shown(kernel.good("%flowgpt fix"))

    assert "columns; columns: 'sales' (float64), 'region' (" in sent
    assert "```python\nimport pandas\nframe = pandas.DataFrame(" in sent
    assert sent.count("98765.25") == 1


def test_apply_shows_the_changes_and_puts_the_corrected_cell_below(answering):
    answering.run("value = fourty\nprint('value', value)\nvalue")

    fixed = answering.good("%flowgpt fix")
    applied = answering.good("%flowgpt apply", cell_id="a")
    again = answering.good("%flowgpt apply", cell_id="a")

    offer = fixed.outputs[-1]["data"]["text/plain"]
    (diff,) = applied.outputs
    assert offer == "%flowgpt apply puts the corrected cell below; %flowgpt apply --run runs it."
    assert "\n-value = fourty\n+value = 42\n print(" in diff["data"]["text/plain"]
    assert "rgba(46, 160, 67" in diff["data"]["text/html"]
    assert put_below(applied) == [("value = 42\nprint('value', value)\nvalue", False)]
    assert put_below(again) == []
    assert again.outputs[-1]["data"]["text/plain"] == "this code is below already"


def test_apply_and_run_runs_the_corrected_code_as_a_cell_of_its_own(answering):
    answering.run("value = fourty\nprint('value', value)\nvalue")
    answering.good("%flowgpt fix")

    run = answering.good("%flowgpt apply --run")
    after = answering.good(
        "print(len(In) - 1, In[-2], Out[len(In) - 2], get_ipython().history_manager.writeout_cache())"
    )

    source = "value = 42\nprint('value', value)\nvalue"
    assert run.printed == "value 42\n"
    assert run.outputs[-1]["data"]["text/plain"] == "42"
    assert put_below(run) == [(source, True)]
    assert after.printed == f"{after.reply['execution_count']} {source} 42 None\n"


def test_a_correction_that_fails_too_fails_the_cell_and_is_the_next_error_to_fix(kernel, serve):
    address = serve(speaking("```python\nx = 1\nx.upper()\n```"))
    kernel.good(f"%config FlowGPT.openai_base_url = '{address}/v1'")
    kernel.run("x = one\nx.upper()")

    run = kernel.run("%flowgpt fix openai_compatible:m --run")
    sent = shown(kernel.good("%flowgpt fix echo"))

    assert run.status == "error"
    assert "AttributeError" in run.error
    assert run.error.splitlines()[-1].startswith("CorrectionFailedError: the corrected code failed too, see above")
    assert put_below(run) == []
    assert "AttributeError: 'int' object has no attribute 'upper'" in sent
    assert "x: 1 (int)" in sent


def test_code_that_awaits_is_put_below_and_not_run(kernel, serve):
    address = serve(speaking("```python\nimport asyncio\nawait asyncio.sleep(0)\n```"))
    kernel.good(f"%config FlowGPT.openai_base_url = '{address}/v1'")
    kernel.run("await asyncio.slep(0)")
    kernel.good("%flowgpt fix openai_compatible:m")

    run = kernel.good("%flowgpt apply --run")

    assert "it waits for something with await" in run.outputs[-1]["data"]["text/plain"]
    assert put_below(run) == [("import asyncio\nawait asyncio.sleep(0)", False)]


def test_fix_before_anything_failed_is_one_line(kernel):
    run = kernel.run("%flowgpt fix")

    assert run.status == "error"
    assert run.error.startswith("OptionError: there is no error yet: %flowgpt fix explains the last error of a cell")
    assert len(run.error.splitlines()) == 1


def test_explain_sends_the_source_of_what_was_written_in_a_cell(kernel):
    kernel.good("def half(x):\n    return x / 2\n\nclass Shape:\n    sides = 3\n\ntable = {'a': [1, 2]}")

    assert "```python\ndef half(x):\n    return x / 2\n```" in shown(kernel.good("%flowgpt explain half"))
    assert "class Shape:\n    sides = 3" in shown(kernel.good("%flowgpt explain Shape"))
    assert "[1, 2]" in shown(kernel.good("%flowgpt explain table['a']"))
    assert "did you mean half?" in kernel.run("%flowgpt explain halff").error


def test_explain_without_a_name_is_about_the_cell_before(kernel):
    kernel.good("!true\nx = {1}")
    kernel.good("%flowgpt usage")

    assert "```python\n!true\nx = {1}\n```" in shown(kernel.good("%flowgpt explain"))


def test_usage_is_a_chart_with_a_table(kernel):
    assert "no requests" in kernel.good("%flowgpt usage").printed

    kernel.good("%flowgpt how many?")
    (output,) = kernel.good("%flowgpt usage").outputs

    assert "<svg" in output["data"]["text/html"]
    assert "echo:words" in output["data"]["text/plain"]

"""``%flowgpt fix``, ``explain``, ``usage`` and ``%%ai`` in a real kernel."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import Kernel, Run

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
    """The one output's text; there must be exactly one."""
    (output,) = run.outputs
    return output["data"]["text/plain"]


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
    assert "no prompts" in kernel.good("%flowgpt usage").printed

    kernel.good("%flowgpt how many?")
    (output,) = kernel.good("%flowgpt usage").outputs

    assert "<svg" in output["data"]["text/html"]
    assert "echo:words" in output["data"]["text/plain"]

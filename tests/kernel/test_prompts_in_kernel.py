"""Options, references, attachments and formats, in a real kernel."""

from __future__ import annotations

import json

import pytest

from tests.kernel.conftest import Run
from tests.kernel.test_cells import shown


def next_input(run: Run) -> str | None:
    """What the front end was asked to put into a cell below."""
    found = [each["text"] for each in run.reply["payload"] if each["source"] == "set_next_input"]
    return found[-1] if found else None


def remark(run: Run) -> str:
    """The line below the reply."""
    return run.outputs[-1]["data"]["text/plain"]


def test_names_in_braces_reach_the_model_as_their_values(kernel):
    kernel.good("name = 'Ada {secret}'\nsecret = 'hidden'\nnumbers = {'a': [1, 2]}")

    assert shown(kernel.good("%%flowgpt\n{name} {numbers['a'][1]} {undefined} {api_key}")) == (
        "Ada {secret} 2 {undefined} {api_key}"
    )
    assert shown(kernel.good("%%flowgpt --raw\n{name}")) == "{name}"
    assert shown(kernel.good("%flowgpt -- it is {name}")) == "it is Ada {secret}"


@pytest.mark.parametrize(
    "prompt",
    [
        '{"a": 1, "b": {"c": 2}}',
        'f"{x:.2f}" and {x!r}',
        "a { color: red } .b{color:blue}",
        r"\frac{x}{y} and x^{x}",
        "${x} $5 {{x}} {x.upper()} {x + 1}",
        "<?xml {}",
    ],
)
def test_what_is_no_reference_passes_untouched(kernel, prompt):
    kernel.good("x = 'REPLACED'")

    assert "REPLACED" not in shown(kernel.good(f"%%flowgpt -f text\n{prompt}"))


def test_in_out_and_the_last_error_can_be_named(kernel):
    kernel.good("6 * 7")
    kernel.run("1 / 0")
    number = int(kernel.good("print(max(Out))").printed)

    text = shown(kernel.good(f"%%flowgpt\n{{Out[{number}]}} {{In[{number}]}} {{Err}}"))

    assert text.startswith("42 6 * 7 ")
    assert "ZeroDivisionError: division by zero" in text


def test_attachments_are_sent_below_the_prompt(kernel, tmp_path):
    (tmp_path / "notes.txt").write_text("from a file")
    kernel.good("def double(x):\n    return 2 * x\nnumbers = [1, 2]")

    text = shown(kernel.good(f"%%flowgpt -a numbers,double -a cell:-1,{tmp_path / 'notes.txt'}\nLook."))

    assert text.startswith("Look.\n\nnumbers:\n[1, 2]")
    assert text.count("return 2 * x") == 2
    assert "from a file" in text


def test_a_dry_run_shows_the_messages_and_sends_and_keeps_nothing(kernel):
    kernel.good("word = 'value'")

    text = shown(kernel.good("%%flowgpt flowgpt --dry-run -s 'be kind' -t 0.5\nthe {word}"))

    assert "claude" not in text
    assert "provider    flowgpt" in text
    assert text.endswith("--- system\nbe kind\n--- user\nthe value\n--- nothing was sent")
    assert "0 turns" in shown(kernel.good("%flowgpt"))


@pytest.mark.parametrize(
    ("line", "kind", "part"),
    [
        ("-f code", "text/markdown", "```python\nx = 1\n```\n\n<details"),
        ("-f md", "text/markdown", "Sure!"),
        ("-f text", "text/html", "<pre"),
        ("-f html", "text/html", "Sure!"),
        ("-f json", "text/markdown", "the reply is not JSON"),
    ],
)
def test_formats_show_the_reply_in_their_way_and_keep_it_as_it_came(kernel, line, kind, part):
    reply = "Sure!\n\n```python\nx = 1\n```"

    run = kernel.good(f"%%flowgpt {line} -o answer\n{reply}")

    (output,) = run.outputs
    assert part in output["data"][kind]
    assert output["data"]["text/plain"] == reply
    assert kernel.good("print(answer.text)").printed == f"{reply}\n"


def test_json_is_pretty(kernel):
    (output,) = kernel.good('%%flowgpt --raw -f json\n{"b":[1,2]}').outputs

    assert json.loads(output["data"]["text/markdown"].split("```")[1].removeprefix("json")) == {"b": [1, 2]}
    assert '"b": [\n' in output["data"]["text/markdown"]


BLOCKS = "Sure!\n\n```bash\necho one\n```\n\n```python\nx = 1\n```\n\n```js\nf()\n```\n\n```sh\npwd\n```"


def test_the_code_of_a_reply_goes_into_the_next_cell_once(kernel):
    cell = "%%flowgpt --next-cell\nSure!\n\n```python\nx = 1\n```"

    first, again = kernel.good(cell, cell_id="a"), kernel.good(cell, cell_id="a")
    none = kernel.good("%%flowgpt --next-cell\nno code", cell_id="b")
    headless = kernel.good(cell, allow_stdin=False)

    assert next_input(first) == "x = 1"
    assert next_input(again) is None
    assert remark(again) == "this code is below already"
    assert remark(none) == "the reply contains no code to put into a cell"
    assert next_input(headless) is None
    assert "to copy into a cell:\n\nx = 1" in headless.printed


def test_each_block_becomes_a_cell_and_follows_when_the_one_before_has_run(kernel):
    first = kernel.good(f"%%flowgpt --next-cell\n{BLOCKS}", cell_id="a")
    unrelated = kernel.good("print('something else entirely')")
    second = kernel.good("%%bash\necho one, edited")
    failed = kernel.run("x = 1 / 0")
    third = kernel.good("x = 1")
    end = kernel.good("%%bash\npwd")

    assert next_input(first) == "%%bash\necho one"
    assert remark(first) == "not put into a cell: js; only Python and shell code is"
    assert next_input(unrelated) is None
    assert next_input(second) == "x = 1"
    assert next_input(failed) is None
    assert next_input(third) == "%%bash\npwd"
    assert next_input(end) is None


def test_only_the_end_or_nothing_is_shown_where_asked(kernel):
    kernel.good("%config FlowGPT.pace = 0.02")

    end = kernel.good("%%flowgpt --no-stream\none two three four five six")
    nothing = kernel.good("%%flowgpt --quiet -o answer\none two")
    kernel.good("print(answer)")

    assert [len(run.of_type("display_data", "update_display_data")) for run in (end, nothing)] == [1, 0]
    assert shown(end) == "one two three four five six"
    assert nothing.printed == nothing.complained == ""
    assert kernel.good("print(answer)").printed == "one two\n"


def test_parameters_go_to_the_provider_that_names_them(kernel):
    failed = kernel.run("%%flowgpt echo -P fail_after=1 -P pace=0\none two")
    unknown = kernel.run("%%flowgpt echo -P top_q=1\none two")
    tokens = kernel.run("%%flowgpt echo --max-tokens 5\none two")

    assert "told to fail after 1 chunks" in failed.error
    assert "echo takes no parameter top_q" in unknown.error
    assert "echo takes no parameter max_tokens" in tokens.error


def test_silence_ends_a_reply_where_asked(kernel):
    run = kernel.run("%%flowgpt echo -P pace=3600 --timeout 0.2\none two")

    assert run.error.startswith(
        "ProviderTimeoutError: nothing was received for 0.2 s: allow more seconds with --timeout"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-f image", "no installed provider makes images"),
        ("-a nobody", "nobody: no variable or file has this name"),
        ("-a ''", "-a needs a value"),
        ("-a ,x", "must be names separated by commas"),
        ("-P 5", "must be name=value"),
        ("--timeout soon", "must be a number"),
        ("--retries -1", "must be a number of at least 0"),
        ("--max-tokens 0", "must be a number of at least 1"),
        ("-s @nowhere.txt", "No such file"),
        ("Echo", "did you mean echo?"),
        ("ecko --no-history", "did you mean echo?"),
    ],
)
def test_bad_input_is_one_error_and_asks_nobody(kernel, line, said):
    run = kernel.run(f"%%flowgpt {line}\nconfidential")

    assert run.status == "error"
    assert said in run.error
    assert len(run.error.splitlines()) <= 2
    assert "0 turns" in shown(kernel.good("%flowgpt"))


def test_a_pasted_session_arrives_as_it_was_pasted(kernel):
    text = ">>> 1 + 1\n2\n>>> print('x')\nx"

    assert shown(kernel.good(f"%%flowgpt -f text\n{text}")) == text


def test_a_transcript_is_exported_and_imported(kernel, tmp_path):
    kernel.good("%%flowgpt\none")

    exported = kernel.good(f"%flowgpt export {tmp_path / 'talk.md'}")
    imported = kernel.good(f"%flowgpt import {tmp_path / 'talk.md'}")

    assert exported.printed.startswith("exported main with 1 turn to ")
    assert imported.printed.startswith("imported main (2) with 1 turn from ")
    assert "one" in shown(kernel.good("%flowgpt history"))

"""The magics in terminal IPython, under a pseudo-terminal."""

from __future__ import annotations

import re

import pexpect
import pytest

from tests.terminal.conftest import COLUMNS, STEERING


def test_a_reply_is_printed_once_with_who_answered(terminal):
    shown = terminal.run("%flowgpt some **bold** words")

    assert shown.count("some bold words") == 1
    assert "[echo:words" in shown
    assert "Out[" not in shown
    assert "Reply" not in shown


def test_words_are_printed_as_they_arrive_and_an_interrupt_keeps_them(terminal):
    terminal.run("%config FlowGPT.pace = 0.05")
    terminal.child.sendline("r = %flowgpt " + "word " * 500)
    terminal.child.expect("word word")

    terminal.child.sendintr()
    shown = terminal.next_prompt()

    assert shown.lower().count("interrupted") == 1
    assert "s · interrupted]" in shown
    assert "Traceback" not in shown
    assert "after an interrupt" in terminal.run("print('after an interrupt')")


@pytest.mark.parametrize("options", ["", "-f json "])
def test_while_nothing_has_come_a_line_counts_the_seconds_and_is_erased(terminal, options):
    terminal.run("%config FlowGPT.pace = 3")
    terminal.child.sendline(f"%flowgpt {options}[1]")

    terminal.child.expect(r"\x1b7[^\n]*echo:words · \d s")
    terminal.next_prompt()
    after = terminal.child.before.rpartition("\x1b8\x1b[K")[2]

    assert not re.search(r"echo:words · \d s", after.replace("[echo:words", ""))
    assert "1" in STEERING.sub("", after).partition("[echo:words")[0]


def test_what_is_captured_never_holds_that_line(terminal):
    terminal.run("%config FlowGPT.pace = 1.2")
    terminal.run("get_ipython().run_cell_magic('capture', 'kept', '%flowgpt hello')")

    assert re.search(r"'hello\\n\[echo:words · .* · \d+\.\d s\]\\n'", terminal.run("kept.stdout"))


def test_an_interrupt_ends_a_pause_before_another_try(terminal, refusing_server):
    terminal.run(f"%config FlowGPT.base_url = '{refusing_server}'")
    terminal.child.sendline("r = %flowgpt -m flowgpt hello")
    terminal.child.expect(r"flowgpt answered 429; asking again in \d+ s")

    terminal.child.sendintr()
    shown = terminal.next_prompt()

    assert shown.lower().count("interrupted") == 1
    assert "Traceback" not in shown


def test_several_models_answer_one_below_the_other_and_an_interrupt_stops_all(terminal):
    shown = terminal.run("%flowgpt -m echo,echo:messages some **bold** words")
    assert re.search(
        r"1 echo\s+some bold words\s+\[echo:words[^\n]*\s+2 echo:messages\s+user: some bold words\s+\[echo:messages",
        shown,
    )
    assert "Out[" not in shown

    terminal.run("%config FlowGPT.pace = 0.05")
    terminal.child.sendline("r = %flowgpt -m echo,echo:messages " + "word " * 500)
    terminal.child.expect("word word")
    terminal.child.sendintr()
    shown = terminal.next_prompt()

    assert shown.count("s · interrupted]") == 2
    assert "Traceback" not in shown


def test_reasoning_is_one_dim_line_which_the_answer_takes_the_place_of(terminal):
    terminal.run("%config FlowGPT.pace = 0.05")
    thoughts = " ".join(f"thought{number}" for number in range(20))

    shown = terminal.run(f"%flowgpt <think>{thoughts}</think> the answer")

    assert re.search(r"Thinking… 1 s\s*the answer\s+\[echo:words · .* · thought 1 s", shown)
    assert "thought7" not in shown


def test_a_reply_can_be_assigned_and_used(terminal):
    terminal.run("r = %flowgpt hello there")

    assert "complete hello there" in terminal.run("print(r.status, r.text)")
    assert "[echo:words" in terminal.run("r")


def test_an_error_is_one_line(terminal):
    shown = terminal.run("%flowgpt -m echoo hi").strip()

    assert shown.startswith("ModelNotSupportedError: no model, provider or alias 'echoo'; did you mean echo?")
    assert "Traceback" not in shown


def test_leaving_prints_nothing(terminal):
    terminal.run("%flowgpt hello")

    terminal.child.sendline("exit")
    terminal.child.expect(pexpect.EOF)

    assert STEERING.sub("", terminal.child.before).strip() == ""


def test_a_question_reaches_the_model_though_the_percent_sign_is_missing(simple):
    assert "what is a list?\n\n[echo:words" in simple.run("flowgpt what is a list?")


def test_a_cell_goes_on_until_lines_are_left_empty(real):
    shown = real.run("%%flowgpt -f text", "first line", "second line", "", "")

    assert "first line\nsecond line\n[echo:words" in shown
    assert "Error" not in shown


@pytest.mark.parametrize("typed", ["%flowgpt vers\t", "flowgpt vers\t", "r = %flowgpt vers\t"])
def test_tab_completes_a_subcommand(real, typed):
    real.child.send(typed)
    real.child.expect("ion")  # is added to what stands there; Enter would not wait for it

    assert "flowgpt_magic 0." in real.run("")


def test_tab_completes_a_name_in_a_prompt_and_offers_nothing_of_pythons(real):
    real.run("nachbar = 'Ada'")

    real.child.send("%flowgpt pri\t who is {nach\t")
    real.child.expect("bar")

    assert "pri who is Ada" in real.run("}")


def test_the_help_is_what_a_question_mark_shows(real):
    assert "the lines below are the prompt" in real.run("%flowgpt?")


@pytest.mark.parametrize(
    "lines",
    [
        ("%%time", "%flowgpt hello", "", ""),
        ("%%capture --no-stdout", "%flowgpt hello", "", ""),
        ("if True:", "%flowgpt hello", ""),
        ("for n in range(1):", "r = %flowgpt hello", ""),
    ],
)
def test_a_reply_is_no_empty_output(real, lines):
    shown = real.run(*lines)

    assert shown.count("[echo:words") == 1
    assert "Out[" not in shown


def test_a_reply_that_a_function_returns_is_shown_once(real):
    real.run("def ask(n):", "return get_ipython().run_line_magic('flowgpt', 'number {n}')", "")

    shown = real.run("ask(3)")

    assert shown.count("number 3") == 1
    assert shown.rstrip().endswith(": the reply above")


def test_one_of_two_replies_of_a_cell_is_assigned(simple):
    simple.run("%%flowgpt one", "", "")
    simple.run("if True:", "    a = %flowgpt first", "    %flowgpt second", "")

    assert "first" in simple.run("a.text")


def test_a_table_is_as_wide_as_the_terminal(simple):
    simple.run("%flowgpt " + "a long prompt " * 30)

    lines = simple.run("%flowgpt history").lstrip().splitlines()

    assert lines[0].startswith("turn  prompt")
    assert max(map(len, lines)) <= COLUMNS


def test_the_code_of_a_reply_goes_into_the_next_prompt(real):
    shown = real.run("%%flowgpt --next-cell", "```python", "answer = 6 * 7", "```", "", "")
    real.child.expect(r"answer = 6 \* 7")  # put there, and not run

    assert "answer = 6 * 7" in shown
    real.run("")
    assert "42" in real.run("answer")


def test_a_failure_can_be_asked_about(simple):
    simple.run("1 / 0")

    shown = simple.run("%flowgpt fix")

    assert "ZeroDivisionError: division by zero" in shown
    assert "    1 / 0" in shown


def test_a_reply_in_a_list_is_not_asked_for_its_looks(simple):
    shown = simple.run("from flowgpt_magic import ask; [ask('one'), 2]")

    assert "not sent yet" in shown
    assert "one\n" not in shown


def test_a_batch_is_asked_as_the_value_of_the_last_line(simple):
    shown = simple.run("from flowgpt_magic import map_prompts; map_prompts(['one', 'two'])")

    assert "echo:words · 2 complete · " in shown
    assert re.search(r"\n1  two +two ", shown)

"""A model's reasoning in a real kernel: where it is shown, and where it never is."""

from __future__ import annotations

import re

from tests.kernel.conftest import Kernel, Run

THOUGHTS = "First <b>this</b> then that and so on until it is clear"
THINKS = f"%%flowgpt echo:words -P pace=0.1\n<think>{THOUGHTS}</think> the answer"
KEPT = r'<details class="flowgpt-reasoning"[^>]*><summary><small>Thought for'


def updates(run: Run) -> list[str]:
    """The Markdown of everything that was shown, in its order."""
    shown = run.of_type("display_data", "update_display_data")
    return [content["data"].get("text/markdown", "") for _when, content in shown]


def test_reasoning_is_one_line_that_opens_and_the_saved_output_has_none_of_it(kernel: Kernel):
    run = kernel.good(THINKS)

    lines = [page for page in updates(run) if 'class="flowgpt-reasoning' in page]
    assert lines
    assert all(re.search(r"<summary><small>Thinking… \d+ s", line) for line in lines)
    assert any("&lt;b&gt;this&lt;/b&gt;" in line for line in lines)
    (output,) = run.outputs
    assert output["data"]["text/plain"] == "the answer"
    assert "First" not in str(output)
    assert re.search(r"thought \d+ s", output["data"]["text/markdown"])


def test_keep_reasoning_keeps_it_folded_above_the_answer_and_never_in_the_plain_text(kernel: Kernel):
    kernel.good("%flowgpt set keep_reasoning True")
    try:
        (output,) = kernel.good(THINKS).outputs
    finally:
        kernel.good("%flowgpt unset keep_reasoning")

    assert output["data"]["text/plain"] == "the answer"
    assert re.match(
        r'<details class="flowgpt-reasoning"[^>]*><summary><small>Thought for', output["data"]["text/markdown"]
    )
    assert "First &lt;b&gt;this" in output["data"]["text/markdown"]


def test_it_is_not_sent_back_and_can_be_looked_at_later(kernel: Kernel):
    kernel.good(THINKS)

    kernel.good("%%flowgpt echo:messages -o sent\nand then?")
    shown = kernel.good("%flowgpt show -2 --reasoning")

    answers = "[message['content'] for message in sent.messages if message['role'] == 'assistant'][-1]"
    assert kernel.good(f"print({answers}, repr(sent.reasoning))").printed == "the answer ''\n"
    assert "First <b>this</b> then that" in shown.outputs[0]["data"]["text/plain"].rpartition("</think>")[2]


def test_stop_during_the_reasoning_keeps_it(kernel: Kernel):
    times: list[bool] = []

    def interrupt_once(message: dict) -> None:
        if not times and "Thinking…" in str(message["content"].get("data", "")):
            times.append(True)
            kernel.interrupt()

    endless = f"%%flowgpt echo:words -P pace=0.1 -o reply\n<think>{'once more ' * 500}"
    run = kernel.collect(kernel.send(endless), on_message=interrupt_once)

    assert run.status == "error"
    assert "of reasoning received so far are kept; the answer had not begun" in run.reply["traceback"][0]
    assert "%flowgpt show --reasoning has the thoughts" in run.outputs[0]["data"]["text/markdown"]
    assert kernel.good("print(reply.status, reply.reasoning_so_far[:9])").printed == "cancelled once more\n"
    assert "once more once more" in kernel.good("%flowgpt show --reasoning").outputs[0]["data"]["text/plain"]

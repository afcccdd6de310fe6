"""What a page of JupyterLab asks of a real kernel about a failed cell, models and replies that arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.kernel.conftest import Kernel
from tests.kernel.pages import Page
from tests.openai_servers import speaking

CORRECTED = "The divisor is zero.\n\n```python\nhalf = 10 / 2\n```\n"

TURNS = "from flowgpt_magic import Conversation\nprint([(turn.model, turn.version) for turn in Conversation().turns])"


def answered_by(kernel: Kernel, address: str) -> None:
    kernel.good(f"%config FlowGPT.openai_base_url = '{address}/v1'\n%config FlowGPT.model = 'openai_compatible:m'")


def fails(kernel: Kernel, code: str) -> dict[str, Any]:
    """Run a cell that fails: what a page then knows of it."""
    run = kernel.run(code)
    (error,) = [content for _when, content in run.of_type("error")]
    shown = {"ename": error["ename"], "evalue": error["evalue"], "traceback": "\n".join(error["traceback"])}
    return {"source": code, "number": run.reply["execution_count"], **shown}


def hear(page: Page, kind: str = "fix") -> dict[str, Any]:
    """The next message of this kind."""
    while True:
        message = page.messages.pop(0) if page.messages else page.hear()
        if message["kind"] == kind:
            return message


def ended(page: Page, request: dict[str, Any]) -> dict[str, Any]:
    """What the page is told in the end of the fix that it asks for."""
    page.ask("fix", fix="a fix", **request)
    while "ending" not in (message := hear(page)):
        assert message["fix"] == "a fix"
    return dict(message["ending"])


def last_prompt(kernel: Kernel) -> str:
    code = "from flowgpt_magic import Conversation; print(Conversation().turns[-1].prompt)"
    return kernel.good(code).printed


def test_a_fix_sends_the_cell_with_its_variables_and_brings_the_difference(kernel: Kernel, serve: Callable[..., str]):
    answered_by(kernel, serve(speaking(CORRECTED)))
    kernel.good("divisor = 0")
    failed = fails(kernel, "half = 10 / divisor")
    page = Page(kernel)

    ending = ended(page, failed)

    assert ending["rows"] == [["-", "half = 10 / divisor"], ["+", "half = 10 / 2"]]
    assert (ending["failed"], ending["corrected"]) == ("half = 10 / divisor", "half = 10 / 2")
    assert ending["label"] == f"In[{failed['number']}]"
    assert ending["explanation"] == ['<p dir="auto">The divisor is zero.</p>']
    assert "divisor: 0" in last_prompt(kernel)
    assert "+half = 10 / 2" in str(kernel.good("%flowgpt apply").outputs)


def test_the_error_of_a_cell_before_the_last_one_is_sent_as_the_page_shows_it(
    kernel: Kernel, serve: Callable[..., str]
):
    answered_by(kernel, serve(speaking(CORRECTED)))
    failed = fails(kernel, "half = 10 / 0")
    fails(kernel, "unknown")

    ending = ended(Page(kernel), {**failed, "source": "half = 10 / 1"})

    sent = last_prompt(kernel)
    assert ending["failed"] == "half = 10 / 0"  # as it was run, not as it was edited since
    assert f"This was run (In[{failed['number']}]):\n\n```python\nhalf = 10 / 0\n```" in sent
    assert "ZeroDivisionError: division by zero" in sent
    assert "unknown" not in sent
    assert "\x1b" not in sent


def test_the_error_of_another_kernel_is_sent_with_the_cell_that_the_page_shows(
    kernel: Kernel, serve: Callable[..., str]
):
    answered_by(kernel, serve(speaking(CORRECTED)))
    traceback = "Traceback (most recent call last)\nCell In[1], line 2\n      1 # half\n----> 2 half = 10 / 0\n\nZero…"
    shown = {"ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": traceback}

    ending = ended(Page(kernel), {"source": "# half\nhalf = 10 / 0", "number": 1, **shown})

    assert (ending["failed"], ending["label"]) == ("# half\nhalf = 10 / 0", "")
    assert "This was run:\n\n```python\n# half\nhalf = 10 / 0\n```" in last_prompt(kernel)


def test_a_reply_without_code_says_so(kernel: Kernel, serve: Callable[..., str]):
    answered_by(kernel, serve(speaking("It divides by zero.")))

    ending = ended(Page(kernel), fails(kernel, "half = 10 / 0"))

    assert ending["trouble"].startswith("the reply to %flowgpt fix contains no code to apply")
    assert ending["explanation"] == ['<p dir="auto">It divides by zero.</p>']


def test_a_reply_that_repeats_the_cell_says_so(kernel: Kernel, serve: Callable[..., str]):
    answered_by(kernel, serve(speaking("```python\nhalf = 10 / 0\n```")))

    ending = ended(Page(kernel), fails(kernel, "half = 10 / 0"))

    assert ending["trouble"].startswith("the reply to %flowgpt fix repeats the code that failed")
    assert "corrected" not in ending


def test_a_fix_that_is_stopped_keeps_its_text(kernel: Kernel):
    kernel.good("%config FlowGPT.pace = 0.2")
    page = Page(kernel)
    turn = page.ask("fix", **fails(kernel, "half = 10 / 0"))["turn"]

    while not hear(page)["text"]:
        pass
    stopped = page.ask("stop", turn=turn)["stopped"]

    while "ending" not in (message := hear(page)):
        pass
    assert stopped == 1
    assert message["ending"]["trouble"].startswith("stopped: the ")


def test_stop_without_a_turn_stops_all_replies(kernel: Kernel):
    kernel.good("%config FlowGPT.pace = 0.2")
    page = Page(kernel)
    page.ask("fix", **fails(kernel, "half = 10 / 0"))

    assert page.ask("stop")["stopped"] == 1
    assert page.ask("stop")["stopped"] == 0


def test_an_empty_cell_of_another_kernel_is_refused(kernel: Kernel):
    shown = {"ename": "NameError", "evalue": "x", "traceback": "NameError: x"}

    assert Page(kernel).ask("fix", source=" ", number=900, **shown)["error"].startswith("the cell is empty")


def test_a_page_gets_the_models_and_those_of_a_server_when_it_has_answered(kernel: Kernel, serve: Callable[..., str]):
    address = serve(speaking("fine", models=("large", "small")))
    kernel.good(f"%config FlowGPT.openai_base_url = '{address}/v1'")
    page = Page(kernel)

    rows = page.ask("models", list=7)["models"]
    names = [row["name"] for row in rows if row["able"]]
    while "openai_compatible:large" not in names:
        message = hear(page, "models")
        assert message["list"] == 7
        names = [row["name"] for row in message["models"] if row["able"]]

    assert {"echo:words", "echo:messages"} <= set(names)


def test_a_prompt_cell_is_answered_by_the_model_that_its_run_names(kernel: Kernel):
    def run(model: Any) -> str:
        content = {"code": "%%flowgpt -m echo -t 0\nhello", "silent": False, "store_history": True}
        request = kernel.client.session.msg("execute_request", {**content, "allow_stdin": True})
        request["metadata"].update({"cellId": "a-prompt", "flowgpt_model_for_this_run": model})
        kernel.client.shell_channel.send(request)
        kernel.collect(request["header"]["msg_id"])
        return kernel.good(TURNS).printed.strip()

    assert run(None) == "[('words', 1)]"
    assert run("echo:messages") == "[('messages', 2)]"
    assert run(["not a name"]) == "[('words', 3)]"

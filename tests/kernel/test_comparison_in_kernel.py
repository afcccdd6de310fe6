"""One prompt and several models in a real kernel."""

from __future__ import annotations

import re

import pytest

from tests.kernel.conftest import Kernel, Run

SLOW = "%flowgpt alias slow echo:words -P pace=0.05\n%flowgpt alias broken echo:words -P fail_after=0"
LONG = " ".join(f"word{number}" for number in range(2000))


@pytest.fixture
def compared(kernel: Kernel) -> Kernel:
    """A kernel with a slow model and one that fails."""
    kernel.good(SLOW)
    return kernel


def interrupted(kernel: Kernel, code: str, after: str) -> Run:
    """Run a cell, and interrupt it when an output shows this text."""
    times: list[bool] = []

    def interrupt_once(message: dict) -> None:
        if not times and after in str(message["content"].get("data", "")):
            times.append(True)
            kernel.interrupt()

    return kernel.collect(kernel.send(code), on_message=interrupt_once)


def test_the_columns_grow_in_one_output_which_has_all_replies_at_the_end(compared):
    run = compared.good("%%flowgpt -m slow,echo -o both\none two **three** four five six seven eight nine ten")

    (output,) = run.outputs
    pages = [content["data"]["text/html"] for _when, content in run.of_type("display_data", "update_display_data")]
    assert len(pages) > 3
    whole = "one two three four five six seven eight nine ten"
    firsts = [re.sub("<[^>]+>", "", page.partition("<p>")[2].partition("</p>")[0]).strip() for page in pages]
    assert all(whole.startswith(first) for first in firsts)
    assert any(0 < len(first) < len(whole) for first in firsts)
    assert output["data"]["text/plain"].startswith("1 slow\none two **three**")
    assert [column["name"] for column in output["metadata"]["flowgpt"]["columns"]] == ["slow", "echo"]
    assert compared.good("print(both.live, [reply.status for reply in both])").printed == "1 ['complete', 'complete']\n"
    assert compared.good("both").outputs[0]["data"]["text/plain"].startswith("1 slow\n")


def test_an_interrupt_stops_all_keeps_their_texts_and_fails_the_cell(compared):
    compared.good("%flowgpt alias slower echo:words -P pace=3600")

    run = interrupted(compared, f"%%flowgpt -m slow,slower,echo\n{LONG}", after="word1 ")

    assert (run.status, run.error) == ("error", "")
    assert re.fullmatch(r"Interrupted: the [\d,]+ characters received so far are kept\.", run.reply["traceback"][0])
    (output,) = run.outputs
    statuses = [column["status"] for column in output["metadata"]["flowgpt"]["columns"]]
    assert statuses[:2] == ["cancelled", "cancelled"]
    assert statuses[2] in ("complete", "cancelled")  # it may have ended before the interrupt
    assert output["data"]["text/plain"].startswith("1 slow\nword0 ")
    assert compared.good("%flowgpt -m echo next").outputs[0]["data"]["text/plain"] == "next"


def test_eight_models_one_down_are_eight_columns_and_no_error(compared):
    for number in range(6):
        compared.good(f"%flowgpt alias m{number} echo:messages -t 0.{number}")

    run = compared.good("%%flowgpt -m m0,m1,m2,broken,m3,m4,m5,slow\nhello")

    (output,) = run.outputs
    columns = output["metadata"]["flowgpt"]["columns"]
    assert [column["status"] for column in columns].count("complete") == 7
    assert "echo was told to fail after 0 chunks" in output["data"]["text/html"]


def test_a_headless_run_has_one_output_without_updates(compared):
    run = compared.good("%%flowgpt -m slow,echo\none two three four five six", allow_stdin=False)

    assert [message["msg_type"] for _when, message in run.messages if "display" in message["msg_type"]] == [
        "display_data"
    ]


def test_all_that_fail_fail_the_cell_with_one_line(compared):
    run = compared.run("%%flowgpt -m broken,broken2\nhello".replace("broken2", "flowgpt:nosuch"))
    assert run.status == "error"
    assert len(run.error.splitlines()) == 1


def test_a_cell_that_is_run_again_replaces_its_turn_and_keep_chooses(compared):
    for prompt in ("one", "two"):
        compared.good(f"%%flowgpt -m echo,echo:messages\n{prompt}", cell_id="0f1e2d3c-0000-4000-8000-000000000000")

    kept = compared.good("%flowgpt keep 2")

    assert kept.printed == "turn 1 has the reply of echo:messages now; %flowgpt undo takes that back\n"
    assert "1 turn" in compared.good("%flowgpt").outputs[0]["data"]["text/plain"]
    assert compared.good("%flowgpt -m echo:messages next").outputs[0]["data"]["text/plain"] == (
        "user: two\nassistant: user: two\nuser: next"
    )

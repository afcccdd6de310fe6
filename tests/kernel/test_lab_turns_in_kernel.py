"""What the line below a reply asks of a real kernel."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.kernel.conftest import Kernel
from tests.kernel.pages import Page

ASKED = "%%flowgpt -m echo -t 0.3 -s brief\n"
SHIP_IT = "```python\nprint(1)\n```\n\nand\n\n```rust\nfn main() {}\n```"


def turn_of(kernel: Kernel, cell: str) -> str:
    """The id of the turn whose reply the last output of this cell shows."""
    return str(kernel.good(cell).outputs[-1]["metadata"]["flowgpt"]["turn_id"])


def ask(page: Page, action: str, **request: Any) -> dict[str, Any]:
    return page.ask("turn", action=action, **request)


def until_ended(page: Page, stream: str) -> list[dict[str, Any]]:
    """The messages of a prompt that was sent again; the last one is its end."""
    messages = [message for message in page.messages if message.get("stream") == stream]
    while not messages or messages[-1]["kind"] != "turn_ended":
        messages.append(page.hear())
    return messages


def test_a_page_learns_what_was_sent(kernel: Kernel):
    kernel.good("frame = [1, 2, 3]")
    turn, page = turn_of(kernel, f"{ASKED}What is in {{frame}}?"), Page(kernel)

    answer = ask(page, "details", turn=turn)

    facts = dict(answer["facts"])
    assert answer["prompt"] == "What is in [1, 2, 3]?"
    assert answer["system"] == "brief"
    assert answer["sent"][:1] == ["prompt"]
    assert facts["model"].startswith("echo:")
    assert "temperature = 0.3" in facts["parameters"]
    assert "turn 1" in facts["conversation"]
    assert "tokens" in facts["tokens"]
    assert facts["id"] == turn


def test_a_page_learns_what_the_model_thought_and_for_how_long(kernel: Kernel):
    turn = turn_of(kernel, "%%flowgpt -m echo\n<think>first this</think> the answer")

    answer = ask(Page(kernel), "details", turn=turn)

    assert answer["reasoning"] == "first this"
    assert re.fullmatch(r"\d+\.\d s", dict(answer["facts"])["reasoning"])


def test_a_page_learns_which_earlier_turns_were_sent(kernel: Kernel):
    first = turn_of(kernel, "%%flowgpt -m echo\nOne\nand more")
    second, page = turn_of(kernel, "%%flowgpt -m echo\nTwo"), Page(kernel)

    assert ask(page, "details", turn=first)["turns"] == []
    assert ask(page, "details", turn=second)["turns"] == ["One and more → One and more"]
    kernel.good("%flowgpt edit 1 Uno")
    assert ask(page, "details", turn=second)["turns"][0].startswith("Some of these have changed")


def test_a_turn_that_is_in_no_history_is_missing(kernel: Kernel):
    kept_nowhere = turn_of(kernel, "%%flowgpt -m echo --no-history\nhello")
    page = Page(kernel)

    assert ask(page, "details", turn=kept_nowhere)["missing"]
    assert ask(page, "versions", turns=[kept_nowhere, "nonsense", 3])["turns"] == {}
    assert "not in the history of this kernel" in ask(page, "retry", turn=kept_nowhere, stream="s")["error"]
    assert "reload the page" in ask(page, "of tomorrow")["error"]


def test_asking_again_shows_a_new_version_and_an_earlier_one_can_be_chosen(kernel: Kernel):
    first, page = turn_of(kernel, "%%flowgpt -m echo\nA word of welcome"), Page(kernel)

    second = ask(page, "retry", turn=first, stream="one")["turn"]
    *_changes, shown, end = until_ended(page, "one")

    assert end["error"] == ""
    assert shown["metadata"]["flowgpt"]["turn_id"] == second
    assert shown["metadata"]["flowgpt"]["status"] == "complete"
    assert "flowgpt-caption" in shown["data"]["text/markdown"]
    assert ask(page, "versions", turns=[second])["turns"] == {second: {"version": 2, "versions": 2}}

    chosen = ask(page, "choose", turn=second, version=1)

    assert (chosen["turn"], chosen["version"], chosen["versions"]) == (first, 1, 2)
    assert chosen["metadata"]["flowgpt"]["turn_id"] == first
    kernel.good("from flowgpt_magic import Conversation")
    assert kernel.good("print(Conversation().turns[0].turn_id)").printed.strip() == first
    assert "no version 7" in ask(page, "choose", turn=second, version=7)["error"]


def test_the_format_of_the_cell_stays_that_of_the_other_versions(kernel: Kernel):
    turn, page = turn_of(kernel, '%%flowgpt -m echo -f json\n{"a": 1}'), Page(kernel)

    ask(page, "retry", turn=turn, stream="j", format="json")
    shown = until_ended(page, "j")[-2]

    assert shown["data"]["text/markdown"].startswith("```json")
    chosen = ask(page, "choose", turn=turn, version=1, format="of tomorrow")
    assert chosen["data"]["text/markdown"].startswith("{")


def test_a_reply_that_is_stopped_keeps_its_text(kernel: Kernel):
    turn = turn_of(kernel, f"%%flowgpt -m echo\n{'word ' * 50}")
    kernel.good("%config FlowGPT.pace = 0.1")
    page = Page(kernel)

    again = ask(page, "retry", turn=turn, stream="s")["turn"]
    while not any("word word" in str(message.get("data")) for message in page.messages):
        page.messages.append(page.hear())
    assert "still arriving" in ask(page, "retry", turn=turn, stream="t")["error"]
    assert ask(page, "stop", turn=again)["stopped"]
    *_changes, shown, end = until_ended(page, "s")

    assert shown["metadata"]["flowgpt"]["status"] == "cancelled"
    assert shown["data"]["text/plain"].startswith("word word")
    assert "data" not in end


def test_a_failed_reply_without_text_leaves_the_output_as_it_was(kernel: Kernel):
    turn, page = turn_of(kernel, "%%flowgpt -m echo\nStay"), Page(kernel)
    kernel.good("%flowgpt alias closed openai_compatible:m --endpoint http://127.0.0.1:9/v1\n%flowgpt model closed")
    kernel.good("%config FlowGPT.retries = 0")

    ask(page, "retry", turn=turn, stream="f")
    end = until_ended(page, "f")[-1]

    assert "127.0.0.1:9" in end["error"]
    assert end["turn"] == turn
    assert end["data"]["text/plain"] == "Stay"


def test_the_code_of_a_reply_becomes_cells(kernel: Kernel):
    page = Page(kernel)

    answer = ask(page, "cells", text=SHIP_IT)

    assert answer["sources"] == ["print(1)"]
    assert "rust" in answer["said"]
    assert "no code" in ask(page, "cells", text="none")["said"]


def test_every_output_of_a_reply_names_its_turn(kernel: Kernel):
    kernel.good("%config FlowGPT.pace = 0.005")
    formulas = "\n\n".join(f"Formula $x_{number}$ is here." for number in range(40))
    for cell in (f"%%flowgpt -m echo\n{formulas}", "1\n%flowgpt -m echo hello", "%%flowgpt -m echo -f text\nhello"):
        run = kernel.good(cell)
        names = {
            json.dumps(content["metadata"]["flowgpt"]["turn_id"])
            for _when, content in run.of_type("display_data", "update_display_data")
        }

        assert len(names) == 1, cell

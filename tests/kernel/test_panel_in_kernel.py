"""The chat panel in a real kernel, with the test as the page that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from tests.kernel.conftest import IPYKERNEL_6, Kernel

VIEW = "application/vnd.jupyter.widget-view+json"
PATIENCE = 30.0


class Page:
    """A page that shows the panel which a cell has opened; with a ``subshell``, as JupyterLab has one for widgets."""

    def __init__(self, kernel: Kernel, comm_id: str, subshell: str = "") -> None:
        self.kernel, self.comm_id, self.subshell = kernel, comm_id, subshell
        self.heard: list[dict[str, Any]] = []
        self.truth: dict[str, Any] = {}

    def tell(self, kind: str, **more: Any) -> None:
        content = {"kind": kind, "page": "p", "id": 1, **more}
        message = self.kernel.client.session.msg(
            "comm_msg", {"comm_id": self.comm_id, "data": {"method": "custom", "content": content}}
        )
        if self.subshell:
            message["header"]["subshell_id"] = self.subshell
        self.kernel.client.shell_channel.send(message)

    def take(self, message: dict[str, Any]) -> None:
        if message["msg_type"] != "comm_msg" or message["content"]["comm_id"] != self.comm_id:
            return
        data = message["content"]["data"]
        if data["method"] == "custom":
            self.heard.append(data["content"])
        elif data["method"] == "update":
            self.truth.update(data["state"])

    def wait(self, until: Callable[[], Any]) -> None:
        """Listen until something was said."""
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end, self.heard[-3:]
            self.take(self.kernel.client.get_iopub_msg(timeout=PATIENCE))

    def run(self, code: str) -> None:
        """Run a cell to its end, and listen meanwhile: what the panel says need not be told as a part of it."""
        request, over = self.kernel.send(code), False
        while not over:
            message = self.kernel.client.get_iopub_msg(timeout=PATIENCE)
            self.take(message)
            idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            over = idle and message["parent_header"].get("msg_id") == request

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["kind"] == kind]

    def ended(self) -> bool:
        return any("end" in message for message in self.of("grow"))

    def text(self) -> str:
        return "".join(
            add + "".join(more[0] if more else ())
            for each in self.of("grow")
            for _id, _number, _keep, _cut, add, *more in each["turns"]
        )


def open_panel(kernel: Kernel, subshell: str = "") -> Page:
    opened = []
    run = kernel.collect(
        kernel.send("%flowgpt panel"),
        on_message=lambda message: opened.append(message["content"]) if message["msg_type"] == "comm_open" else None,
    )
    assert run.status == "ok", run.error
    (view,) = [output["data"][VIEW]["model_id"] for output in run.outputs if VIEW in output["data"]]
    page = Page(kernel, view, subshell)
    (model,) = [each["data"]["state"] for each in opened if each["comm_id"] == view]
    assert model["_esm"].startswith("/* The page of a chat panel")
    page.tell("open")
    page.wait(lambda: page.of("outline"))
    return page


def new_subshell(kernel: Kernel) -> str:
    client = kernel.client
    client.control_channel.send(client.session.msg("create_subshell_request", {}))
    return str(client.get_control_msg(timeout=PATIENCE)["content"]["subshell_id"])


def test_a_panel_shows_a_transcript_a_widget_and_what_to_do_without_widgets(kernel):
    run = kernel.good("%flowgpt panel")

    transcript, widget = (output["data"] for output in run.outputs)
    assert set(transcript) == {"text/html", "text/markdown", "text/plain"}
    assert set(widget) == {VIEW, "text/plain"}
    assert "%%flowgpt asks in a cell" in widget["text/plain"]


def test_a_prompt_from_the_page_is_answered_and_is_a_turn_of_the_cells(kernel):
    page = open_panel(kernel)
    kernel.good("%config FlowGPT.pace = 0.02")

    page.tell("ask", text="hello from the page")
    page.wait(page.ended)

    assert all(word in page.text() for word in ("hello", "from", "the", "page"))
    assert "hello from the page" in kernel.good("%flowgpt history").outputs[0]["data"]["text/plain"]


def test_a_cell_is_seen_by_the_page_while_it_runs(kernel):
    page = open_panel(kernel)
    kernel.good("%config FlowGPT.pace = 0.02")

    page.run("%%flowgpt\n" + "word " * 30)
    page.wait(page.ended)

    assert len(page.of("grow")) > 3
    assert page.text().count("word") == 30
    assert page.truth["status"] == ""


def test_what_a_page_asked_goes_on_arriving_while_a_cell_blocks_the_kernel(kernel):
    page = open_panel(kernel)
    kernel.good("%config FlowGPT.pace = 0.02")
    page.tell("ask", text="word " * 40)
    page.wait(lambda: page.of("grow"))

    page.run("import time; time.sleep(2)")

    assert page.ended()


@pytest.mark.skipif(version("ipykernel").startswith("6."), reason="ipykernel has subshells since its 7.0")
@pytest.mark.parametrize("start_kernel", ["installed"], indirect=True)
def test_a_stop_gets_through_while_a_cell_blocks_the_kernel(start_kernel):
    kernel = start_kernel()
    page = open_panel(kernel, subshell=new_subshell(kernel))
    kernel.good("%config FlowGPT.pace = 0.02")
    page.tell("ask", text="word " * 5000)
    page.wait(lambda: page.of("grow"))
    busy = kernel.send("import time; time.sleep(30)")

    begun = time.monotonic()
    page.tell("stop")
    page.wait(page.ended)
    seconds = time.monotonic() - begun

    print(f"Stop while a cell blocks the kernel: {seconds * 1000:.0f} ms")
    assert [each["end"]["status"] for each in page.of("grow") if "end" in each] == ["cancelled"]
    kernel.interrupt()
    assert kernel.collect(busy).status == "error"


@pytest.mark.parametrize("start_kernel", ["installed"], indirect=True)
def test_on_an_older_kernel_a_stop_waits_for_the_cell_and_then_stops(start_kernel, ipykernel_6):
    kernel = start_kernel(ipykernel_6)
    page = open_panel(kernel)
    kernel.good("%config FlowGPT.pace = 0.02")
    page.tell("ask", text="word " * 5000)
    page.wait(lambda: page.of("grow"))
    kernel.send("import time; print('sleeps', flush=True); time.sleep(60)")
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass

    page.tell("stop")
    page.wait(lambda: len(page.of("grow")) > 3)  # it goes on arriving
    assert not page.ended()
    kernel.interrupt()  # what the panel offers then
    page.wait(page.ended)

    assert IPYKERNEL_6.startswith("6.")
    assert [each["end"]["status"] for each in page.of("grow") if "end" in each] == ["cancelled"]


def test_the_panel_of_the_same_cell_takes_the_place_of_its_last_one(kernel):
    closed = []
    kernel.good("%flowgpt panel", cell_id="a-cell")

    kernel.collect(
        kernel.send("%flowgpt panel", cell_id="a-cell"),
        on_message=lambda message: closed.append(message) if message["msg_type"] == "comm_close" else None,
    )

    assert closed


def test_two_panels_of_one_run_of_a_cell_both_stay(kernel):
    closed = []
    run = kernel.collect(
        kernel.send("%flowgpt panel\n%flowgpt panel", cell_id="a-cell"),
        on_message=lambda message: closed.append(message) if message["msg_type"] == "comm_close" else None,
    )

    assert not closed
    views = [output["data"][VIEW]["model_id"] for output in run.outputs if VIEW in output["data"]]
    assert len(set(views)) == 2


def test_a_run_that_nobody_looks_on_at_shows_the_transcript_alone(kernel):
    kernel.good("%%flowgpt\nhello")

    run = kernel.good("%flowgpt panel", allow_stdin=False)

    (output,) = run.outputs
    assert set(output["data"]) == {"text/html", "text/markdown", "text/plain"}
    assert "hello" in output["data"]["text/plain"]


def test_closing_the_panel_leaves_the_transcript(kernel):
    kernel.good("%%flowgpt\nhello")
    kernel.good("from flowgpt_magic import ChatPanel\npanel = ChatPanel()")
    run = kernel.good("display(panel)\npanel.close()")

    transcript, widget = run.outputs
    assert "hello" in transcript["data"]["text/plain"]
    assert len(transcript["metadata"]["flowgpt"]["stamp"]) == 16
    assert widget["data"] == {"text/plain": ""}


def test_a_panel_of_a_conversation_that_there_is_not_is_named(kernel):
    run = kernel.run("%flowgpt panel nowhere")

    assert run.status == "error"
    assert "there is no conversation 'nowhere'" in run.error


@pytest.mark.parametrize("line", ["import flowgpt_magic", "%load_ext flowgpt_magic"])
def test_loading_brings_no_widget_library(start_kernel, line):
    kernel = start_kernel(setup="")

    kernel.good(line)

    assert (
        kernel.good("import sys; print([n for n in ('anywidget', 'ipywidgets') if n in sys.modules])").printed == "[]\n"
    )


def test_everything_that_is_in_flight_is_stopped_by_the_command_too(kernel):
    page = open_panel(kernel)
    kernel.good("%config FlowGPT.pace = 0.02")
    page.tell("ask", text="word " * 5000)
    page.wait(lambda: page.of("grow"))

    page.run("%flowgpt stop")
    page.wait(page.ended)

    assert [each["end"]["status"] for each in page.of("grow") if "end" in each] == ["cancelled"]

"""Batches in real kernels: shown, interrupted, killed, and run again."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from flowgpt_magic.bridge import Worker
from flowgpt_magic.history.database import History
from tests import servers
from tests.kernel.conftest import LIMIT, Kernel

COUNT, DONE = 40, 20
CELL = f"""\
from flowgpt_magic import Conversation
batch = Conversation().map([f"prompt {{n}}" for n in range({COUNT})], concurrency=4, model="flowgpt")
batch.read()
print(batch.texts == [f"prompt {{n}}" for n in range({COUNT})], sum(each.replayed for each in batch.results))
"""
WIDGET = "application/vnd.jupyter.widget-view+json"


class Counting:
    """A server that echoes, counts its requests, and keeps those silent that it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.silent = True
        self.all_wait = threading.Event()  # is everybody silent who is asked at once?

    async def answer(self, request: servers.Request, connection: servers.Connection) -> None:
        prompt = request.json["question"]
        self.asked.append(prompt)
        if self.silent and int(prompt.split()[1]) >= DONE:
            if len(self.asked) == DONE + 4:
                self.all_wait.set()
            await asyncio.Event().wait()
        await connection.send(servers.CHUNKED, servers.framed(servers.line(prompt)), servers.END)


@pytest.fixture
def server() -> Iterator[Counting]:
    """A server that counts what it is asked, and that can fall silent."""
    counting, thread, stop, address = Counting(), Worker(), asyncio.Event(), Future()

    async def serve() -> None:
        async with servers.serving(counting.answer) as found:
            address.set_result(found.url)
            await stop.wait()

    serving = thread.submit(serve())
    counting.url = address.result(LIMIT)
    yield counting
    thread.loop.call_soon_threadsafe(stop.set)
    serving.result(LIMIT)
    thread.close()


@pytest.fixture
def notebook(start_kernel, tmp_path, server) -> Callable[[], Kernel]:
    """Start kernels of one notebook on one history, with that server as theirs."""
    path = tmp_path / "analysis.ipynb"
    path.write_text("{}")
    own = {"FLOWGPT_HISTORY": str(tmp_path / "history.sqlite3"), "JPY_SESSION_NAME": str(path)}

    def start() -> Kernel:
        return start_kernel(**own, FLOWGPT_BASE_URL=server.url)

    return start


def missing(server: Counting) -> list[str]:
    """What was asked since the last time, in order."""
    asked, server.asked = server.asked, []
    return sorted(asked, key=lambda prompt: int(prompt.split()[1]))


def kept(path: Path) -> int:
    history = History(path)
    try:
        return sum(row.requests for row in history.usage_rows())
    finally:
        history.close()


def test_after_an_interrupt_the_same_cell_asks_only_what_is_missing(notebook, server):
    kernel = notebook()
    request = kernel.send(CELL, cell_id="a")
    assert server.all_wait.wait(LIMIT)
    kernel.interrupt()
    run = kernel.collect(request)
    done = kernel.good("print(sum(each.status == 'complete' for each in batch.results), len(batch.results))")
    missing(server)
    server.silent = False

    again = kernel.good(CELL, cell_id="a")

    assert run.status == "error"
    assert run.error == ""
    assert [output["data"]["text/plain"] for output in run.outputs][-1] == (
        f"Interrupted: {DONE} of {COUNT} prompts are done and stored; run again, only the others are sent."
    )
    assert done.printed == f"{DONE} {COUNT}\n"
    assert missing(server) == [f"prompt {n}" for n in range(DONE, COUNT)]
    assert again.printed == f"True {DONE}\n"
    assert kernel.good(CELL, cell_id="a").printed == f"True {COUNT}\n"
    assert missing(server) == []


def test_after_a_kill_and_a_restart_the_same_cell_asks_only_what_is_missing(notebook, server, tmp_path):
    kernel = notebook()
    kernel.send(CELL, cell_id="a")
    assert server.all_wait.wait(LIMIT)
    while kept(tmp_path / "history.sqlite3") < DONE:
        pass
    kernel.manager.signal_kernel(signal.SIGKILL)
    kernel.close()
    missing(server)
    server.silent = False

    again = notebook().good(CELL, cell_id="a")

    assert missing(server) == [f"prompt {n}" for n in range(DONE, COUNT)]
    assert again.printed == f"True {DONE}\n"


def test_a_loop_is_interrupted_in_the_middle_and_goes_on_where_it_was(notebook, server):
    loop = CELL.replace("batch.read()", "texts = []\nfor result in batch:\n    texts.append(result.text)")
    kernel = notebook()
    request = kernel.send(loop, cell_id="a")
    assert server.all_wait.wait(LIMIT)
    kernel.interrupt()
    run = kernel.collect(request)
    # What had come, and was not handed to the loop before the interrupt, is there too.
    read = kernel.good("print(len(texts) <= sum(each.status == 'complete' for each in batch.results))")
    missing(server)
    server.silent = False

    again = kernel.good(loop, cell_id="a")

    assert f"Interrupted: {DONE} of {COUNT} prompts are done and stored; run again, only the others" in str(run.outputs)
    assert read.printed == "True\n"
    assert again.printed == f"True {DONE}\n"
    assert len(missing(server)) == COUNT - DONE


def test_as_the_last_line_it_is_interrupted_with_one_line_and_a_table(notebook, server):
    kernel = notebook()
    request = kernel.send(CELL.partition("batch.read()")[0] + "batch", cell_id="a")
    assert server.all_wait.wait(LIMIT)
    kernel.interrupt()

    run = kernel.collect(request)

    assert run.status == "error"
    assert run.error == ""
    output, interrupt = run.outputs
    assert f"Interrupted: {DONE} of {COUNT} prompts are done and stored" in interrupt["data"]["text/plain"]
    assert f" · {DONE} complete · 4 cancelled · {COUNT - DONE - 4} not sent · " in headline(output)


def headline(output: Any) -> str:
    """The line above the table of a batch."""
    return output["data"]["text/plain"].splitlines()[0]


SMALL = "from flowgpt_magic import map_prompts\nmap_prompts(['one', 'two', 'three'])"


def test_as_the_last_line_a_batch_is_a_table_in_the_place_of_its_bar(kernel):
    run = kernel.good(SMALL)

    (output,) = run.outputs
    first = next(content for _when, content in run.of_type("display_data"))
    assert WIDGET in first["data"]
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert headline(output).startswith("echo:words · 3 complete · ")
    assert [line.split()[:3] for line in output["data"]["text/plain"].splitlines()[4:]] == [
        ["0", "one", "one"],
        ["1", "two", "two"],
        ["2", "three", "three"],
    ]
    assert (run.printed, run.complained) == ("", "")


def test_a_loop_leaves_the_same_table(kernel):
    run = kernel.good(
        "from flowgpt_magic import map_prompts\nfor each in map_prompts(['one', 'two']):\n    print(each)"
    )

    assert run.printed == "one\ntwo\n"
    assert [set(output["data"]) for output in run.outputs] == [{"text/html", "text/plain"}]


def test_a_batch_that_has_ended_is_shown_without_asking_again(kernel):
    kernel.good("from flowgpt_magic import map_prompts\nbatch = map_prompts(['one'])\nbatch.read()")

    (output,) = kernel.good("batch").outputs

    assert "complete" in output["data"]["text/plain"]


def test_without_progress_there_is_the_table_alone(kernel):
    run = kernel.good(SMALL.replace("])", "], progress=False)"))

    assert [content["data"].get(WIDGET) for _when, content in run.of_type("display_data")] == [None]
    assert not run.of_type("update_display_data")


def test_a_bar_costs_few_messages_and_leaves_no_widget(kernel):
    kernel.good("import ipywidgets\nbefore = len(ipywidgets.Widget.get_manager_state()['state'])")
    run = kernel.good("from flowgpt_magic import map_prompts\nmap_prompts([f'prompt {n}' for n in range(500)]).read()")
    left = kernel.good("print(len(ipywidgets.Widget.get_manager_state()['state']) - before)")

    comms = run.of_type("comm_open", "comm_msg", "comm_close", "update_display_data", "display_data")
    seconds = run.idle_at - run.messages[0][0]
    assert len(comms) < 60 + 60 * seconds
    assert int(left.printed) <= 7  # their layouts and styles, which tqdm leaves too


def test_in_an_async_cell_it_is_awaited(kernel):
    run = kernel.good(
        "from flowgpt_magic import map_prompts\n"
        "print([each.text for each in await map_prompts(['one', 'two'])])\n"
        "async for each in map_prompts(['three']).as_completed(): print(each)"
    )

    assert run.printed == "['one', 'two']\nthree\n"


def test_a_batch_that_is_stopped_says_why_and_shows_how_far_it_came(kernel):
    run = kernel.run(
        "from flowgpt_magic import map_prompts\n"
        "map_prompts([f'prompt {n}' for n in range(50)], model='flowgpt', base_url='http://127.0.0.1:9', patience=1)"
    )

    told = [str(content["data"]).replace(r"\u2007", " ") for _when, content in run.of_type("comm_msg")]
    assert any("the server fails: next try in" in each for each in told)
    assert "no prompt was answered for 1 s, so the others were not asked: no connection to 127.0.0.1:9" in run.error
    assert "Traceback" not in run.error
    assert "not sent" in run.outputs[0]["data"]["text/plain"]


@pytest.mark.parametrize("code", [SMALL, SMALL.replace("map_prompts(['one'", "r = map_prompts(['one'") + "\nlist(r)"])
def test_a_headless_run_saves_no_bar(code, tmp_path, own_settings):
    cells: list[Any] = [nbformat.v4.new_code_cell("%load_ext flowgpt_magic\n%config FlowGPT.model = 'echo'\n" + code)]
    notebook = nbformat.v4.new_notebook(cells=cells)

    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs = notebook.cells[0].outputs
    assert WIDGET not in str(outputs)
    assert "widgets" not in notebook.metadata
    assert all(output.output_type != "stream" for output in outputs)
    assert len(outputs) == 1

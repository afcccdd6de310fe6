"""Pictures and files that a page of JupyterLab sends to a real kernel, for its prompt cells."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from flowgpt_magic.prompt.pictures import attachment_name, read_picture
from tests.image_files import picture
from tests.kernel.conftest import SETUP, Kernel
from tests.kernel.pages import Page
from tests.kernel.test_cells import shown
from tests.openai_servers import background, speaking
from tests.servers import Server

PICTURES = "from flowgpt_magic import Conversation; print([len(turn.images) for turn in Conversation().turns])"


@pytest.fixture
def server() -> Iterator[Server]:
    with background(speaking("a ", "cat")) as server:
        yield server


def answered_by(kernel: Kernel, server: Server) -> None:
    kernel.good(f"%config FlowGPT.openai_base_url = '{server.url}/v1'\n%config FlowGPT.model = 'openai_compatible:m'")


def images(server: Server) -> list[list[str]]:
    """The images of the last message of each request."""
    sent = [request.json["messages"][-1]["content"] for request in server.requests if request.body]
    return [
        [part["image_url"]["url"] for part in content if "image_url" in part] if isinstance(content, list) else []
        for content in sent
    ]


def test_a_prompt_cell_is_sent_with_the_pictures_that_it_names(kernel: Kernel, server: Server):
    answered_by(kernel, server)
    page = Page(kernel)
    sent = page.ask("picture", name="my cat.png", type="image/png", buffers=(picture(), picture(colour=9)))
    assert page.ask("pictures_missing", pictures=[sent["picture"], "0" * 64])["missing"] == ["0" * 64]
    assert page.ask("pictures_taken")["able"] is None
    page.ask("thumbnail", picture=sent["picture"])
    assert page.buffers == [picture(colour=9)]

    prompt = f"what is ![a cat](attachment:{sent['name']})?"
    assert "images      1" in shown(kernel.good(f"%%flowgpt --dry-run\n{prompt}"))
    kernel.good(f"%%flowgpt\n{prompt}")
    kernel.good("%flowgpt retry")
    kernel.good(f"%flowgpt edit -1 and {prompt}")
    kernel.good("%flowgpt edit -1 and now?")
    kernel.good(f"%%flowgpt --raw --append\n{{1}} {prompt}")

    url = read_picture(picture()).url
    assert images(server) == [[url]] * 5


def test_a_picture_that_is_nowhere_is_one_error(kernel: Kernel, server: Server):
    answered_by(kernel, server)

    run = kernel.run("%%flowgpt\nwhat is ![](attachment:cat-0123456789ab.png)?")

    assert "the picture cat-0123456789ab.png is neither in the history nor in the notebook's file" in run.error
    assert not images(server)


def test_a_model_that_reads_text_gets_no_picture(kernel: Kernel):
    page = Page(kernel)
    sent = page.ask("picture", name="cat.png", buffers=(picture(),))

    run = kernel.run(f"%%flowgpt echo\nwhat is ![](attachment:{sent['name']})?")

    assert "echo takes no images" in run.error


def test_a_file_that_was_dropped_is_attached_to_a_cell(kernel: Kernel):
    page = Page(kernel)
    kept = page.ask("file", name="data.csv", buffers=(b"a,b\n1,2\n",))

    text = shown(kernel.good(f"%%flowgpt echo -a {kept['attached']}\nwhat is in it?"))

    assert "data.csv" in text
    assert "1,2" in text


def test_a_saved_notebook_is_run_again_with_its_pictures(tmp_path: Path, server: Server):
    name = attachment_name("cat", read_picture(picture()))
    attached = {name: {"image/png": base64.b64encode(picture()).decode()}}
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(f"{SETUP}\n%config FlowGPT.openai_base_url = '{server.url}/v1'"),
            nbformat.v4.new_code_cell(
                f"%%flowgpt openai_compatible:m\nwhat is ![a cat](attachment:{name})?",
                metadata={"flowgpt_magic": {"attachments": attached}},
            ),
        ]
    )
    (tmp_path / "saved.ipynb").write_text(json.dumps(notebook))

    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert images(server) == [[read_picture(picture()).url]]

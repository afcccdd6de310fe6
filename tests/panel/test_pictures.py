"""Pictures and files that a page of a panel sends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.current import current_history
from flowgpt_magic.messages.content_parts import ADDRESSES
from flowgpt_magic.prompt import dropped_files
from tests.image_files import noise, picture, with_metadata
from tests.openai_servers import background, speaking
from tests.panel_page import Page
from tests.servers import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with background(speaking("a ", "cat")) as server:
        monkeypatch.setenv("FLOWGPT_MODEL", "openai_compatible:m")
        monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", f"{server.url}/v1")
        yield server


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    page = Page()
    yield page
    page.close()


def send(page: Page, kind: str, *buffers: bytes, **more: Any) -> dict[str, Any]:
    return page.tell(kind, buffers, **more)


def upload(page: Page, content: bytes, name: str = "my cat.png") -> dict[str, Any]:
    sent = send(page, "picture", content, name=name)
    return {"picture": sent["picture"], "name": sent["name"], "description": "a cat"}


def images(server: Server, number: int = -1) -> list[str]:
    """The images of the last message of a request."""
    content = server.requests[number].json["messages"][-1]["content"]
    return [] if isinstance(content, str) else [part["image_url"]["url"] for part in content if "image_url" in part]


def test_a_picture_is_kept_once_and_gets_a_name_that_markdown_takes(page):
    content = picture()
    digest = hashlib.sha256(content).hexdigest()

    sent = send(page, "picture", content, name='../my "cat" [1](x)\n🐈.PNG', type="image/png")
    again = send(page, "picture", content, name="other.jpg", type="image/jpeg")

    assert sent == {
        "picture": digest,
        "name": f"my-cat-1-x-{digest[:12]}.png",
        "bytes": len(content),
        "width": 8,
        "height": 6,
    }
    assert (again["picture"], again["name"]) == (digest, f"other-{digest[:12]}.png")
    assert send(page, "pictures_missing", pictures=[digest, "0" * 64]) == {"missing": ["0" * 64]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "SVG"),
        (b"<?xml version='1.0'?>\n<svg/>", "SVG"),
        (b"hello", "not a picture"),
        (picture()[:-20], "broken or incomplete"),
        (picture("JPEG")[:-300], "broken or incomplete"),
        (bytes(40 * 2**20), "40 MB"),
        (picture("GIF", (9000, 2)), "9,000"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(page, content, reason):
    assert reason in send(page, "picture", content, name="x.png")["error"]


def test_metadata_are_removed_before_a_picture_is_kept(page, server):
    content = with_metadata("JPEG")

    sent = upload(page, content)

    assert sent["picture"] != hashlib.sha256(content).hexdigest()
    assert send(page, "pictures_missing", pictures=[hashlib.sha256(content).hexdigest()]) == {"missing": []}


def test_a_prompt_is_sent_with_its_pictures(page, server):
    sent = upload(page, picture())

    page.tell("ask", text="what is it?", pictures=[sent])
    page.settled()

    (turn,) = page.load()
    assert images(server)[0].startswith(ADDRESSES[0])
    assert turn["prompt"] == "what is it?"
    assert turn["pictures"] == [{**sent, "width": 8, "height": 6}]
    assert server.requests[-1].json["messages"][-1]["content"][0]["text"] == (
        f"what is it?\n\n![a cat](attachment:{sent['name']})"
    )


def test_a_prompt_of_a_picture_alone_is_sent(page, server):
    page.tell("ask", text="", pictures=[upload(page, picture())])
    page.settled()

    assert len(images(server)) == 1


def test_an_edited_prompt_has_the_pictures_that_are_left(page, server):
    one, two = upload(page, picture()), upload(page, picture(colour=9), "dog.png")
    page.tell("ask", text="which?", pictures=[one, two])
    page.settled()

    page.tell("edit", place=1, text="and now?", pictures=[two])
    page.settled()
    page.tell("edit", place=1, text="and with the same?")
    page.settled()
    page.tell("retry", place=1)
    page.settled()
    page.tell("edit", place=1, text="and without?", pictures=[])
    page.settled()

    counts = [len(images(server, number)) for number in range(-5, 0)]
    assert counts == [2, 1, 1, 1, 0]
    assert page.load()[-1]["pictures"] == []


def test_another_kernel_edits_a_prompt_with_its_pictures(page, server):
    page.tell("ask", text="which {one}?", pictures=[upload(page, picture())])
    page.settled()
    page.state.typed_prompts.clear()
    shown = page.load()[0]["pictures"]

    page.tell("edit", place=1, text="and {now}?", pictures=shown)
    page.settled()
    kept = len(images(server))
    page.state.typed_prompts.clear()
    page.tell("edit", place=1, text="and now?", pictures=[])
    page.settled()

    assert (kept, len(images(server))) == (1, 0)


def test_a_picture_that_nobody_sent_is_asked_for(page, server):
    said = page.tell("ask", text="what is it?", pictures=[{"picture": "ab" * 32, "name": "cat.png"}])

    assert "cat.png" in said["error"]
    assert not [request for request in server.requests if b"messages" in request.body]


def test_a_model_that_reads_text_gets_no_pictures(page, monkeypatch):
    sent = upload(page, picture())
    page.tell("set", setting="model", value="echo")

    able = send(page, "pictures_taken")
    said = page.tell("ask", text="what is it?", pictures=[sent])

    assert able["able"] is False
    assert "echo" in able["why"]
    assert "takes no images" in said["error"]


def test_what_pictures_a_model_takes_is_said(page, server):
    assert send(page, "pictures_taken")["able"] is None
    assert send(page, "pictures_taken", model="openai_compatible:qwen2.5-vl-7b")["able"] is True
    page.tell("ask", text="what is it?", pictures=[upload(page, picture())])
    page.settled()

    taken = send(page, "pictures_taken")

    assert taken["able"] is True
    assert taken["max_side"] == 1568
    assert "image/svg+xml" not in taken["types"]


def test_a_thumbnail_is_the_small_copy_or_a_small_picture(page):
    small, large = picture("JPEG", (16, 12)), noise(400_000)
    sent = send(page, "picture", large, small, name="x.png")
    other = send(page, "picture", noise(400_000, 2), name="y.png")
    tiny = send(page, "picture", picture(), name="z.png")

    assert send(page, "thumbnail", picture=sent["picture"])["buffers"] == [small]
    assert send(page, "thumbnail", picture=other["picture"], large=True)["buffers"]
    assert "buffers" not in send(page, "thumbnail", picture=other["picture"])
    assert send(page, "thumbnail", picture=tiny["picture"])["buffers"] == [picture()]
    assert send(page, "thumbnail", picture="0" * 64) == {}


def test_a_dropped_file_is_attached_by_what_the_kernel_keeps_of_it(page, server):
    kept = send(page, "file", b"a,b\n1,2\n3,4\n", name="my data.csv")

    page.tell("ask", text="what is in it?", attached=[kept["attached"]])
    page.settled()

    assert kept["attached"].startswith("dropped:")
    assert kept["about"]
    text = server.requests[-1].json["messages"][-1]["content"]
    assert "my-data.csv" in text
    assert "dropped:" not in text
    assert "1,2" in text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("data.bin", bytes(range(256)), "not a text file"),
        ("id_rsa", b"key", "looks like a secret"),
        ("big.csv", bytes(9 * 2**20 + 1), "9 MB"),
        ("empty.csv", b"", "is empty"),
    ],
)
def test_a_file_that_cannot_be_attached_is_refused_and_not_kept(page, name, content, reason):
    assert reason in send(page, "file", content, name=name)["error"]
    assert not list(dropped_files.folder().glob("*/*"))


def test_a_dropped_folder_is_refused(page):
    assert "is a folder" in send(page, "file", name="photos")["error"]


def test_a_file_of_the_file_browser_is_a_path(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data", "x.csv").write_text("a,b\n1,2\n")

    assert send(page, "file_path", path="data/x.csv")["attached"] == str(Path("data", "x.csv"))
    assert "is a folder" in send(page, "file_path", path="data")["error"]
    assert "nowhere.csv" in send(page, "file_path", path="nowhere.csv")["error"]


def test_a_picture_is_in_the_history_for_the_next_kernel(page):
    sent = upload(page, picture())
    history = current_history()
    history.pictures._held.clear()

    assert history.pictures.find(sent["picture"][:12]).content == picture()
    assert Conversation().notebook_history is history

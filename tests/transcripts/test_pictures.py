"""The pictures of prompts in every kind of transcript."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from flowgpt_magic.messages import Turn
from flowgpt_magic.prompt.pictures import Picture, PictureReference, attachment_name, read_picture
from flowgpt_magic.transcripts.bundles import turn_bundle
from flowgpt_magic.transcripts.files import read, write
from flowgpt_magic.transcripts.html_page import POLICY
from flowgpt_magic.transcripts.pictures import pictures_of, thumbnails_of
from tests.image_files import noise, picture
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())
SMALL, LARGE = read_picture(picture()), read_picture(noise(60_000), "", picture("JPEG", (16, 12)))
DESCRIPTION = 'a "cat" <img src=https://evil.example/x.png onerror=alert(1)> ](https://evil.example) `x`'


def named(shown: Picture, description: str = DESCRIPTION) -> str:
    return str(PictureReference(attachment_name("cat", shown), description))


def turn(*pictures: Picture, prompt: str = "what is it?", **values: Any) -> Turn:
    text = "\n\n".join([prompt, "\n".join(map(named, pictures))]).rstrip()
    images = values.pop("images", tuple(shown.url for shown in pictures))
    return turn_record(CONVERSATION, prompt=text, text="a cat", status="complete", images=images, **values)


def find(digest: str) -> Picture | None:
    return next((shown for shown in (SMALL, LARGE) if shown.digest == digest), None)


def exported(path: Path, *turns: Turn, **how: Any) -> str:
    return write(path, "main", "", turns, **how).read_text("utf-8")


def test_a_page_shows_small_pictures_with_their_descriptions(tmp_path):
    page = exported(tmp_path / "a.html", turn(SMALL, LARGE), find_picture=find)

    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 2
    assert all(re.search(r' src="data:image/(?:png|jpeg);base64,[\w+/=]+" alt="[^"<>]*" ', image) for image in images)
    assert 'width="8" height="6"' in images[0]
    assert 'width="160" height="160"' not in images[0]
    assert "attachment:" not in page
    assert "img-src data:" in POLICY


def test_a_large_picture_without_a_small_copy_is_a_line(tmp_path):
    page = exported(tmp_path / "a.html", turn(LARGE))

    assert "<img" not in page
    assert f"picture {attachment_name('cat', LARGE)} ({LARGE.width} \N{MULTIPLICATION SIGN} {LARGE.height})" in page


@pytest.mark.parametrize("ending", [".md", ".json", ".ipynb"])
def test_an_export_is_read_back_with_its_pictures(ending, tmp_path):
    turns = [
        turn(SMALL, LARGE),
        turn(prompt="a figure", images=(LARGE.url, "https://example.com/a.png")),
        turn(prompt="no picture"),
    ]
    exported(tmp_path / f"a{ending}", *turns, find_picture=find)

    found = read(tmp_path / f"a{ending}")

    assert [(turn.prompt, turn.images) for turn in found.turns] == [(turn.prompt, turn.images) for turn in turns]


def test_an_exported_notebook_has_the_pictures_as_attachments(tmp_path):
    notebook = json.loads(exported(tmp_path / "a.ipynb", turn(SMALL), turn(prompt="a figure {x}", images=(LARGE.url,))))

    one, other = notebook["cells"][2:]
    name = attachment_name("cat", SMALL)
    attached = one["metadata"]["flowgpt_magic"]["attachments"][name]["image/png"]
    assert base64.b64decode(attached) == SMALL.content
    assert f"(attachment:{name})" in "".join(one["source"])
    (figure,) = other["metadata"]["flowgpt_magic"]["attachments"]
    assert f"(attachment:{figure})" in "".join(other["source"])


def test_markdown_shows_pictures_and_fetches_none(tmp_path):
    text = exported(tmp_path / "a.md", turn(SMALL, LARGE), find_picture=find)

    tokens = [token for block in MarkdownIt().parse(text) for token in block.children or ()]
    images = [token for token in tokens if token.type == "image"]
    assert len(images) == 2
    assert all(str(image.attrs["src"]).startswith("data:image/") for image in images)
    assert [image.content for image in images] == [
        re.sub(r"([^\w\s.,:;/-])", r"\\\1", DESCRIPTION) for _image in images
    ]


def test_a_shown_turn_has_its_pictures():
    bundle = turn_bundle(turn(SMALL, LARGE))

    assert bundle["text/markdown"].count("](data:image/png;base64,") == 1
    assert attachment_name("cat", LARGE) in bundle["text/plain"]


def test_thumbnails_take_no_more_than_the_room_there_is():
    others = [read_picture(picture(colour=colour)) for colour in range(20)]
    turns = [turn(other) for other in others]

    thumbnails = thumbnails_of(turns, find, room=400)

    assert 1 <= len(thumbnails) < 20
    assert others[-1].digest in thumbnails
    assert sum(map(len, thumbnails.values())) <= 400


def test_images_of_other_kinds_are_not_shown():
    odd = ("https://example.com/a.png", "data:image/svg+xml;base64,PHN2Zy8+", "data:image/png;base64,AAAA")

    assert [shown.url for shown in pictures_of(turn(images=odd))] == ["", ""]

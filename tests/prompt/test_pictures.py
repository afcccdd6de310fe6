"""How a prompt names pictures, and what becomes of their names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import PromptError
from flowgpt_magic.prompt.compose import PromptContext, compose
from flowgpt_magic.prompt.pictures import (
    PictureReference,
    attachment_name,
    picture_of_url,
    read_picture,
    references_in,
    references_of,
    with_references,
    without_references,
)
from tests.image_files import picture

CAT = PictureReference("cat-0123456789ab.png", "a cat")


def names(text: str) -> list[str]:
    return [reference.name for reference in references_in(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("![a cat](attachment:cat-0123456789ab.png)", ["cat-0123456789ab.png"]),
        ("what is ![](attachment:a.png) and ![b](attachment:b.png)?", ["a.png", "b.png"]),
        ("![a](attachment:a.png) ![again](attachment:a.png)", ["a.png"]),
        ("![a](<attachment:a.png>)", ["a.png"]),
        ('![a](attachment:a.png "with a title")', ["a.png"]),
        ("![a](attachment:my%20cat.png)", ["my cat.png"]),
        (r"![a \] b](attachment:a.png)", ["a.png"]),
        ("`![a](attachment:a.png)`", []),
        ("``code ` ![a](attachment:a.png)``", []),
        ("a ` b ![a](attachment:a.png)", ["a.png"]),
        ("```\n![a](attachment:a.png)\n```\n![b](attachment:b.png)", ["b.png"]),
        ("~~~ md\n![a](attachment:a.png)", []),
        (r"\![a](attachment:a.png)", []),
        ("![a](https://example.com/a.png)", []),
        ("[a](attachment:a.png)", []),
        ("![a](attachment: a.png)", []),
        ("attachment:a.png", []),
    ],
)
def test_pictures_are_named_as_in_markdown_cells(text, found):
    assert names(text) == found


@given(st.text(), st.text(alphabet="abc-_.0123456789", min_size=1))
def test_every_description_can_be_read_back(description, name):
    reference = PictureReference(name, description)

    (read,) = references_in(str(reference))

    assert read.name == name
    assert "\n" not in str(reference)


@given(st.text(), st.text())
def test_pictures_below_a_prompt_are_taken_off_again(text, description):
    named = with_references(text, [PictureReference("x-0123456789ab.png", description)])

    if not references_in(text) and "`" not in text and "~" not in text:
        assert names(named) == ["x-0123456789ab.png"]
        assert without_references(named) == (text if not text else text.rstrip("\n"))


def test_a_picture_that_the_prompt_names_is_not_named_again():
    text = f"what is {CAT}?"

    assert with_references(text, [CAT]) == text
    assert with_references("what?", [CAT]) == f"what?\n\n{CAT}"
    assert without_references(f"what?\n\n{CAT}\n{CAT}") == "what?"
    assert without_references(text) == text


@given(st.text())
def test_a_name_has_only_characters_that_are_safe_in_markdown(name):
    safe = attachment_name(name, read_picture(picture()))

    assert re.fullmatch(r"[A-Za-z0-9-]{1,41}-[0-9a-f]{12}\.png", safe)
    assert PictureReference(safe).digits


def test_the_suffix_says_what_the_picture_is():
    assert attachment_name("photo.png", read_picture(picture("JPEG"))).endswith(".jpg")


def test_a_picture_is_found_by_its_name_in_the_prompt():
    digests = ["0123456789ab" + "0" * 52, "f" * 64]

    assert references_of(f"{CAT}", digests) == [CAT, None]


def test_a_url_becomes_the_picture_that_has_this_url():
    url = read_picture(picture()).url

    assert picture_of_url(url) == read_picture(picture())
    assert picture_of_url(url + "\n") is None
    assert picture_of_url("https://example.com/a.png") is None


def test_a_thumbnail_that_is_no_small_picture_is_left_out():
    for thumbnail in (b"text", picture(size=(2000, 10)), bytes(100), b"<svg/>"):
        assert read_picture(picture(), "x", thumbnail).thumbnail == b""
    assert read_picture(picture(), "x", picture(colour=1)).thumbnail == picture(colour=1)


def test_a_picture_in_a_value_is_only_text():
    context = PromptContext({"text": "![a](attachment:a.png)"}, find_picture=lambda reference: reference.name)

    composed = compose("{text}", context, budget=1000)

    assert composed.images == ()


def test_the_pictures_come_before_those_of_attachments_and_each_once():
    context = PromptContext({"figure": picture()}, find_picture=lambda reference: f"https://a/{reference.name}")

    composed = compose(f"{CAT}", context, attached=["figure"], pictures=[CAT, CAT], budget=1000, with_images=True)

    assert composed.images[0] == "https://a/cat-0123456789ab.png"
    assert len(composed.images) == 2


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 500, "[x](y)"])
def test_an_error_names_the_picture_on_one_line(name):
    with pytest.raises(PromptError) as raised:
        read_picture(b"hello", name)

    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200

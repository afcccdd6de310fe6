"""What becomes an image, and what is none."""

from __future__ import annotations

import base64

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from flowgpt_magic.errors import PromptError
from flowgpt_magic.prompt import images
from flowgpt_magic.prompt.images import image_url, is_image

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
KINDS = {
    "png": PNG,
    "jpeg": b"\xff\xd8\xff\xe0rest",
    "gif": b"GIF89arest",
    "webp": b"RIFF\x00\x00\x00\x00WEBPrest",
}


class Drawn:
    """Shows itself in a notebook as ``shown``."""

    def __init__(self, shown: object) -> None:
        self.shown = shown

    def _repr_png_(self) -> object:
        if isinstance(self.shown, Exception):
            raise self.shown
        return self.shown


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")


def content(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_and_its_bytes_are_an_image_of_their_kind_whatever_they_are_called(kind, tmp_path):
    (tmp_path / "file.dat").write_bytes(KINDS[kind])

    for value in (KINDS[kind], tmp_path / "file.dat", str(tmp_path / "file.dat")):
        url = image_url(value)
        assert url.startswith(f"data:image/{kind};base64,")
        assert content(url) == KINDS[kind]


def test_a_figure_is_drawn_and_its_axes_are_the_same_figure():
    axes = Figure(figsize=(1, 1)).add_subplot()
    axes.plot([1, 2])

    drawn = content(image_url(axes.get_figure()))

    assert drawn.startswith(b"\x89PNG")
    assert content(image_url(axes)) == drawn
    assert is_image(axes)


@pytest.mark.parametrize("shown", [PNG, base64.b64encode(PNG).decode(), (PNG, {"width": 1})])
def test_what_shows_itself_as_an_image_is_one(shown):
    assert content(image_url(Drawn(shown))) == PNG
    assert is_image(Drawn(shown))


def test_a_data_url_stays_as_it_is():
    url = image_url(PNG)

    assert image_url(url) == url


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"text", "bytes is not an image: use a PNG"),
        (3, "int is not an image"),
        (None, "NoneType is not an image"),
        ("gone.png", "gone.png cannot be read: No such file"),
        (Drawn(None), "Drawn is not an image"),
        (Drawn(ValueError("no pen")), "cannot show itself as an image: no pen"),
        (b"", "bytes is not an image"),
    ],
)
def test_what_is_none_is_one_clear_error(value, why):
    with pytest.raises(PromptError, match=why):
        image_url(value)


def test_one_that_is_too_large_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    (tmp_path / "a.png").write_bytes(PNG + bytes(100))

    with pytest.raises(PromptError, match=r"a\.png has 101 bytes; the limit for an image is 100"):
        image_url(tmp_path / "a.png")


@pytest.mark.parametrize("value", ["a.png", b"text", 3, None, Drawn])
def test_text_and_other_values_are_none(value):
    assert not is_image(value)


def test_one_of_just_the_largest_size_is_sent(monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 8)

    assert image_url(b"\x89PNG\r\n\x1a\n").startswith("data:image/png;base64,")
    with pytest.raises(PromptError, match="has 9 bytes; the limit for an image is 8"):
        image_url(b"\x89PNG\r\n\x1a\nx")

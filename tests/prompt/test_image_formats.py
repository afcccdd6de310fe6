"""What is read of image files, and what is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.prompt.image_formats import BrokenImageError, ReadImage, read_image
from tests.image_files import PLACE, animation, noise, picture, pixels, with_metadata

KINDS = ("PNG", "JPEG", "GIF", "WEBP")
FILES = [
    *(picture(kind, (7, 5)) for kind in KINDS),
    *map(with_metadata, KINDS),
    *map(animation, ("PNG", "GIF", "WEBP")),
    picture("JPEG", (300, 200), progressive=True),
    picture("WEBP", (7, 5), lossless=True),
    noise(2_000),
]


def read(content: bytes) -> ReadImage:
    image = read_image(content)
    assert image is not None
    return image


@pytest.mark.parametrize("kind", KINDS)
def test_the_type_and_the_size_are_read(kind):
    image = read(picture(kind, (31, 17)))

    assert (image.type, image.width, image.height) == (f"image/{kind.lower()}", 31, 17)


def test_the_size_of_a_lossless_picture_is_read():
    image = read(picture("WEBP", (31, 17), lossless=True))

    assert (image.width, image.height) == (31, 17)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_are_removed_and_the_pixels_stay(kind):
    content = with_metadata(kind)
    rest = read(content).content

    assert PLACE.encode() in content or kind == "PNG"
    assert PLACE.encode() not in rest
    assert not any(mark in rest for mark in (b"Exif", b"EXIF", b"eXIf", b"tEXt", b"iTXt", b"XMP"))
    assert pixels(rest) == pixels(content)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_an_animation_goes_on_moving(kind):
    content = animation(kind)

    assert pixels(read(content).content) == pixels(content)


@pytest.mark.parametrize("content", FILES)
def test_what_was_read_once_does_not_change_any_more(content):
    image = read(content)

    assert read(image.content) == image


@pytest.mark.parametrize("content", FILES)
def test_what_stands_behind_the_picture_is_removed(content):
    assert read(content + b"<script>another picture</script>").content == read(content).content


@given(st.sampled_from(FILES), st.data())
def test_a_file_that_ends_too_early_is_broken(content, data):
    cut = content[: data.draw(st.integers(0, len(read(content).content) - 1))]

    try:
        image = read_image(cut)
    except BrokenImageError:
        return
    assert image is None or pixels(image.content) == pixels(content)  # only the end of the file was missing


@settings(max_examples=300)
@given(st.sampled_from(FILES), st.data())
def test_no_bytes_lead_to_another_error_than_a_broken_image(content, data):
    broken = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))

    try:
        image = read_image(bytes(broken))
    except BrokenImageError:
        return
    assert image is None or len(image.content) <= len(broken) + 8


@given(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF0000WEBP"]), st.binary())
def test_any_bytes_can_be_read(begin, rest):
    try:
        read_image(begin + rest)
    except BrokenImageError:
        return


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg onload='alert(1)'></svg>", b"BM" + bytes(60), b"%PDF-1.7"])
def test_other_files_are_no_images(content):
    assert read_image(content) is None

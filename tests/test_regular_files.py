"""Files that a person names: devices, pipes, folders and endless ones are refused at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from flowgpt_magic.errors import FileError, FlowGptError
from flowgpt_magic.prompt import images
from flowgpt_magic.prompt.compose import system_prompt
from flowgpt_magic.providers.llama_cpp.gguf import check_gguf
from flowgpt_magic.regular_files import read_beginning, read_file
from flowgpt_magic.replies import schema as schemas
from flowgpt_magic.transcripts import files

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


KINDS = [device, pipe, listening_socket, Path.mkdir]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(
    "read",
    [
        files.read,
        images.image_url,
        lambda path: schemas.read_schema_file(str(path)),
        lambda path: system_prompt(f"@{path}"),
        check_gguf,
        lambda path: read_file(path, 10),
    ],
)
def test_what_is_no_regular_file_is_refused_wherever_a_file_is_named(tmp_path, monkeypatch, make, read):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    make(Path("talk.json"))

    with pytest.raises(FlowGptError, match=r"cannot be read: it is (not a regular file|a folder)"):
        read(Path("talk.json"))


@pytest.mark.parametrize("size", [0, 9, 10])
def test_a_file_that_fits_is_read_whole(tmp_path, size):
    (tmp_path / "small").write_bytes(b"x" * size)

    assert read_file(tmp_path / "small", 10) == b"x" * size


def test_a_file_that_does_not_fit_is_refused_with_the_limit(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 11)

    with pytest.raises(FileError, match="cannot be read: it is longer than 10 bytes"):
        read_file(tmp_path / "large", 10)


def test_a_file_that_is_larger_than_its_size_says_is_read_no_further_than_the_limit():
    with pytest.raises(FileError, match="longer than 5 bytes"):
        read_file("/proc/self/status", 5)  # its size is 0


def test_the_beginning_of_a_file_comes_with_its_size(tmp_path):
    (tmp_path / "large").write_bytes(b"abcdef")

    assert read_beginning(tmp_path / "large", 2) == (b"ab", 6)


@pytest.mark.parametrize("name", ["missing", "a\0b", ""])
def test_a_name_that_no_file_has_is_one_error(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(FileError, match=r"cannot be read: (No such file|no file has such a name)"):
        read_file(name, 10)

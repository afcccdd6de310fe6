"""Files and folders."""

from __future__ import annotations

import os
import re

import pytest

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe.files import AttachmentError
from tests.described import notice


class TestFiles:
    def test_a_file_of_text_is_its_contents(self, tmp_path):
        path = tmp_path / "code.py"
        path.write_bytes(b"x = 1\r\ny = '\xc3\xa9'\n")

        assert describe("it", path, 100) == "it: file code.py, 16 bytes\n```py\nx = 1\ny = 'é'\n```"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    def test_the_encoding_is_found(self, tmp_path, encoding):
        path = tmp_path / "a.txt"
        path.write_text("größer", encoding=encoding)

        assert "```txt\ngrößer\n```" in describe("it", path, 100)

    def test_a_long_file_is_read_in_part(self, tmp_path):
        path = tmp_path / "long.txt"
        with path.open("wb") as file:
            file.write(b"line\n" * 100)
            file.truncate(10**10)

        path.write_text("é" * 10**6)

        assert re.fullmatch(r"… 1,999,\d{3} of 2,000,000 bytes are not shown", notice(path, 50))

    @pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", b"abc\0", bytes(range(256))])
    def test_a_binary_file_is_refused(self, tmp_path, data):
        path = tmp_path / "image.bin"
        path.write_bytes(data)

        with pytest.raises(AttachmentError, match=r"image\.bin is not a text file: only text can be attached"):
            describe("it", path, 100)

    def test_a_folder_is_the_names_in_it(self, tmp_path):
        (tmp_path / "b").mkdir()
        (tmp_path / "a.txt").touch()

        assert describe("it", tmp_path, 100).endswith("\n```\na.txt\nb\n```")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")

        with pytest.raises(AttachmentError, match="is not a regular file"):
            describe("it", tmp_path / "pipe", 100)

    def test_a_broken_link_says_what_is_wrong(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "gone")

        with pytest.raises(AttachmentError, match="link cannot be read: No such file"):
            describe("it", tmp_path / "link", 100)

    @pytest.mark.parametrize("name", [".env", "id_rsa", "server.pem"])
    def test_a_file_of_secrets_is_refused_unless_meant(self, tmp_path, name):
        path = tmp_path / name
        path.write_text("A=s3cr3t")

        with pytest.raises(AttachmentError, match="looks like a secret"):
            describe("it", path, 100)
        assert "A=s3cr3t" in describe("it", path, 100, forced=True)

    def test_a_private_key_is_known_by_its_contents(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3t")

        with pytest.raises(AttachmentError, match="looks like a secret"):
            describe("it", path, 100)

"""Files of text."""

from __future__ import annotations

import os
import re

import pytest

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe.problems import AttachmentError
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

    @pytest.mark.parametrize(
        ("encoding", "words"),
        [
            ("utf-8", ""),
            ("utf-16", ", read as UTF-16"),
            ("latin-1", ", read as Latin-1"),
            ("cp1252", ", read as Latin-1"),
        ],
    )
    def test_an_encoding_other_than_utf_8_is_named(self, tmp_path, encoding, words):
        path = tmp_path / "a.txt"
        path.write_text("größer", encoding=encoding)

        assert describe("it", path, 100).split("\n")[0].endswith(f" bytes{words}")

    def test_windows_quotation_marks_are_read_as_such(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes("„größer“ für 3 €".encode("cp1252"))

        text = describe("it", path, 100)
        assert "read as Windows-1252" in text
        assert "„größer“ für 3 €" in text

    def test_a_key_at_the_end_of_the_shown_part_is_masked_whole(self, tmp_path):
        path = tmp_path / "a.txt"
        for length in range(300, 400, 7):
            path.write_text(f"{'x' * length} ghp_{'aB3' * 12} and more {'y ' * 400}")

            assert "ghp_a" not in describe("it", path, 100)

    def test_an_older_office_file_says_how_to_save_it(self, tmp_path):
        path = tmp_path / "table.xls"
        path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))

        with pytest.raises(AttachmentError, match=r"save it as \.xlsx, which can be attached"):
            describe("it", path, 100)

    def test_a_variable_with_a_path_that_does_not_exist_is_shown_as_a_value(self, tmp_path):
        assert "nothing.txt" in describe("it", tmp_path / "nothing.txt", 100)

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

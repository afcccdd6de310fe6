"""The errors for what cannot be attached, and the check that a library which reads a kind of file is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flowgpt_magic import installing
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.regular_files import read_file

if TYPE_CHECKING:
    from io import BytesIO

LARGEST_DOCUMENT = 100 * 2**20  # bytes of a file that a library reads
LARGEST_UNPACKED = 500 * 2**20  # bytes in a document that is a zip archive


class AttachmentError(FlowGptError):
    """What is to be attached does not exist, is not text, or looks like a secret."""


class MissingLibraryError(AttachmentError):
    """The library that reads this kind of file is not installed."""


def secret_refusal(name: str) -> AttachmentError:
    """The error for something that looks like a secret."""
    return AttachmentError(f"{name} looks like a secret, so it is not sent; if you mean it: --attach {name}!")


def has_library(*modules: str) -> bool:
    """Is one of these modules installed?"""
    return any(find_spec(module) is not None for module in modules)


def need_library(path: Path, module: str, package: str) -> None:
    """Raise ``MissingLibraryError`` with the command that installs the extra ``files`` if ``module`` is missing."""
    if not has_library(module):
        command = installing.command("files")
        raise MissingLibraryError(f"{path} is not text, and {package} is needed to read it: {command} installs it")


@contextmanager
def reading(path: Path, what: str, largest_xml: int | None = None) -> Iterator[BytesIO]:
    """The bytes of the file for a library. Its errors become one ``AttachmentError``; its warnings are not printed.

    ``largest_xml`` limits the bytes of the XML in a document, for a library that holds all of it in memory.
    """
    from io import BytesIO

    content = BytesIO(read_file(path, LARGEST_DOCUMENT))
    quiet, root = logging.NullHandler(), logging.getLogger("pypdf")
    root.addHandler(quiet)  # without a handler Python prints warnings to stderr
    try:
        if what != "PDF file":
            _check_archive(content, largest_xml)
        yield content
    except FlowGptError:
        raise
    except Exception as error:  # noqa: BLE001 - a broken file makes libraries raise anything
        raise AttachmentError(f"{path} cannot be read as a {what}: {type(error).__name__}: {error}") from None
    finally:
        root.removeHandler(quiet)


def _check_archive(content: BytesIO, largest_xml: int | None) -> None:
    """Raise for a file that is no zip archive, and for one that is huge when unpacked."""
    from zipfile import ZipFile, is_zipfile

    if not is_zipfile(content):
        raise ValueError("it has another format")
    with ZipFile(content) as archive:
        items = archive.infolist()
    xml = (item.file_size for item in items if item.filename.endswith((".xml", ".rels")))
    for size, limit in ((sum(item.file_size for item in items), LARGEST_UNPACKED), (sum(xml), largest_xml)):
        if limit is not None and size > limit:
            raise ValueError(f"its content is longer than {limit >> 20} MB")
    content.seek(0)

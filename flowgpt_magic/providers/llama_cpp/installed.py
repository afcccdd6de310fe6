"""The models that were installed from a hub: each has a folder of its own name in the data folder.

The file ``model.json`` in it is written last, so a folder without it is a download that is not complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from flowgpt_magic import settings
from flowgpt_magic.errors import FileError, ModelNotSupportedError, closest
from flowgpt_magic.providers.llama_cpp.downloads import write_failure
from flowgpt_magic.regular_files import read_file

RECORD = "model.json"
MAX_RECORD = 2**20  # bytes
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
UNFIT = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True)
class InstalledModel:
    """A model on disk.

    Args:
        name: its name, as in ``local:NAME``.
        repository: where it came from.
        files: its files, in the order of a split model's parts.
        size: bytes of all of them.
        licence: its licence, as the hub stated it.
    """

    name: str
    repository: str
    files: tuple[str, ...]
    size: int
    licence: str

    @property
    def path(self) -> Path:
        """The file to load, of a split model the first one."""
        return folder_of(self.name) / self.files[0]

    @property
    def is_complete(self) -> bool:
        """Are all of its files there?"""
        return all(os.path.isfile(folder_of(self.name) / file) for file in self.files)


def models_folder() -> Path:
    """The folder of all installed models."""
    return settings.data_folder() / "models"


def folder_of(name: str) -> Path:
    """The folder of the model ``name``."""
    return models_folder() / name


def fit_name(text: str) -> str:
    """``text`` as the name of a model: in small letters, without characters that names of folders cannot have."""
    return UNFIT.sub("-", text.lower()).strip("-._")[:100] or "model"


def find(name: str) -> InstalledModel | None:
    """The installed model ``name``, or None."""
    if not NAME.fullmatch(name):
        return None
    with suppress(FileError, ValueError, TypeError, KeyError):
        record = json.loads(read_file(folder_of(name) / RECORD, MAX_RECORD))
        files = tuple(Path(file).name for file in record["files"])
        model = InstalledModel(name, str(record["repository"]), files, int(record["size"]), str(record["licence"]))
        return model if files and model.is_complete else None
    return None


def all_models() -> Iterator[InstalledModel]:
    """The installed models, by name."""
    try:
        names = sorted(os.listdir(models_folder()))
    except OSError:
        return
    for name in names:
        if (model := find(name)) is not None:
            yield model


def add(model: InstalledModel) -> None:
    """Record ``model``, whose files are complete. Raises ``OSError``."""
    record = folder_of(model.name) / RECORD
    new = record.with_suffix(".new")
    new.write_text(json.dumps({**asdict(model), "files": list(model.files)}, indent=1), "utf-8")
    new.replace(record)


def remove(name: str) -> int:
    """Delete the model ``name`` or what was downloaded of it; the bytes that are free now.

    Raises ``ModelNotSupportedError`` if there is none, and ``DownloadError`` for a file that cannot be deleted, which
    on Windows is one in use.
    """
    folder = folder_of(name)
    if not NAME.fullmatch(name) or not folder.is_dir():
        names = [model.name for model in all_models()]
        known = f" Installed: {', '.join(names)}" if names else " None is installed"
        raise ModelNotSupportedError(f"there is no installed model {name!r}{closest(name, names)}{known}")
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    try:
        (folder / RECORD).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise write_failure(error, folder) from error
    return size

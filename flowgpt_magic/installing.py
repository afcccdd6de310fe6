"""The commands that install what is missing, as they work for this Python and for where this package came from.

pip notes in ``direct_url.json`` (PEP 610) what a package was installed from, unless that was an index. A hint that
names the package alone would look for it in an index that need not have it.

A message never ends in a command: the full stop behind it would be copied along.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from importlib.metadata import Distribution

PACKAGE = "flowgpt_magic"
HERE = Path(__file__).parent.parent
_EXTRA = re.compile(r"""\s*;.*\bextra\s*==\s*['"]([\w.-]+)['"].*""")


def command(extra: str, *options: str) -> str:
    """The command that installs this package's ``extra``; ``options`` are further ones of pip's."""
    return packages(*options, *_requirements(extra, _installed()))


def packages(*words: str) -> str:
    """The command that installs packages of an index, or does whatever else ``pip install`` does with these words."""
    pip = f"{python()} -m pip" if find_spec("pip") or not find_spec("uv") else f"{python()} -m uv pip"
    return f"{pip} install {' '.join(map(quoted, words))}"


def module(words: str) -> str:
    """The command that runs this package with these words, such as ``install-model``."""
    return f"{python()} -m {PACKAGE} {words}"


def one_by_one(commands: Iterable[str], *, windows: bool = os.name == "nt") -> str:
    """These commands, one after the other: as one line but on Windows, where PowerShell has no ``&&``."""
    return (", then " if windows else " && ").join(commands)


def python() -> str:
    """The running Python, as a shell takes it."""
    return quoted(sys.executable or "python")


def quoted(word: str, *, windows: bool = os.name == "nt") -> str:
    """``word`` as one word of a command line: in double quotes where it needs any, which every shell takes."""
    if re.fullmatch(r"[\w@%+=:,./\\-]+" if windows else r"[\w@%+=:,./-]+", word):
        return word
    return shlex.quote(word) if re.search(r'["$`!\\]', word) and not windows else f'"{word}"'


def _installed() -> Distribution | None:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return distribution(PACKAGE)
    except PackageNotFoundError:
        return None


def _requirements(extra: str, installed: Distribution | None) -> list[str]:
    """What pip is given for ``extra``: this package again, or where it cannot be had again what the extra asks for."""
    if installed is None:
        return ["-e", f"{HERE}[{extra}]"] if (HERE / "pyproject.toml").is_file() else [f"{PACKAGE}[{extra}]"]
    origin = _origin(installed)
    if origin is None:
        return [f"{PACKAGE}[{extra}]"]
    url = _without_password(str(origin["url"]))
    path = _path(url)
    if path is not None and not path.exists():
        return _asked_for(extra, installed)
    if path is not None and _part(origin, "dir_info").get("editable"):
        return ["-e", f"{path}[{extra}]"]
    vcs = _part(origin, "vcs_info")
    if vcs.get("vcs"):
        revision = vcs.get("requested_revision") or vcs.get("commit_id")
        url = f"{vcs['vcs']}+{url}" + (f"@{revision}" if revision else "")
    return [f"{PACKAGE}[{extra}] @ {url}"]


def _origin(installed: Distribution) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(installed.read_text("direct_url.json") or "null")
        if isinstance(found, dict) and isinstance(found.get("url"), str):
            return found
    return None


def _part(origin: dict[str, Any], name: str) -> dict[str, Any]:
    found = origin.get(name)
    return found if isinstance(found, dict) else {}


def _path(url: str) -> Path | None:
    """The file or folder of a ``file:`` URL; None for any other."""
    from urllib.request import url2pathname  # imports what sends requests, and few need a hint

    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _asked_for(extra: str, installed: Distribution) -> list[str]:
    """The requirements of ``extra`` itself: the file that this package was installed from is gone."""
    found = []
    for line in installed.requires or ():
        match = _EXTRA.search(line)
        if match and match[1] == extra:
            found.append(line[: match.start()].strip())
    return found or [f"{PACKAGE}[{extra}]"]

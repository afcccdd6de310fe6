"""Commands that install optional dependencies, for this Python and for the source this package was installed from.

pip records in ``direct_url.json`` (PEP 610) where a package was installed from, unless that was an index. A command
with only the package's name would look for it in an index, which may not have it.

A message never ends with a command: users would copy the full stop too.
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
    """The command that installs this package's ``extra``; ``options`` are passed to pip."""
    return packages(*options, *_requirements(extra, _installed()))


def packages(*words: str) -> str:
    """The ``pip install`` command with these words, such as the names of packages."""
    pip = f"{python()} -m pip" if find_spec("pip") or not find_spec("uv") else f"{python()} -m uv pip"
    return f"{pip} install {' '.join(map(quoted, words))}"


def module(words: str) -> str:
    """The command that runs this package with these arguments, such as ``install-model``."""
    return f"{python()} -m {PACKAGE} {words}"


def one_by_one(commands: Iterable[str], *, windows: bool = os.name == "nt") -> str:
    """These commands in one line; joined by "then" on Windows, where PowerShell may lack ``&&``."""
    return (", then " if windows else " && ").join(commands)


def python() -> str:
    """The path of the running Python, quoted for a shell."""
    return quoted(sys.executable or "python")


def quoted(word: str, *, windows: bool = os.name == "nt") -> str:
    """``word`` quoted for a command line, in double quotes where possible: all shells accept them."""
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
    """The requirements for ``extra``: this package again, or what the extra requires if its source is gone."""
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
    """The requirements of ``extra`` itself, for when the source of this package is gone."""
    found = []
    for line in installed.requires or ():
        match = _EXTRA.search(line)
        if match and match[1] == extra:
            found.append(line[: match.start()].strip())
    return found or [f"{PACKAGE}[{extra}]"]

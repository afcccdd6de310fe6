"""Which files ``.gitignore`` excludes: that of a folder, of the folders in it, and of those above it in a repository.

Git itself is not asked: the configuration of a cloned repository may name programs that git would run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flowgpt_magic.errors import FileError
from flowgpt_magic.regular_files import read_file

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MAX_SIZE = 2**20  # bytes of a .gitignore file
MAX_PARENTS = 40  # folders above the first one that are searched


@dataclass(frozen=True)
class Rules:
    """The rules that apply in one folder: those of each ``.gitignore``, with its folder, the nearest last."""

    specs: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Is the file or folder at the absolute ``path`` excluded? The nearest rule that matches it decides."""
        for folder, spec in reversed(self.specs):
            relative = path[len(folder) :].replace("\\", "/").lstrip("/")
            decision = spec.check_file(f"{relative}/" if is_folder else relative).include
            if decision is not None:
                return decision
        return False

    def inside(self, folder: str) -> Rules:
        """The rules within ``folder``, which is in the folder of these rules."""
        spec = _read(Path(folder))
        return self if spec is None else replace(self, specs=(*self.specs, (folder, spec)))


def rules_at(root: Path) -> Rules:
    """The rules within ``root``. A folder that is itself excluded has only its own: the user named it."""
    above = [root, *list(root.parents)[:MAX_PARENTS]]
    top = next((place for place, folder in enumerate(above) if (folder / ".git").exists()), 0)
    rules = Rules()
    for folder in reversed(above[1 : top + 1]):
        rules = rules.inside(str(folder))
    for folder in reversed(above[:top]):
        if rules.ignores(str(folder), is_folder=True):
            rules = Rules()
    return rules.inside(str(root))


def _read(folder: Path) -> GitIgnoreSpec | None:
    """The rules of one ``.gitignore``; None if there are none. Lines that are no patterns are ignored, as by git."""
    try:
        lines = read_file(folder / ".gitignore", MAX_SIZE).decode("utf-8-sig", "replace").splitlines()
    except FileError:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except Exception:  # noqa: BLE001 - a wrong pattern raises an error of the library, or one of ``re``
        return GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except Exception:  # noqa: BLE001 - as above
        return False
    return True

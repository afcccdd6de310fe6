"""Which files ``.gitignore`` excludes: that of a folder, of the folders in it, and of those above it in a repository.

Git itself is not asked: the configuration of a cloned repository may name programs that git would run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import translate
from pathlib import Path

from flowgpt_magic.errors import FileError
from flowgpt_magic.regular_files import read_file

MAX_SIZE = 2**20  # bytes of a .gitignore file
MAX_PARENTS = 40  # folders above the first one that are searched
_ESCAPED = re.compile(r"\\(.)")
_NEGATED_CLASS = re.compile(r"\[\^")


@dataclass(frozen=True)
class Pattern:
    """One line of a ``.gitignore``.

    Attributes:
        segments: what each part of a path has to match; None stands for any number of folders.
        is_negated: whether it includes again what an earlier line excludes.
        only_folders: whether it is about folders only.
    """

    segments: tuple[re.Pattern[str] | None, ...]
    is_negated: bool
    only_folders: bool

    def matches(self, parts: list[str]) -> bool:
        """Does the path with these ``parts`` match, and not only a folder in which it is?"""
        if len(self.segments) == 2 and self.segments[0] is None and self.segments[1] is not None:  # most lines
            return bool(self.segments[1].match(parts[-1]))
        if None not in self.segments:
            pairs = zip(self.segments, parts, strict=False)
            return len(parts) == len(self.segments) and all(segment and segment.match(part) for segment, part in pairs)
        places = {0}  # numbers of segments that the parts so far have matched
        for part in parts:
            after: set[int] = set()
            for place in _behind_folders(places, self.segments):
                segment = self.segments[place]
                if segment is None:
                    after.add(place)
                elif segment.match(part):
                    after.add(place + 1)
            places = after
        return len(self.segments) in places


def _behind_folders(places: set[int], segments: tuple[re.Pattern[str] | None, ...]) -> set[int]:
    """``places`` that have a segment, and those behind each None, which may also match no folder."""
    reached = set(places)
    for place in places:
        while place < len(segments) and segments[place] is None:
            place += 1
            reached.add(place)
    return {place for place in reached if place < len(segments)}


@dataclass(frozen=True)
class Rules:
    """The rules that apply in one folder: those of each ``.gitignore``, with its folder, the nearest last."""

    files: tuple[tuple[str, list[Pattern]], ...] = ()

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Is the file or folder at the absolute ``path`` excluded? The last rule that matches it decides."""
        for folder, patterns in reversed(self.files):
            parts = path[len(folder) :].replace("\\", "/").lstrip("/").split("/")
            for pattern in reversed(patterns):
                if (is_folder or not pattern.only_folders) and pattern.matches(parts):
                    return not pattern.is_negated
        return False

    def inside(self, folder: str) -> Rules:
        """The rules within ``folder``, which is in the folder of these rules."""
        patterns = _read(Path(folder))
        return replace(self, files=(*self.files, (folder, patterns))) if patterns else self


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


def _read(folder: Path) -> list[Pattern]:
    """The patterns of the ``.gitignore`` in ``folder``. Lines that are no patterns are ignored, as by git."""
    try:
        lines = read_file(folder / ".gitignore", MAX_SIZE).decode("utf-8-sig", "replace").splitlines()
    except FileError:
        return []
    return [pattern for line in lines if (pattern := _pattern(line))]


def _pattern(line: str) -> Pattern | None:
    """The pattern of a line, as git describes it in ``gitignore(5)``; None for a line without one."""
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if line.startswith("#"):
        return None
    is_negated, line = line.startswith("!"), line.removeprefix("!")
    only_folders, line = line.endswith("/"), line.removesuffix("/")
    names = line.removeprefix("/").split("/")
    if not line or names[-1].endswith("\\"):
        return None
    if "/" not in line:
        names = ["**", *names] if names != ["**"] else ["**", "*"]
    elif names[-1] == "**":
        names.append("*")
    try:
        return Pattern(tuple(None if name == "**" else _segment(name) for name in names), is_negated, only_folders)
    except re.error:  # such as the range [z-a]
        return None


def _segment(name: str) -> re.Pattern[str]:
    """A part of a path, with wildcards; a backslash makes the character after it literal."""
    name = _ESCAPED.sub(lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], name)
    return re.compile(translate(_NEGATED_CLASS.sub("[!", name)))

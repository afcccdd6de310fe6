"""Describe the files of a folder or a pattern such as ``src/**/*.py``: small ones whole, the others in equal parts.

Files and folders whose names begin with a dot, and what ``.gitignore`` excludes, do not belong to it. Neither do links
that lead outside: a cloned project may have one to any file of the user.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from flowgpt_magic.errors import FileError
from flowgpt_magic.installing import PACKAGE
from flowgpt_magic.prompt.describe.budget import Description, Inspection, amount, fitted
from flowgpt_magic.prompt.describe.files import READERS, decoded_text, file
from flowgpt_magic.prompt.describe.ignored import Rules, rules_at
from flowgpt_magic.prompt.describe.problems import AttachmentError, MissingLibraryError
from flowgpt_magic.prompt.images import IMAGE_SUFFIXES
from flowgpt_magic.redaction import PRIVATE_KEY_MARK, is_secret_file
from flowgpt_magic.regular_files import read_beginning

MAX_ENTRIES = 20_000  # names that are read; a folder with more is described in part
MAX_FILES = 2_000  # files that are looked into
LARGEST_FILE = 2 * 2**20  # bytes of a text file in a folder
LOOKED_AT = 1_024  # bytes that show whether a file is text
MIN_SHARE = 600  # characters of each file that is shown; with less room, fewer files are
FILE_OVERHEAD = 100  # characters of the lines around a file
NAMES_SHARE = 8  # one of so many characters may list the names of other files
GENERATED = {"__pycache__", "node_modules"}  # folders that are never entered
WILDCARD = re.compile(r"[*?]|\[[^\]]+\]")
REASONS = {
    "beyond": "beyond attach_tokens",
    "binary": "binary",
    "secret": "that may hold secrets",
    "large": f"longer than {LARGEST_FILE >> 20} MB",
    "library": f"that need {PACKAGE}[files]",
    "unread": "broken or without text",
    "unreadable": "unreadable",
    "link": "linked from elsewhere",
    "special": "that are no regular files",
}


@dataclass(frozen=True)
class FoundFile:
    """A file of a set, its name within it, and its size in bytes."""

    path: Path
    name: str
    size: int


@dataclass(frozen=True)
class FileSet:
    """The files of a folder or a pattern.

    Attributes:
        label: the folder or pattern, as it is shown.
        files: those that can be described, by name.
        pictures: the picture files.
        skipped: the numbers of the other files, by the reason why they are not sent.
        is_complete: whether all files were found; a huge folder is searched in part.
    """

    label: str
    files: Sequence[FoundFile]
    pictures: Sequence[Path] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    is_complete: bool = True

    @property
    def total(self) -> int:
        """The number of all files."""
        return len(self.files) + len(self.pictures) + sum(self.skipped.values())


def is_pattern(name: str) -> bool:
    """Does ``name`` have a wildcard?"""
    return bool(WILDCARD.search(name))


def folder_files(root: Path, label: str, *, masked: bool) -> FileSet:
    """The files in ``root`` and its folders. ``masked`` leaves out those that look like secrets."""
    search = _Search(os.path.realpath(root), ["**", "*"])
    complete = search.run("" if label in (".", "./") else label.rstrip("/\\"))
    return _sorted_out(label, search, complete=complete, masked=masked)


def matching_files(pattern: str, folder: Path, *, masked: bool) -> FileSet:
    """The files that ``pattern`` matches; relative ones begin in ``folder``. ``**`` is any number of folders.

    Raises ``AttachmentError`` if there are none.
    """
    parts = Path(pattern).expanduser().parts
    begin = next(place for place, part in enumerate(parts) if is_pattern(part))
    base, segments = Path(*parts[:begin]), list(parts[begin:])
    segments += ["*"] if segments[-1] == "**" else []
    root = folder / base
    if not root.is_dir():
        raise AttachmentError(f"{pattern}: there is no folder {base}")
    search = _Search(os.path.realpath(root), segments)
    complete = search.run("" if base == Path() else base.as_posix())
    if not search.files and not search.skipped:
        hint = "only folders match it; ** also matches the files in them" if _folders(root, segments) else ""
        hint = hint or "no file matches it; hidden files and those that .gitignore excludes are attached by their names"
        raise AttachmentError(f"{pattern}: {hint}")
    return _sorted_out(pattern, search, complete=complete, masked=masked)


def _folders(root: Path, segments: Sequence[str]) -> bool:
    with os.scandir(root) as entries:
        return len(segments) == 1 and any(
            fnmatch(entry.name, segments[0]) and entry.is_dir() for entry in islice(entries, MAX_ENTRIES)
        )


class _Search:
    """A search below ``top`` for the files that match ``segments``, the nearest folders first.

    A place is the number of segments that a path has matched so far; because of ``**`` it may have several.
    """

    def __init__(self, top: str, segments: Sequence[str]) -> None:
        self._top, self._segments = top, segments
        self.files: list[FoundFile] = []
        self.skipped: Counter[str] = Counter()
        self._waiting: deque[tuple[str, str, Rules, frozenset[int]]] = deque()

    def run(self, prefix: str) -> bool:
        """Search; the names of files begin with ``prefix``. Returns whether all was searched."""
        self._waiting.append((self._top, prefix, rules_at(Path(self._top)), frozenset([0])))
        room = MAX_ENTRIES
        while self._waiting and room > 0:
            folder, name, rules, places = self._waiting.popleft()
            try:
                with os.scandir(folder) as entries:
                    found = sorted(islice(entries, room), key=lambda entry: entry.name)
            except OSError:
                self.skipped["unreadable"] += 1
                continue
            room -= len(found)
            if folder != self._top and any(entry.name == "pyvenv.cfg" for entry in found):
                continue  # a virtual environment
            for entry in found:
                self._take(entry, f"{name}/{entry.name}" if name else entry.name, rules, places)
        return room > 0

    def _take(self, entry: os.DirEntry[str], name: str, rules: Rules, before: frozenset[int]) -> None:
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            places = self._after(before, entry.name, is_folder=is_folder)
            if not places or rules.ignores(entry.path, is_folder=is_folder):
                return
            if is_folder:
                if entry.name not in GENERATED:
                    self._waiting.append((entry.path, name, rules.inside(entry.path), places))
            elif entry.is_file():
                if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(self._top):
                    self.skipped["link"] += 1
                else:
                    self.files.append(FoundFile(Path(entry.path), name, entry.stat().st_size))
            elif not entry.is_dir():  # a device, a pipe, or a link that leads nowhere
                self.skipped["special"] += 1
        except OSError:
            self.skipped["unreadable"] += 1

    def _after(self, places: frozenset[int], name: str, *, is_folder: bool) -> frozenset[int]:
        """The places after ``name``: for a folder those from which a file can match, for a file the end or nothing."""
        end, after = len(self._segments), set()
        for place in self._with_skipped(places):
            segment = self._segments[place]
            if name.startswith(".") and not segment.startswith("."):
                continue
            if segment == "**":
                after |= {place} if is_folder else set()
            elif fnmatch(name, segment):
                after.add(place + 1)
        return frozenset(after - {end} if is_folder else after & {end})

    def _with_skipped(self, places: frozenset[int]) -> set[int]:
        """``places``, and those behind each ``**``, which may also match no folder."""
        reached = set(places)
        for place in sorted(places):
            while place < len(self._segments) and self._segments[place] == "**":
                place += 1
                reached.add(place)
        return {place for place in reached if place < len(self._segments)}


def _sorted_out(label: str, search: _Search, *, complete: bool, masked: bool) -> FileSet:
    """The found files by their kind: those that can be described, pictures, and those that are not sent."""
    files, pictures, skipped = [], [], Counter(search.skipped)
    found = sorted(search.files, key=lambda file: file.name)
    for candidate in found[:MAX_FILES]:
        reason = _reason(candidate, masked=masked)
        if reason == "picture":
            pictures.append(candidate.path)
        elif reason:
            skipped[reason] += 1
        else:
            files.append(candidate)
    return FileSet(label, files, pictures, skipped, complete and len(found) <= MAX_FILES)


def _reason(candidate: FoundFile, *, masked: bool) -> str:
    """Why a file is not described, as a key of ``REASONS``; empty if it is."""
    suffix = candidate.path.suffix.lower()
    if masked and is_secret_file(candidate.path):
        return "secret"
    if suffix in IMAGE_SUFFIXES:
        return "picture"
    if suffix in READERS:
        return ""
    if candidate.size > LARGEST_FILE:
        return "large"
    try:
        data, size = read_beginning(candidate.path, LOOKED_AT)
    except FileError:
        return "unreadable"
    if masked and PRIVATE_KEY_MARK.encode() in data:
        return "secret"
    return "" if decoded_text(data, more=len(data) < size) else "binary" if data else ""


def file_set(value: object, inspection: Inspection) -> Description | None:
    """Describe a folder, or a ``FileSet``, by the texts of its files."""
    if isinstance(value, Path) and value.is_dir():
        key = f"{value}{os.sep}"
        if key not in inspection.read:
            inspection.read[key] = folder_files(value, value.name or str(value), masked=inspection.masked)
        value = inspection.read[key]
    if not isinstance(value, FileSet):
        return None
    texts, skipped = _texts(value, inspection)
    words = _amount_of(value, len(texts))
    others = [candidate.name for candidate in value.files if candidate.name not in texts]
    listed = _names(others, inspection.room // NAMES_SHARE)
    parts = [*(texts[name] for name in sorted(texts)), *([f"Not shown: {listed}"] if others else [])]
    body = "\n\n".join(["", *parts])[1:]
    beyond = len(others) - sum((skipped - Counter(value.skipped)).values())
    return Description(words, body, None, (), f"{words} of {{}}", _unsent(skipped, beyond, value.is_complete))


def _texts(files: FileSet, inspection: Inspection) -> tuple[dict[str, str], Counter[str]]:
    """The text of each file that is shown, by name, and why others are not: the smallest first, in equal shares.

    If not all of them fit, those of the nearest folders are chosen.
    """
    room = inspection.room - inspection.room // NAMES_SHARE
    candidates: list[FoundFile] = []
    least = 0
    for candidate in sorted(files.files, key=lambda found: (found.name.count("/"), found.size, found.name)):
        least += min(candidate.size, MIN_SHARE) + FILE_OVERHEAD + len(candidate.name)
        if least > room and candidates:
            break
        candidates.append(candidate)
    texts: dict[str, str] = {}
    skipped = Counter(files.skipped)
    for number, candidate in enumerate(sorted(candidates, key=lambda found: found.size)):
        share = room // (len(candidates) - number)
        try:
            texts[candidate.name] = _text(candidate, share, inspection)
        except AttachmentError as error:
            skipped["library" if isinstance(error, MissingLibraryError) else "unread"] += 1
            continue
        room -= len(texts[candidate.name]) + 2
    return texts, skipped


def _text(candidate: FoundFile, share: int, inspection: Inspection) -> str:
    """The description of one file under its name, in about ``share`` characters."""
    inner = Inspection(max(0, share - FILE_OVERHEAD - len(candidate.name)), inspection.masked, read=inspection.read)
    description = file(candidate.path, inner)
    if description is None or not description.body:
        return f"{candidate.name}: empty"
    text = fitted("", replace(description, headline=""), share - len(candidate.name) - 2, masked=inspection.masked)[0]
    return f"{candidate.name}:\n{text}"


def _amount_of(files: FileSet, count: int) -> str:
    """``12 of 40 files``, or ``40 files`` if all are shown."""
    if not files.is_complete:
        return f"{count:,} of more than {amount(files.total, 'file')}"
    return amount(count, "file") if count == files.total else f"{count:,} of {amount(files.total, 'file')}"


def _names(names: Sequence[str], room: int) -> str:
    """As many ``names`` as fit, and the number of the others."""
    listed: list[str] = []
    for name in names:
        room -= len(name) + 2
        if room < 0:
            break
        listed.append(name)
    more = len(names) - len(listed)
    return ", ".join([*listed, *([f"{more:,} more"] if more else [])])


def _unsent(skipped: Mapping[str, int], beyond: int, is_complete: bool) -> str:
    """The clause about the files that are not sent; empty if all are."""
    numbers = {reason: number for reason in REASONS if (number := {**skipped, "beyond": beyond}.get(reason))}
    parts = [f"{number:,} {REASONS[reason]}" for reason, number in numbers.items()]
    if len(numbers) == 1 and is_complete:
        parts = [REASONS[reason] for reason in numbers]
    if not is_complete:
        parts.append("it has more files than are searched")
    total = sum(numbers.values())
    return f"{amount(total, 'file') if total else 'others'} of {{}} not sent: {', '.join(parts)}" if parts else ""

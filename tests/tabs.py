"""Pressing Tab in a text, where a few names, conversations and files are known."""

from __future__ import annotations

from flowgpt_magic.completion.complete import complete
from flowgpt_magic.completion.names import Candidate
from flowgpt_magic.completion.values import CompletionSources
from flowgpt_magic.magics.commands.table import SUBCOMMANDS


class Thing:
    """Something with attributes of all kinds; none of them may be asked."""

    kind = "class"

    def __init__(self) -> None:
        self.label = {"size": 1}
        self._inner = 2

    def method(self) -> None:
        raise AssertionError

    @property
    def loud(self) -> object:
        raise AssertionError

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


class Slots:
    __slots__ = ("left", "right")


NAMES = {
    "name": 1,
    "Name": 2,
    "number": 3,
    "größe": 4,
    "_private": 5,
    "__dunder__": 6,
    "api_key": 7,
    "thing": Thing(),
    "slots": Slots(),
    "d": {"kind": {"inner": 1}, "two words": 2, 'quo"te': 3, "pass\n": 4, 7: 5, -8: 6, ("a",): 7, "token": 8},
    "rows": [{"first": 1}],
    "exit": exit,
    "In": [""],
}
KNOWN = CompletionSources(
    names=NAMES,
    hidden={"exit": exit, "In": NAMES["In"]},
    commands=lambda: {name: each.about for name, each in SUBCOMMANDS.items()},
    topics=lambda: {"prompts": "What a prompt may hold"},
    models=lambda **_how: [
        Candidate("echo", "provider"),
        Candidate("echo:words", "model"),
        Candidate("fast", "alias of echo"),
    ],
    environment=lambda: ["MY_KEY", "HOME"],
    conversations=lambda: ["main", "my chat", "it's", 'a "b"', "two\nlines"],
    files=lambda folder: {
        "": [
            Candidate("notes/", "folder"),
            Candidate("my file.md", "file"),
            Candidate("a,b", "file"),
            Candidate(".env", "file"),
        ],
        "notes/": [Candidate("one.md", "file")],
    }.get(folder, []),
)


def tab(marked: str, known: CompletionSources = KNOWN) -> list[str] | None:
    """The texts that are offered where ``|`` stands; None where that is not ours."""
    cursor = marked.index("|")
    found = complete(marked.replace("|", "", 1), cursor, known)
    return None if found is None else [each.text for each in found.candidates]


def replaced(marked: str) -> str:
    """What would be replaced."""
    cursor = marked.index("|")
    found = complete(marked.replace("|", "", 1), cursor, KNOWN)
    assert found is not None
    return marked[found.start : cursor]

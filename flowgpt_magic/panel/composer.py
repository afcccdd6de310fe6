"""What is typed into a panel: commands behind a slash, references in braces, names of what is attached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flowgpt_magic.completion import complete
from flowgpt_magic.completion.shell import sources_of
from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.errors import closest
from flowgpt_magic.panel.protocol import Facts
from flowgpt_magic.panel.state import PanelError

LIMIT = 40  # items that are offered


@dataclass(frozen=True)
class Command:
    """Something typed behind a slash: the action it is, the name of its argument there, and what it does."""

    action: str
    about: str
    argument: str = ""
    needed: bool = False
    fixed: tuple[tuple[str, Any], ...] = ()

    def request(self, name: str, rest: str) -> Facts:
        """As a page would ask for the action. Raises ``PanelError`` where something is missing, or too much."""
        if self.needed and not rest:
            raise PanelError(f"/{name} takes {self.argument}, behind a space")
        if rest and not self.argument:
            raise PanelError(f"/{name} takes nothing behind it; to send this as a prompt, begin it with //")
        return dict(self.fixed) | ({self.argument: rest} if rest else {})


PANEL_COMMANDS: dict[str, Command] = {
    "new": Command("new", "begin another conversation", "name"),
    "use": Command("use", "go on with another conversation", "name", needed=True),
    "rename": Command("rename", "call this conversation something else", "name", needed=True),
    "model": Command("set", "ask somebody else", "value", needed=True, fixed=(("setting", "model"),)),
    "system": Command("set", "set the system prompt; none takes it away", "value", True, (("setting", "system"),)),
    "temperature": Command("set", "0 to 2, or none", "value", needed=True, fixed=(("setting", "temperature"),)),
    "retry": Command("retry", "ask the last prompt again"),
    "continue": Command("continue", "let the last reply go on"),
    "undo": Command("undo", "take the last change back"),
    "redo": Command("redo", "make it again"),
    "clear": Command("clear", "set the turns aside; /undo brings them back"),
    "stop": Command("stop", "stop the reply that arrives"),
    "help": Command("help", "what can be typed behind a slash"),
}


def command_in(text: str) -> tuple[str, Facts] | None:
    """The action that a text asks for, with its request; None for a prompt, and for what the page does by itself.

    A prompt that begins with a slash is typed with two; a path such as ``/etc/hosts`` is no command. Raises
    ``PanelError`` for a word that is none of the commands.
    """
    word, _space, rest = text.strip().partition(" ")
    name = word[1:]
    if not text.startswith("/") or not name.isalpha() or "\n" in word:
        return None
    if name not in PANEL_COMMANDS:
        hint = closest(name, PANEL_COMMANDS)
        raise PanelError(f"there is no command {word}{hint} To send this as a prompt, begin it with //")
    found = PANEL_COMMANDS[name]
    return found.action, found.request(name, rest.strip())


def prompt_in(text: str) -> str:
    """The prompt that a text is: two slashes at its start stand for one."""
    return text[1:] if text.startswith("//") and not text.startswith("///") else text


@dataclass(frozen=True)
class Offered:
    """What could stand from ``start`` on, to the cursor; the best first."""

    start: int
    items: tuple[tuple[str, str], ...] = ()  # the text, and in a few words what it is

    def told(self) -> Facts:
        """As a page is told of it."""
        return {
            "start": self.start,
            "items": [[join_surrogates(text), join_surrogates(about)] for text, about in self.items],
        }


def complete_input(text: str, shell: Any, names: Sequence[str], models: Callable[[], Sequence[str]]) -> Offered:
    """What could stand at the end of a text in the composer; ``names`` are those of the conversations."""
    if text.startswith("/") and not text.startswith("//") and "\n" not in text:
        return _command(text, names, models)
    return _from_cell("%%flowgpt\n", text, shell)


def complete_attached(text: str, shell: Any) -> Offered:
    """What could be attached that begins so: variables, files, cells and their outputs."""
    return _from_cell("%%flowgpt --attach ", text, shell)


def _command(text: str, names: Sequence[str], models: Callable[[], Sequence[str]]) -> Offered:
    word, space, rest = text[1:].partition(" ")
    if not space:
        return _fitting(1, word, [(name, command.about) for name, command in PANEL_COMMANDS.items()])
    values = {"use": names, "model": models() if word == "model" else ()}
    return _fitting(len(text) - len(rest), rest, [(value, "") for value in values.get(word, ())])


def _fitting(start: int, typed: str, items: Sequence[tuple[str, str]]) -> Offered:
    folded = typed.casefold()
    return Offered(start, tuple(each for each in items if each[0].casefold().startswith(folded))[:LIMIT])


def _from_cell(before: str, typed: str, shell: Any) -> Offered:
    cell = before + typed
    found = complete.complete(cell, len(cell), sources_of(shell)) if shell is not None else None
    if found is None:
        return Offered(len(typed))
    items = tuple((each.text, each.type) for each in found.candidates)
    return Offered(found.start - len(before), items[:LIMIT])

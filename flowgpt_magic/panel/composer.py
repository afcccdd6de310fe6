"""The text typed into a panel: slash commands, references in braces, names of attachments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flowgpt_magic.completion import complete
from flowgpt_magic.completion.shell import sources_of
from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.panel.protocol import Facts
from flowgpt_magic.panel.state import PanelError
from flowgpt_magic.prompt import templates
from flowgpt_magic.spelling import nearest

MOST_OFFERED = 40  # completions


@dataclass(frozen=True)
class Command:
    """A slash command: its action, a description, and the name of its argument in the request."""

    action: str
    about: str
    argument: str = ""
    needed: bool = False
    fixed: tuple[tuple[str, Any], ...] = ()

    def request(self, name: str, rest: str) -> Facts:
        """The request of a page for this action. Raises ``PanelError`` for a missing or an unexpected argument."""
        if self.needed and not rest:
            raise PanelError(f"/{name} needs a {self.argument} after a space")
        if rest and not self.argument:
            raise PanelError(f"/{name} takes no argument; to send this as a prompt, begin it with //")
        return dict(self.fixed) | ({self.argument: rest} if rest else {})


PANEL_COMMANDS: dict[str, Command] = {
    "new": Command("new", "start a new conversation", "name"),
    "use": Command("use", "switch to another conversation", "name", needed=True),
    "rename": Command("rename", "rename this conversation", "name", needed=True),
    "model": Command("set", "choose the model that answers", "value", needed=True, fixed=(("setting", "model"),)),
    "system": Command("set", "set the system prompt; none removes it", "value", True, (("setting", "system"),)),
    "temperature": Command("set", "0 to 2, or none", "value", needed=True, fixed=(("setting", "temperature"),)),
    "think": Command("set", "low, medium, high, off, or none", "value", needed=True, fixed=(("setting", "think"),)),
    "template": Command("template", "ask with a prompt template: its name, slot=value, text", "call"),
    "retry": Command("retry", "ask the last prompt again"),
    "continue": Command("continue", "continue the last reply"),
    "undo": Command("undo", "undo the last change"),
    "redo": Command("redo", "redo it"),
    "clear": Command("clear", "clear the conversation; /undo restores it"),
    "stop": Command("stop", "stop the reply"),
    "help": Command("help", "list the commands"),
}
# Subcommands of the magic that are no commands of a panel.
IN_CELLS = (
    *("alias", "aliases", "apply", "branch", "chats", "config", "edit", "explain", "export", "fix", "history"),
    *("import", "models", "providers", "reset", "show", "update", "usage", "version"),
)


def command_in(text: str) -> tuple[str, Facts] | None:
    """The action of a slash command, with its request; None for a prompt.

    A prompt that begins with a slash is typed with two slashes; a path such as ``/etc/hosts`` is not a command. Raises
    ``PanelError`` for an unknown command.
    """
    word, _space, rest = text.strip().partition(" ")
    name = word[1:]
    if not text.startswith("/") or not name.isalpha() or "\n" in word:
        return None
    if name not in PANEL_COMMANDS:
        raise PanelError(f"there is no command {word}{_hint(name)} To send this as a prompt, begin it with //")
    command = PANEL_COMMANDS[name]
    return command.action, command.request(name, rest.strip())


def _hint(name: str) -> str:
    """What an unknown command may stand for: another one, or a subcommand of the magic."""
    subcommand = nearest(name, [*PANEL_COMMANDS, *IN_CELLS])
    if subcommand in IN_CELLS:
        return f"; did you mean {subcommand}? It is typed in a cell, as %flowgpt {subcommand}."
    return f"; did you mean {subcommand}?" if subcommand else ". /help lists them."


def prompt_in(text: str) -> str:
    """The prompt in a typed text: two leading slashes mean one."""
    return text[1:] if text.startswith("//") and not text.startswith("///") else text


@dataclass(frozen=True)
class Offered:
    """Completions that replace the text from ``start`` to the cursor, the best first."""

    start: int
    items: tuple[tuple[str, str], ...] = ()  # each with its description

    def facts(self) -> Facts:
        """The completions as a message to a page."""
        return {
            "start": self.start,
            "items": [[join_surrogates(text), join_surrogates(about)] for text, about in self.items],
        }


Described = tuple[str, str]  # a name, and what it is


def complete_input(text: str, shell: Any, names: Sequence[str], models: Callable[[], Sequence[Described]]) -> Offered:
    """Completions at the end of a text in the composer; ``names`` are the conversations' names."""
    if text.startswith("/") and not text.startswith("//") and "\n" not in text:
        return _command(text, names, models)
    return _from_cell("%%flowgpt\n", text, shell)


def complete_attached(text: str, shell: Any) -> Offered:
    """Completions for an attachment: variables, files, cells and their outputs."""
    return _from_cell("%%flowgpt --attach ", text, shell)


def _command(text: str, names: Sequence[str], models: Callable[[], Sequence[Described]]) -> Offered:
    word, space, rest = text[1:].partition(" ")
    if not space:
        return _fitting(1, word, [(name, command.about) for name, command in PANEL_COMMANDS.items()])
    values: dict[str, Sequence[Described]] = {
        "use": [(name, "") for name in names],
        "model": models() if word == "model" else (),
        "template": [(name, "") for name in templates.find_files()] if word == "template" else (),
    }
    return _fitting(len(text) - len(rest), rest, values.get(word, ()))


def _fitting(start: int, typed: str, items: Sequence[Described]) -> Offered:
    folded = typed.casefold()
    return Offered(start, tuple(item for item in items if item[0].casefold().startswith(folded))[:MOST_OFFERED])


def _from_cell(before: str, typed: str, shell: Any) -> Offered:
    cell = before + typed
    completions = complete.complete(cell, len(cell), sources_of(shell)) if shell is not None else None
    if completions is None:
        return Offered(len(typed))
    items = tuple((candidate.text, candidate.type) for candidate in completions.candidates)
    return Offered(completions.start - len(before), items[:MOST_OFFERED])

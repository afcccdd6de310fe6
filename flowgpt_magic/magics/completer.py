"""Tab completion of the magics: the matcher for IPython's completer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from flowgpt_magic.completion.complete import complete
from flowgpt_magic.completion.names import Candidate
from flowgpt_magic.completion.shell import LOOKUP_SECONDS, in_time, sources_of
from flowgpt_magic.completion.values import CompletionSources
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.history.records import MAIN
from flowgpt_magic.text import cut

if TYPE_CHECKING:
    from flowgpt_magic.magics.state import ShellState


class CompletionContext(Protocol):
    """What IPython passes to a matcher: the cell and the position of the cursor."""

    full_text: str
    cursor_line: int
    cursor_position: int


class NoCompletions:
    """An empty list that is true: IPython asks its other matchers if ours returns an empty one."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Candidate]:
        return iter(())


def matcher(
    context: CompletionContext, shell: Any, state: ShellState | None, magics: tuple[str, ...] = ("flowgpt",)
) -> dict[str, Any]:
    """The completions at the cursor, in the format of IPython's matcher API.

    Args:
        context: the cell and the cursor.
        shell: IPython's shell.
        state: the state of the magics; None if they have not been used.
        magics: their names.
    """
    text = context.full_text
    cursor = sum(len(line) + 1 for line in text.split("\n")[: context.cursor_line]) + context.cursor_position
    completion = complete(text, cursor, _sources(shell, state, magics))
    if completion is None:
        return {"completions": [], "suppress": False}
    # JupyterLab shows only the first word of a type.
    items = [Candidate(item.text, item.type.replace(" ", "\N{NO-BREAK SPACE}")) for item in completion.candidates]
    return {
        "completions": items or NoCompletions(),
        "matched_fragment": text[completion.start : cursor],
        "suppress": True,
        "ordered": True,
    }


def _sources(shell: Any, state: ShellState | None, magics: tuple[str, ...]) -> CompletionSources:
    return sources_of(
        shell,
        commands=_all_commands,
        topics=_all_topics,
        conversations=lambda: _all_conversations(state),
        magics=magics,
        compared=lambda: _all_compared(state),
    )


def _all_commands() -> dict[str, str]:
    from flowgpt_magic.magics.commands.table import SUBCOMMANDS

    return {name: cut(subcommand.short, 60) for name, subcommand in SUBCOMMANDS.items()}


def _all_topics() -> dict[str, str]:
    from flowgpt_magic.magics.commands.topics import TOPICS

    return {name: topic.title for name, topic in TOPICS.items()}


def _all_conversations(state: ShellState | None) -> Sequence[str]:
    """The conversations of the notebook, the newest first."""
    try:
        notebook_history = state.notebook_history if state else None
    except FlowGptError:  # an invalid setting; the next cell reports it
        notebook_history = None
    if state is None or notebook_history is None:
        return [MAIN]
    key = f"conversations in {notebook_history.location} of {notebook_history.place.key}"
    names = in_time(key, notebook_history.known_names, LOOKUP_SECONDS)
    return list(dict.fromkeys([state.current, *reversed(names), MAIN]))


def _all_compared(state: ShellState | None) -> Sequence[Candidate]:
    """The replies of the last comparison: their numbers, each with its model, and the models."""
    if state is None:
        return []

    def look_up() -> Sequence[Candidate]:
        from flowgpt_magic.magics.commands.comparing import last_compared, number_of

        conversation = state.conversation()
        replies = conversation.compared(last_compared(conversation))
        names = {turn.turn_id: f"{turn.provider}:{turn.model}" for turn in replies}
        numbers = [Candidate(str(number_of(turn)), f"reply of {names[turn.turn_id]}") for turn in replies]
        return [*numbers, *(Candidate(name, "model") for name in names.values())]

    with suppress(FlowGptError):
        return in_time(f"compared in {state.current}", look_up, 10 * LOOKUP_SECONDS)
    return []

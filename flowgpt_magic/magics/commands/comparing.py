"""The subcommand of ``%flowgpt`` that chooses among the replies of several models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from flowgpt_magic.errors import FlowGptError, OptionError, TurnNotFoundError, closest
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import models

if TYPE_CHECKING:
    from flowgpt_magic.conversation import Conversation
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.messages import Turn

USAGE = "%flowgpt keep takes the number of a reply or its model, and optionally the number of the turn"


@subcommand(
    "Continue with another reply of the last comparison: ``keep NUMBER``, or by its model: ``keep MODEL [TURN]``.",
    "It becomes the live version of its turn; the others stay as versions, and undo takes the choice back. In a turn "
    "that was not a comparison, NUMBER is the number of a version.",
    group="conversation",
    examples=(
        "%flowgpt keep 1",
        "%flowgpt -m echo,echo:messages Why is the sky blue?\n%flowgpt keep 2",
    ),
)
def keep(state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) not in (1, 2) or (words[1:] and not words[1].lstrip("-").isdigit()):
        raise OptionError(f"{USAGE}; {magic_line.SEND_INSTEAD}")
    conversation = state.conversation()
    turn = conversation.turn(int(words[1])) if words[1:] else last_compared(conversation)
    replies = conversation.compared(turn)
    chosen = find_reply(replies, words[0])
    if not chosen.text.strip():
        raise OptionError(f"the reply of {_name(chosen)} has no text: it cannot be kept")
    number = conversation.number_at(turn.place)
    if number is None:
        raise TurnNotFoundError("this turn has been removed from the conversation: %flowgpt undo brings it back")
    if chosen.live:
        return f"turn {number} has the reply of {_name(chosen)} already"
    conversation.choose(number, chosen.version)
    return f"turn {number} has the reply of {_name(chosen)} now; %flowgpt undo takes that back"


def last_compared(conversation: Conversation) -> Turn:
    """The last turn with the replies of several models; else the last one with several versions, or the last one.

    Raises ``TurnNotFoundError`` if there are no turns.
    """
    turns = [*reversed(conversation.turns)]
    compared = [turn for turn in turns if turn.sent.comparison]
    several = [turn for turn in turns if conversation.newest_version(turn) > 1]
    return next(iter((*compared, *several, *turns)), None) or conversation.turn(-1)


def number_of(turn: Turn) -> int:
    """The number by which ``keep`` knows a reply: that of its column, or of its version."""
    return turn.sent.column or turn.version


def find_reply(replies: Sequence[Turn], word: str) -> Turn:
    """The reply with this number, or of this model. Raises ``OptionError`` if there is none, or more than one."""
    by_number = {str(number_of(turn)): turn for turn in replies}
    if word in by_number:
        return by_number[word]
    choices = ", ".join(f"{number} {_name(turn)}" for number, turn in by_number.items())
    if word.isdigit():
        hint = "" if len(replies) > 1 else "; %%flowgpt -m a,b asks several models"
        raise OptionError(f"there is no reply {word}; there is {choices}{hint}")
    names = {word}
    with suppress(FlowGptError):  # an alias, or a short name
        names.add(str(models.find_model(word)))
    matching = [turn for turn in replies if names & {_name(turn), turn.model, turn.provider}]
    exact = [turn for turn in matching if _name(turn) in names]
    if not matching:
        hint = closest(word, [*map(_name, replies), *(turn.model for turn in replies)])
        raise OptionError(f"{word} was not asked{hint} The replies are {choices}")
    if len(exact or matching) > 1:
        raise OptionError(f"{word} stands for several replies: name one by its number. The replies are {choices}")
    return (exact or matching)[0]


def _name(turn: Turn) -> str:
    return f"{turn.provider}:{turn.model}"


SUBCOMMANDS: dict[str, Subcommand] = {"keep": keep}

"""The subcommands of ``%flowgpt`` about conversations and their turns."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from flowgpt_magic.bridge import wholly
from flowgpt_magic.errors import ConversationNotFoundError, FlowGptError, OptionError, closest
from flowgpt_magic.history.records import MAIN
from flowgpt_magic.history.search import words_of
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.state import Asked, ShellState
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import models
from flowgpt_magic.redaction import redact
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted, cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.transcripts.bundles import TurnWithReasoning

REASONING = "--reasoning"  # an option of show
FOLLOWING = re.compile(r"(?<!\S)--following(?!\S)")  # an option of retry
NUMBER_FIRST = re.compile(r"\s*(-?\d+)(?:\s+|\Z)(.*)", re.DOTALL)
EDIT_OPTIONS = {
    "model",
    "temperature",
    "think",
    "system",
    "format",
    "param",
    "max-tokens",
    "out",
    "attach",
    "raw",
}
ID_LENGTH = 8  # characters of a turn's id that are shown
STATUS_WORDS = {
    "streaming": "still arriving",
    "complete": "complete",
    "cancelled": "interrupted",
    "failed": "failed",
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale


@subcommand(
    "Show the settings of the next prompt.",
    group="settings",
    examples=("%flowgpt", "%flowgpt config"),
)
def in_force(state: ShellState, _rest: str = "") -> Shown:
    state.notebook_history.follow_file()
    conversation = state.conversation()
    chosen = conversation.settings()
    temperature = "the provider's own" if chosen.temperature is None else f"{chosen.temperature:g}"
    rows = (
        ("conversation", f"{conversation.name}, {counted(len(conversation.turns), 'turn')}"),
        ("model", _model_text(chosen.model)),
        ("system prompt", cut(redact(chosen.system), 200) or "none"),
        ("temperature", temperature),
        ("think", chosen.think or "the model's own"),
        ("format", chosen.format),
        ("notebook", short_path(state.notebook_history.place.path) or state.notebook_history.place.label),
        ("history", state.notebook_history.location_text),
    )
    return Table(("", "in force"), rows, "what can be done: %flowgpt help")


def _model_text(name: str) -> str:
    """The model that is asked, or what is wrong with its name."""
    try:
        return redact(str(models.find_model(name)))
    except FlowGptError as error:
        return f"nobody: {error}"


@subcommand(
    "List the turns of this conversation.",
    group="conversation",
    examples=("%flowgpt history", "%flowgpt show 1"),
)
def history(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("history", rest)
    from flowgpt_magic.conversation import asked_before_edit

    conversation = state.conversation()
    turns = conversation.turns
    if not turns:
        return f"{conversation.name} has no turns yet"
    earlier = {turn.turn_id for turn in asked_before_edit(turns)}
    cells = [state.notebook_history.cell_number(turn) for turn in turns]
    rows = tuple(
        (
            str(number),
            cut(turn.prompt),
            cut(turn.text) or cut(turn.error),
            f"{turn.provider}:{turn.model}",
            f"{_status(turn)}, asked before the edit above" if turn.turn_id in earlier else _status(turn),
            _when(turn.started),
            *([f"In [{cell}]" if cell else ""] if any(cells) else []),
        )
        for number, (turn, cell) in enumerate(zip(turns, cells, strict=True), 1)
    )
    columns = ("turn", "prompt", "reply", "model", "status", "time", *(["cell"] if any(cells) else []))
    first = next((number for number, turn in enumerate(turns, 1) if turn.turn_id in earlier), 0)
    again = f"; %flowgpt retry {first} --following asks again from turn {first} on" if first else ""
    return Table(columns, rows, f"conversation {conversation.name}; %flowgpt show N shows a whole turn{again}")


@subcommand(
    "Show a turn and its earlier versions: ``show [N [VERSION]] [--reasoning]``, or of any notebook: ``show #ID``.",
    "--reasoning also shows what the model thought before it answered.",
    group="conversation",
    examples=("%flowgpt show", "%flowgpt show 1"),
)
def show(state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    numbers = [word for word in words if word != REASONING]
    versions, number = _turns_named(state, numbers)
    if len(numbers) < len(words):
        return _with_reasoning(next((turn for turn in versions if turn.live), versions[-1]))
    return versions[0] if len(versions) == 1 else _versions(versions, number)


def _turns_named(state: ShellState, words: list[str]) -> tuple[list[Turn], int]:
    """The turn that is named, or all versions of it; and its number, 0 for one that is named by its id."""
    if words and words[0].startswith("#"):
        return [state.notebook_history.turn(words[0][1:])], 0
    numbers = [_number("show", word) for word in words[:2]] or [-1]
    if len(words) > 2:
        raise OptionError(f"%flowgpt show takes the number of a turn and of a version; {magic_line.SEND_INSTEAD}")
    conversation = state.conversation()
    versions = conversation.versions(conversation.turn(numbers[0]))
    number = numbers[0] if numbers[0] > 0 else len(conversation.turns) + 1 + numbers[0]
    if len(numbers) == 1:
        return versions, number
    by_number = {version.version: version for version in versions}
    if numbers[1] not in by_number:
        raise OptionError(f"turn {numbers[0]} has no version {numbers[1]}; it has {', '.join(map(str, by_number))}")
    return [by_number[numbers[1]]], number


def _with_reasoning(turn: Turn) -> TurnWithReasoning:
    """Raises ``FlowGptError`` for a turn without reasoning."""
    from flowgpt_magic.transcripts.bundles import TurnWithReasoning
    from flowgpt_magic.transcripts.reasoning import parts_of

    if not parts_of(turn).reasoning:
        raise FlowGptError(f"{turn.provider}:{turn.model} sent no reasoning with this reply")
    return TurnWithReasoning(turn)


def _versions(versions: list[Turn], number: int) -> Shown:
    rows = tuple(
        (
            f"{version.version}{' (live)' if version.live else ''}",
            cut(version.prompt, 100),
            cut(version.text, 100),
            f"{version.provider}:{version.model}",
            _status(version),
            _when(version.started),
        )
        for version in versions
    )
    columns = ("version", "prompt", "reply", "model", "status", "time")
    return Table(columns, rows, f"one of them whole: %flowgpt show {number} VERSION")


@subcommand(
    "Undo the last change.",
    group="conversation",
    examples=("%flowgpt undo", "%flowgpt undo\n%flowgpt redo"),
)
def undo(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("undo", rest)
    kind = state.conversation().undo()
    return f"undone: {kind}; {_state(state)}"


@subcommand(
    "Redo the change that was undone last.",
    group="conversation",
    examples=("%flowgpt undo\n%flowgpt redo", "%flowgpt undo\n%flowgpt undo\n%flowgpt redo"),
)
def redo(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("redo", rest)
    kind = state.conversation().redo()
    return f"redone: {kind}; {_state(state)}"


@subcommand(
    "Send the last prompt, or turn N, again: ``retry [N] [-m MODEL] [-t NUMBER]``; ``--following``: later turns, too.",
    group="ask",
    examples=("%flowgpt retry", "%flowgpt retry -m echo:words -t 0.9"),
)
def retry(state: ShellState, rest: str) -> Shown:
    line, following = FOLLOWING.subn("", rest)
    numbered = NUMBER_FIRST.match(line)
    read = magic_line.read_line(numbered[2] if numbered else line, models.is_model_name)
    number = numbered[1] if numbered else read.prompt or "-1"
    if (numbered and read.prompt) or not re.fullmatch(r"-?\d+", number):
        raise OptionError(f"%flowgpt retry takes the number of a turn, and options; {magic_line.SEND_INSTEAD}")
    if refused := sorted(read.options.keys() - {"model", "temperature", "think", "system", "format", "out"}):
        raise OptionError(f"%flowgpt retry does not take --{refused[0]}; it takes -m, -t, --think, -s, -f and -o")
    asked = Asked.read("", read.options)
    several = models.split_names(read.options.get("model", ""))
    if len(several) > 1:
        if following:
            raise OptionError("%flowgpt retry --following takes one model")
        return state.compare(asked, several, "retry", int(number))
    if not following:
        return state.ask(asked, "retry", int(number))
    turns = state.conversation().turns
    for later in range(turns.index(state.conversation().turn(int(number))) + 1, len(turns)):
        state.ask(asked, "retry", later)
    return state.ask(asked, "retry", len(turns))


@subcommand(
    "Replace the prompt of a turn: ``edit N [options] TEXT``, or TEXT below ``%%flowgpt edit N``.",
    group="ask",
    examples=(
        "%flowgpt edit 1 Why is the sea blue?",
        "%%flowgpt edit 1 -t 0\nWhy is the sea blue?\nAnswer in one line.",
    ),
)
def edit(state: ShellState, rest: str) -> Shown:
    line, _newline, body = rest.partition("\n")
    number, _space, typed = line.partition(" ")
    place, read = _number("edit", number), magic_line.read_line(typed.strip(), lambda _word: False)
    if refused := sorted(read.options.keys() - EDIT_OPTIONS):
        raise OptionError(f"%flowgpt edit does not take --{refused[0]}; it takes {', '.join(sorted(EDIT_OPTIONS))}")
    prompt = "\n".join(filter(None, [read.prompt, body])).strip("\n")
    asked, several = Asked.read(prompt, read.options), models.split_names(read.options.get("model", ""))
    return state.compare(asked, several, "edit", place) if len(several) > 1 else state.ask(asked, "edit", place)


@subcommand(
    "Continue the last reply.",
    group="ask",
    examples=("%flowgpt continue", "%flowgpt Tell me a story.\n%flowgpt continue"),
)
def continue_(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("continue", rest)
    return state.ask(Asked.read("", {}), "continue")


@subcommand(
    "Start a new conversation with the turns so far, or with the first N: ``branch NAME [N]``.",
    group="conversation",
    examples=("%flowgpt branch idea", "%flowgpt branch idea 1"),
)
def branch(state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) not in (1, 2):
        raise OptionError("%flowgpt branch takes a name, and optionally the number of the last turn to copy")
    before = state.current
    _switch_to_branch(state, words[0], _number("branch", words[1]) if len(words) > 1 else None)
    return f"{_state(state)}; %flowgpt use {before} goes back"


@wholly
def _switch_to_branch(state: ShellState, name: str, number: int | None) -> None:
    state.current = state.conversation().branch(name, number).name


@subcommand(
    "List the conversations of this notebook.",
    group="conversation",
    examples=("%flowgpt chats", "%flowgpt new idea\n%flowgpt chats"),
)
def chats(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("chats", rest)
    state.conversation()  # the current one is listed even before its first turn
    summaries = {summary.conversation.name: summary for summary in state.notebook_history.summaries()}
    names = list(dict.fromkeys([*state.notebook_history.names(), state.current]))
    rows = tuple(
        (
            f"{cut(name)} (in use)" if name == state.current else cut(name),
            str(summaries[name].turns if name in summaries else len(state.conversation(name).turns)),
            _when(summaries[name].last_used) if name in summaries else "",
        )
        for name in names
    )
    return Table(("conversation", "turns", "last used"), rows, f"notebook {state.notebook_history.place.label}")


@subcommand(
    "Switch to another conversation, or restore a removed one: ``use NAME``.",
    group="conversation",
    examples=("%flowgpt use main", "%flowgpt new idea\n%flowgpt use main"),
)
def use(state: ShellState, rest: str) -> Shown:
    name = _name("use", rest)
    names = [*state.notebook_history.names(), MAIN, state.current]
    if not _switch_to(state, name, removed=name not in names):
        hint = closest(name, names)
        raise ConversationNotFoundError(f"there is no conversation {name!r}{hint} %flowgpt new starts one")
    return _state(state)


@wholly
def _switch_to(state: ShellState, name: str, *, removed: bool) -> bool:
    """Make this conversation the current one; return False if a removed one does not exist."""
    if removed and not state.notebook_history.restore(name):
        return False
    state.current = name
    return True


@subcommand(
    "Start a new conversation: ``new [NAME]``.",
    group="conversation",
    examples=("%flowgpt new", "%flowgpt new idea"),
)
def new(state: ShellState, rest: str) -> Shown:
    name = " ".join(magic_line.words(rest))
    count = _start(state, name or state.notebook_history.generated_name())
    if not name:
        state.conversation().name_by_first_prompt()
        return f"{_state(state)}; its first prompt names it"
    return f"{_state(state)}; %flowgpt undo restores the {counted(count, 'turn')} it had" if count else _state(state)


@wholly
def _start(state: ShellState, name: str) -> int:
    """Make a new conversation the current one; return how many turns an older one of this name had."""
    conversation = state.conversation(name)
    count = conversation.begin_anew()
    state.current = conversation.name
    return count


@subcommand(
    "Rename this conversation: ``rename NAME``, or another one: ``rename OLD NEW``.",
    group="conversation",
    examples=("%flowgpt rename weather", "%flowgpt rename main weather"),
)
def rename(state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) not in (1, 2):
        raise OptionError("%flowgpt rename takes a new name, or an old one and a new one; quote names with spaces")
    before = words[0] if len(words) == 2 else state.current
    check_exists(state, before)
    state.conversation(before).rename(words[-1])
    hint = f"; after a restart, %flowgpt use {words[-1]} continues it" if before == MAIN else ""
    return f"renamed {before} to {words[-1]}{hint}"


@subcommand(
    "Remove a conversation from the list: ``rm NAME``; ``use NAME`` restores it.",
    group="conversation",
    examples=("%flowgpt rm main", "%flowgpt rm main\n%flowgpt use main"),
)
def remove(state: ShellState, rest: str) -> Shown:
    name = _name("rm", rest)
    check_exists(state, name)
    state.conversation(name).remove()
    return f"removed {name}; %flowgpt use restores it; {_state(state)}"


@subcommand(
    "Clear this conversation; ``undo`` restores its turns.",
    group="conversation",
    examples=("%flowgpt clear", "%flowgpt clear\n%flowgpt undo"),
)
def clear(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("clear", rest)
    count = state.conversation().clear()
    return f"{counted(count, 'turn')} set aside; %flowgpt undo brings them back"


@subcommand(
    "Search the turns of all notebooks: ``search WORDS``.",
    group="conversation",
    examples=("%flowgpt search sky", "%flowgpt search why blue"),
)
def search(state: ShellState, rest: str) -> Shown:
    if not rest:
        raise OptionError("%flowgpt search takes the words to look for")
    hits = state.notebook_history.search(rest)
    if not hits:
        return f"nothing found for {rest}" if words_of(rest) else f"nothing found: {rest} has no letters or digits"
    own_key = state.notebook_history.notebook.key
    rows = tuple(
        (
            "this notebook" if hit.notebook.key == own_key else cut(hit.notebook.label, 40),
            cut(hit.conversation.name, 40),
            str(hit.number) if hit.number else "not in use",
            cut(hit.turn.prompt),
            cut(hit.snippet, 100),
            _when(hit.turn.started),
            f"#{hit.turn.turn_id[:ID_LENGTH]}",
        )
        for hit in hits
    )
    columns = ("notebook", "conversation", "turn", "prompt", "found", "time", "show")
    return Table(columns, rows, f"the whole turn: %flowgpt show {rows[0][-1]}")


@subcommand(
    "Take over the history of a notebook that was moved or renamed: ``adopt PATH``.",
    group="conversation",
    examples=("%flowgpt adopt old.ipynb", "%flowgpt adopt ../old/analysis.ipynb"),
)
def adopt(state: ShellState, rest: str) -> Shown:
    if not rest:
        raise OptionError("%flowgpt adopt takes the path of a notebook")
    label = state.notebook_history.adopt(magic_line.unquoted(rest))
    state.current = MAIN
    return f"the history of {label} is this notebook's now; {_state(state)}"


@subcommand(
    "Show or set the system prompt of this conversation: ``system [TEXT]``; ``system none`` removes it.",
    group="conversation",
    examples=(
        "%flowgpt system Answer in one sentence.",
        "%%flowgpt system\nYou are a patient teacher.\nYou give short examples.",
    ),
)
def system(state: ShellState, rest: str) -> Shown:
    conversation = state.conversation()
    if rest:
        conversation.set(system=None if rest.lower() == "none" else magic_line.unquoted(rest))
    return conversation.settings().system or "no system prompt"


@subcommand(
    "Show or set the model of this conversation: ``model [NAME]``; ``model none`` unsets it.",
    group="models",
    examples=("%flowgpt model echo", "%flowgpt model none"),
)
def model(state: ShellState, rest: str) -> Shown:
    conversation = state.conversation()
    if rest:
        conversation.set(model=None if rest.lower() == "none" else models.canonical_name(magic_line.unquoted(rest)))
    return redact(str(models.find_model(conversation.settings().model)))


def _state(state: ShellState) -> str:
    conversation = state.conversation()
    return f"{conversation.name} has {counted(len(conversation.turns), 'turn')}"


def _status(turn: Turn) -> str:
    return "from the history" if turn.replayed and turn.status == "complete" else STATUS_WORDS[turn.status]


def _when(moment: float) -> str:
    """A time in words: the nearer it is, the fewer."""
    then, today = datetime.fromtimestamp(moment), date.today()
    if then.date() == today:
        return f"{then:%H:%M}"
    if then.date() == today - timedelta(1):
        return f"yesterday {then:%H:%M}"
    return f"{then:%Y-%m-%d}" if then.year != today.year else f"{then.day} {MONTHS[then.month - 1]} {then:%H:%M}"


def _number(name: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise OptionError(
            f"%flowgpt {name} takes the number of a turn, not {word!r}; {magic_line.SEND_INSTEAD}"
        ) from None


def _name(command: str, rest: str) -> str:
    name = " ".join(magic_line.words(rest))
    if not name:
        raise OptionError(f"%flowgpt {command} takes a name")
    return name


def check_exists(state: ShellState, name: str) -> None:
    """Raise ``ConversationNotFoundError`` if the notebook has no conversation of this name."""
    names = list(dict.fromkeys([*state.notebook_history.names(), state.current]))
    if name not in names:
        raise ConversationNotFoundError(f"there is no conversation {name!r}{closest(name, names)}")


SUBCOMMANDS: dict[str, Subcommand] = {
    "history": history,
    "show": show,
    "undo": undo,
    "redo": redo,
    "retry": retry,
    "edit": edit,
    "branch": branch,
    "continue": continue_,
    "chats": chats,
    "use": use,
    "new": new,
    "rename": rename,
    "rm": remove,
    "clear": clear,
    "reset": clear,
    "search": search,
    "adopt": adopt,
    "system": system,
    "model": model,
}

"""What a page can ask a panel for: each action takes the panel's state and the request, and returns what is answered.

A request has a ``kind``, which names the action, and an ``id``, which the answer repeats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.conversation import Kind
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.ipython import prompt_context, shell
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.panel.composer import PANEL_COMMANDS, command_in, complete_attached, complete_input, prompt_in
from flowgpt_magic.panel.output import MAX_OPEN_OUTPUT, marked, transcript
from flowgpt_magic.panel.protocol import Facts
from flowgpt_magic.panel.state import PanelError, PanelState
from flowgpt_magic.providers import models
from flowgpt_magic.redaction import redact
from flowgpt_magic.replies.request import TypedPrompt
from flowgpt_magic.transcripts import files

AROUND = 40  # characters of a find before and behind it
FOUND = 100  # finds that are shown
T = TypeVar("T")


def value(request: Facts, name: str, kind: type[T], default: T | None = None) -> T:
    """A value of the request. Raises ``PanelError`` for one of another kind: the page is of another version."""
    found = request.get(name, default)
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise PanelError("the page and the kernel do not understand each other: reload it, and run the cell again")
    return found


# Asking


def ask(panel: PanelState, request: Facts) -> Facts:
    """Ask a prompt, or do what a command says."""
    text = value(request, "text", str)
    command = command_in(text)
    if command is not None:
        return ACTIONS[command[0]](panel, command[1]) | {"command": command[0]}
    typed = TypedPrompt(prompt_in(text), _attached(request))
    prepared = panel.conversation.prepare(typed, {}, context=prompt_context(with_running_cell=True))
    return {"turn": panel.follow(panel.conversation.ask_prepared(prepared, cell=NO_CELL), prepared, typed)}


def edit(panel: PanelState, request: Facts) -> Facts:
    """Ask something else in the place of a turn, with what was attached to it."""
    number = panel.number(value(request, "place", int))
    turn, text = panel.conversation.turn(number), value(request, "text", str)
    known = panel.typed.get(turn.turn_id)
    if known is None:  # its text is what was sent: braces in it are no references any more
        return _again(panel, "edit", turn, text)
    typed = TypedPrompt(text, known.attached)
    return _again(panel, "edit", turn, typed, typed)


def retry(panel: PanelState, request: Facts) -> Facts:
    """Ask a prompt again; without a place the last one."""
    place = value(request, "place", int, -1)
    number = -1 if place < 0 else panel.number(place)
    turn = panel.conversation.turn(number)
    return _again(panel, "retry", turn, None, panel.typed.get(turn.turn_id))


def continue_(panel: PanelState, _request: Facts) -> Facts:
    """Let the last reply go on."""
    turn = panel.conversation.turn(-1)
    return _again(panel, "continue", turn, None, panel.typed.get(turn.turn_id))


def _again(
    panel: PanelState, kind: Kind, turn: Turn, prompt: str | TypedPrompt | None, typed: TypedPrompt | None = None
) -> Facts:
    prepared = panel.conversation.prepare(prompt, {}, turn, kind, context=prompt_context(with_running_cell=True))
    return {"turn": panel.follow(panel.conversation.send(prepared), prepared, typed)}


def stop(panel: PanelState, _request: Facts) -> Facts:
    """Stop what arrives in this conversation."""
    return {"stopped": panel.stop()}


def _attached(request: Facts) -> tuple[str, ...]:
    return tuple(str(each) for each in value(request, "attached", list, []))


# Changing the conversation


def choose(panel: PanelState, request: Facts) -> Facts:
    """Let another version of a turn be the one that counts."""
    panel.conversation.choose(panel.number(value(request, "place", int)), value(request, "version", int))
    return {}


def branch(panel: PanelState, request: Facts) -> Facts:
    """Another conversation that begins with the turns up to this one."""
    number = panel.number(value(request, "place", int))
    name = panel.notebook_history.free_name(f"{panel.conversation.name} branch")
    panel.conversation.branch(name, number)
    panel.use(name)
    too = ", and cells ask in it too" if panel.follows else ""
    return {"said": f"{name} begins with the turns up to here{too}"}


def undo(panel: PanelState, _request: Facts) -> Facts:
    """Take the last change back."""
    return {"said": f"undone: {panel.conversation.undo()}"}


def redo(panel: PanelState, _request: Facts) -> Facts:
    """Make the change again that was undone last."""
    return {"said": f"done again: {panel.conversation.redo()}"}


def clear(panel: PanelState, _request: Facts) -> Facts:
    """Set the turns aside."""
    panel.conversation.clear()
    return {"said": "the turns are set aside; Undo brings them back"}


def use(panel: PanelState, request: Facts) -> Facts:
    """Go on with another conversation."""
    name = value(request, "name", str)
    if name not in [
        *panel.notebook_history.names(),
        panel.notebook_history.current,
    ] and not panel.notebook_history.restore(name):
        raise PanelError(f"there is no conversation {name!r}: /new begins one")
    panel.use(name)
    return {}


def new(panel: PanelState, request: Facts) -> Facts:
    """Begin another conversation."""
    known = {*panel.notebook_history.names(), panel.notebook_history.current}
    free = next(name for number in count(len(known) + 1) if (name := f"chat {number}") not in known)
    name = value(request, "name", str, "").strip() or free
    panel.notebook_history.check_new_name(name)
    panel.use(name)
    panel.conversation.begin_anew()
    panel.refresh()
    return {}


def rename(panel: PanelState, request: Facts) -> Facts:
    """Call the conversation something else."""
    name = value(request, "name", str).strip()
    if name != panel.conversation.name:
        panel.conversation.rename(name)
        panel.refresh()
    return {}


def set_(panel: PanelState, request: Facts) -> Facts:
    """Set the model, the system prompt or the temperature of this conversation; none takes one back."""
    name, chosen = value(request, "setting", str), str(request.get("value", "")).strip()
    if name not in ("model", "system", "temperature"):
        raise PanelError("a panel sets the model, the system prompt and the temperature; %flowgpt set sets the rest")
    none = not chosen or chosen.lower() == "none"
    if name == "model" and not none:
        chosen = models.canonical_name(chosen)
    panel.conversation.set(**{name: None if none else chosen})
    panel.refresh()
    left = getattr(panel.conversation.settings(), name) if none else None
    if left in ("", None) or name == "model":
        return {}
    what = "system prompt is" if name == "system" else f"temperature is {left:g},"
    return {"said": f"the {what} that of the settings again: %flowgpt config says where it comes from"}


# Looking


def recall(panel: PanelState, request: Facts) -> Facts:
    """The prompt that was asked so many turns ago, as it was typed where that is known."""
    turns, back = panel.conversation.turns, value(request, "back", int)
    if not 1 <= back <= len(turns):
        return {}
    turn = turns[-back]
    return {"text": join_surrogates(panel.typed[turn.turn_id].text if turn.turn_id in panel.typed else turn.prompt)}


def whole(panel: PanelState, request: Facts) -> Facts:
    """The whole prompt and reply of a turn, as they are."""
    turn = panel.turn(value(request, "turn", str))
    reply = panel.arriving(turn.turn_id)
    return {
        "prompt": join_surrogates(turn.prompt),
        "text": join_surrogates(turn.text if reply is None else reply.text_so_far),
    }


def choices(panel: PanelState, request: Facts) -> Facts:
    """Whom this conversation can ask: names with what they would do, by provider."""
    found = [
        {"name": join_surrogates(name), "group": join_surrogates(group), "note": join_surrogates(note), "able": able}
        for group, name, note, able in panel.choices(anew=value(request, "anew", bool, False))
    ]
    return {"models": found, "chosen": join_surrogates(panel.conversation.record.model)}


def search(panel: PanelState, request: Facts) -> Facts:
    """Where words stand: in this conversation, and after that in the others of all notebooks."""
    words = value(request, "words", str).strip()
    turns = list(enumerate(panel.conversation.turns, 1)) if words else []
    found = [{**hit, "number": number} for number, turn in reversed(turns) if (hit := _find(turn, words))]
    own = panel.conversation.record.conversation_id
    others = [] if len(found) >= FOUND or not words else list(panel.notebook_history.search(words))
    notebook = panel.notebook_history.notebook.notebook_id
    elsewhere = [
        {
            "name": join_surrogates(hit.conversation.name),
            "notebook": "" if hit.notebook.notebook_id == notebook else join_surrogates(hit.notebook.label),
            "text": join_surrogates(hit.snippet),
            "short": hit.turn.turn_id[:8],
        }
        for hit in others
        if hit.conversation.conversation_id != own and not hit.conversation.removed
    ]
    return {"found": found[:FOUND], "elsewhere": elsewhere}


def _find(turn: Turn, words: str) -> Facts | None:
    for text in (turn.prompt, turn.text):
        place = text.casefold().find(words.casefold())
        if place >= 0:
            start, end = max(0, place - AROUND), place + len(words) + AROUND
            dots = ("…" if start else "", "…" if end < len(text) else "")
            line = " ".join(text[start:end].split())
            return {"turn": turn.turn_id, "text": join_surrogates(f"{dots[0]}{line}{dots[1]}")}
    return None


def export_(panel: PanelState, request: Facts) -> Facts:
    """The conversation as a file for the page to save: Markdown, JSON or a notebook."""
    ending = value(request, "format", str)
    conversation = panel.conversation
    with tempfile.TemporaryDirectory(prefix="flowgpt-") as folder:
        path = files.write(
            Path(folder) / f"transcript.{ending}", conversation.name, conversation.record.system, conversation.turns
        )
        content = path.read_text("utf-8")
    name = "".join(char if char.isalnum() or char in " -_()" else "_" for char in conversation.name).strip() or "chat"
    return {"file": f"{name}.{ending}", "content": content}


def complete_(panel: PanelState, request: Facts) -> Facts:
    """What could stand at the cursor of the composer, or behind Attach."""
    text = value(request, "text", str)
    if request.get("attach"):
        return complete_attached(text, shell()).facts()
    named = [each.name for each in panel.choices() if each.name] if text.startswith("/model ") else []
    return complete_input(text, shell(), panel.notebook_history.names(), lambda: named).facts()


def kept(panel: PanelState, _request: Facts) -> Facts:
    """The output that stands in the notebook for what was said by now."""
    return marked(transcript(panel.conversation, MAX_OPEN_OUTPUT))


def help_(_panel: PanelState, _request: Facts) -> Facts:
    """What can be typed behind a slash."""
    return {
        "said": f"{', '.join(f'/{name}' for name in PANEL_COMMANDS)}, /search; %flowgpt help shows what cells can do"
    }


def look(panel: PanelState, _request: Facts) -> Facts:
    """See what has changed that nobody tells of, such as a setting."""
    panel.refresh()
    return {}


Action = Callable[[PanelState, Facts], Facts]
ACTIONS: dict[str, Action] = {
    "ask": ask,
    "edit": edit,
    "retry": retry,
    "continue": continue_,
    "stop": stop,
    "choose": choose,
    "branch": branch,
    "undo": undo,
    "redo": redo,
    "clear": clear,
    "use": use,
    "new": new,
    "rename": rename,
    "set": set_,
    "recall": recall,
    "whole": whole,
    "models": choices,
    "search": search,
    "export": export_,
    "help": help_,
    "complete": complete_,
    "kept": kept,
    "look": look,
}


def answer(panel: PanelState, request: Any) -> Facts | None:
    """Do what a page asks for; what is answered, None where nothing is to be said. Raises nothing."""
    try:
        return _answer(panel, request)
    except FlowGptError as error:
        return {"error": join_surrogates(redact(str(error)))}
    except Exception as error:  # noqa: BLE001 - a value in a prompt is foreign code; in a handler it would go unseen
        return {"error": join_surrogates(redact(f"{type(error).__name__}: {error}"))}


def _answer(panel: PanelState, request: Any) -> Facts | None:
    if not isinstance(request, dict):
        raise PanelError("the page and the kernel do not understand each other: reload it, and run the cell again")
    kind, page = value(request, "kind", str), value(request, "page", str, "")
    if kind == "open":
        panel.open(page)
    elif kind == "gone":
        panel.close_page(page)
    elif kind == "shown":
        panel.showed(page, value(request, "number", int))
    elif kind == "need":
        panel.tell_turns(page, [str(each) for each in value(request, "turns", list)])
    elif kind in ACTIONS:
        return ACTIONS[kind](panel, request)
    else:
        raise PanelError("the page and the kernel do not understand each other: reload it, and run the cell again")
    return None

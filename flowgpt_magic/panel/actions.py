"""The actions that a page can request: each takes the panel's state and the request, and returns the response.

A request has a ``kind``, which names the action, and an ``id``, which the response repeats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.conversation import Kind
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.code_cells import code_cells
from flowgpt_magic.notebook.comms import response_of
from flowgpt_magic.notebook.ipython import prompt_context, shell
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.panel import pictures
from flowgpt_magic.panel.composer import PANEL_COMMANDS, command_in, complete_attached, complete_input, prompt_in
from flowgpt_magic.panel.examples import examples
from flowgpt_magic.panel.model_choices import choice_rows
from flowgpt_magic.panel.output import MAX_OPEN_OUTPUT, marked, transcript
from flowgpt_magic.panel.protocol import Facts, shown_prompt
from flowgpt_magic.panel.state import PanelError, PanelState
from flowgpt_magic.prompt import templates
from flowgpt_magic.prompt.pictures import PictureReference
from flowgpt_magic.providers import models
from flowgpt_magic.providers.project_choice import template_options
from flowgpt_magic.replies.request import TypedPrompt
from flowgpt_magic.transcripts import files

HIT_MARGIN = 40  # characters shown before and after the words of a hit
NO_CODE = "this block holds no code that can be run"
MAX_HITS = 100  # hits in this conversation that are shown
OTHER_VERSION = "the page and the kernel run different versions: reload the page, and run the cell again"
T = TypeVar("T")
Buffers = pictures.Buffers


def value(request: Facts, name: str, kind: type[T], default: T | None = None) -> T:
    """A value of the request. Raises ``PanelError`` if its type is not ``kind``: the page is from another version."""
    argument = request.get(name, default)
    if not isinstance(argument, kind) or (isinstance(argument, bool) and kind is not bool):
        raise PanelError(OTHER_VERSION)
    return argument


# Asking


def ask(panel: PanelState, request: Facts) -> Facts:
    """Send a prompt, or run a slash command."""
    text = value(request, "text", str)
    command = command_in(text)
    if command is not None:
        sent = {name: request[name] for name in ("attached", "pictures", "quotes") if name in request}
        request = sent | command[1]
        return ACTIONS[command[0]](panel, request) | {"command": command[0]}
    typed = _typed(panel, request, prompt_in(text))
    prepared = panel.conversation.prepare(typed, {}, context=prompt_context(with_running_cell=True))
    return {"turn": panel.read_reply(panel.conversation.ask_prepared(prepared, cell=NO_CELL), prepared, typed)}


def ask_with_template(panel: PanelState, request: Facts) -> Facts:
    """Send a prompt template with its slots filled; without a name, list the templates."""
    text = value(request, "call", str, "").strip()
    if not text:
        names = ", ".join(templates.find_files()) or f"there are none yet in {templates.folders()[0][0]}"
        return {"said": f"/template NAME asks with one of these: {names}"}
    call = templates.read_call(text)
    if call.options:
        raise PanelError("/template takes no options here; the head of the panel has the model and the temperature")
    template, context = templates.find(call.name), prompt_context(with_running_cell=True)
    filled = templates.fill(template, call, context.names)
    typed = _typed(panel, request, filled)
    conversation = panel.conversation
    options, notice = template_options(template, conversation.as_set(conversation.outside(), {}))
    prepared = conversation.prepare(typed, options, context=context)
    turn = panel.read_reply(conversation.ask_prepared(prepared, cell=NO_CELL), prepared, typed)
    return {"turn": turn, **({"said": notice} if notice else {})}


def edit(panel: PanelState, request: Facts) -> Facts:
    """Send another prompt in the place of a turn, with the same attachments.

    ``pictures`` replace those of the turn; without them, these stay.
    """
    number = panel.turn_number(value(request, "place", int))
    turn, text = panel.conversation.turn(number), value(request, "text", str)
    original = panel.typed_prompts.get(turn.turn_id)
    chosen = _pictures(panel, request) if "pictures" in request else None
    if original is None:  # the stored prompt has its references replaced: braces in it are plain text
        if chosen is None:
            return _send(panel, "edit", turn, text)
        return _send(panel, "edit", turn, TypedPrompt(text, raw=True, pictures=chosen), images=())
    typed = replace(original, text=text, pictures=original.pictures if chosen is None else chosen)
    return _send(panel, "edit", turn, typed, typed, images=())


def retry(panel: PanelState, request: Facts) -> Facts:
    """Send a prompt again; without a ``place``, the last one."""
    place = value(request, "place", int, -1)
    number = -1 if place < 0 else panel.turn_number(place)
    turn = panel.conversation.turn(number)
    return _send(panel, "retry", turn, None, panel.typed_prompts.get(turn.turn_id))


def retry_following(panel: PanelState, request: Facts) -> Facts:
    """Send the prompt of a turn again, and then those of the turns after it, one after the other."""
    return {"turn": panel.retry_from(panel.turn_number(value(request, "place", int)))}


def continue_reply(panel: PanelState, _request: Facts) -> Facts:
    """Continue the last reply."""
    turn = panel.conversation.turn(-1)
    return _send(panel, "continue", turn, None, panel.typed_prompts.get(turn.turn_id))


def _send(
    panel: PanelState,
    kind: Kind,
    turn: Turn,
    prompt: str | TypedPrompt | None,
    typed: TypedPrompt | None = None,
    **options: Any,
) -> Facts:
    options = options if kind == "continue" else panel.repeat_options | options
    context = prompt_context(with_running_cell=True)
    prepared = panel.conversation.prepare(prompt, options, turn, kind, context=context)
    return {"turn": panel.read_reply(panel.conversation.send(prepared), prepared, typed)}


def stop(panel: PanelState, _request: Facts) -> Facts:
    """Stop the replies that arrive in this conversation."""
    return {"stopped": panel.stop()}


def _typed(panel: PanelState, request: Facts, text: str) -> TypedPrompt:
    """The prompt of a request. ``quotes`` says that a command quoted code of the notebook in it."""
    pictures, quotes = _pictures(panel, request), value(request, "quotes", bool, False)
    return TypedPrompt(text, _attached(request), pictures=pictures, quotes_code=quotes)


def _pictures(panel: PanelState, request: Facts) -> tuple[PictureReference, ...]:
    return pictures.references(panel.notebook_history, value(request, "pictures", list, []))


def _attached(request: Facts) -> tuple[str, ...]:
    return tuple(str(attachment) for attachment in value(request, "attached", list, []))


# Changing the conversation


def choose(panel: PanelState, request: Facts) -> Facts:
    """Choose the version of a turn that is live."""
    panel.conversation.choose(panel.turn_number(value(request, "place", int)), value(request, "version", int))
    return {}


def branch(panel: PanelState, request: Facts) -> Facts:
    """Create a conversation with the turns up to this one, and show it."""
    number = panel.turn_number(value(request, "place", int))
    name = panel.notebook_history.free_name(f"{panel.conversation.name} branch")
    panel.conversation.branch(name, number)
    panel.use(name)
    cells = "; cells use it now, too" if panel.follows_notebook else ""
    return {"said": f"{name} starts with the turns up to here{cells}"}


def undo(panel: PanelState, _request: Facts) -> Facts:
    """Undo the last change."""
    return {"said": f"undone: {panel.conversation.undo()}"}


def redo(panel: PanelState, _request: Facts) -> Facts:
    """Redo the change that was undone last."""
    return {"said": f"redone: {panel.conversation.redo()}"}


def clear(panel: PanelState, _request: Facts) -> Facts:
    """Clear the conversation; ``undo`` restores the turns."""
    panel.conversation.clear()
    return {"said": "the turns are set aside; Undo brings them back"}


def use(panel: PanelState, request: Facts) -> Facts:
    """Switch to another conversation; one that was removed is restored."""
    name, history = value(request, "name", str), panel.notebook_history
    if name not in [*history.names(), history.current] and not history.restore(name):
        raise PanelError(f"there is no conversation {name!r}: /new starts one")
    panel.use(name)
    return {}


def new(panel: PanelState, request: Facts) -> Facts:
    """Start a new conversation; without a name, its first prompt names it."""
    history = panel.notebook_history
    name = value(request, "name", str, "").strip()
    history.check_new_name(name or history.generated_name())
    panel.use(name or history.generated_name())
    panel.conversation.begin_anew()
    if not name:
        panel.conversation.name_by_first_prompt()
    panel.refresh()
    return {}


def rename(panel: PanelState, request: Facts) -> Facts:
    """Rename the conversation."""
    name = value(request, "name", str).strip()
    if name != panel.conversation.name:
        panel.conversation.rename(name)
        panel.refresh()
    return {}


def change_setting(panel: PanelState, request: Facts) -> Facts:
    """Set the model, the system prompt, the temperature or the thinking of this conversation; ``none`` removes it."""
    name, text = value(request, "setting", str), str(request.get("value", "")).strip()
    if name not in ("model", "system", "temperature", "think"):
        raise PanelError("a panel can set model, system, temperature and think; use %flowgpt set for other settings")
    removed = not text or text.lower() == "none"
    if name == "model" and not removed:
        text = models.canonical_name(text)
    panel.conversation.set(**{name: None if removed else text})
    panel.refresh()
    default = getattr(panel.conversation.settings(), name) if removed else None
    if default in ("", None) or name == "model":
        return {}
    what = "system prompt" if name == "system" else f"{name} ({default})"
    return {"said": f"the {what} now comes from the settings; %flowgpt config shows where it is set"}


# Reading


def recall(panel: PanelState, request: Facts) -> Facts:
    """The prompt of the turn ``back`` turns from the end, as it was typed if that is known."""
    turns, back = panel.conversation.turns, value(request, "back", int)
    if not 1 <= back <= len(turns):
        return {}
    turn = turns[-back]
    typed = panel.typed_prompts.get(turn.turn_id)
    if typed is None:
        return {"text": join_surrogates(shown_prompt(turn))}
    return {"text": join_surrogates(typed.text), **({"quotes": True} if typed.quotes_code else {})}


def full_turn(panel: PanelState, request: Facts) -> Facts:
    """The full text of a turn's prompt, reasoning and reply."""
    turn = panel.turn(value(request, "turn", str))
    reply = panel.arriving_reply(turn.turn_id)
    return {
        "prompt": join_surrogates(shown_prompt(turn)),
        "text": join_surrogates(turn.text if reply is None else reply.text_so_far),
        "reasoning": join_surrogates(turn.extras.reasoning if reply is None else reply.reasoning_so_far),
    }


def other_reply(panel: PanelState, request: Facts) -> Facts:
    """The reply of another model that a turn was compared with, as blocks of HTML."""
    blocks = panel.reply_blocks(panel.turn(value(request, "turn", str)), value(request, "other", str))
    return {"blocks": [join_surrogates(block) for block in blocks]}


def list_models(panel: PanelState, request: Facts) -> Facts:
    """The models that this conversation can use, by provider. ``anew`` asks servers again."""
    rows = choice_rows(panel.choices(anew=value(request, "anew", bool, False)))
    return {"models": rows, "chosen": join_surrogates(panel.conversation.record.model)}


def search(panel: PanelState, request: Facts) -> Facts:
    """Search this conversation, then the other conversations of all notebooks."""
    words = value(request, "words", str).strip()
    turns = list(enumerate(panel.conversation.turns, 1)) if words else []
    hits = [{**hit, "number": number} for number, turn in reversed(turns) if (hit := _find(turn, words))]
    own = panel.conversation.record.conversation_id
    others = [] if len(hits) >= MAX_HITS or not words else list(panel.notebook_history.search(words))
    notebook = panel.notebook_history.notebook.notebook_id
    elsewhere = [
        {
            "name": join_surrogates(hit.conversation.name),
            "notebook": "" if hit.notebook.notebook_id == notebook else join_surrogates(hit.notebook.label),
            "text": join_surrogates(hit.snippet),
            "turn": hit.turn.turn_id,
        }
        for hit in others
        if hit.conversation.conversation_id != own and not hit.conversation.removed
    ]
    return {"found": hits[:MAX_HITS], "elsewhere": elsewhere}


def _find(turn: Turn, words: str) -> Facts | None:
    for text in (turn.prompt, turn.text):
        place = text.casefold().find(words.casefold())
        if place >= 0:
            start, end = max(0, place - HIT_MARGIN), place + len(words) + HIT_MARGIN
            dots = ("…" if start else "", "…" if end < len(text) else "")
            line = " ".join(text[start:end].split())
            return {"turn": turn.turn_id, "text": join_surrogates(f"{dots[0]}{line}{dots[1]}")}
    return None


def read_elsewhere(panel: PanelState, request: Facts) -> Facts:
    """The conversation of any notebook that has this turn, as far as it fits a message around the turn."""
    return {"turns": panel.turns_around(value(request, "turn", str))}


def list_examples(_panel: PanelState, _request: Facts) -> Facts:
    """Prompts for an empty conversation."""
    return {"examples": [join_surrogates(text) for text in examples(shell())]}


def export(panel: PanelState, request: Facts) -> Facts:
    """The conversation as a file that the page saves."""
    extension = value(request, "format", str)
    conversation = panel.conversation
    with tempfile.TemporaryDirectory(prefix="flowgpt-") as folder:
        path = files.write(
            Path(folder) / f"transcript.{extension}",
            conversation.name,
            conversation.record.system,
            conversation.turns,
            find_picture=panel.notebook_history.pictures.find,
        )
        content = path.read_text("utf-8")
    name = "".join(char if char.isalnum() or char in " -_()" else "_" for char in conversation.name).strip() or "chat"
    return {"file": f"{name}.{extension}", "content": content}


def complete(panel: PanelState, request: Facts) -> Facts:
    """Completions at the cursor of the composer, or in its field for attachments."""
    text = value(request, "text", str)
    if request.get("attach"):
        return complete_attached(text, shell()).facts()
    choices = panel.choices() if text.startswith("/model ") else ()
    names = [(choice.name, choice.note) for choice in choices if choice.name and choice.able]
    return complete_input(text, shell(), panel.notebook_history.names(), lambda: names).facts()


def cells_of_block(_panel: PanelState, request: Facts) -> Facts:
    """The cells that a code block becomes, and why if it becomes none."""
    cells = code_cells([(value(request, "language", str, ""), value(request, "code", str))])
    return {"sources": list(cells.sources), "said": cells.remark or ("" if cells.sources else NO_CODE)}


def saved_output(panel: PanelState, _request: Facts) -> Facts:
    """The cell output that the notebook file stores in place of the panel."""
    return marked(transcript(panel.conversation, MAX_OPEN_OUTPUT))


def list_commands(_panel: PanelState, _request: Facts) -> Facts:
    """The slash commands."""
    return {
        "said": f"{', '.join(f'/{name}' for name in PANEL_COMMANDS)}, /search; %flowgpt help shows what cells can do"
    }


def refresh(panel: PanelState, _request: Facts) -> Facts:
    """Update the pages after changes that no listener reports, such as a setting."""
    panel.refresh()
    return {}


# Pictures and files


def take_picture(panel: PanelState, request: Facts, buffers: Buffers) -> Facts:
    """Keep a picture: see ``pictures.take``."""
    return pictures.take(panel.notebook_history, request, buffers)


def take_file(panel: PanelState, request: Facts, buffers: Buffers) -> Facts:
    """Keep a file: see ``pictures.take_file``."""
    return pictures.take_file(panel.conversation, request, buffers)


def find_file(panel: PanelState, request: Facts, _buffers: Buffers) -> Facts:
    """Find a file of the file browser: see ``pictures.find_file``."""
    return pictures.find_file(panel.conversation, request)


def missing_pictures(panel: PanelState, request: Facts, _buffers: Buffers) -> Facts:
    """The pictures that a page still has to send: see ``pictures.missing``."""
    return pictures.missing(panel.notebook_history, request)


def pictures_taken(panel: PanelState, request: Facts, _buffers: Buffers) -> Facts:
    """What pictures the model takes: see ``pictures.taken``."""
    return pictures.taken(panel.conversation, request)


def thumbnail(panel: PanelState, request: Facts, _buffers: Buffers) -> Facts:
    """A small copy of a picture: see ``pictures.thumbnail``."""
    return pictures.thumbnail(panel.conversation, request)


ACTIONS_WITH_BUFFERS: dict[str, Callable[[PanelState, Facts, Buffers], Facts]] = {
    "picture": take_picture,
    "file": take_file,
    "file_path": find_file,
    "pictures_missing": missing_pictures,
    "pictures_taken": pictures_taken,
    "thumbnail": thumbnail,
}
Action = Callable[[PanelState, Facts], Facts]
ACTIONS: dict[str, Action] = {
    "ask": ask,
    "template": ask_with_template,
    "edit": edit,
    "retry": retry,
    "following": retry_following,
    "continue": continue_reply,
    "stop": stop,
    "choose": choose,
    "branch": branch,
    "undo": undo,
    "redo": redo,
    "clear": clear,
    "use": use,
    "new": new,
    "rename": rename,
    "set": change_setting,
    "recall": recall,
    "whole": full_turn,
    "other": other_reply,
    "models": list_models,
    "search": search,
    "elsewhere": read_elsewhere,
    "examples": list_examples,
    "export": export,
    "help": list_commands,
    "complete": complete,
    "cells": cells_of_block,
    "kept": saved_output,
    "look": refresh,
}


def answer(panel: PanelState, request: Any, buffers: Buffers = ()) -> Facts | None:
    """Perform a page's request. Returns the message with the response, None if there is none; nothing is raised.

    ``buffers`` are the bytes that came with the request; those of the response are its value ``BUFFERS``.
    """
    response = response_of(lambda: _answer(panel, request, buffers))
    return None if response is None else {"kind": "answer", **_address_of(request), **response}


def _address_of(request: Any) -> Facts:
    """The page and the number of a request, valid in JSON."""
    if not isinstance(request, dict):
        return {}
    values = {name: request.get(name) for name in ("page", "id")}
    return {name: join_surrogates(value) if isinstance(value, str) else value for name, value in values.items()}


def _answer(panel: PanelState, request: Any, buffers: Buffers) -> Facts | None:
    if not isinstance(request, dict):
        raise PanelError(OTHER_VERSION)
    kind, page = value(request, "kind", str), value(request, "page", str, "")
    if kind == "open":
        panel.open_page(page)
    elif kind == "gone":
        panel.close_page(page)
    elif kind == "shown":
        panel.acknowledge(page, value(request, "number", int))
    elif kind == "need":
        panel.send_turns(page, [str(turn_id) for turn_id in value(request, "turns", list)])
    elif kind in ACTIONS_WITH_BUFFERS:
        return ACTIONS_WITH_BUFFERS[kind](panel, request, buffers)
    elif kind in ACTIONS:
        return ACTIONS[kind](panel, request)
    else:
        raise PanelError(OTHER_VERSION)
    return None

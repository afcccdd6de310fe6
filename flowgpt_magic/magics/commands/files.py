"""``%flowgpt export`` and ``%flowgpt import``: a conversation to a file, and back."""

from __future__ import annotations

from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.text import counted, short_path

OVERWRITE, ADDRESSES, REASONING = "--overwrite", "--addresses", "--reasoning"


@subcommand(
    "Export this conversation as ``.md``, ``.json``, ``.ipynb`` or ``.html``: ``export FILE [--overwrite]``.",
    "The file does not say which servers were asked and which variables hold their keys, except in your own prompts; "
    "--addresses adds that, and --reasoning what the models thought before they answered.",
    group="files",
    examples=("%flowgpt export talk.md --overwrite", "%flowgpt export talk.html --overwrite"),
)
def export_file(state: ShellState, rest: str) -> str:
    words = magic_line.words(rest)
    names = [word for word in words if word not in (OVERWRITE, ADDRESSES, REASONING)]
    if len(names) != 1:
        raise OptionError("%flowgpt export takes the name of one file; quote a name with spaces")
    from flowgpt_magic.transcripts import files

    conversation = state.conversation()
    turns = conversation.turns
    path = files.write(
        names[0],
        conversation.name,
        conversation.record.system,
        turns,
        overwrite=OVERWRITE in words,
        addresses=ADDRESSES in words,
        reasoning=REASONING in words,
        find_picture=conversation.notebook_history.pictures.find,
    )
    return f"exported {conversation.name} with {counted(len(turns), 'turn')} to {short_path(str(path))}"


@subcommand(
    "Import a conversation, under its own name or the next free one, and use it: ``import FILE``.",
    "A history file or a folder of them is merged into the history instead.",
    group="files",
    examples=("%flowgpt import old.md", "%flowgpt import old.json"),
)
def import_file(state: ShellState, rest: str) -> str:
    names = magic_line.words(rest)
    if len(names) != 1:
        raise OptionError("%flowgpt import takes the name of one file; quote a name with spaces")
    from flowgpt_magic.history.merge import holds_histories, merge
    from flowgpt_magic.transcripts import files
    from flowgpt_magic.transcripts.transcript import as_turns

    if holds_histories(names[0]):
        return str(merge(state.notebook_history, names[0]))

    transcript = files.read(names[0])
    name = state.notebook_history.free_name(transcript.name)
    conversation = state.conversation(name)
    conversation.set(system=transcript.system or None)
    turns = as_turns(transcript, conversation.record.conversation_id, kernel="")  # no kernel asked them
    conversation.begin_anew(turns, kind="import")
    state.current = name
    return f"imported {name} with {counted(len(turns), 'turn')} from {short_path(names[0])}"


SUBCOMMANDS: dict[str, Subcommand] = {"export": export_file, "import": import_file}

"""A conversation as Markdown, JSON or a notebook, and back.

What is read is what was written, to the character, but for halves of surrogate pairs, which no file takes: they become
U+FFFD. The plainest form is JSON::

    {"format": "flowgpt_magic transcript", "version": 1, "name": "main", "system": "Be brief.",
     "turns": [{"prompt": "…", "text": "…", "status": "complete", "provider": "echo", "model": "words", …}]}

A turn has the fields of ``TranscriptTurn``, in that order. Markdown has them in comments, and the words of prompts and
replies between these. A notebook has them in the metadata of its outputs, where a cell puts them too: a notebook that
was run is read like one that was exported.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from uuid import uuid4
from zlib import crc32

from flowgpt_magic.errors import FileError, FlowGptError, OptionError
from flowgpt_magic.messages import Status, Turn, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import models
from flowgpt_magic.redaction import redact, without_secrets
from flowgpt_magic.regular_files import read_file
from flowgpt_magic.text import cut, one_line

VERSION = 1
HEAD = {"format": "flowgpt_magic transcript", "version": VERSION}
LATEST = 2**37  # Unix seconds of the year 6325: no time, and no other number, is so large
LARGEST = 64 * 2**20  # bytes of a file that is read
CAUSES: dict[type[Exception], str] = {
    json.JSONDecodeError: "it is not JSON",
    UnicodeDecodeError: "it is not UTF-8 text",
}
CAUSES[RecursionError] = "it is nested too deeply"
Facts = dict[str, Any]  # an object of JSON
T = TypeVar("T")


class TranscriptError(FlowGptError):
    """A transcript cannot be written or read; the message names the file, the cause and what to do."""


@dataclass(frozen=True)
class TranscriptTurn:
    """A turn without what ties it to one history. Times are Unix seconds."""

    prompt: str
    text: str = ""
    status: Status = "complete"
    provider: str = ""
    model: str = ""
    system: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    error: str = ""
    started: float = 0.0
    ended: float | None = None
    usage: Usage = field(default_factory=Usage)
    cell_id: str = ""
    turn_id: str = ""
    left_out: int = 0
    replayed: bool = False
    images: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Transcript:
    """A conversation as a file has it: its name, its system prompt, its turns."""

    name: str
    system: str
    turns: tuple[TranscriptTurn, ...]


def write(
    path: str | os.PathLike[str], conversation_name: str, system: str, turns: Sequence[Turn], *, overwrite: bool = False
) -> Path:
    """Write the turns to ``path``, whose ending says how: ``.md``, ``.json``, ``.ipynb`` or ``.html``, a page for
    readers, which is not read back; returns where that is.

    The file is there whole or not at all, and no key, token or password is among its parameters, errors and notices.
    Raises ``TranscriptError``, also where there is a file already, unless ``overwrite``.
    """
    path = _place(path)
    transcript = Transcript(_clean(conversation_name), _clean(system), tuple(map(_exported, turns)))
    content = FORMATS[path.suffix.lower()][0](transcript).encode()
    try:
        target = path.resolve()  # where a link points to; the link stays
        if not target.parent.is_dir():
            raise TranscriptError(f"there is no folder {target.parent}: make it first, or name another one")
        if os.path.lexists(target) and not overwrite:
            raise TranscriptError(f"{path} is there already: %flowgpt export {path} --overwrite replaces it")
        _put(target, content)
    except (OSError, ValueError) as error:
        raise TranscriptError(f"{path} cannot be written: {_cause(error)}") from None
    return path


def read(path: str | os.PathLike[str]) -> Transcript:
    """The transcript at ``path``: what ``write`` wrote, or the ``%%flowgpt`` cells of any notebook.

    A cell that was not run is a prompt with an empty reply, and its status is ``cancelled``. Where nothing tells when a
    cell was run, it is when the file was last changed. Raises ``TranscriptError``.
    """
    path = _place(path)
    try:
        content = read_file(path, LARGEST)
        about = path.stat()
        found = FORMATS[path.suffix.lower()][1](content.decode("utf-8-sig"))
        _check_format(found)
        turns = found.get("turns")
        if isinstance(turns, list):
            found["turns"] = [{"started": about.st_mtime} | turn if isinstance(turn, dict) else turn for turn in turns]
        return _made(Transcript, {"name": path.stem, "system": ""} | found)
    except FileError as error:
        raise TranscriptError(str(error)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise TranscriptError(f"{path} cannot be read: {_cause(error)}") from None


def as_turns(transcript: Transcript, conversation_id: str, kernel: str) -> list[Turn]:
    """The turns of a transcript for a conversation to take over, with ids of their own, at the places from 1 on.

    One that was still streaming when it was written gets no more text: it is cancelled.
    """
    turns = []
    for place, turn in enumerate(transcript.turns, 1):
        values = {each.name: getattr(turn, each.name) for each in fields(turn)}
        values["status"] = "cancelled" if turn.status == "streaming" else turn.status
        values["extras"] = Extras.from_json(turn.extras)
        values["ended"] = turn.started if turn.ended is None else turn.ended
        values |= {"turn_id": uuid4().hex, "conversation_id": conversation_id, "place": place, "kernel": kernel}
        # No key: the cache answers with what was answered here, not with what a file says.
        turns.append(Turn(**values, version=1, live=True, run="", request_key=""))
    return turns


def _place(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` as what it stands for. Raises ``TranscriptError`` for an ending that is none of ours."""
    place = Path(os.path.expanduser(path))
    if place.suffix.lower() not in FORMATS:
        raise TranscriptError(f"{place} should end in .md, .json, .ipynb or .html: the ending says what it is")
    return place


def _put(target: Path, content: bytes) -> None:
    """Make ``content`` the file ``target`` in one step."""
    new = target.with_name(f".{uuid4().hex}.tmp")
    try:
        with new.open("xb") as file:
            file.write(content)
        if target.exists():
            shutil.copymode(target, new)
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)


def _cause(error: Exception) -> str:
    """Why a file cannot be read or written, in one line."""
    told = str(error) if not isinstance(error, OSError) else error.strerror or str(error)
    return CAUSES.get(type(error), one_line(told))


def _exported(turn: Turn) -> TranscriptTurn:
    """What of a turn may be written down."""
    values = _clean({each.name: getattr(turn, each.name) for each in fields(TranscriptTurn)})
    values["usage"] = Usage(**_clean(asdict(turn.usage)))
    values["parameters"] = _clean(without_secrets(turn.parameters))
    values["notices"] = tuple(map(redact, values["notices"]))
    values["images"], values["extras"] = tuple(values["images"]), _clean(turn.extras.as_json())
    return TranscriptTurn(**values | {"error": redact(values["error"])})


def _clean(value: Any) -> Any:
    """``value`` with nothing in it that UTF-8 or JSON does not have."""
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {_clean(name): _clean(each) for name, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, (list, tuple)) else value


def _dumped(values: Facts) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _parsed(text: str) -> Facts:
    """The object that a JSON text is."""
    found = _clean(json.loads(text))
    return found if isinstance(found, dict) else {}


def _check_format(values: Facts) -> None:
    if values.get("format") != HEAD["format"] or type(values.get("version")) is not int:
        raise ValueError("flowgpt_magic did not make it")
    if values["version"] > VERSION:
        raise ValueError("a newer version of flowgpt_magic made it: update this one")


def _made(kind: type[T], values: Any) -> T:
    """The ``kind`` of value that an object of JSON stands for; what is unknown in it is left out."""
    if not isinstance(values, dict):
        raise ValueError(f"{cut(repr(values))} is no object")  # noqa: TRY004 - JSON's, not the caller's
    found = {name: _field(name, values[name], hint) for name, hint in get_type_hints(kind).items() if name in values}
    try:
        return kind(**found)
    except TypeError:
        missing = next(name for name in get_type_hints(kind) if name not in found)
        raise ValueError(f"it has no {missing} where it should") from None


def _field(name: str, value: Any, hint: Any) -> Any:
    """The value of a field that is declared so, from JSON. Raises ``ValueError`` for one that it cannot have."""
    if is_dataclass(hint):
        return _made(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_field(name, each, get_args(hint)[0]) for each in value)
    among = {Mapping: (dict,), tuple: ()}.get(get_origin(hint), get_args(hint) or (hint,))
    fits = value in among or type(value) in among or (type(value) is int and float in among)
    if not fits or (isinstance(value, (int, float)) and not 0 <= value < LATEST):
        raise ValueError(f"its {name} cannot be {cut(repr(value))}")
    return value


def _inside(values: Any, *names: str) -> Facts:
    """The object inside of others, empty where there is none."""
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


_OURS = "<!-- flowgpt_magic"
_MARK = re.compile(rf"^{_OURS} (\w+) (\{{.*\}}) -->$", re.MULTILINE)
_ENDINGS = {"cancelled": "interrupted", "failed": "failed before its end", "streaming": "not at its end"}


def _caption(turn: TranscriptTurn, *when: str) -> str:
    """Who answered, and what else one should know."""
    who = ":".join(filter(None, [turn.provider, turn.model])) or "nobody"
    seconds = "" if turn.usage.seconds is None else f"{turn.usage.seconds:.1f} s"
    words = [who, *when, seconds, "replayed" if turn.replayed else "", _ENDINGS.get(turn.status, "")]
    return f"*{_escaped(' · '.join(filter(None, [*words, *turn.notices, turn.error])))}*"


def _escaped(text: str) -> str:
    """``text`` on one line, as Markdown that shows just these characters."""
    return re.sub(r"([^\w\s·.,:;/-]|_)", r"\\\1", one_line(text))


def _to_markdown(transcript: Transcript) -> str:
    """What is shown is harmless; where that is not the text as it is, its mark has the text too."""
    system, exact = _shown(transcript.system)
    parts = [_mark("transcript", HEAD | {"name": transcript.name, "system": exact}), f"# {_escaped(transcript.name)}"]
    parts += [_quoted(system)] if transcript.system else []
    for number, turn in enumerate(transcript.turns, 1):
        (prompt, exact_prompt), (text, exact_text) = _shown(turn.prompt), _shown(turn.text)
        facts = asdict(turn) | {"prompt": exact_prompt, "text": exact_text}
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(turn.started))
        parts += [_mark("turn", facts), f"## {number}", _quoted(prompt), _caption(turn, when), _mark("reply", {}), text]
    return "\n\n".join([*parts, _mark("end", {})]) + "\n"


def _from_markdown(text: str) -> Facts:
    # What is ours has no carriage return outside of JSON: those that are there came on the way.
    before, *found = _MARK.split(text.replace("\r\n", "\n"))
    kinds, facts, words = found[::3], [_parsed(each) for each in found[1::3]], found[2::3]
    if before.strip() or kinds[:1] != ["transcript"]:
        raise ValueError("flowgpt_magic did not make it")
    _check_format(facts[0])
    if kinds[1:] != ["turn", "reply"] * (len(kinds) // 2 - 1) + ["end"]:
        raise ValueError("comments of flowgpt_magic are missing in it")
    turns = []
    for turn, asked, answered in zip(facts[1:-1:2], words[1:-1:2], words[2:-1:2], strict=True):
        prompt, text = _exact(_unquoted(asked), turn.get("prompt")), _exact(answered.strip("\n"), turn.get("text"))
        turns.append(turn | {"prompt": prompt, "text": text})
    return facts[0] | {"system": _exact(_unquoted(words[0]), facts[0].get("system")), "turns": turns}


def _mark(kind: str, facts: Facts) -> str:
    """A comment that nothing inside of it can end."""
    written = json.dumps(facts, ensure_ascii=False).replace("--", "-\\u002d")
    written = written.replace("<", "\\u003c").replace(">", "\\u003e")
    return f"{_OURS} {kind} {written} -->"


def _shown(text: str) -> tuple[str, Facts]:
    """How a text is shown, and what else it takes to read it back."""
    from flowgpt_magic.markdown.growing import harmless

    shown = harmless(text).strip("\n")
    if text == shown and _OURS not in text:
        return text, {}
    shown = shown.replace(_OURS, _OURS.replace(" ", "  "))
    return shown, {"text": text, "shown": crc32(shown.encode())}


def _exact(shown: str, facts: Any) -> str:
    """The text that was shown so; where somebody has changed what is shown, that."""
    text = facts.get("text") if isinstance(facts, dict) and facts.get("shown") == crc32(shown.encode()) else None
    return text if isinstance(text, str) else shown


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n"))


def _unquoted(words: str) -> str:
    """What is quoted among the words; nothing else of ours begins like a quote."""
    return "\n".join(line[1:].removeprefix(" ") for line in words.split("\n") if line.startswith(">"))


_CELL = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]*%%flowgpt(?![\w?])[ \t]*(.*)\n?")
_CALL = "from flowgpt_magic import Conversation\n\nConversation().ask("
# IPython takes these for prompts of its own and of Python and drops them: the first at the top, the second in any line.
_ENDS = r"\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"  # of lines
_DROPPED = re.compile(rf"\A(?:\s*\.\.\.|(?:\[(?:nav|ins)\])? ?In \[\d+\]:)|(?:\A|[{_ENDS}])[^\S{_ENDS}]*>>>")


def _to_notebook(transcript: Transcript) -> str:
    setup = "\n".join(["%load_ext flowgpt_magic", *_system_lines(transcript.system)])
    unrun: Facts = {"execution_count": None, "outputs": []}
    cells = [_cell("markdown", "title", f"# {_escaped(transcript.name)}"), _cell("code", "setup", setup, **unrun)]
    for number, turn in enumerate(transcript.turns, 1):
        run = unrun | {"outputs": [_output(turn)]}
        cells.append(_cell("code", f"turn-{number}", _source(turn, transcript.system), **run))
    facts = HEAD | {"name": transcript.name, "system": transcript.system}
    metadata = {"flowgpt": facts, "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return _dumped({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _cell(kind: str, cell_id: str, source: str, **more: Any) -> Facts:
    return {"cell_type": kind, "id": cell_id, "metadata": {}, **more, "source": source.splitlines(keepends=True)}


def _system_lines(system: str) -> list[str]:
    if system.isprintable() and not set(system) & {'"', "\\"}:
        return [f'%flowgpt system "{system}"'] if system else []
    return ["get_ipython().run_line_magic(", '    "flowgpt",', _literal(f'system "{system}"') + ",", ")"]


def _literal(text: str) -> str:
    """A string of Python, a line for each line of the text."""
    return "\n".join(f"    {line!r}" for line in re.findall(r"[^\n]*\n|[^\n]+", text) or [""])


def _source(turn: TranscriptTurn, system: str) -> str:
    """A cell that asks what the turn asked: a magic, or a call where a magic would ask something else."""
    target, warmth = ":".join(filter(None, [turn.provider, turn.model])), turn.parameters.get("temperature")
    given: Facts = {"model": target} if target else {}
    given |= {"temperature": warmth} if isinstance(warmth, (int, float)) and 0 <= warmth <= 2 else {}
    given |= {"system": turn.system} if turn.system != system else {}
    # A stored prompt has its references replaced already; what is in braces now is to stay.
    line = " ".join(["%%flowgpt", *_options(given), *(["--raw"] if "{" in turn.prompt else [])])
    first, _newline, rest = turn.prompt.partition("\n")
    # The magic takes newlines off both ends, and an editor makes one of each carriage return.
    is_file = "system" in given and turn.system.startswith("@")  # as a magic would understand it
    if line.isprintable() and not is_file and turn.prompt == turn.prompt.strip("\n") and "\r" not in turn.prompt:
        if not _DROPPED.search(turn.prompt):
            return f"{line}\n{turn.prompt}"
        if first.isprintable() and first == first.strip() and not _DROPPED.search(rest):
            return f"{line} -- {first}\n{rest}"
    arguments = [_literal(turn.prompt), *(f"    {name}={value!r}" for name, value in given.items())]
    return _CALL + "\n" + "".join(f"{argument},\n" for argument in arguments) + ")"


def _options(given: Facts) -> Iterator[str]:
    """The options as they stand on a magic line."""
    for name, value in given.items():
        quoted = "'\"'".join(f'"{part}"' for part in str(value).split('"'))
        bare = name == "model" and re.fullmatch(r"\w[\w.-]*:[^\s\"'\\]+", value) and "://" not in value
        yield value if bare else f"--{name} {value if name == 'temperature' else quoted}"


def _output(turn: TranscriptTurn) -> Facts:
    from flowgpt_magic.markdown.growing import harmless, plain

    text = plain(turn.text)
    shown = f"{harmless(turn.text).rstrip()}\n\n{_caption(turn)}".lstrip("\n")
    facts = {name: value for name, value in asdict(turn).items() if name not in ("prompt", "text", "usage")}
    facts |= asdict(turn.usage) | ({} if text == turn.text else {"text": turn.text})
    data = {"text/markdown": shown.splitlines(keepends=True), "text/plain": text.splitlines(keepends=True)}
    return {"data": data, "metadata": {"flowgpt": facts}, "output_type": "display_data"}


def _from_notebook(text: str) -> Facts:
    book = _parsed(text)
    if book.get("nbformat") != 4 or not isinstance(book.get("cells"), list):
        raise ValueError("it is no notebook of format 4: open it in Jupyter and save it")
    facts = _inside(book, "metadata", "flowgpt")
    turns = [values for cell in book["cells"] if (values := _cell_values(cell, facts.get("system", "")))]
    if not (turns or facts):
        raise ValueError("no cell in it begins with %%flowgpt")
    return HEAD | facts | {"turns": turns}


def _cell_values(cell: Any, system: str) -> Facts:
    """What a cell asked and what was answered; nothing for a cell that asks nothing."""
    from flowgpt_magic.markdown.growing import plain

    asked = _asked(_joined(cell.get("source"))) if _inside({"": cell}, "").get("cell_type") == "code" else None
    if asked is None:
        return {}
    provider, _colon, model = str(asked.get("model", "")).partition(":")
    values = {"prompt": asked["prompt"], "provider": provider, "model": model, "system": asked.get("system", system)}
    values |= {"parameters": {name: asked[name] for name in asked if name == "temperature"}}
    values |= {"status": "cancelled", "cell_id": cell.get("id", "")}
    for output in cell["outputs"] if isinstance(cell.get("outputs"), list) else []:
        if facts := _inside(output, "metadata", "flowgpt"):
            text, exact = _joined(_inside(output, "data").get("text/plain")), facts.get("text")
            text = exact if isinstance(exact, str) and plain(exact) == text else text
            values |= facts | {"prompt": asked["prompt"], "usage": facts, "text": text}
    return values


def _asked(source: str) -> Facts | None:
    """The prompt of a cell with the options it is asked with; None where it asks nothing."""
    if source.startswith(_CALL):
        with suppress(SyntaxError, ValueError, AttributeError, IndexError):
            call: Any = ast.parse(source[source.index("Conversation()") :], mode="eval").body
            given = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
            return given | {"prompt": ast.literal_eval(call.args[0])}
    cell = _CELL.match(source)
    if cell is None or (magic_line.ABOVE_TEXT.fullmatch(cell[1]) and source[cell.end() :].strip()):
        return None
    try:
        line = magic_line.read_line(cell[1].rstrip(), models.is_model_name)
    except OptionError:  # of a later version
        line = magic_line.Line()
    return line.options | {"prompt": "\n".join(filter(None, [line.prompt, source[cell.end() :]])).strip("\n")}


def _joined(lines: Any) -> str:
    """A text of a notebook, which may be there as lines."""
    return "".join(map(str, lines)) if isinstance(lines, list) else str(lines or "")


# How a transcript becomes a text, and a text the object of JSON that it stands for, or a ``ValueError``.
def _to_page(transcript: Transcript) -> str:
    from flowgpt_magic.transcripts.html_page import page_of

    return page_of(transcript)


def _from_page(page: str) -> Facts:
    from flowgpt_magic.transcripts.html_page import not_read

    return not_read(page)


FORMATS: dict[str, tuple[Callable[[Transcript], str], Callable[[str], Facts]]] = {
    ".md": (_to_markdown, _from_markdown),
    ".json": (lambda transcript: _dumped(HEAD | asdict(transcript)), _parsed),
    ".ipynb": (_to_notebook, _from_notebook),
    ".html": (_to_page, _from_page),
}

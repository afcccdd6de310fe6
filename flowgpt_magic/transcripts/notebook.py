"""A transcript as a notebook, and back.

The metadata of an output holds the fields of a turn. A cell that asks a prompt puts them there too, so a notebook that
was run is read like one that was exported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from flowgpt_magic.errors import OptionError
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.pictures import (
    Picture,
    PictureReference,
    attachment_name,
    picture_of_url,
    references_of,
    with_references,
)
from flowgpt_magic.providers import models
from flowgpt_magic.text import escaped, one_line
from flowgpt_magic.transcripts.caption import caption_html
from flowgpt_magic.transcripts.reasoning import folded_reasoning
from flowgpt_magic.transcripts.transcript import (
    HEADER,
    JsonObject,
    Transcript,
    TranscriptTurn,
    from_json,
    nested_object,
    to_json,
)

_MAGIC = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]*%%flowgpt(?![\w?])[ \t]*(.*)\n?")
_CALL = "from flowgpt_magic import Conversation\n\nConversation().ask("
# IPython removes what looks like its own prompt at the top of a cell, and like Python's at the start of any line.
_LINE_ENDS = r"\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
_REMOVED = re.compile(rf"\A(?:\s*\.\.\.|(?:\[(?:nav|ins)\])? ?In \[\d+\]:)|(?:\A|[{_LINE_ENDS}])[^\S{_LINE_ENDS}]*>>>")


def to_notebook(transcript: Transcript) -> str:
    """The transcript as a notebook whose cells ask the prompts again."""
    not_run: JsonObject = {"execution_count": None, "outputs": []}
    setup = "\n".join(["%load_ext flowgpt_magic", *_system_lines(transcript.system)])
    cells = [
        _cell("markdown", "title", f"# {escaped(one_line(transcript.name))}"),
        _cell("code", "setup", setup, **not_run),
    ]
    for number, turn in enumerate(transcript.turns, 1):
        pictures = _pictures(turn)
        prompt = with_references(turn.prompt, pictures)
        source = _source(replace(turn, prompt=prompt), transcript.system)
        outputs = [_output(turn, {} if prompt == turn.prompt else {"prompt": turn.prompt, "prompt_of_cell": prompt})]
        own: JsonObject = (
            {"flowgpt_magic": {"attachments": attachments}} if (attachments := _attachments(pictures)) else {}
        )
        cells.append(_cell("code", f"turn-{number}", source, **not_run | {"outputs": outputs, "metadata": own}))
    metadata = {
        "flowgpt": HEADER | {"name": transcript.name, "system": transcript.system},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    }
    return to_json({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _cell(kind: str, cell_id: str, source: str, **fields: Any) -> JsonObject:
    return {"cell_type": kind, "id": cell_id, "metadata": {}, **fields, "source": source.splitlines(keepends=True)}


def _pictures(turn: TranscriptTurn) -> dict[PictureReference, Picture]:
    """The pictures of a turn, each with how its prompt names it, or would."""
    pictures = [picture for url in dict.fromkeys(turn.images) if (picture := picture_of_url(url)) and picture.width]
    references = references_of(turn.prompt, [picture.digest for picture in pictures])
    return {
        reference or PictureReference(attachment_name("", picture)): picture
        for picture, reference in zip(pictures, references, strict=True)
    }


def _attachments(pictures: Mapping[PictureReference, Picture]) -> JsonObject:
    """The pictures as Jupyter stores attachments."""
    return {reference.name: {picture.type: picture.url.partition(",")[2]} for reference, picture in pictures.items()}


def _system_lines(system: str) -> list[str]:
    if system.isprintable() and not set(system) & {'"', "\\"}:
        return [f'%flowgpt system "{system}"'] if system else []
    return ["get_ipython().run_line_magic(", '    "flowgpt",', _literal(f'system "{system}"') + ",", ")"]


def _literal(text: str) -> str:
    """A Python string, with one line of code for each line of the text."""
    return "\n".join(f"    {line!r}" for line in re.findall(r"[^\n]*\n|[^\n]+", text) or [""])


def _source(turn: TranscriptTurn, system: str) -> str:
    """A cell that asks the prompt again: a magic, or a call of Python where a magic would read something else."""
    model, temperature = ":".join(filter(None, [turn.provider, turn.model])), turn.parameters.get("temperature")
    options: JsonObject = {"model": model} if model else {}
    options |= {"temperature": temperature} if isinstance(temperature, (int, float)) and 0 <= temperature <= 2 else {}
    options |= {"system": turn.system} if turn.system != system else {}
    # The references of a stored prompt are replaced already. Braces that are left are text.
    line = " ".join(["%%flowgpt", *_words(options), *(["--raw"] if "{" in turn.prompt else [])])
    first, _newline, rest = turn.prompt.partition("\n")
    # The magic strips newlines from both ends, and an editor turns a carriage return into one.
    is_file = "system" in options and turn.system.startswith("@")  # for a magic
    if line.isprintable() and not is_file and turn.prompt == turn.prompt.strip("\n") and "\r" not in turn.prompt:
        if not _REMOVED.search(turn.prompt):
            return f"{line}\n{turn.prompt}"
        if first.isprintable() and first == first.strip() and not _REMOVED.search(rest):
            return f"{line} -- {first}\n{rest}"
    arguments = [_literal(turn.prompt), *(f"    {name}={value!r}" for name, value in options.items())]
    return _CALL + "\n" + "".join(f"{argument},\n" for argument in arguments) + ")"


def _words(options: JsonObject) -> Iterator[str]:
    """The options as a magic line has them."""
    for name, value in options.items():
        quoted = "'\"'".join(f'"{part}"' for part in str(value).split('"'))
        bare = name == "model" and re.fullmatch(r"\w[\w.-]*:[^\s\"'\\]+", value) and "://" not in value
        yield value if bare else f"--{name} {value if name == 'temperature' else quoted}"


def _output(turn: TranscriptTurn, more: JsonObject) -> JsonObject:
    from flowgpt_magic.control_characters import clean
    from flowgpt_magic.markdown.growing import harmless

    text = clean(turn.text)
    parts = [folded_reasoning(turn), harmless(turn.text).rstrip(), caption_html(turn, error=turn.error)]
    shown = "\n\n".join(filter(None, parts))
    values = {name: value for name, value in asdict(turn).items() if name not in ("prompt", "text", "usage")}
    values |= more | asdict(turn.usage) | ({} if text == turn.text else {"text": turn.text})
    data = {"text/markdown": shown.splitlines(keepends=True), "text/plain": text.splitlines(keepends=True)}
    return {"data": data, "metadata": {"flowgpt": values}, "output_type": "display_data"}


def from_notebook(text: str) -> JsonObject:
    """The JSON object of the transcript in a notebook. Raises ``ValueError``."""
    notebook = from_json(text)
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise ValueError("it is no notebook of format 4: open it in Jupyter and save it")
    values = nested_object(notebook, "metadata", "flowgpt")
    turns = [turn for cell in notebook["cells"] if (turn := _turn(cell, values.get("system", "")))]
    if not (turns or values):
        raise ValueError("no cell in it begins with %%flowgpt")
    return HEADER | values | {"turns": turns}


def _turn(cell: Any, system: str) -> JsonObject:
    """The turn of a cell; empty for a cell that asks nothing."""
    from flowgpt_magic.control_characters import clean

    is_code = isinstance(cell, dict) and cell.get("cell_type") == "code"
    options = _options(_joined(cell.get("source"))) if is_code else None
    if options is None:
        return {}
    provider, _colon, model = str(options.get("model", "")).partition(":")
    turn = {
        "prompt": options["prompt"],
        "provider": provider,
        "model": model,
        "system": options.get("system", system),
        "parameters": {name: options[name] for name in options if name == "temperature"},
        "status": "cancelled",
        "cell_id": cell.get("id", ""),
    }
    for output in cell["outputs"] if isinstance(cell.get("outputs"), list) else []:
        if values := nested_object(output, "metadata", "flowgpt"):
            text, original = _joined(nested_object(output, "data").get("text/plain")), values.get("text")
            text = original if isinstance(original, str) and clean(original) == text else text
            is_exported = values.get("prompt_of_cell") == options["prompt"]
            prompt = values.get("prompt") if is_exported else options["prompt"]
            turn |= values | {"prompt": prompt, "usage": values, "text": text}
    return turn


def _options(source: str) -> JsonObject | None:
    """The options of a cell that asks, its ``prompt`` among them; None for another cell."""
    if source.startswith(_CALL):
        with suppress(SyntaxError, ValueError, AttributeError, IndexError):
            call: Any = ast.parse(source[source.index("Conversation()") :], mode="eval").body
            options = {str(argument.arg): ast.literal_eval(argument.value) for argument in call.keywords}
            return options | {"prompt": ast.literal_eval(call.args[0])}
    cell = _MAGIC.match(source)
    if cell is None or (magic_line.ABOVE_TEXT.fullmatch(cell[1]) and source[cell.end() :].strip()):
        return None
    try:
        line = magic_line.read_line(cell[1].rstrip(), models.is_model_name)
    except OptionError:  # an option of a later version
        line = magic_line.MagicLine()
    return line.options | {"prompt": "\n".join(filter(None, [line.prompt, source[cell.end() :]])).strip("\n")}


def _joined(text: Any) -> str:
    """A text of a notebook, which may be a list of lines."""
    return "".join(map(str, text)) if isinstance(text, list) else str(text or "")

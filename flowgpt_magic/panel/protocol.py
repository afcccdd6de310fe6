"""The messages about turns: an outline of all turns, and the contents of those in view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.messages import Turn, Waiting
from flowgpt_magic.prompt.pictures import attachment_name, picture_of_url, references_of, without_references
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import sentences
from flowgpt_magic.transcripts.caption import caption, cost_of, sent_line, tokens_of
from flowgpt_magic.transcripts.reasoning import thought_line

Row = tuple[str, int, int, str]  # a turn's id, number, length of its texts, and a mark that changes with its contents
Facts = dict[str, Any]  # JSON values
LONGEST_PROMPT = 4000  # characters of a prompt that are sent until the page requests all of it
MAX_PART = 200_000  # characters of HTML in one message: a longer message would block the page


def row(turn: Turn, versions: int, status: str, *, before_edit: bool = False, others: Sequence[Turn] = ()) -> Row:
    """A turn in the page's outline.

    ``before_edit`` says that it was asked before a turn above it was edited; ``others`` are the replies of other models
    that it was compared with.
    """
    compared = "".join(f" {other.version} {other.status}" for other in others)
    mark = f"{status} {turn.version}/{versions}{' before an edit' if before_edit else ''}{compared}"
    return turn.turn_id, turn.place, len(turn.prompt) + len(turn.text), mark


@dataclass(frozen=True)
class Splice:
    """A change to a list: from ``at`` on, ``gone`` rows are replaced."""

    at: int
    gone: int
    rows: tuple[Row, ...]


def splice(before: Sequence[Row], after: Sequence[Row]) -> Splice | None:
    """The change from one list to the other; None if they are equal."""
    shorter = min(len(before), len(after))
    start = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    end = next((n for n in range(shorter - start) if before[-1 - n] != after[-1 - n]), shorter - start)
    if start == len(before) == len(after):
        return None
    return Splice(start, len(before) - end - start, tuple(after[start : len(after) - end]))


def facts(turn: Turn, versions: int, status: str) -> Facts:
    """What is shown around a reply: the prompt, the model, the status."""
    seconds = turn.usage.seconds
    prompt = shown_prompt(turn)
    return {
        "id": turn.turn_id,
        "place": turn.place,
        "prompt": join_surrogates(prompt[:LONGEST_PROMPT]),
        "prompt_more": max(0, len(prompt) - LONGEST_PROMPT),
        "model": join_surrogates(redact(f"{turn.provider}:{turn.model}")),
        "status": status,
        "error": join_surrogates(redact(sentences(turn.error))) if turn.error else "",
        "notices": [join_surrogates(redact(notice)) for notice in (*turn.sent.unsent, *turn.notices)],
        "tokens": tokens_of(turn),
        "cost": "" if turn.replayed else cost_of(turn.usage),
        "sent": join_surrogates(sent_line(turn)),
        "version": turn.version,
        "versions": versions,
        "started": turn.started,
        "seconds": None if seconds is None else round(seconds, 1),
        "thought": thought_line(turn.usage.reasoning_seconds) if turn.extras.reasoning.strip() else "",
        "replayed": turn.replayed,
        "cell": bool(turn.cell_id),
        "empty": not turn.text,
    }


def compared_facts(others: Sequence[Turn]) -> list[Facts]:
    """The replies of other models that a turn was compared with, in the order of their columns."""
    return [
        {
            "id": other.turn_id,
            "version": other.version,
            "title": join_surrogates(redact(f"{other.sent.column} {other.provider}:{other.model}")),
            "line": join_surrogates(caption(other).partition(" · ")[2]),
            "error": join_surrogates(redact(sentences(other.error))) if other.error else "",
            "status": other.status,
            "empty": not other.text.strip(),
        }
        for other in others
    ]


def shown_prompt(turn: Turn) -> str:
    """The prompt without the lines at its end that name its pictures, which are shown beside it."""
    return without_references(turn.prompt) if turn.images else turn.prompt


def picture_facts(turn: Turn) -> list[Facts]:
    """The pictures of a turn, as a page shows them and sends them back with an edited prompt.

    This reads the pictures, which takes some milliseconds for each megabyte.
    """
    pictures = [picture for url in dict.fromkeys(turn.images) if (picture := picture_of_url(url)) is not None]
    references = references_of(turn.prompt, [picture.digest for picture in pictures])
    return [
        {
            "picture": picture.digest,
            "name": join_surrogates(attachment_name("", picture) if reference is None else reference.name),
            "description": join_surrogates("" if reference is None else reference.description),
            "width": picture.width,
            "height": picture.height,
        }
        for picture, reference in zip(pictures, references, strict=True)
    ]


def pause_facts(pause: Waiting) -> Facts:
    """A wait before a retry: the reason, and the seconds left.

    A page counts the seconds itself, because its clock may differ from the kernel's.
    """
    return {"why": join_surrogates(redact(pause.why)), "left": round(pause.left, 2)}


def parts(blocks: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The blocks in portions of one message, each with the number of its first block; at least one portion."""
    start, size = 0, 0
    for number, block in enumerate(blocks):
        if number > start and size + len(block) > MAX_PART:
            yield start, [join_surrogates(earlier) for earlier in blocks[start:number]]
            start, size = number, 0
        size += len(block)
    yield start, [join_surrogates(block) for block in blocks[start:]]

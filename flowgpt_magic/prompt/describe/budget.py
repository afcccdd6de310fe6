"""The limits for the description of one value: characters for its text, and seconds for its own code.

A value may be huge or broken, and its code may never return. So the ``__repr__`` of a user's class runs on another
thread, with a time limit. No library is imported to describe its values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from re import findall
from typing import Any

from flowgpt_magic.redaction import redact_environment
from flowgpt_magic.text import cut, one_line

CODE_SECONDS = 2.0  # seconds that the code of the user's objects may take, for one value
LINE_LENGTH = 100  # characters; a container that fits is shown as Python prints it
SHORTENED = ("parts marked …",)  # for ``Description.omitted``
CELL_LENGTH = 40  # characters of a cell of a table
HEADLINE_LENGTH = 90  # characters of the lines before and after a body, at most
SEARCH_MARGIN = 1_000  # characters after the visible text that are searched for secrets, which may begin inside it


@dataclass(frozen=True)
class Description:
    """A value as text.

    Args:
        headline: what the value is, on one line; empty if the body says everything.
        body: the value itself.
        fence: the language of the code block around the body; None for no code block.
        omitted: what was left out, in phrases such as ``12 of 40 columns``.
        about: a few words for the reader of the reply, with ``{}`` for the name: ``{}, pages 3 to 5 of 20``.
        unsent: a clause for what was not sent, with ``{}`` for the name; or empty.
    """

    headline: str
    body: str = ""
    fence: str | None = None
    omitted: tuple[str, ...] = ()
    about: str = "{}"
    unsent: str = ""


@dataclass
class Inspection:
    """The limits and the state of the description of one value.

    Args:
        room: characters for the text.
        masked: whether secrets are masked.
        fair: whether items keep room for the items after them.
        shortened: whether an item was shortened.
        seconds: seconds left for the code of the user's objects.
        reprs: the ``repr`` of each object by its id, with the object, so that the id stays its own.
        read: what was read from files, by path, if reading takes long and the value is described again.
    """

    room: int
    masked: bool = True
    fair: bool = True
    shortened: bool = False
    seconds: float = CODE_SECONDS
    reprs: dict[int, tuple[object, str]] = field(default_factory=dict)
    read: dict[str, Any] = field(default_factory=dict)


def type_name(value: object) -> str:
    return one_line(type(value).__name__)[:CELL_LENGTH]


def amount(number: int, noun: str) -> str:
    """``1 row``, ``10,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def omitted_of(shown: int, total: int, noun: str) -> tuple[str, ...]:
    """What ``Description.omitted`` says if only ``shown`` of ``total`` are shown."""
    return (f"{total - shown:,} of {amount(total, noun)}",) if shown < total else ()


class CallFailure(str):
    """A text instead of the result of a call: why there is none."""


def call_with_timeout(value: object, call: Callable[[], object], method: str, inspection: Inspection) -> object:
    """Call a method of ``value`` with a time limit. Returns its result, or a ``CallFailure``.

    The method runs on a thread of its own. After the time limit that thread is abandoned, not stopped.

    Args:
        value: the object whose method is called.
        call: calls the method.
        method: the name of the method for messages.
        inspection: has the seconds that are left.
    """
    from contextvars import copy_context
    from threading import Thread

    outcome: list[object] = []
    kind = type_name(value)

    def attempt() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - nothing else catches it on this thread
            outcome.append(CallFailure(f"<{kind}; its {method} failed: {_message(error)}>"))

    if inspection.seconds <= 0:
        return CallFailure(f"<{kind}; its {method} was not called: others took longer than {CODE_SECONDS:g} s>")
    begun = time.monotonic()
    thread = Thread(target=copy_context().run, args=(attempt,), daemon=True, name=f"{method} of {kind}")
    thread.start()
    thread.join(inspection.seconds)
    inspection.seconds -= time.monotonic() - begun
    return outcome[0] if outcome else CallFailure(f"<{kind}; its {method} took longer than {CODE_SECONDS:g} s>")


def _message(error: BaseException) -> str:
    try:
        return f"{type_name(error)}: {one_line(str(error)[:300])}"
    except BaseException:  # noqa: BLE001 - a message is computed by the user's code too
        return type_name(error)


def own_repr(value: object, inspection: Inspection) -> str:
    """The ``repr`` of an object, or why there is none. It is called once for each object."""
    if id(value) not in inspection.reprs:
        text = call_with_timeout(
            value, lambda: str.__str__(repr(value)), "repr", inspection
        )  # a plain str: a subclass may override slicing
        inspection.reprs[id(value)] = value, str(text)
    return inspection.reprs[id(value)][1]


def fitted(name: str, description: Description, limit: int, *, masked: bool) -> tuple[str, bool]:
    """The text of ``description`` in ``limit`` characters, and whether it leaves something out.

    A line for what was left out comes after the ``limit``. Secrets are ``masked`` before the text is cut: half a key
    cannot be recognised.
    """
    beyond = 0
    if masked:
        searched = 2 * limit + SEARCH_MARGIN  # text after that is never shown
        beyond = max(0, len(description.body) - searched)
        body = redact_environment(description.body[:searched])
        description = replace(description, headline=redact_environment(description.headline), body=body)
    head, foot, omitted = "", "", list(description.omitted)
    if description.headline:
        head = f"{cut(name)}: {one_line(description.headline)}" + ("\n" if description.body else "")
    if description.fence is not None and description.body:
        longest = max(map(len, findall("`{3,}", description.body)), default=2)
        fence = "`" * (longest + 1) if longest < HEADLINE_LENGTH else "~~~~"
        head, foot = f"{head}{fence}{description.fence}\n", f"\n{fence}"
    room = limit - len(head) - len(foot)
    text = f"{head}{description.body[: max(0, room)]}{foot}"
    omitted += omitted_of(min(max(0, room), len(description.body)), len(description.body) + beyond, "character")
    if room < 0:
        omitted, text = [*omitted, "the rest of this line"], text[:limit]
    return (f"{text}\n… {', '.join(omitted)} are not shown" if omitted else text), bool(omitted)

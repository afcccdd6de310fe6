"""The contract of a provider, point by point: what is told by asking it, and by leaving it."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from copy import deepcopy
from functools import partial
from types import MappingProxyType
from typing import Any

from flowgpt_magic.errors import FlowGptError, FlowGptWarning, SchemaNotSupportedError
from flowgpt_magic.messages import Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.redaction import without_secrets
from flowgpt_magic.testing.contract import AT_ONCE, NOBODY, Case, NotKeptError, takes_any, told
from flowgpt_magic.testing.unreachable import closed_address, silent_server

BLOCKED = 1.0  # seconds for which nothing else may be kept from running
IMAGE = (  # one white dot
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"count": {"type": "integer"}},
    "required": ["count"],
    "additionalProperties": False,
}


async def _read(chunks: AsyncGenerator[str | Usage | Extras, None]) -> list[Any]:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks]


def _text(chunks: Sequence[Any]) -> str:
    return "".join(chunk for chunk in chunks if isinstance(chunk, str))


def streams(case: Case) -> None:
    """It answers in chunks of text, with at most one Extras and one Usage after them."""
    chunks = case.run(lambda: _read(case.ask(case.prompted())), "read to its end")
    counts = [place for place, chunk in enumerate(chunks) if isinstance(chunk, Usage)]
    wrong = [chunk for chunk in chunks if not isinstance(chunk, (str, Extras, Usage))]
    if wrong:
        raise NotKeptError(f"it yields {wrong[0]!r}: yield text, and at most one Extras and one Usage at the end")
    beside = [place for place, chunk in enumerate(chunks) if isinstance(chunk, Extras)]
    late = chunks[beside[0] + 1 :] if beside else []
    if any(isinstance(chunk, (str, Extras)) for chunk in late):
        raise NotKeptError("it yields text or a second Extras after an Extras: yield one, after the last chunk")
    if len(counts) > 1 or (counts and counts[0] != len(chunks) - 1):
        raise NotKeptError(
            f"it yields a Usage at place {counts[0] + 1} of {len(chunks)}: yield one, after the last chunk"
        )
    case.answer = _text(chunks)
    if not case.answer:
        raise NotKeptError(f"its answer to {case.prompt!r} is empty: check it, or give it another prompt with prompt=")
    pieces = sum(bool(chunk) for chunk in chunks if isinstance(chunk, str))
    if pieces == 1 and case.provider.supports_stream:
        text = "it answered in one chunk, so that nobody knows whether it streams: give it a longer prompt, or say "
        warnings.warn(f"{case.provider.__name__}: {text}supports_stream = False", FlowGptWarning, stacklevel=2)


def answers_again(case: Case) -> None:
    """It answers again, on another event loop."""
    chunks = case.run(lambda: _read(case.ask(case.prompted())), "read a second time, on another event loop")
    case.repeats = _text(chunks) == case.answer


def leaves_messages_alone(case: Case) -> None:
    """It leaves the messages as they are, and takes read-only ones."""
    sent = case.talk()
    before = deepcopy(sent)
    case.run(lambda: _read(case.ask(sent)), "with a system prompt and earlier messages, where it takes them")
    if sent != before:
        raise NotKeptError("it changes the messages it was given: make a list of its own, of dict(message)")
    frozen = tuple(MappingProxyType(message) for message in before)
    try:
        case.run(lambda: _read(case.ask(frozen)), "with read-only messages")
    except (TypeError, AttributeError) as error:
        raise NotKeptError(
            f"it fails with messages that are read-only mappings in a tuple: {told(error)}; use dict(message)"
        ) from error


def stops_when_left(case: Case) -> None:
    """It stops at once when it is left after the first chunk, and takes keyword arguments it does not know."""

    async def leave() -> float:
        chunks = case.ask(case.prompted(), flowgpt_magic_unknown=True)
        async for _chunk in chunks:
            break
        before = time.perf_counter()
        await chunks.aclose()
        return time.perf_counter() - before

    seconds = case.run(leave, "left after the first chunk")
    if seconds > AT_ONCE:
        raise NotKeptError(
            f"it took {seconds:.1f} s to close after the first chunk: close what it opened in a finally block"
        )


def stops_when_cancelled(case: Case) -> None:
    """It stops at once when its task is cancelled, also while it waits for the first chunk."""
    for wait in (0.0, 0.02):
        case.run(partial(_cancel, case, wait), "cancelled")
    if case.address_setting:
        with silent_server() as url:
            case.run(partial(_cancel, case, 0.1, **{case.address_setting: url}), "cancelled while its server is silent")


async def _cancel(case: Case, wait: float, **settings: Any) -> None:
    after: list[Any] = []
    stopped = asyncio.Event()

    async def read() -> None:
        async with aclosing(case.ask(case.prompted(), **settings)) as chunks:
            async for chunk in chunks:
                if stopped.is_set():
                    after.append(chunk)

    task = asyncio.create_task(read())
    await asyncio.sleep(wait)
    cancelled = task.cancel()
    stopped.set()
    await asyncio.wait({task}, timeout=AT_ONCE)
    if not task.done() or len(after) > 1:
        raise NotKeptError(
            "it goes on after its task was cancelled: let CancelledError through, after closing what is open"
        )
    if cancelled and not task.cancelled() and (error := task.exception()) is not None:
        raise NotKeptError(f"cancelled, it raises {told(error)}: let CancelledError through as it is")


def answers_two_at_once(case: Case) -> None:
    """Two replies at once do not mix."""
    other = " And then one more." if case.repeats else ""
    alone = _text(case.run(lambda: _read(case.ask(case.prompted(other))), "read alone")) if other else ""

    async def both() -> list[list[Any]]:
        return list(await asyncio.gather(*(_read(case.ask(case.prompted(more))) for more in ("", other))))

    first, second = map(_text, case.run(both, "asked twice at once"))
    if not first or not second:
        raise NotKeptError("of two replies at once one is empty: keep what belongs to a reply in local names")
    if case.repeats and (first, second) != (case.answer, alone):
        raise NotKeptError(
            "two replies at once differ from the same ones alone: keep what belongs to a reply in local names"
        )


def takes_images(case: Case) -> None:
    """It takes a message with an image, if it says so, or says why this model does not."""
    if case.provider.supports_images:
        messages = [{**case.prompted()[0], "images": [IMAGE]}]
        with suppress(FlowGptError):
            case.run(lambda: _read(case.ask(messages)), "with an image")


def keeps_to_a_schema(case: Case) -> None:
    """It answers in JSON that fits a schema, if it says so, or says that this model cannot."""
    if not case.provider.supports_schema:
        return
    try:
        chunks = case.run(lambda: _read(case.ask(case.prompted(), schema=SCHEMA)), "with a schema")
    except SchemaNotSupportedError:
        return
    if any(isinstance(chunk, Usage) and chunk.finish_reason == "length" for chunk in chunks):
        return  # cut off, by the settings it was given; nobody can tell
    text = _text(chunks)
    try:
        fits = isinstance(json.loads(text)["count"], int)
    except (ValueError, TypeError, KeyError):
        fits = False
    if not fits:
        raise NotKeptError(
            f"with the schema {json.dumps(SCHEMA)} it answers {text[:80]!r}: raise SchemaNotSupportedError where the "
            "model or the server does not keep to one"
        )


async def _models(case: Case) -> Any:
    taken = {"proxy", *case.provider.settings}
    return await case.provider.list_models(**{name: case.settings[name] for name in taken & case.settings.keys()})


def lists_models(case: Case) -> None:
    """It lists the models one can ask for now, or says why it cannot."""
    try:
        found = case.run(lambda: _models(case), "asked for its models")
    except FlowGptError:
        return
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise NotKeptError(f"list_models() returns {found!r}: it must return a list of names")


# When it fails


def fails_well(case: Case) -> None:
    """What goes wrong is a FlowGptError, and shows no key."""
    failing = [dict(each) for each in case.failing]
    if case.address_setting:
        failing.append({case.address_setting: closed_address()})
    if not takes_any(case.provider):
        failing.append({"model": NOBODY})
    for given in failing:
        _fails(case, given)


def _fails(case: Case, given: Mapping[str, Any]) -> None:
    everything = {**case.settings, **given}
    hidden = {name: str(value) for name, value in everything.items() if name not in without_secrets(everything)}
    shown = ", ".join(f"{name}=…" if name in hidden else f"{name}={value!r}" for name, value in given.items())
    try:
        case.run(lambda: _read(case.ask(case.prompted(), **given)), f"with {shown}")
    except FlowGptError as error:
        for name, secret in hidden.items():
            if len(secret) > 3 and secret in str(error):
                raise NotKeptError(f"with {shown} its error shows the {name}: leave that out") from None
    except NotKeptError:
        raise
    except Exception as error:  # the provider's own code, which may raise anything
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        raise NotKeptError(
            f"with {shown} it raises {kind}: raise a kind of ProviderError that says what to do"
        ) from error
    else:
        raise NotKeptError(f"with {shown} it does not fail, though it was said to")


# In all of that


def lets_others_run(case: Case) -> None:
    """It keeps nothing else from running while it waits."""
    if case.trials.longest_block > BLOCKED:
        seconds = f"{case.trials.longest_block:.1f} s"
        raise NotKeptError(
            f"nothing else could run for {seconds}: await what takes time, and put what cannot be awaited into a "
            "thread (asyncio.to_thread)"
        )


def leaves_nothing(case: Case) -> None:
    """It leaves no task, thread, connection or generator behind."""
    left = [f"{what}, {situation}" for what, situation in case.trials.left.items()]
    left += [f"{what}, after {case.trials.done} replies" for what in case.trials.leaks()]
    if left:
        raise NotKeptError(
            f"it leaves behind: {'; '.join(left)}. Close what it opens: with async with, and aclosing() around a "
            "generator"
        )

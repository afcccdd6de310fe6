"""The points of the provider contract that are checked with prompts."""

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
from flowgpt_magic.messages import Usage, is_text
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.redaction import without_secrets
from flowgpt_magic.testing.contract import (
    PROVIDER_TIMEOUT,
    UNKNOWN_MODEL,
    Subject,
    ViolationError,
    accepts_any_model,
    describe_error,
)
from flowgpt_magic.testing.unreachable import closed_address, silent_server

MAX_BLOCK = 1.0  # seconds that the event loop may be blocked
WHITE_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
COUNT_SCHEMA = {
    "type": "object",
    "properties": {"count": {"type": "integer"}},
    "required": ["count"],
    "additionalProperties": False,
}


async def _read(chunks: AsyncGenerator[str | Usage | Extras, None]) -> list[Any]:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks]


def _text(chunks: Sequence[Any]) -> str:
    return "".join(chunk for chunk in chunks if is_text(chunk))


def check_stream(subject: Subject) -> None:
    """It answers in chunks of text or Reasoning, with at most one Extras and one Usage after them."""
    chunks = subject.run(lambda: _read(subject.ask(subject.prompted())), "read to its end")
    counts = [place for place, chunk in enumerate(chunks) if isinstance(chunk, Usage)]
    wrong = [chunk for chunk in chunks if not isinstance(chunk, (str, Extras, Usage))]
    if wrong:
        kind = type(wrong[0]).__name__
        raise ViolationError(
            f"it yields {wrong[0]!r}, of the type {kind}: yield text or Reasoning, and at most one Extras and one "
            "Usage at the end"
        )
    extras = [place for place, chunk in enumerate(chunks) if isinstance(chunk, Extras)]
    late = chunks[extras[0] + 1 :] if extras else []
    if any(isinstance(chunk, (str, Extras)) for chunk in late):
        raise ViolationError(
            "it yields text, reasoning or a second Extras after an Extras: yield one Extras, after the last chunk"
        )
    if len(counts) > 1 or (counts and counts[0] != len(chunks) - 1):
        raise ViolationError(
            f"it yields a Usage at position {counts[0] + 1} of {len(chunks)}: yield one, after the last chunk"
        )
    subject.answer = _text(chunks)
    if not subject.answer:
        raise ViolationError(
            f"its answer to {subject.prompt!r} is empty: check it, or pass another prompt with prompt="
        )
    pieces = sum(bool(chunk) for chunk in chunks if is_text(chunk))
    if pieces == 1 and subject.provider.supports_stream:
        text = "it answered in one chunk, so streaming was not checked: pass a longer prompt, or set "
        warnings.warn(f"{subject.provider.__name__}: {text}supports_stream = False", FlowGptWarning, stacklevel=2)


def check_second_loop(subject: Subject) -> None:
    """It answers again, on another event loop."""
    chunks = subject.run(lambda: _read(subject.ask(subject.prompted())), "read a second time, on another event loop")
    subject.repeats = _text(chunks) == subject.answer


def check_messages_unchanged(subject: Subject) -> None:
    """It does not change the messages, and takes read-only ones."""
    sent = subject.talk()
    before = deepcopy(sent)
    subject.run(lambda: _read(subject.ask(sent)), "with a system prompt and earlier messages, where it takes them")
    if sent != before:
        raise ViolationError("it changes the messages that it was given: copy them with dict(message)")
    frozen = tuple(MappingProxyType(message) for message in before)
    try:
        subject.run(lambda: _read(subject.ask(frozen)), "with read-only messages")
    except (TypeError, AttributeError) as error:
        raise ViolationError(
            f"it fails with messages that are read-only mappings in a tuple: {describe_error(error)}; use dict(message)"
        ) from error


def check_early_close(subject: Subject) -> None:
    """It stops immediately when it is closed after the first chunk, and takes unknown keyword arguments."""

    async def leave() -> float:
        chunks = subject.ask(subject.prompted(), flowgpt_magic_unknown=True)
        async for _chunk in chunks:
            break
        before = time.perf_counter()
        await chunks.aclose()
        return time.perf_counter() - before

    seconds = subject.run(leave, "closed after the first chunk")
    if seconds > PROVIDER_TIMEOUT:
        raise ViolationError(
            f"it took {seconds:.1f} s to close after the first chunk: close what it opened in a finally block"
        )


def check_cancellation(subject: Subject) -> None:
    """It stops immediately when its task is cancelled, also while it waits for the first chunk."""
    for wait in (0.0, 0.02):
        subject.run(partial(_cancel, subject, wait), "cancelled")
    if subject.address_setting:
        with silent_server() as url:
            subject.run(
                partial(_cancel, subject, 0.1, **{subject.address_setting: url}), "cancelled while its server is silent"
            )


async def _cancel(subject: Subject, wait: float, **settings: Any) -> None:
    after: list[Any] = []
    stopped = asyncio.Event()

    async def read() -> None:
        async with aclosing(subject.ask(subject.prompted(), **settings)) as chunks:
            async for chunk in chunks:
                if stopped.is_set():
                    after.append(chunk)

    task = asyncio.create_task(read())
    await asyncio.sleep(wait)
    cancelled = task.cancel()
    stopped.set()
    await asyncio.wait({task}, timeout=PROVIDER_TIMEOUT)
    if not task.done() or len(after) > 1:
        raise ViolationError(
            "it continues after its task was cancelled: close what is open and let CancelledError through"
        )
    if cancelled and not task.cancelled() and (error := task.exception()) is not None:
        raise ViolationError(f"cancelled, it raises {describe_error(error)}: let CancelledError through as it is")


def check_concurrency(subject: Subject) -> None:
    """Two replies at the same time do not mix."""
    other = " And then one more." if subject.repeats else ""
    alone = _text(subject.run(lambda: _read(subject.ask(subject.prompted(other))), "read alone")) if other else ""

    async def both() -> list[list[Any]]:
        return list(await asyncio.gather(*(_read(subject.ask(subject.prompted(more))) for more in ("", other))))

    first, second = map(_text, subject.run(both, "asked twice at the same time"))
    if not first or not second:
        raise ViolationError(
            "one of two replies at the same time is empty: keep the state of a reply in local variables"
        )
    if subject.repeats and (first, second) != (subject.answer, alone):
        raise ViolationError(
            "two replies at the same time differ from the same replies alone: "
            "keep the state of a reply in local variables"
        )


def check_images(subject: Subject) -> None:
    """It takes a message with an image if it supports images, or says why this model does not."""
    if subject.provider.supports_images:
        messages = [{**subject.prompted()[0], "images": [WHITE_PIXEL]}]
        with suppress(FlowGptError):
            subject.run(lambda: _read(subject.ask(messages)), "with an image")


def check_schema(subject: Subject) -> None:
    """It answers in JSON that matches a schema if it supports schemas, or says that this model does not."""
    if not subject.provider.supports_schema:
        return
    try:
        chunks = subject.run(lambda: _read(subject.ask(subject.prompted(), schema=COUNT_SCHEMA)), "with a schema")
    except SchemaNotSupportedError:
        return
    if any(isinstance(chunk, Usage) and chunk.finish_reason == "length" for chunk in chunks):
        return  # truncated because of its settings, so it cannot be checked
    text = _text(chunks)
    try:
        fits = isinstance(json.loads(text)["count"], int)
    except (ValueError, TypeError, KeyError):
        fits = False
    if not fits:
        raise ViolationError(
            f"with the schema {json.dumps(COUNT_SCHEMA)} it answers {text[:80]!r}: "
            "raise SchemaNotSupportedError if the model or the server does not support schemas"
        )


async def _models(subject: Subject) -> Any:
    names = {"proxy", *subject.provider.settings}
    return await subject.provider.list_models(
        **{name: subject.settings[name] for name in names & subject.settings.keys()}
    )


def check_model_list(subject: Subject) -> None:
    """It lists the models that are available now, or says why it cannot."""
    try:
        models = subject.run(lambda: _models(subject), "asked for its models")
    except FlowGptError:
        return
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        raise ViolationError(f"list_models() returns {models!r}: it must return a list of names")


def check_errors(subject: Subject) -> None:
    """Its errors are FlowGptErrors, and show no key."""
    failing = [dict(options) for options in subject.failing]
    if subject.address_setting:
        failing.append({subject.address_setting: closed_address()})
    if not accepts_any_model(subject.provider):
        failing.append({"model": UNKNOWN_MODEL})
    for options in failing:
        _check_failure(subject, options)


def _check_failure(subject: Subject, options: Mapping[str, Any]) -> None:
    everything = {**subject.settings, **options}
    hidden = {name: str(value) for name, value in everything.items() if name not in without_secrets(everything)}
    text = ", ".join(f"{name}=…" if name in hidden else f"{name}={value!r}" for name, value in options.items())
    try:
        subject.run(lambda: _read(subject.ask(subject.prompted(), **options)), f"with {text}")
    except FlowGptError as error:
        for name, secret in hidden.items():
            if len(secret) > 3 and secret in str(error):
                raise ViolationError(f"with {text} its error shows the {name}: remove it") from None
    except ViolationError:
        raise
    except Exception as error:  # the provider's own code, which may raise anything
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        raise ViolationError(
            f"with {text} it raises {kind}: raise a subclass of ProviderError that says what to do"
        ) from error
    else:
        raise ViolationError(f"with {text} it does not fail, although it should")


def check_blocking(subject: Subject) -> None:
    """It does not block the event loop."""
    if subject.isolated.longest_block > MAX_BLOCK:
        seconds = f"{subject.isolated.longest_block:.1f} s"
        raise ViolationError(
            f"the event loop was blocked for {seconds}: await what takes time, and run what cannot be awaited in a "
            "thread (asyncio.to_thread)"
        )


def check_leftovers(subject: Subject) -> None:
    """It leaves no task, thread, connection or generator behind."""
    leftovers = [f"{what}, {situation}" for what, situation in subject.isolated.leftovers.items()]
    leftovers += [f"{what}, after {subject.isolated.count} replies" for what in subject.isolated.leaks()]
    if leftovers:
        raise ViolationError(
            f"it leaves behind: {'; '.join(leftovers)}. Close what it opens: with async with, and aclosing() around a "
            "generator"
        )

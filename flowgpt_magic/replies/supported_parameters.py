"""A request in the parameters that its model takes: one that it refuses is left out, if it came from the settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any

from flowgpt_magic.errors import ParameterRefusedError
from flowgpt_magic.messages import Usage, Waiting, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.providers.refused_parameters import ModelKey
from flowgpt_magic.replies.request import Request
from flowgpt_magic.settings.parameters import EXTRA_BODY, fields, origins, without

Chunks = AsyncGenerator[str | Usage | Extras | Waiting, None]

KEPT = ("schema", "response_format")  # what the answer has to be is never left out
OTHER_NAMES = {"max_completion_tokens": "max_tokens"}  # what a field was sent as, by what it was given as
FLAGS = {"temperature": "-t", "max_tokens": "--max-tokens"}


async def fitting(ask: Callable[[Mapping[str, Any]], Chunks], given: Mapping[str, Any], request: Request) -> Chunks:
    """The chunks of ``ask``, called with those of the parameters ``given`` that the model takes.

    A parameter that the model refuses is left out, and the request is sent again without it, once for each. It is told
    as a notice, and remembered for the server and model: later requests leave it out at once. One that was given for
    this very prompt is a ``ParameterRefusedError`` that says what to do.
    """
    place, known = _place(given, request), registry.refused_parameters()
    for name, source in _not_taken(request):
        if known.first_time("not taken", request.target.provider, name):
            notice(f"{name} (from {source}) was left out: {request.target.provider} takes no such parameter")
    refused = known.known(place, fields(given), request.resolved.typed)
    sent = without(given, refused) if refused else given
    while True:
        begun = False
        try:
            async with InnerGenerator(ask(sent)) as chunks:
                async for chunk in chunks:
                    begun = begun or not isinstance(chunk, Waiting)
                    yield chunk
            return
        except ParameterRefusedError as error:
            name = _given_as(error.parameter, sent)
            if begun or name not in fields(sent) or name in KEPT:
                raise
            if name in request.resolved.typed:
                raise _advised(error, name) from None
            if known.learn(place, name, fields(sent)[name], str(error)):
                notice(f"{name} ({_source(name, request)}) was left out, because the model refuses it: {error}")
            sent = without(sent, [name])


def _place(given: Mapping[str, Any], request: Request) -> ModelKey:
    address = given.get(request.target.provider_class.address_setting)
    return str(address or ""), request.target.provider, request.target.model


def _given_as(name: str, sent: Mapping[str, Any]) -> str:
    """What the field ``name`` is called among our parameters."""
    return name if name in fields(sent) else OTHER_NAMES.get(name, name)


def _not_taken(request: Request) -> Iterator[tuple[str, str]]:
    """The parameters from the settings that the provider has none of, and where each comes from."""
    params = request.settings.params or {}
    if params:
        taken, places = registry.parameter_names(request.target), origins(request.settings.layers.get("params", ()))
        yield from (
            (name, places[name].source) for name, each in params.items() if name not in taken and each is not None
        )


def _source(name: str, request: Request) -> str:
    """Where the parameter comes from, as a notice says it."""
    places = origins(request.settings.layers.get("params", ()))
    found = places.get(name) or places.get(f"{EXTRA_BODY}.{name}")
    source = found.source if found else request.settings.sources.get(name, "")
    return f"from {source}" if source and source != "option" else "as it was asked before"


def _advised(error: ParameterRefusedError, name: str) -> ParameterRefusedError:
    """``error`` with what to do about it."""
    flag = f"{FLAGS[name]} (-P {name}, or {name}= in Python)" if name in FLAGS else f"-P {name} ({name}= in Python)"
    text = f"{error} It was given for this prompt, so it is not left out: take {flag} away"
    return ParameterRefusedError(f"{text}, or ask another model.", error.status, name, error.retry_after)

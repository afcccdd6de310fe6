"""Models that run in this process, without a key or a network: the embedded one, installed ones, any GGUF file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import FlowGptError, ModelNotSupportedError, NotInstalledError, OptionError, closest
from flowgpt_magic.messages import Messages, Usage, notice, progress
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.providers.arguments import check_messages, check_model, check_number, check_schema, check_stop
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.llama_cpp import installed, runtime, weights
from flowgpt_magic.providers.llama_cpp.catalogue import CATALOGUE, LIST_HINT
from flowgpt_magic.providers.llama_cpp.gguf import check_gguf

if TYPE_CHECKING:
    from flowgpt_magic.settings import Settings

DEFAULT_SAMPLING = {  # by the runtime's names; an integer default means that only integers are accepted
    "temperature": 0.05,  # at 0.1, 3 of 30 questions about France were answered in broken French
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.1,
    "dry_multiplier": 0.8,  # against repeated phrases; repeat_penalty makes more answers wrong
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
}
OTHER_SAMPLING = DEFAULT_SAMPLING | {"temperature": 0.3, "min_p": 0.05, "dry_multiplier": 0.0}  # of larger models
# Without a system prompt the embedded model falls into loops. Without the second sentence some replies to questions
# about France, Italy or Spain contain scraps of their languages.
DEFAULT_SYSTEM = "You are a helpful assistant. You write clear and simple English."


def is_installed() -> bool:
    """Are the runtime and weights of the embedded model installed? Imports and loads nothing."""
    return not _missing(Local.default_model)


def install_command() -> str:
    """The commands that install the missing parts of the embedded model; empty if none is missing."""
    return installing.one_by_one(_missing(Local.default_model))


def _missing(model: str) -> list[str]:
    """The commands that install the missing parts for ``model``."""
    parts = [(installing.command("local"), runtime.is_installed())]
    if model == Local.default_model:
        parts.append((installing.module("install-model"), weights.is_installed()))
    elif not _is_path(model):
        parts.append((installing.module(f"install-model {model}"), installed.find(model) is not None))
    return [command for command, is_installed in parts if not is_installed]


def _is_path(name: str) -> bool:
    return name.lower().endswith(".gguf") or "/" in name or os.sep in name


def _find_weights(model: str) -> Path:
    """The file of ``model``. Raises ``NotInstalledError`` and ``ModelNotSupportedError``."""
    if missing := _missing(model):
        named = not (_is_path(model) or model == Local.default_model)
        what = f"the model {model}" if named else "the embedded model"
        here = f"%flowgpt install-model {model}, or in a terminal " if named and runtime.is_installed() else ""
        raise NotInstalledError(f"{what} is not installed: {here}{installing.one_by_one(missing)} installs it")
    if model == Local.default_model:
        return weights.path()
    found = installed.find(model)
    return check_gguf(Path(model) if found is None else found.path)


def _prompt(messages: Messages, embedded: bool) -> runtime.ChatMessages:
    plain = read_messages(messages, images=False, who="the embedded runtime")
    chat = [{"role": str(message["role"]), "content": message["content"]} for message in plain]
    if embedded and not any(message["role"] == "system" for message in chat):
        chat.insert(0, {"role": "system", "content": DEFAULT_SYSTEM})
    return chat


def _sampling(defaults: Mapping[str, float], **options: float | None) -> dict[str, float]:
    """The sampling options; those that are None have the ``defaults``."""
    checked = {name: check_number(name, value, defaults[name]) for name, value in options.items()}
    return {**defaults, **{name: value for name, value in checked.items() if value is not None}}


def _max_tokens(chosen: Settings, embedded: bool) -> int:
    """The longest reply: the setting, or for a larger model without one, what fits into the context."""
    return chosen.max_tokens if embedded or "max_tokens" in chosen.sources else chosen.context_size


def _schema_option(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"schema": schema}}


class Local(AsyncGeneratorProvider, ProviderModelMixin):
    """SmolLM2-135M-Instruct in this process, a model that ``install-model`` has installed, or a GGUF file by its path.

    The embedded model is for trying things offline, not for work: it knows the capital of France and writes a correct
    ``reverse_string``; it fails at arithmetic, at French, and at recalling a name one turn later.
    """

    default_model = "smollm2-135m-instruct"
    about = "SmolLM2-135M-Instruct in this process, a larger model from install-model, or a GGUF file by its path."
    models = ["smollm2-135m-instruct"]  # noqa: RUF012 - declared ClassVar in the mixin
    model_aliases = {"smollm2": "smollm2-135m-instruct"}  # noqa: RUF012
    settings = ("context_size", "max_tokens", "threads")
    supports_schema = True
    own_temperature = True

    @classmethod
    def get_models(cls) -> list[str]:
        """The embedded model, and the names of those that are installed."""
        return [*cls.models, *(model.name for model in installed.all_models())]

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """The model for ``name``, or the absolute path of a GGUF file; ``~`` is the home folder.

        A name of the list of ``install-model`` need not be installed. Whether the file exists is checked when the first
        chunk is requested.
        """
        name = check_model(name, cls.__name__)
        if name and _is_path(name):
            return str(Path(name).expanduser().absolute())
        if name.lower() in (*CATALOGUE, *cls.get_models()):
            return name.lower()
        try:
            return super().get_model(name)
        except ModelNotSupportedError:
            hint = closest(name, [*cls.get_models(), *cls.model_aliases, *CATALOGUE])
            known = ", ".join(cls.get_models())
            raise ModelNotSupportedError(
                f"{cls.__name__} has no model {name!r}{hint} Installed: {known}. {LIST_HINT}"
            ) from None

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - no setting matters
        """What is not installed, or that the file does not exist."""
        name = model or cls.default_model
        if missing := _missing(name):
            return f"not installed: {installing.one_by_one(missing)}"
        return "no: there is no such file" if _is_path(name) and not os.path.isfile(name) else ""

    @classmethod
    def think_parameters(cls, model: str, think: str) -> Mapping[str, Any]:
        """No parameters: the embedded model and those of the list never think, so they take ``off`` only."""
        name = cls.get_model(model)
        if name not in (cls.default_model, *CATALOGUE):
            return super().think_parameters(name, think)
        if think != "off":
            raise OptionError(f"{name} never thinks")
        return {}

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,  # noqa: ARG003 - nothing is sent
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
        """The chunks of the reply, then a ``Usage`` with token counts and the finish reason.

        The finish reason is ``"stop"``, ``"length"`` or ``"repetition"``. Replies are generated in the order in which
        their first chunk was requested. Leaving early stops the computation: within one token, or within two batches of
        8 tokens while the prompt is read.

        With a ``schema`` every token is chosen so that the text can still become JSON that fits it; a reply that ends
        at ``max_tokens`` may be incomplete. Older turns that do not fit into the context window are left out with a
        notice.

        Raises ``OptionError``, ``NotInstalledError``, ``ModelNotSupportedError`` for a file that is not a model,
        ``ContextLengthError``, ``SchemaNotSupportedError`` and ``ProviderError``.

        Args:
            model: the name of an installed model or the path of a GGUF file; empty for the embedded model.
            messages: the conversation. The embedded model gets ``DEFAULT_SYSTEM`` if there is no system message.
            proxy: ignored.
            temperature: None for 0.05; for another model than the embedded one for 0.3.
            max_tokens: tokens after which the reply ends; None for the setting, by default 512 for the embedded model
                and the context size for another.
            top_p: sample from the likeliest tokens with this total probability; None for 0.9.
            top_k: sample from this many of the likeliest tokens, 0 for all; None for 40.
            min_p: leave out tokens less likely than this share of the likeliest one; None for 0.1, for another
                model for 0.05.
            dry_multiplier: penalty for repeating a sequence of the last 64 tokens, 0 for none; None for 0.8, with a
                schema or for another model for 0.
            repeat_penalty: penalty for any recent token, 1 for none; None for 1.
            repeat_last_n: how many tokens count as recent; None for 64.
            may_repeat: do not stop a reply that repeats itself; by default it is stopped with a notice.
            seed: the same seed gives the same reply; None for a random one.
            stop: text that ends the reply, or several; not part of the reply.
            schema: a JSON Schema that the reply fits.
            context_size: tokens of prompt and reply together; None for the setting.
            threads: None for the setting, by default half of the processors.
            **kwargs: ignored.
        """
        check_messages(messages)
        stops = check_stop(stop)
        name = cls.get_model(model)
        embedded = name == cls.default_model
        sampling = _sampling(
            DEFAULT_SAMPLING if embedded else OTHER_SAMPLING,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            dry_multiplier=0.0 if schema is not None and dry_multiplier is None else dry_multiplier,
            repeat_penalty=repeat_penalty,
            repeat_last_n=repeat_last_n,
        )
        schema_option = None if schema is None else _schema_option(check_schema(schema))
        chosen = settings.load({"max_tokens": max_tokens, "context_size": context_size, "threads": threads})
        config = runtime.ModelConfig(
            _find_weights(name), chosen.context_size, chosen.threads or runtime.threads_for(runtime.processors())
        )
        options = {
            **sampling,
            **({} if seed is None else {"seed": seed}),
            **({} if stops is None else {"stop": stops}),
            **({} if schema_option is None else {runtime.SCHEMA_OPTION: schema_option}),
        }
        request = runtime.GenerationRequest(
            config, _prompt(messages, embedded), _max_tokens(chosen, embedded), options, bool(may_repeat)
        )
        job = runtime.ReplyJob(request, asyncio.get_running_loop())
        runtime.runner().submit(job)
        try:
            while (item := await job.items.get()) is not None:
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

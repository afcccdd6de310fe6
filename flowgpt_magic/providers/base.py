"""The contract of a provider: one async generator of text chunks, and the names of its models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from flowgpt_magic import bridge
from flowgpt_magic.errors import ModelNotSupportedError, closest
from flowgpt_magic.messages import Messages, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.arguments import check_model

if TYPE_CHECKING:
    from flowgpt_magic.settings import Settings


class ListedModel(str):
    """The name of a model in a list; ``context_length`` is how many tokens it sees, or None where that is not told."""

    context_length: int | None

    def __new__(cls, name: str, context_length: int | None = None) -> ListedModel:
        model = super().__new__(cls, name)
        model.context_length = context_length
        return model


class ProviderModelMixin:
    """Which models a provider has, and by which other names they go."""

    default_model: ClassVar[str] = ""
    models: ClassVar[list[str]] = []
    model_aliases: ClassVar[dict[str, str]] = {}

    @classmethod
    def get_models(cls) -> list[str]:
        """The models that are known without asking anybody; a list of the caller's own."""
        return list(cls.models) or [cls.default_model]

    @classmethod
    async def list_models(cls, **settings: Any) -> list[str]:  # noqa: ARG003 - for those who ask a server
        """The models one can ask for now, by default those that are known anyway.

        A provider whose server decides that asks it here. ``settings`` are those that the provider names, and
        ``proxy``. A name may be a ``ListedModel``, which also says how many tokens it sees. Raises kinds of
        ``FlowGptError`` that say why there is no list.
        """
        return cls.get_models()

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """The model meant by ``name``: nothing means the default, an alias its target.

        Raises ``ModelNotSupportedError`` for any other name that is not in ``models``, and for what is not text.
        """
        name = check_model(name, cls.__name__)
        if not name:
            return cls.default_model
        if name in cls.model_aliases:
            return cls.model_aliases[name]
        known = cls.get_models()
        if name in known:
            return name
        hint = closest(name, [*known, *cls.model_aliases])
        raise ModelNotSupportedError(f"{cls.__name__} has no model {name!r}{hint} Known: {', '.join(known)}")


class AsyncGeneratorProvider:
    """Derive from this and ``ProviderModelMixin``, and write ``create_async_generator``.

    ``settings`` names the settings this provider takes as keyword arguments of the same name; whoever asks passes
    those that the user has set. ``address_setting`` is the one among them that says which server is asked: what an
    alias's endpoint stands for, while its key stands for the setting of that server's key (see ``settings.KEYS``).

    ``about`` says in one line what the provider is, for the list of providers; without it, its docstring does.
    ``own_temperature``: its models need a temperature of their own. A gateway in front of it takes the temperature that
    clients of the protocol send unless told otherwise, 0.7, as not given.
    ``supports_images``: a message may have a key ``images``, a list of URLs that begin with ``data:image/``, or with
    ``https://`` or ``http://`` where the person gave the address of an image. `content_parts.read_messages` makes
    messages of all shapes such as these.
    ``supports_schema``: ``create_async_generator`` takes ``schema``, a JSON Schema (a dict) that the text of the reply,
    read as JSON, will fit; it raises ``SchemaNotSupportedError`` where the model or the server cannot do that.
    """

    url: ClassVar[str] = ""
    about: ClassVar[str] = ""
    working: ClassVar[bool] = True
    supports_stream: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = True
    supports_images: ClassVar[bool] = False
    own_temperature: ClassVar[bool] = False
    supports_schema: ClassVar[bool] = False
    needs_auth: ClassVar[bool] = False
    settings: ClassVar[tuple[str, ...]] = ()
    address_setting: ClassVar[str] = "base_url"

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - for those with models on disk
        """What is missing, or what it hangs on, that ``model`` answers under these settings; empty if nothing is known.

        One line for a table, such as ``not installed: …``, ``no: …`` or ``if the server at … does``. Nothing is sent,
        loaded or waited for.
        """
        if cls.needs_auth and not chosen.token:
            return "no: it needs a key, and the setting token is empty"
        return "" if cls.working else "no: it says itself that it does not work"

    @classmethod
    def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float = 0.7,
        **kwargs: Any,
    ) -> AsyncGenerator[str | Usage | Extras, None]:
        """The chunks of the reply to ``messages``, then at most one ``Extras``, then at most one ``Usage``.

        Nothing is sent and no argument is judged before the first chunk is asked for. However the caller leaves, the
        generator closes what it opened, and it never changes ``messages``.
        """
        raise NotImplementedError(f"{cls.__name__} must define create_async_generator")

    @classmethod
    async def create_async(cls, model: str, messages: Messages, **kwargs: Any) -> str:
        """The whole reply; cancelling this closes the connection at once."""
        async with aclosing(cls.create_async_generator(model, messages, **kwargs)) as chunks:
            return "".join([chunk async for chunk in chunks if isinstance(chunk, str)])

    @classmethod
    def create_completion(cls, model: str, messages: Messages, **kwargs: Any) -> Iterator[str]:
        """The chunks of the reply, each as it arrives, for code that is not async.

        Works with and without a running event loop, and closes the connection when it is closed early.
        """
        chunks = bridge.iterate(lambda: cls.create_async_generator(model, messages, **kwargs))
        try:
            for chunk in chunks:
                if isinstance(chunk, str):
                    yield chunk
        finally:
            chunks.close()  # type: ignore[attr-defined]  # iterate is a generator

"""The contract of a provider: an async generator of text chunks, and the names of its models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from flowgpt_magic import bridge
from flowgpt_magic.errors import ModelNotSupportedError, OptionError, closest
from flowgpt_magic.messages import Messages, Usage, is_text
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.arguments import check_model

if TYPE_CHECKING:
    from flowgpt_magic.settings import Settings


class ListedModel(str):
    """The name of a model.

    ``context_length`` is its context window in tokens, None if unknown; ``lacks`` says in a few words why it cannot
    answer, such as ``no key``, and is empty if it can.
    """

    context_length: int | None
    lacks: str

    def __new__(cls, name: str, context_length: int | None = None, lacks: str = "") -> ListedModel:
        model = super().__new__(cls, name)
        model.context_length, model.lacks = context_length, lacks
        return model


class ProviderModelMixin:
    """The models of a provider.

    Attributes:
        default_model: used for an empty name.
        models: the models that are known without asking a server.
        model_aliases: further names, each with its model.
    """

    default_model: ClassVar[str] = ""
    models: ClassVar[list[str]] = []
    model_aliases: ClassVar[dict[str, str]] = {}

    @classmethod
    def get_models(cls) -> list[str]:
        """The models that are known without asking a server, as a new list."""
        return list(cls.models) or [cls.default_model]

    @classmethod
    async def list_models(cls, **settings: Any) -> list[str]:  # noqa: ARG003 - for providers that ask a server
        """The models that are available now; by default those of ``get_models``.

        A provider that learns its models from a server asks it here. A name may be a ``ListedModel`` with its context
        length. Raises subclasses of ``FlowGptError``.

        Args:
            **settings: the settings in the provider's ``settings``, and ``proxy``.
        """
        return cls.get_models()

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """The model for ``name``: the default for None or "", an alias resolved, a model unchanged.

        Raises ``ModelNotSupportedError`` for any other name, and for a name that is not a string.
        """
        name = check_model(name, cls.__name__)
        if not name:
            return cls.default_model
        if name in cls.model_aliases:
            return cls.model_aliases[name]
        models = cls.get_models()
        if name in models:
            return name
        hint = closest(name, [*models, *cls.model_aliases])
        raise ModelNotSupportedError(f"{cls.__name__} has no model {name!r}{hint} Known: {', '.join(models)}")


class AsyncGeneratorProvider:
    """Base class of providers: derive from it and ``ProviderModelMixin``, and define ``create_async_generator``.

    Attributes:
        url: a page about the provider.
        about: one line for the list of providers; by default the first line of the docstring.
        working: False if the provider is known not to work.
        supports_stream: the reply arrives in chunks.
        supports_message_history: earlier messages are used.
        supports_system_message: system messages are used.
        supports_images: a message may have a key ``images``, a list of URLs that begin with ``data:image/``, or with
            ``https://`` or ``http://`` for an image that the user gave by address. `content_parts.read_messages`
            converts messages of all shapes.
        supports_documents: a PDF document may stand among them, as a URL that begins with ``data:application/pdf``; see
            ``content_parts.document_name``.
        supports_schema: ``create_async_generator`` accepts ``schema``, a JSON Schema (a dict) that the text of the
            reply, read as JSON, fits. It raises ``SchemaNotSupportedError`` if the model or the server cannot do that.
        own_temperature: the models need their own default temperature. The gateway then ignores 0.7, which clients of
            the protocol send by default.
        needs_auth: the setting ``token`` is required.
        settings: names of the settings that are passed as keyword arguments of the same name, if the user has set them.
        address_setting: the setting among them that holds the server's address. An alias's endpoint replaces it, and an
            alias's key replaces the setting of that server's key (see ``settings.KEYS``).
    """

    url: ClassVar[str] = ""
    about: ClassVar[str] = ""
    working: ClassVar[bool] = True
    supports_stream: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = True
    supports_images: ClassVar[bool] = False
    supports_documents: ClassVar[bool] = False
    own_temperature: ClassVar[bool] = False
    supports_schema: ClassVar[bool] = False
    needs_auth: ClassVar[bool] = False
    settings: ClassVar[tuple[str, ...]] = ()
    address_setting: ClassVar[str] = "base_url"

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - for models on disk
        """Why ``model`` would not answer with the settings ``chosen``, or what that depends on; empty if it would.

        One line for a table, such as ``not installed: …``, ``no: …`` or ``if the server at … does``. Sends, loads and
        waits for nothing.
        """
        if cls.needs_auth and not chosen.token:
            return "no: the setting token is empty"
        return "" if cls.working else "no: the provider is marked as not working"

    @classmethod
    def think_parameters(cls, model: str, think: str) -> Mapping[str, Any]:  # noqa: ARG003 - for providers that can
        """The parameters that make ``model`` think as much as ``think`` says.

        They are arguments of ``create_async_generator`` or fields of its ``extra_body``, such as ``{"reasoning_effort":
        "high"}``; one that the user gives closer to the prompt wins. Sends nothing. Raises ``OptionError`` with the
        reason, a clause, where the provider or the model takes no such parameter; so does the default. A server that
        refuses one later is answered with ``ParameterRefusedError``, whose parameter is one of these names.

        Args:
            model: a model of the provider; empty for the default.
            think: ``low``, ``medium``, ``high`` or ``off``, the value of ``--think`` and of the setting ``think``.
        """
        raise OptionError("how much its models think cannot be set")

    @classmethod
    def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float = 0.7,
        **kwargs: Any,
    ) -> AsyncGenerator[str | Usage | Extras, None]:
        """The chunks of the reply, then at most one ``Extras``, then at most one ``Usage``.

        A chunk of the model's reasoning is a ``Reasoning``, which is a ``str`` but no part of the text; all other
        strings are the text. A provider without reasoning yields no ``Reasoning``.

        Nothing is sent and no argument is checked before the first chunk is requested. However the caller leaves, the
        generator closes what it opened. It never changes ``messages``.

        Args:
            model: a model of the provider; empty for the default.
            messages: the conversation, mappings with ``role`` and ``content``.
            proxy: URL of an HTTP proxy; None for the setting.
            temperature: sampling temperature; a provider may have another default.
            **kwargs: the provider's settings and parameters.
        """
        raise NotImplementedError(f"{cls.__name__} must define create_async_generator")

    @classmethod
    async def create_async(cls, model: str, messages: Messages, **kwargs: Any) -> str:
        """The whole reply. Cancelling closes the connection at once."""
        async with aclosing(cls.create_async_generator(model, messages, **kwargs)) as chunks:
            return "".join([chunk async for chunk in chunks if is_text(chunk)])

    @classmethod
    def create_completion(cls, model: str, messages: Messages, **kwargs: Any) -> Iterator[str]:
        """The chunks of the reply as they arrive, for synchronous code.

        Works with and without a running event loop. Closing the iterator early closes the connection.
        """
        chunks = bridge.iterate(lambda: cls.create_async_generator(model, messages, **kwargs))
        try:
            for chunk in chunks:
                if is_text(chunk):
                    yield chunk
        finally:
            chunks.close()  # type: ignore[attr-defined]  # iterate is a generator

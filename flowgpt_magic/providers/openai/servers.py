"""The server that the settings select: its address, key, headers and advice for errors."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from yarl import URL

from flowgpt_magic import keys
from flowgpt_magic.errors import MissingKeyError, SettingError
from flowgpt_magic.messages import notice
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint, Route
from flowgpt_magic.settings import CLIENT_VARIABLES, KEYS, SERVER, Settings, alias_of, extra_headers, variable

MAKERS = {"openai_base_url": "api.openai.com", "anthropic_base_url": "api.anthropic.com"}
EXAMPLE_URL = "http://127.0.0.1:11434/v1"
CALL_PATHS = ("/chat/completions", "/completions", "/responses")
LOCAL_SERVERS = {  # by their default port, with the command that starts them
    1234: "LM Studio (lms server start)",
    4000: "LiteLLM (litellm --config FILE)",
    8000: "vLLM (vllm serve MODEL)",
    8080: "llama.cpp (llama-server -m FILE)",
    11434: "Ollama (ollama serve)",
}


@dataclass(frozen=True)
class UserHeaders:
    """The user's extra headers as they are sent, and their secrets, which errors never show."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


NO_USER_HEADERS = UserHeaders()


@dataclass(frozen=True)
class Server:
    """A server: its base URL and the name of the variable or keyring entry of its key, empty for no key.

    ``alias`` and ``key_alias`` are the user's alias that names the server, and the one that says which key it gets;
    empty if settings do. ``provider`` is the provider that asks it, and ``address_setting`` its setting of the address.
    """

    url: URL
    key_name: str
    alias: str = ""
    key_alias: str = ""
    provider: str = "openai_compatible"
    address_setting: str = "openai_base_url"

    @property
    def key_setting(self) -> str:
        """The setting of the name of its key."""
        return KEYS[self.address_setting]

    @classmethod
    def chosen_by(cls, chosen: Settings) -> Server:
        """The server that the settings select. Raises ``SettingError`` for an invalid address.

        OpenAI's own servers get the key in ``OPENAI_API_KEY``, unless ``OPENAI_BASE_URL`` says that this key belongs to
        another server. Any other server gets only a key that is named for it.
        """
        return cls.at(_base_url(chosen.openai_base_url, address_source(chosen, SERVER)), chosen)

    @classmethod
    def at(cls, url: URL, chosen: Settings, provider: str = "openai_compatible", address: str = SERVER) -> Server:
        """The server at ``url``, with the key that the settings name for it.

        The maker's own server gets the key of the maker's clients, unless the environment says that this key belongs to
        another server. ``address`` is the setting of the address.
        """
        named: str = getattr(chosen, KEYS[address])
        makers_key = CLIENT_VARIABLES[address][1]
        uses_makers_key = url.scheme == "https" and is_maker(address, url) and not other_server_of_key(address)
        alias = alias_of(chosen, address)
        key_alias = alias_of(chosen, KEYS[address]) or (alias if not named else "")
        return cls(url, named or (makers_key if uses_makers_key else ""), alias, key_alias, provider, address)

    def url_for(self, path: str) -> URL:
        """The URL of one call, such as ``chat/completions``."""
        return self.url.joinpath(path)

    async def read_key(self) -> str:
        """The key, empty if none is named. Raises ``MissingKeyError``, which says where it was expected."""
        if not self.key_name:
            return ""
        try:
            key = await keys.read_soon(self.key_name)
        except MissingKeyError as error:
            raise MissingKeyError(
                f"there is no key for {self.url.host}: {error.clause}. "
                f"Set it, or name another one with {self._key_place}"
            ) from None
        http.check_token(key, keys.place(self.key_name))
        if http.crosses_open_network(self.url):
            notice(f"the key goes to {self.url.host} unencrypted; use https if that server can")
        return key

    @property
    def _key_place(self) -> str:
        """Where the name of the key is set."""
        if self.key_alias:
            return f"%flowgpt update {self.key_alias} --key-variable NAME"
        return f"the setting {self.key_setting} ({variable(self.key_setting)} in the environment)"

    def user_headers(self, extra: Mapping[str, str | None] | None) -> UserHeaders:
        """The headers ``extra`` with the values of the environment variables in them.

        Raises ``SettingError`` for an invalid header and ``MissingKeyError`` for a variable that is not set.
        """
        try:
            values, secrets = extra_headers.read(extra_headers.checked(extra))
        except ValueError as error:
            raise SettingError(f"{extra_headers.EXTRA_HEADERS} {error}") from None
        if secrets and http.crosses_open_network(self.url):
            notice(f"the extra_headers go to {self.url.host} unencrypted; use https if that server can")
        return UserHeaders(values, tuple(secrets))

    def route(self, chosen: Settings, key: str, extra: UserHeaders = NO_USER_HEADERS) -> Route:
        """The connection options for this server, with advice for errors."""
        setting = self.address_setting
        address = (
            f"The address is that of the alias {self.alias}; %flowgpt update {self.alias} --endpoint URL changes it."
            if self.alias
            else f"The address is the setting {setting}, {variable(setting)} in the environment."
        )
        program = LOCAL_SERVERS.get(self.url.port or 0, "") if self._is_local else ""
        usual_program = f"Port {self.url.port} is the default of {program}. " if program else ""
        if self.key_name:
            place = f"alias {self.key_alias}" if self.key_alias else f"setting {self.key_setting}"
            unauthorized = f"The key came from {keys.place(self.key_name)} ({place}): is it the key of this server?"
        elif self.key_alias:
            unauthorized = f"No key was sent: {self._key_place} gives the alias {self.key_alias} the variable of one."
        else:
            unauthorized = (
                f"No key was sent: set {self.key_setting}, where {setting} is set, to the name of the "
                "environment variable that holds it."
            )
            makers_key = CLIENT_VARIABLES[setting][1]
            if is_maker(setting, self.url) and (name := other_server_of_key(setting)):
                unauthorized += f" {makers_key} is for the server that {name} names."
        advice = {"unreachable": usual_program + address, "unauthorized": unauthorized}
        return replace(
            Route.from_settings(chosen, token=key, **advice),
            secrets=extra.secrets,
            alias=self.alias,
            provider=self.provider,
            address_setting=setting,
            key_setting=self.key_setting,
        )

    @property
    def _is_local(self) -> bool:
        """Does the server run on this machine?"""
        host = self.url.host or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


@dataclass(frozen=True)
class ResolvedServer:
    """A server with its key and headers, ready for one call. ``notices`` are for every request.

    ``chosen`` are the settings that selected it.
    """

    url: URL
    endpoint: Endpoint
    headers: Mapping[str, str] = field(repr=False)
    notices: Sequence[str]
    chosen: Settings = field(repr=False)

    @property
    def address(self) -> str:
        """The base URL, which stands for the server in what is remembered of it."""
        return str(self.url)

    @cached_property
    def _others(self) -> dict[str, ResolvedServer]:
        return {}

    def at(self, path: str) -> ResolvedServer:
        """The same server for another call, such as ``responses``. Its TLS files are read once."""
        if self.endpoint.url == (url := self.url.joinpath(path)):
            return self
        if path not in self._others:
            self._others[path] = replace(self, endpoint=http.resolve_endpoint(url, self.endpoint.route))
        return self._others[path]


def is_maker(address: str, url: URL) -> bool:
    """Is ``url`` a server of the maker, rather than another one with the same API?"""
    return _is_within(url.host or "", MAKERS[address])


def has_responses(url: URL) -> bool:
    """Is ``url`` OpenAI's own server or Azure's v1 address, which have the Responses API?"""
    is_azure = (url.host or "").endswith(".azure.com") and url.path.startswith("/openai/v1")
    return is_azure or is_maker(SERVER, url)


def _is_within(host: str, maker: str) -> bool:
    return host == maker or host.endswith(f".{maker}")


def other_server_of_key(address: str, environ: Mapping[str, str] = os.environ) -> str:
    """The variable that assigns the key of the maker's clients to another server; empty if none does."""
    for name in CLIENT_VARIABLES[address][0]:
        if text := environ.get(name, "").strip():
            host = re.sub("^[a-z]+://", "", text.lower()).partition("/")[0].partition(":")[0]
            return "" if _is_within(host, MAKERS[address]) else name
    return ""


def headers(key: str, extra: UserHeaders = NO_USER_HEADERS) -> dict[str, str]:
    """The headers of one request; ``extra`` ones replace ours.

    No compression is requested: servers may hold a reply back until there is enough to compress.
    """
    defaults = {
        "User-Agent": "flowgpt_magic",
        "Accept": "text/event-stream, application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    replaced = {name.lower() for name in extra.headers}
    values = {name: value for name, value in defaults.items() if name.lower() not in replaced} | dict(extra.headers)
    return {**values, "Authorization": f"Bearer {key}"} if key else values


def address_source(chosen: Settings, address: str) -> str:
    """Where the setting ``address`` was set. The provider always receives it as an option."""
    value = getattr(chosen, address)
    variables = [name for name in CLIENT_VARIABLES[address][0] if os.environ.get(name, "").strip() == value]
    source = chosen.sources.get(address, "default")
    return f"environment variable {variables[0]}" if variables and source == "option" else source


def _base_url(text: str, source: str) -> URL:
    if "?" in text:
        raise SettingError(
            f"{source}: openai_base_url cannot have a ?query; Azure has an address without one: "
            "https://NAME.openai.azure.com/openai/v1"
        )
    url = http.check_base_url(text, source, EXAMPLE_URL)
    for path in CALL_PATHS:
        if url.path.endswith(path):
            raise SettingError(f"{source}: openai_base_url must not end in {path}; write the part before it")
    return url

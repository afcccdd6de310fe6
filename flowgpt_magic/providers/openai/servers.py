"""The OpenAI-compatible server that the settings select: its address, key, headers and advice for errors."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from yarl import URL

from flowgpt_magic import keys
from flowgpt_magic.errors import MissingKeyError, SettingError
from flowgpt_magic.messages import notice
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Route
from flowgpt_magic.settings import OPENAI_ADDRESSES, OPENAI_KEY, Settings, alias_of, extra_headers, variable

OPENAI_HOST = "api.openai.com"
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
    empty if settings do.
    """

    url: URL
    key_name: str
    alias: str = ""
    key_alias: str = ""

    @classmethod
    def chosen_by(cls, chosen: Settings) -> Server:
        """The server that the settings select. Raises ``SettingError`` for an invalid address.

        OpenAI's own servers get the key in ``OPENAI_API_KEY``, unless ``OPENAI_BASE_URL`` says that this key belongs to
        another server. Any other server gets only a key that is named for it.
        """
        url = _base_url(chosen.openai_base_url, _source(chosen))
        uses_openai_key = url.scheme == "https" and _is_openai(url.host or "") and not _other_server_of_key(os.environ)
        alias = alias_of(chosen, "openai_base_url")
        key_alias = alias_of(chosen, "openai_key") or (alias if not chosen.openai_key else "")
        return cls(url, chosen.openai_key or (OPENAI_KEY if uses_openai_key else ""), alias, key_alias)

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
        return f"the setting openai_key ({variable('openai_key')} in the environment)"

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
        address = (
            f"The address is that of the alias {self.alias}; %flowgpt update {self.alias} --endpoint URL changes it."
            if self.alias
            else f"The address is the setting openai_base_url, {variable('openai_base_url')} in the environment."
        )
        program = LOCAL_SERVERS.get(self.url.port or 0, "") if self._is_local else ""
        usual_program = f"Port {self.url.port} is the default of {program}. " if program else ""
        if self.key_name:
            place = f"alias {self.key_alias}" if self.key_alias else "setting openai_key"
            unauthorized = f"The key came from {keys.place(self.key_name)} ({place}): is it the key of this server?"
        elif self.key_alias:
            unauthorized = f"No key was sent: {self._key_place} gives the alias {self.key_alias} the variable of one."
        else:
            unauthorized = (
                "No key was sent: set openai_key, where openai_base_url is set, to the name of the environment "
                "variable that holds it."
            )
            if _is_openai(self.url.host or "") and (variable_name := _other_server_of_key(os.environ)):
                unauthorized += f" {OPENAI_KEY} is for the server that {variable_name} names."
        advice = {"unreachable": usual_program + address, "unauthorized": unauthorized}
        return replace(Route.from_settings(chosen, token=key, **advice), secrets=extra.secrets, alias=self.alias)

    @property
    def _is_local(self) -> bool:
        """Does the server run on this machine?"""
        host = self.url.host or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _is_openai(host: str) -> bool:
    return host == OPENAI_HOST or host.endswith(f".{OPENAI_HOST}")


def _other_server_of_key(environ: Mapping[str, str]) -> str:
    """The variable that assigns OpenAI's key to a server other than OpenAI's; empty if none does."""
    for name in OPENAI_ADDRESSES:
        if address := environ.get(name, "").strip():
            host = re.sub("^[a-z]+://", "", address.lower()).partition("/")[0].partition(":")[0]
            return "" if _is_openai(host) else name
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


def _source(chosen: Settings) -> str:
    """Where the address was set. The provider always receives it as an option."""
    variables = [name for name in OPENAI_ADDRESSES if os.environ.get(name, "").strip() == chosen.openai_base_url]
    source = chosen.sources.get("openai_base_url", "default")
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

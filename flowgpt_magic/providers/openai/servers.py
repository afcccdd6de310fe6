"""Which server of the OpenAI protocol is asked, with which key, and what to try when it does not answer."""

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
from flowgpt_magic.settings import OPENAI_ADDRESSES, OPENAI_KEY, Settings, extra_headers, variable

OWN_HOST = "api.openai.com"
EXAMPLE = "http://127.0.0.1:11434/v1"
CALLS = ("/chat/completions", "/completions", "/responses")  # what a base URL has behind it
PROGRAMS = {  # what usually listens on a port of this machine, and how it is started
    1234: "LM Studio (lms server start)",
    4000: "LiteLLM (litellm --config FILE)",
    8000: "vLLM (vllm serve MODEL)",
    8080: "llama.cpp (llama-server -m FILE)",
    11434: "Ollama (ollama serve)",
}


@dataclass(frozen=True)
class OwnHeaders:
    """Headers of the user's own as they are sent, and what of them no error may show."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


NO_HEADERS = OwnHeaders()


@dataclass(frozen=True)
class Server:
    """The base URL of a server, and the name of what holds the key for it; an empty name means that it gets none."""

    url: URL
    key_name: str

    @classmethod
    def chosen_by(cls, chosen: Settings) -> Server:
        """The server that the settings name. Raises ``SettingError`` for an address that is none.

        OpenAI's own servers get the key of the variable they are known for, unless ``OPENAI_BASE_URL`` says that it is
        another server's; any other server gets the key that is named for it, or none.
        """
        url = _base_url(chosen.openai_base_url, _source(chosen))
        own = url.scheme == "https" and _is_openais(url.host or "") and not _meant_elsewhere(os.environ)
        return cls(url, chosen.openai_key or (OPENAI_KEY if own else ""))

    def call(self, path: str) -> URL:
        """The address of one call, such as ``chat/completions``."""
        return self.url.joinpath(path)

    async def read_key(self) -> str:
        """The key, empty where none is named. Raises ``MissingKeyError`` that says where it should be."""
        if not self.key_name:
            return ""
        try:
            key = await keys.read_soon(self.key_name)
        except MissingKeyError as error:
            raise MissingKeyError(
                f"there is no key for {self.url.host}: {error.clause}. Set it, or name another one with the setting "
                f"openai_key ({variable('openai_key')} in the environment)"
            ) from None
        http.check_token(key, keys.place(self.key_name))
        if http.crosses_open_network(self.url):
            notice(f"the key goes to {self.url.host} unencrypted; use https if that server can")
        return key

    def own_headers(self, given: Mapping[str, str | None] | None) -> OwnHeaders:
        """The headers ``given``, with the values of the variables they name.

        Raises ``SettingError`` for what can be no header, and ``MissingKeyError`` where a variable is not set.
        """
        try:
            found, secrets = extra_headers.read(extra_headers.checked(given))
        except ValueError as error:
            raise SettingError(f"{extra_headers.NAME} {error}") from None
        if secrets and http.crosses_open_network(self.url):
            notice(f"the extra_headers go to {self.url.host} unencrypted; use https if that server can")
        return OwnHeaders(found, tuple(secrets))

    def route(self, chosen: Settings, key: str, own: OwnHeaders = NO_HEADERS) -> Route:
        """How to reach it, and what the errors about that advise."""
        address = f"The address is the setting openai_base_url, {variable('openai_base_url')} in the environment."
        program = PROGRAMS.get(self.url.port or 0, "") if self._is_here else ""
        usually = f"On port {self.url.port} there usually listens {program}. " if program else ""
        if self.key_name:
            unauthorized = f"The key came from {keys.place(self.key_name)} (setting openai_key): is it for this server?"
        else:
            unauthorized = (
                "It was sent no key: the setting openai_key, set where openai_base_url is, names the environment "
                "variable that holds one."
            )
            if _is_openais(self.url.host or "") and (elsewhere := _meant_elsewhere(os.environ)):
                unauthorized += f" {OPENAI_KEY} is for the server that {elsewhere} names."
        advice = {"unreachable": usually + address, "unauthorized": unauthorized}
        return replace(Route.from_settings(chosen, token=key, **advice), secrets=own.secrets)

    @property
    def _is_here(self) -> bool:
        """Is it on this machine?"""
        host = self.url.host or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _is_openais(host: str) -> bool:
    return host == OWN_HOST or host.endswith(f".{OWN_HOST}")


def _meant_elsewhere(environ: Mapping[str, str]) -> str:
    """The variable that says that the key of OpenAI's clients is for another server than OpenAI's own."""
    for name in OPENAI_ADDRESSES:
        if address := environ.get(name, "").strip():
            host = re.sub("^[a-z]+://", "", address.lower()).partition("/")[0].partition(":")[0]
            return "" if _is_openais(host) else name
    return ""


def headers(key: str, own: OwnHeaders = NO_HEADERS) -> dict[str, str]:
    """The headers of one request, ``own`` ones in the place of ours.

    A compressed body is not asked for: it may be held back until there is enough to compress.
    """
    found = {
        "User-Agent": "flowgpt_magic",
        "Accept": "text/event-stream, application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    given = {name.lower() for name in own.headers}
    found = {name: value for name, value in found.items() if name.lower() not in given} | dict(own.headers)
    return {**found, "Authorization": f"Bearer {key}"} if key else found


def _source(chosen: Settings) -> str:
    """What names the address: a provider is called with it as an option, wherever it was set."""
    named = [name for name in OPENAI_ADDRESSES if os.environ.get(name, "").strip() == chosen.openai_base_url]
    source = chosen.sources.get("openai_base_url", "default")
    return f"environment variable {named[0]}" if named and source == "option" else source


def _base_url(text: str, source: str) -> URL:
    if "?" in text:
        raise SettingError(
            f"{source}: openai_base_url has no ?query; the address of Azure that needs none is "
            "https://NAME.openai.azure.com/openai/v1"
        )
    url = http.check_base_url(text, source, EXAMPLE)
    for call in CALLS:
        if url.path.endswith(call):
            raise SettingError(f"{source}: openai_base_url is written without {call}: what all calls begin with")
    return url

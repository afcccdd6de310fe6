"""A hub of models, by the HTTP API of Hugging Face: what a repository has, and the contents of its files.

``HF_ENDPOINT`` is the address of another hub or a mirror. The token in ``HF_TOKEN`` is sent to the hub only: downloads
are redirected to other hosts, which do not get it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from yarl import URL

from flowgpt_magic.errors import DownloadError, ModelNotSupportedError, ProtocolError, ProviderError
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint, Route
from flowgpt_magic.providers.http.errors import status_error
from flowgpt_magic.settings import Settings
from flowgpt_magic.text import cut, one_line, sentences

ADDRESS, TOKEN = "HF_ENDPOINT", "HF_TOKEN"
DEFAULT_ADDRESS = "https://huggingface.co"
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
NEXT_PAGE = re.compile(r'<([^>]+)>;\s*rel="?next"?')
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
MAX_PAGES = 20  # of a thousand files each
SILENCE = 60.0  # seconds without a byte after which a download is resumed


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. ``size`` is in bytes; ``sha256`` is in hex, empty if the hub does not state it."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Repository:
    """A repository on the hub. ``revision`` is the commit, ``files`` are all its GGUF files."""

    name: str
    revision: str
    licence: str
    files: tuple[HubFile, ...]


class _RedirectError(ProviderError):
    """The download is at another address. ``checksum`` is the one that the hub states for it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__("the hub redirects")
        self.location = headers["Location"]
        self.checksum = _checksum(headers.get("X-Linked-Etag", "").strip('"'))


@dataclass(frozen=True)
class Hub:
    """The hub at ``url``. ``token`` is empty for anonymous access."""

    url: URL
    token: str = field(repr=False)
    chosen: Settings = field(repr=False)

    @classmethod
    def chosen_by(cls, chosen: Settings, environ: Mapping[str, str] = os.environ) -> Hub:
        """The hub that the environment names. Raises ``SettingError`` for an invalid address or token."""
        address = environ.get(ADDRESS, "").strip() or DEFAULT_ADDRESS
        url = http.check_base_url(address, f"environment variable {ADDRESS}", DEFAULT_ADDRESS)
        token = environ.get(TOKEN, "").strip()
        return cls(url, http.check_token(token, f"environment variable {TOKEN}") if token else "", chosen)

    @property
    def host(self) -> str:
        """The host, for messages."""
        return str(self.url.host)

    async def repository(self, name: str) -> Repository:
        """The repository ``name``. Raises ``ModelNotSupportedError``, ``DownloadError`` and ``ProviderError``."""
        if not REPOSITORY.fullmatch(name):
            raise ModelNotSupportedError(
                f"{name!r} is not a repository: write it as hf:OWNER/REPO, or hf:OWNER/REPO:FILE"
            )
        address = self.url.joinpath("api", "models", *name.split("/"))
        info, _ = await self._json(address, name)
        if not isinstance(info, dict):
            raise ProtocolError(f"{self.host} sent something that is not the description of a repository")
        if info.get("gated") and not self.token:
            raise DownloadError(self._gated(name))
        revision = str(info.get("sha") or "main")
        files = [file async for file in self._files(address / "tree" / revision, name)]
        return Repository(name, revision, _licence(info), tuple(files))

    async def _files(self, address: URL, name: str) -> AsyncIterator[HubFile]:
        """The GGUF files of a repository, page by page."""
        page: URL | None = address.with_query(recursive="true")
        for _ in range(MAX_PAGES):
            if page is None:
                return
            entries, link = await self._json(page, name)
            for entry in entries if isinstance(entries, list) else ():
                if (file := _hub_file(entry)) is not None:
                    yield file
            following = NEXT_PAGE.search(link)
            target = page.join(URL(following[1], encoded=True)) if following else None
            page = target if target is not None and target.origin() == self.url.origin() else None

    async def _json(self, url: URL, name: str) -> tuple[Any, str]:
        """The JSON at ``url``, and the header with the address of the next page."""

        def make_error(status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint) -> ProviderError:
            return self._error(name, status, headers, body, endpoint)

        async with http.request("GET", self._endpoint(url), self._headers(url), None, make_error) as response:
            content = await response.read_all()
            try:
                return json.loads(content), response.headers.get("Link", "")
            except (ValueError, RecursionError):
                raise ProtocolError(f"{self.host} sent no JSON: {ADDRESS} must be the address of a model hub") from None

    async def with_checksum(self, repository: Repository, file: HubFile) -> HubFile:
        """``file`` with its checksum; if the listing has none, with the one that the hub sends before a download."""
        if file.sha256:
            return file
        try:
            async with self._request(self._address(repository, file), {}, repository.name) as response:
                stated = response.headers.get("X-Linked-Etag", response.headers.get("ETag", ""))
                return replace(file, sha256=_checksum(stated.strip('"')))
        except _RedirectError as redirect:
            return replace(file, sha256=redirect.checksum)

    def _address(self, repository: Repository, file: HubFile) -> URL:
        path = (*repository.name.split("/"), "resolve", repository.revision, *file.path.split("/"))
        return self.url.joinpath(*path)

    @asynccontextmanager
    async def open(
        self, repository: Repository, file: HubFile, headers: Mapping[str, str]
    ) -> AsyncIterator[http.Response]:
        """The response with the content of ``file``, wherever the hub redirects to.

        Raises subclasses of ``ProviderError``.
        """
        url = self._address(repository, file)
        for _ in range(MAX_REDIRECTS):
            try:
                async with self._request(url, headers, repository.name) as response:
                    yield response
                    return
            except _RedirectError as redirect:
                url = _target(url, redirect.location)
        raise ProtocolError(f"{self.host} redirects more than {MAX_REDIRECTS} times")

    def _request(self, url: URL, headers: Mapping[str, str], name: str) -> AbstractAsyncContextManager[http.Response]:
        def make_error(status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint) -> ProviderError:
            if status in REDIRECTS and headers.get("Location"):
                return _RedirectError(headers)
            return self._error(name, status, headers, body, endpoint)

        return http.request("GET", self._endpoint(url), {**self._headers(url), **headers}, None, make_error)

    def _endpoint(self, url: URL) -> Endpoint:
        advice = f"The variable {ADDRESS} can name a mirror; a file that you have is the model local:PATH"
        route = Route.from_settings(self.chosen, token=self.token, unreachable=advice)
        return http.resolve_endpoint(url, replace(route, read_timeout=min(route.read_timeout, SILENCE)))

    def _headers(self, url: URL) -> dict[str, str]:
        """The headers of a request; only the hub itself gets the token."""
        headers = {"User-Agent": "flowgpt_magic", "Accept-Encoding": "identity"}
        if self.token and url.origin() == self.url.origin():
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def _error(
        self, name: str, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint
    ) -> ProviderError:
        """The error for a status, with what to do. The hub hides repositories from those without access: 401 or 404."""
        error = status_error(status, headers, body, endpoint)
        code = headers.get("X-Error-Code", "")
        if endpoint.url.origin() != self.url.origin():
            return error
        if code == "GatedRepo" or status == 403:
            text = self._gated(name)
        elif status in (401, 404) and code != "EntryNotFound":
            access = f"{TOKEN} must be a token with access to it" if self.token else f"set {TOKEN} if it is private"
            text = f"{self.host} has no repository {name} ({status}): check its name; {access}"
        else:
            return error
        error.args = (sentences(text),)
        return error

    def _gated(self, name: str) -> str:
        accept = f"accept its conditions at {self.url.joinpath(*name.split('/'))}"
        if self.token:
            return f"{name} is only for accounts with access: {accept} with the account of the token in {TOKEN}"
        return f"{name} is only for accounts with access: {accept}, then set {TOKEN} to a token of that account"


def _target(url: URL, location: str) -> URL:
    """The address that ``url`` redirects to. Raises ``ProtocolError`` for one that is not encrypted like ``url``."""
    try:
        target = url.join(URL(location, encoded=True)).with_fragment(None)
        is_usable = bool(target.host) and target.scheme in ("https", url.scheme) and target.user is None
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ProtocolError(
            f"{url.host} redirects to an address that is not used: {cut(location.partition('?')[0], 100)}"
        )
    return target


def _hub_file(entry: Any) -> HubFile | None:
    """The GGUF file in an entry of a listing, or None. A name that would control a terminal is none."""
    if not isinstance(entry, dict) or entry.get("type") != "file":
        return None
    path, lfs = entry.get("path"), entry.get("lfs")
    lfs = lfs if isinstance(lfs, dict) else {}
    size = lfs.get("size", entry.get("size"))
    if not isinstance(path, str) or not path.isprintable() or not path.lower().endswith(".gguf"):
        return None
    if type(size) is not int or size < 0:
        return None
    return HubFile(path, size, _checksum(str(lfs.get("oid", ""))))


def _checksum(text: str) -> str:
    """``text`` if it is a SHA-256 in hex, else an empty string."""
    checksum = text.removeprefix("sha256:").lower()
    return checksum if SHA256.fullmatch(checksum) else ""


def _licence(info: Mapping[str, Any]) -> str:
    """The licence in the description of a repository; "not stated" without one."""
    card, tags = info.get("cardData"), info.get("tags")
    card = card if isinstance(card, dict) else {}
    stated = card.get("license_name") if card.get("license") == "other" else card.get("license")
    names = stated if isinstance(stated, list) else [stated] if stated else []
    if not names and isinstance(tags, list):
        prefix = "license:"
        names = [tag.removeprefix(prefix) for tag in tags if isinstance(tag, str) and tag.startswith(prefix)]
    return one_line(", ".join(map(str, names)))[:100] or "not stated"

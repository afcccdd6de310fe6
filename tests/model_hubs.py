"""A small hub of models on loopback, with a second server that holds the files, as the CDN of a real one does."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.openai_servers import background
from tests.servers import Connection, Request, Server, head, whole

REPOSITORY = "owner/Tiny-GGUF"
REVISION = "0123456789abcdef"
CONTENT = b"GGUF" + bytes(range(256)) * 4096  # a megabyte
BLOCK = 2**16


def entry(path: str, content: bytes, **others: Any) -> dict[str, Any]:
    """A file in a listing, as the hub describes it."""
    lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 135}
    return {"type": "file", "oid": "0" * 40, "size": len(content), "path": path, "lfs": lfs, **others}


@dataclass
class ModelHub:
    """The hub, and what tests change of it.

    Args:
        files: the contents of the repository's files, by their paths.
        listing: the entries that replace those made from ``files``.
        info: what the description of the repository says besides.
        token: what a client has to bring; empty for anyone.
        refusals: responses to the next requests, in their order, before anything else is looked at.
        cdn_refusals: the same for the CDN.
        cuts: after how many bytes of a body the next downloads are cut off.
        ranges: does the CDN answer requests for a part?
        etag: the CDN's tag of every file.
        linked_etag: what the hub says of a file when it redirects.
        location: makes the address that the hub redirects to, from the path of the file.
        hold_after: after how many bytes the next download stops for good, without an end; -1 for none.
        held: set as soon as such a download has sent its part.
    """

    files: dict[str, bytes] = field(default_factory=lambda: {"tiny-Q4_K_M.gguf": CONTENT})
    listing: list[dict[str, Any]] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    refusals: list[bytes] = field(default_factory=list)
    cdn_refusals: list[bytes] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str = '"one"'
    linked_etag: str = '"linked"'
    location: Callable[[str], str] | None = None
    hold_after: int = -1
    held: threading.Event = field(default_factory=threading.Event)
    hub: Server = field(default_factory=Server)
    cdn: Server = field(default_factory=Server)

    @property
    def downloads(self) -> list[str]:
        """The ranges of the files that the CDN was asked for; empty for a whole file."""
        return [request.headers.get("Range", "") for request in self.cdn.requests]

    async def answer(self, request: Request, connection: Connection) -> None:
        """The hub's answer: a description, a listing, or where a file is."""
        if self.refusals:
            return await connection.send(self.refusals.pop(0))
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return await connection.send(whole(b'{"error":"Invalid username or password."}', 401))
        path = unquote(request.line.split(" ")[1])
        if path == f"/api/models/{REPOSITORY}":
            info = {"id": REPOSITORY, "sha": REVISION, "gated": False, "cardData": {"license": "apache-2.0"}}
            return await connection.send(_json({**info, **self.info}))
        if path == f"/api/models/{REPOSITORY}/tree/{REVISION}?recursive=true":
            made = [entry(name, content) for name, content in self.files.items()]
            return await connection.send(_json(made if self.listing is None else self.listing))
        prefix = f"/{REPOSITORY}/resolve/{REVISION}/"
        if path.startswith(prefix):
            name = path.removeprefix(prefix)
            location = self.location(name) if self.location else f"{self.cdn.url}/files/{name}?X-Signature=s%2Bs"
            return await connection.send(whole(b"", 302, Location=location, X_Linked_Etag=self.linked_etag))
        code = {"X_Error_Code": "RepoNotFound"}
        return await connection.send(whole(b'{"error":"Repository not found"}', 404, **code))

    async def answer_cdn(self, request: Request, connection: Connection) -> None:
        """A file, or the part of it that is asked for."""
        if self.cdn_refusals:
            return await connection.send(self.cdn_refusals.pop(0))
        name = re.sub(r".*/files/|\?.*", "", unquote(request.line.split(" ")[1]))
        content, start, status, headers = self.files[name], 0, 200, {"ETag": self.etag}
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if found and self.ranges and request.headers.get("If-Range", self.etag) == self.etag:
            start, status = int(found[1]), 206
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        await connection.send(head(status, Content_Length=str(len(body)), **headers))
        end = self.cuts.pop(0) if self.cuts else len(body)
        if self.hold_after >= 0:
            end, self.hold_after = self.hold_after, -1
            await connection.send(body[:end])
            self.held.set()
            await connection.reader.read()  # until the client is gone
            return None
        for place in range(0, end, BLOCK):
            await connection.send(body[place : min(end, place + BLOCK)])
        if end < len(body):
            connection.cut()
        return None


def _json(value: Any) -> bytes:
    return whole(json.dumps(value).encode(), Content_Type="application/json")


@contextmanager
def serving_models(model_hub: ModelHub) -> Iterator[ModelHub]:
    """``model_hub`` with both servers running."""
    with ExitStack() as stack:
        model_hub.cdn = stack.enter_context(background(model_hub.answer_cdn))
        model_hub.hub = stack.enter_context(background(model_hub.answer))
        yield model_hub


def refusing(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """A response that refuses a request."""
    return whole(body, status, **headers)

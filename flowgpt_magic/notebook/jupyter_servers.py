"""Where a kernel's notebook is now, as the Jupyter servers of this user on this machine say.

A server knows of a rename, the kernel does not. A server's token is read from the file it describes itself in, and goes
to that server alone. What a server or a file says is not trusted: whatever is not as expected is simply unknown.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.parse import urlsplit

from flowgpt_magic.notebook.place import KERNEL_FILE, mapping, read_json, resolved, text_of

BIGGEST_ANSWER = 4 * 2**20  # bytes that a server may say about its sessions
BIGGEST_SERVER_FILE = 2**16  # bytes
MOST_SERVERS = 8  # asked at once
SERVER_FILE = re.compile(r"(jp|nb)server-\d+\.json", re.ASCII)


def live_path(connection_file: str, runtime_dir: str = "", timeout: float = 2.0) -> str | None:
    """Where the kernel's notebook is now, as the Jupyter servers of this user on this machine say; None if unknown.

    It may have been renamed since the kernel was started. ``runtime_dir`` is where servers describe themselves, the
    folder of ``connection_file`` by default; ``timeout`` is for all of it, in seconds. None also where the kernel
    serves several notebooks, because it cannot be told which of them asks.
    """
    kernel = KERNEL_FILE.fullmatch(os.path.basename(connection_file))
    if not kernel:
        return None
    until = time.monotonic() + timeout
    servers = _servers(runtime_dir or os.path.dirname(connection_file))
    answers: SimpleQueue[str | None] = SimpleQueue()
    for server in servers:
        # In threads, because a server that hangs must not use up the time of the others.
        Thread(target=_ask, args=(server, kernel[1], timeout, answers.put), daemon=True).start()
    for _ in servers:
        try:
            if found := answers.get(timeout=max(0.0, until - time.monotonic())):
                return found
        except Empty:
            break
    return None


@dataclass(frozen=True)
class _Server:
    """A running Jupyter server, as its own file describes it."""

    host: str
    port: int
    encrypted: bool
    sessions: str  # the path that answers which notebook has which kernel
    root: str
    token: str = field(repr=False)

    @classmethod
    def described(cls, info: object) -> _Server | None:
        if not (isinstance(info, dict) and _runs(info.get("pid"))):
            return None
        root, token = text_of(info.get("root_dir") or info.get("notebook_dir")), text_of(info.get("token"))
        try:
            url = urlsplit(text_of(info.get("url")))
            host, port = _own_address(url.hostname or ""), url.port
        except ValueError:
            return None
        if not (host and port and os.path.isabs(root) and url.scheme in ("http", "https") and token.isprintable()):
            return None
        return cls(host, port, url.scheme == "https", f"{url.path.rstrip('/')}/api/sessions", root, token)


def _servers(folder: str) -> list[_Server]:
    """The servers that run now, this kernel's own parent first."""
    try:
        names = [name for name in os.listdir(folder or os.curdir) if SERVER_FILE.fullmatch(name)]
    except OSError:
        return []
    names.sort(key=lambda name: not name.endswith(f"server-{os.getppid()}.json"))
    files = (read_json(os.path.join(folder, name), BIGGEST_SERVER_FILE, own=True) for name in names)
    return list(islice(filter(None, map(_Server.described, files)), MOST_SERVERS))


def _own_address(host: str) -> str:
    """Where to reach ``host`` if it is this machine, else "": the token is for no other one."""
    if host in ("localhost", socket.gethostname().lower()):  # a server on all addresses gives the machine's name
        return "localhost"
    try:
        address = ipaddress.ip_address(host)
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET) as probe:
            probe.bind((host, 0))  # only an address of this machine can be bound
        return host
    except (OSError, ValueError):
        return ""


def _runs(pid: object) -> bool:
    """Is this a process of the same user? The file of a server that was killed stays, and its port may be another's."""
    if type(pid) is not int or pid <= 0:
        return False
    if os.name == "nt":  # where the call would end the process
        return True
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


def _ask(server: _Server, kernel: str, timeout: float, answer: Callable[[str | None], None]) -> None:
    import http.client
    import ssl

    # These follow no redirect and use no proxy. Whom the certificate is for says nothing on this very machine.
    connection: http.client.HTTPConnection
    if server.encrypted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(server.host, server.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=timeout)
    headers = {"Authorization": f"token {server.token}"} if server.token else {}
    path = None
    try:
        connection.request("GET", server.sessions, headers=headers)
        response = connection.getresponse()
        if response.status == 200:
            path = _notebook_path(json.loads(response.read(BIGGEST_ANSWER)), kernel, server.root)
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        pass  # a server that does not answer as it should knows nothing
    finally:
        connection.close()
        answer(path)


def _notebook_path(sessions: object, kernel: str, root: str) -> str | None:
    found = set()
    for session in sessions if isinstance(sessions, list) else ():
        told = text_of(session.get("path")) if isinstance(session, dict) and session.get("type") == "notebook" else ""
        if told and mapping(session, "kernel").get("id") == kernel:
            parts = told.strip("/").split("/")
            found.add("" if ".." in parts else resolved(os.path.join(root, *parts)))
    return found.pop() or None if len(found) == 1 else None

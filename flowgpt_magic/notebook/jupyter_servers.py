"""Ask the Jupyter servers of this user on this machine for the path of a kernel's notebook.

A server knows about a rename; the kernel does not. The token of a server is read from the file with which the server
describes itself, and is sent to that server only. Answers and files are not trusted: what is not as expected counts as
unknown.
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

BIGGEST_ANSWER = 4 * 2**20  # bytes of an answer about sessions
BIGGEST_SERVER_FILE = 2**16  # bytes
MOST_SERVERS = 8  # asked at once
SERVER_FILE = re.compile(r"(jp|nb)server-\d+\.json", re.ASCII)


def live_path(connection_file: str, runtime_dir: str = "", timeout: float = 2.0) -> str | None:
    """The path of the kernel's notebook now, even if it was renamed after the kernel started; None if unknown.

    It is unknown too if the kernel serves several notebooks. ``runtime_dir`` is where servers describe themselves, by
    default the folder of ``connection_file``. ``timeout`` is in seconds, for all servers together.
    """
    kernel = KERNEL_FILE.fullmatch(os.path.basename(connection_file))
    if not kernel:
        return None
    until = time.monotonic() + timeout
    servers = _servers(runtime_dir or os.path.dirname(connection_file))
    answers: SimpleQueue[str | None] = SimpleQueue()
    for server in servers:
        # In threads: a server that hangs must not use up the time of the others.
        Thread(target=_ask, args=(server, kernel[1], timeout, answers.put), daemon=True).start()
    for _ in servers:
        try:
            if path := answers.get(timeout=max(0.0, until - time.monotonic())):
                return path
        except Empty:
            break
    return None


@dataclass(frozen=True)
class _Server:
    """A running Jupyter server, as it describes itself in its file."""

    host: str
    port: int
    encrypted: bool
    sessions: str  # the path of its list of notebooks and kernels
    root: str
    token: str = field(repr=False)

    @classmethod
    def from_info(cls, info: object) -> _Server | None:
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
    """The running servers, the parent of this kernel first."""
    try:
        names = [name for name in os.listdir(folder or os.curdir) if SERVER_FILE.fullmatch(name)]
    except OSError:
        return []
    names.sort(key=lambda name: not name.endswith(f"server-{os.getppid()}.json"))
    files = (read_json(os.path.join(folder, name), BIGGEST_SERVER_FILE, own=True) for name in names)
    return list(islice(filter(None, map(_Server.from_info, files)), MOST_SERVERS))


def _own_address(host: str) -> str:
    """The address of ``host`` if it is this machine, else empty: no other machine may get the token."""
    if host in ("localhost", socket.gethostname().lower()):  # a server on all addresses reports the name of the machine
        return "localhost"
    try:
        address = ipaddress.ip_address(host)
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET) as probe:
            probe.bind((host, 0))  # only addresses of this machine can be bound
        return host
    except (OSError, ValueError):
        return ""


def _runs(pid: object) -> bool:
    """Is this a process of the same user? A killed server leaves its file, and its port may belong to another one."""
    if type(pid) is not int or pid <= 0:
        return False
    if os.name == "nt":  # where os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


def _ask(server: _Server, kernel: str, timeout: float, answer: Callable[[str | None], None]) -> None:
    import http.client
    import ssl

    # No redirects and no proxy. On this machine the name in the certificate proves nothing.
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
        pass  # a server that does not answer properly knows nothing
    finally:
        connection.close()
        answer(path)


def _notebook_path(sessions: object, kernel: str, root: str) -> str | None:
    paths = set()
    for session in sessions if isinstance(sessions, list) else ():
        path = text_of(session.get("path")) if isinstance(session, dict) and session.get("type") == "notebook" else ""
        if path and mapping(session, "kernel").get("id") == kernel:
            parts = path.strip("/").split("/")
            paths.add("" if ".." in parts else resolved(os.path.join(root, *parts)))
    return paths.pop() or None if len(paths) == 1 else None

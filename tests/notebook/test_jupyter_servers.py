"""Servers that say where a notebook is now, and what is made of those that do not."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flowgpt_magic.notebook import ipython, jupyter_servers
from flowgpt_magic.notebook.jupyter_servers import live_path
from tests import certificates
from tests.notebook.test_place import KERNEL


class Sessions(BaseHTTPRequestHandler):
    """A server that answers what the test wants; what it was asked stands in ``server.asked``."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization"), self.headers.get("Host")))
        self.server.answer(self)

    def log_message(self, *args: Any) -> None:
        pass

    def say(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def session(path: str, kernel: str = KERNEL, kind: str = "notebook") -> dict[str, Any]:
    return {"id": "1", "path": path, "name": path, "type": kind, "kernel": {"id": kernel, "name": "python3"}}


def answering(*sessions: Any) -> Callable[[Sessions], None]:
    return lambda handler: handler.say(json.dumps(sessions).encode())


def hang_up(handler: Sessions) -> None:
    """Say nothing at all."""


class Servers:
    """A runtime folder and the servers that describe themselves in it."""

    def __init__(self, folder: Path) -> None:
        self.runtime, self.root = folder / "runtime", folder / "root"
        self.runtime.mkdir()
        self.root.mkdir()
        self.connection_file = str(self.runtime / f"kernel-{KERNEL}.json")
        self.started: list[ThreadingHTTPServer] = []
        self.over = threading.Event()

    def start(self, answer: Callable[[Sessions], None], **info: Any) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Sessions)
        server.answer, server.asked = answer, []
        self.started.append(server)
        if info.get("secure"):
            context = certificates.server_context("unknown")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.describe(port=server.server_address[1], **info)
        return server

    def describe(self, port: int, name: str = "", secure: bool = False, **info: Any) -> Path:
        described = {
            "url": f"http{'s' * secure}://127.0.0.1:{port}/",
            "pid": os.getpid(),
            "root_dir": str(self.root),
            "token": "s3cret-token",
            **info,
        }
        path = self.runtime / (name or f"jpserver-{100 + len(list(self.runtime.iterdir()))}.json")
        path.write_text(json.dumps(described))
        return path

    def close(self) -> None:
        self.over.set()
        for server in self.started:
            server.shutdown()
            server.server_close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    yield servers
    servers.close()


class TestWhereTheNotebookIsNow:
    def test_the_server_tells_the_path_of_this_kernels_notebook(self, servers):
        server = servers.start(answering(session("other.ipynb", "another"), session("sub/new name.ipynb")))

        assert live_path(servers.connection_file) == os.path.realpath(servers.root / "sub" / "new name.ipynb")
        ((path, token, host),) = server.asked
        assert (path, token, host) == (
            "/api/sessions",
            "token s3cret-token",
            f"127.0.0.1:{server.server_address[1]}",
        )

    def test_a_notebook_that_has_no_name_in_the_environment_is_found_by_its_kernel(self, servers, monkeypatch):
        # nbclassic has its server start a kernel for the folder alone, and without this no panel opens there.
        servers.start(answering(session("a.ipynb")))
        monkeypatch.setattr(ipython, "_connection_file", lambda: servers.connection_file)
        monkeypatch.setenv("JPY_SESSION_NAME", f"{servers.root}{os.sep}")
        monkeypatch.chdir(servers.root)

        assert ipython.place().kind == "jupyter"
        assert ipython.place().path == os.path.realpath(servers.root / "a.ipynb")
        for each in list(servers.runtime.iterdir()):
            each.unlink()
        assert ipython.place().kind == "folder"

    def test_the_runtime_folder_may_be_another_than_the_connection_files(self, servers):
        servers.start(answering(session("a.ipynb")))

        found = live_path(f"/elsewhere/kernel-{KERNEL}.json", str(servers.runtime))

        assert found == os.path.realpath(servers.root / "a.ipynb")

    def test_a_server_may_have_a_base_address_and_no_token(self, servers):
        server = servers.start(answering(session("a.ipynb")), token="")
        servers.describe(server.server_address[1], "jpserver-100.json", token="", url=f"{url(server)}/user/me/")

        assert live_path(servers.connection_file)
        assert server.asked[0][:2] == ("/user/me/api/sessions", None)

    def test_the_classic_servers_file_is_read_too(self, servers):
        server = servers.start(answering(session("a.ipynb")))
        os.remove(servers.runtime / "jpserver-100.json")
        servers.describe(server.server_address[1], "nbserver-7.json", root_dir=None, notebook_dir=str(servers.root))

        assert live_path(servers.connection_file) == os.path.realpath(servers.root / "a.ipynb")

    def test_an_encrypted_server_on_this_machine_is_asked_whatever_its_certificate_says(self, servers):
        servers.start(answering(session("a.ipynb")), secure=True)

        assert live_path(servers.connection_file) == os.path.realpath(servers.root / "a.ipynb")

    def test_a_server_on_all_addresses_is_asked_on_loopback(self, servers):
        server = servers.start(answering(session("a.ipynb")))
        port = server.server_address[1]
        servers.describe(port, "jpserver-100.json", url=f"http://{socket.gethostname()}:{port}/")

        assert live_path(servers.connection_file)
        assert server.asked[0][2] == f"localhost:{port}"

    @pytest.mark.parametrize(
        "host", ["192.0.2.1", "example.org", "[2001:db8::1]", "127.0.0.1.example.org", "[", "", "me@192.0.2.1"]
    )
    def test_another_machine_is_never_asked(self, servers, host, monkeypatch):
        servers.describe(8888, url=f"http://{host}:8888/")
        asked = []
        monkeypatch.setattr(socket, "create_connection", asked.append)
        monkeypatch.setattr(socket, "getaddrinfo", asked.append)

        assert live_path(servers.connection_file) is None
        assert asked == []

    def test_a_redirect_is_not_followed_and_takes_no_token_along(self, servers):
        other = servers.start(answering(session("a.ipynb")), pid=0)
        first = servers.start(lambda handler: handler.say(b"", 302, Location=f"{url(other)}/api/sessions"))

        assert live_path(servers.connection_file) is None
        assert len(first.asked) == 1
        assert other.asked == []

    def test_no_proxy_sees_the_token(self, servers, monkeypatch):
        proxy = servers.start(answering(session("wrong.ipynb")), pid=0)
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, url(proxy))
        servers.start(answering(session("right.ipynb")))

        assert live_path(servers.connection_file) == os.path.realpath(servers.root / "right.ipynb")
        assert proxy.asked == []

    def test_a_server_whose_process_has_ended_is_not_asked(self, servers):
        # Its port may be another's by now.
        server = servers.start(answering(session("a.ipynb")), pid=2**31 - 2)

        assert live_path(servers.connection_file) is None
        assert server.asked == []

    @pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner's number here")
    def test_another_users_file_is_not_read(self, servers, monkeypatch):
        server = servers.start(answering(session("a.ipynb")))
        monkeypatch.setattr(os, "getuid", partial(int, os.getuid() + 1))

        assert live_path(servers.connection_file) is None
        assert server.asked == []

    @pytest.mark.parametrize(
        "answer",
        [
            answering(),
            answering(session("a.ipynb", "another kernel")),
            answering(session("Console 1", kind="console")),
            answering(session("../outside.ipynb")),
            answering(session("a.ipynb"), session("b.ipynb")),
            answering(3, None, [], {"path": 3, "type": "notebook", "kernel": {"id": KERNEL}}, {"kernel": KERNEL}),
            lambda handler: handler.say(b"[]", 403),
            lambda handler: handler.say(b"[" * 200_000),
            lambda handler: handler.say(b"\xff"),
            lambda handler: handler.say(b"{}"),
            lambda handler: handler.wfile.write(b"no HTTP\r\n\r\n"),
            hang_up,
        ],
        ids=range(12),
    )
    def test_an_answer_that_does_not_tell_is_no_path(self, servers, answer):
        servers.start(answer)

        assert live_path(servers.connection_file) is None

    def test_a_notebook_and_a_console_may_share_the_kernel(self, servers):
        servers.start(answering(session("Console 1", kind="console"), session("a.ipynb")))

        assert live_path(servers.connection_file) == os.path.realpath(servers.root / "a.ipynb")

    def test_a_server_that_hangs_does_not_keep_the_others_from_telling(self, servers):
        servers.start(lambda _handler: servers.over.wait(30), name=f"jpserver-{os.getppid()}.json")
        servers.start(answering(session("a.ipynb")))
        started = time.monotonic()

        assert live_path(servers.connection_file, timeout=20) == os.path.realpath(servers.root / "a.ipynb")
        assert time.monotonic() - started < 10

    def test_the_time_is_for_all_of_it_however_slowly_a_server_drips(self, servers):
        def drip(handler: Sessions) -> None:
            handler.send_response(200)
            handler.end_headers()
            while not servers.over.wait(0.02):
                handler.wfile.write(b" ")
                handler.wfile.flush()

        for _ in range(3):
            servers.start(drip)
        started = time.monotonic()

        assert live_path(servers.connection_file, timeout=0.3) is None
        assert 0.2 < time.monotonic() - started < 1.5

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}", b'{"pid": true}', b'{"pid": "1"}', b" " * 70_000]
    )
    def test_a_broken_description_is_passed_over(self, servers, content):
        (servers.runtime / "jpserver-1.json").write_bytes(content)
        os.mkfifo(servers.runtime / "jpserver-2.json")
        servers.start(answering(session("a.ipynb")))

        assert live_path(servers.connection_file) == os.path.realpath(servers.root / "a.ipynb")

    @pytest.mark.parametrize(
        "info",
        [
            {"url": 3},
            {"url": "file:///etc/passwd"},
            {"url": "http://127.0.0.1:99999/"},
            {"url": "http://127.0.0.1/"},
            {"root_dir": "relative"},
            {"root_dir": None},
            {"token": "two\r\nlines"},
            {"pid": -1},
            {"pid": 10**30},
        ],
    )
    def test_a_description_of_nothing_that_can_be_asked_is_passed_over(self, servers, info):
        server = servers.start(answering(session("a.ipynb")), **info)

        assert live_path(servers.connection_file) is None
        assert server.asked == []

    @pytest.mark.parametrize("name", ["", "tmpq3_x9.json", "kernel-.json", "kernel-a b.json", "kernel.json"])
    def test_a_kernel_that_no_server_started_asks_nobody(self, servers, name):
        server = servers.start(answering(session("a.ipynb", "")))

        assert live_path(str(servers.runtime / name) if name else "") is None
        assert server.asked == []

    def test_without_a_runtime_folder_nothing_is_known(self, tmp_path):
        assert live_path(str(tmp_path / "none" / f"kernel-{KERNEL}.json")) is None

    def test_a_servers_token_does_not_show_in_what_is_made_of_it(self):
        info = {"pid": os.getpid(), "url": "http://127.0.0.1:8888/", "root_dir": "/", "token": "s3cret-token"}

        server = jupyter_servers._Server.from_info(info)

        assert server is not None
        assert server.token == "s3cret-token"
        assert "s3cret" not in f"{server!r} {server}"


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"

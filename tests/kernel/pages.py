"""A page of JupyterLab that is connected with a kernel, as far as the kernel knows."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import uuid4

from tests.kernel.conftest import LIMIT, Kernel

TARGET = "flowgpt_magic"


class Page:
    """One connection to the extension's comm target; ``messages`` are those that answered nothing."""

    def __init__(self, kernel: Kernel, purpose: str = "page", **opening: Any) -> None:
        self.kernel = kernel
        self.comm_id = uuid4().hex
        self.messages: list[dict[str, Any]] = []
        self.buffers: list[bytes] = []  # of the last message
        self.closed = False
        self._numbers = count(1)
        data = {"purpose": purpose, "version": "0.1.0", "protocol": 1, **opening}
        self._send("comm_open", {"comm_id": self.comm_id, "target_name": TARGET, "data": data})

    def ask(self, kind: str, *, buffers: tuple[bytes, ...] = (), **more: Any) -> dict[str, Any]:
        """The answer to a request."""
        number = next(self._numbers)
        self._send("comm_msg", {"comm_id": self.comm_id, "data": {"kind": kind, "id": number, **more}}, buffers)
        while True:
            message = self.hear()
            if message.get("kind") == "answer" and message["id"] == number:
                return message
            self.messages.append(message)

    def tell(self, kind: str, **more: Any) -> None:
        """Send a message that needs no answer."""
        self._send("comm_msg", {"comm_id": self.comm_id, "data": {"kind": kind, **more}})

    def hear(self) -> dict[str, Any]:
        """The next message on this connection; empty if the kernel closed it."""
        while True:
            message = self.kernel.client.get_iopub_msg(timeout=LIMIT)
            if message["content"].get("comm_id") != self.comm_id:
                continue
            if message["msg_type"] == "comm_close":
                self.closed = True
                return {}
            if message["msg_type"] == "comm_msg":
                self.buffers = [bytes(buffer) for buffer in message["buffers"]]
                return dict(message["content"]["data"])

    def close(self) -> None:
        self._send("comm_close", {"comm_id": self.comm_id, "data": {}})

    def _send(self, kind: str, content: dict[str, Any], buffers: tuple[bytes, ...] = ()) -> None:
        client = self.kernel.client
        client.session.send(client.shell_channel.socket, client.session.msg(kind, content), buffers=list(buffers))

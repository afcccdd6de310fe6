"""How a gateway is run: its options, from Python and from the command line."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from flowgpt_magic.errors import SettingError, closest
from flowgpt_magic.gateway.connections import ConnectionLimits, descriptor_limit
from flowgpt_magic.gateway.requests import is_loopback
from flowgpt_magic.providers.flowgpt import PATH
from flowgpt_magic.providers.http.client import check_token

TOKEN_VARIABLE = "FLOWGPT_GATEWAY_TOKEN"  # noqa: S105 - the name of a variable
PORT = 8765
HEALTH = "/health"


@dataclass(frozen=True)
class Options:
    """How a gateway is run. Each field is also an option of the command line, and a keyword of ``start``.

    ``model`` is who answers: ``provider:model`` or a provider; empty means the default.
    ``host`` is the name or address to listen on.
    ``port`` is the port to listen on; 0 takes a free one.
    ``token`` is what clients must bring; it may be empty only where ``host`` is loopback.
    ``concurrency`` is the number of replies that are made at a time.
    ``queue`` is the number of further requests that may wait; beyond that the answer is 429.
    ``max_body`` is the largest body of a request, in bytes.
    ``grace`` is the number of seconds that replies in flight get when the gateway stops.
    ``connections`` is the number of open connections, of all clients together. It is never more than half of the
    file descriptors that the process may have open (``ulimit -n``).
    ``connections_per_address`` is the number of open connections of one client address, or of one IPv6 network
    (64 bits).
    ``head_timeout`` is the number of seconds a client gets to connect and send the head of a request.
    ``idle_timeout`` is the number of seconds that a connection stays open between two requests.
    """

    model: str = ""
    host: str = "127.0.0.1"
    port: int = PORT
    token: str = field(default="", repr=False)
    concurrency: int = 4
    queue: int = 32
    max_body: int = 4 * 2**20
    grace: float = 5.0
    connections: int = 1024
    connections_per_address: int = 256
    head_timeout: float = 10.0
    idle_timeout: float = 30.0

    @classmethod
    def given(cls, model: str, **options: Any) -> Options:
        """The options of a caller; raises ``SettingError`` for a name that is none, or a value of another type."""
        known = [each.name for each in fields(cls)]
        for name in options:
            if name not in known:
                raise SettingError(f"a gateway has no option {name!r}{closest(name, known)}")
        return cls(model, **options)

    def check(self) -> None:
        """Raises ``SettingError`` for what cannot be run, or must not be."""
        self._check_types()
        check_token(self.token, "the gateway's token")
        if not self.token and not is_loopback(self.host):
            raise SettingError(
                f"listening on {self.host} lets others in, so the gateway needs a token: set {TOKEN_VARIABLE}."
            )
        if not 0 <= self.port <= 65535:
            raise SettingError(f"port {self.port} is not from 0 to 65535.")
        if self.concurrency < 1 or self.queue < 0 or self.max_body < 1:
            raise SettingError("concurrency and max_body must be at least 1, queue at least 0.")
        if self.connections < 1 or self.connections_per_address < 1:
            raise SettingError("connections and connections_per_address must be at least 1.")
        if not (0 <= self.grace < math.inf and 0 < self.head_timeout < math.inf and 0 < self.idle_timeout < math.inf):
            raise SettingError("grace must be at least 0 seconds, head_timeout and idle_timeout more than 0.")

    def _check_types(self) -> None:
        for each in fields(self):
            value, wanted = getattr(self, each.name), type(each.default)
            fits = isinstance(value, (int, float) if wanted is float else wanted) and type(value) is not bool
            if not fits:
                kind = {str: "text", int: "a whole number", float: "a number"}[wanted]
                raise SettingError(f"the option {each.name} of a gateway must be {kind}.")

    @property
    def limits(self) -> ConnectionLimits:
        """The limits of the connections."""
        total = min(self.connections, descriptor_limit() or self.connections)
        return ConnectionLimits(total, self.connections_per_address, self.head_timeout, self.idle_timeout)


def read_options(words: Sequence[str]) -> Options:
    """The options on the command line; the token is better kept in the environment, where others do not see it."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m flowgpt_magic.gateway",
        description="A server that speaks the FlowGPT v3 protocol in front of any provider. It prints its address, "
        f"answers {PATH}, and {HEALTH} for load balancers, until it is interrupted.",
    )

    def add(name: str, default: Any, metavar: str, text: str) -> None:
        parser.add_argument(name, default=default, type=type(default), metavar=metavar, help=text)

    add("--model", "", "MODEL", "who answers: provider:model or a provider (the default model)")
    add("--host", default.host, "HOST", "name or address to listen on (%(default)s)")
    add("--port", default.port, "PORT", "port to listen on; 0 takes a free one (%(default)s)")
    token = f"what clients must bring; better set {TOKEN_VARIABLE} (none, which only loopback allows)"
    add("--token", os.environ.get(TOKEN_VARIABLE, ""), "TOKEN", token)
    add("--concurrency", default.concurrency, "N", "replies that are made at a time (%(default)s)")
    add("--queue", default.queue, "N", "further requests that may wait; beyond that the answer is 429 (%(default)s)")
    add("--max-body", default.max_body, "BYTES", "largest body of a request (%(default)s)")
    add("--grace", default.grace, "SECONDS", "time for replies in flight when the gateway stops (%(default)g)")
    add(
        "--connections",
        default.connections,
        "N",
        "open connections of all clients together, at most half of the process's file descriptors (%(default)s)",
    )
    per_address = "open connections of one client address (%(default)s)"
    add("--connections-per-address", default.connections_per_address, "N", per_address)
    add("--head-timeout", default.head_timeout, "SECONDS", "time to send the head of a request (%(default)g)")
    add("--idle-timeout", default.idle_timeout, "SECONDS", "time between two requests of a connection (%(default)g)")
    found = parser.parse_args(words)
    return Options(**vars(found))

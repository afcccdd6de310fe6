"""The options of a gateway, from Python and from the command line."""

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
HEALTH_PATH = "/health"


@dataclass(frozen=True)
class Options:
    """The options of a gateway. Each is also an option of the command line and a keyword of ``start``.

    Args:
        model: ``provider:model`` or a provider; empty is the default model.
        host: name or address to listen on.
        port: port to listen on; 0 takes a free one.
        token: bearer token that clients must send; may be empty only if ``host`` is loopback.
        concurrency: replies generated at the same time.
        queue: further requests that may wait; beyond that the status is 429.
        max_body: largest body of a request, in bytes.
        grace: seconds that replies in flight get to finish when the gateway stops.
        connections: open connections of all clients together; never more than half of the file descriptors that the
            process may have open (``ulimit -n``).
        connections_per_address: open connections of one IPv4 address, or of one IPv6 network (64 bits).
        head_timeout: seconds for a client to connect and send the head of a request.
        idle_timeout: seconds that a connection stays open between two requests.
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
    def from_keywords(cls, model: str, **options: Any) -> Options:
        """``Options`` with these fields; raises ``SettingError`` for an unknown name."""
        names = [option.name for option in fields(cls)]
        for name in options:
            if name not in names:
                raise SettingError(f"a gateway has no option {name!r}{closest(name, names)}")
        return cls(model, **options)

    def check(self) -> None:
        """Raise ``SettingError`` for values of a wrong type or range, and for a public host without a token."""
        self._check_types()
        check_token(self.token, "the gateway's token")
        if not self.token and not is_loopback(self.host):
            raise SettingError(
                f"other machines can reach {self.host}, so the gateway needs a token: set {TOKEN_VARIABLE}."
            )
        if not 0 <= self.port <= 65535:
            raise SettingError(f"port {self.port} is not between 0 and 65535.")
        if self.concurrency < 1 or self.queue < 0 or self.max_body < 1:
            raise SettingError("concurrency and max_body must be at least 1, queue at least 0.")
        if self.connections < 1 or self.connections_per_address < 1:
            raise SettingError("connections and connections_per_address must be at least 1.")
        if not (0 <= self.grace < math.inf and 0 < self.head_timeout < math.inf and 0 < self.idle_timeout < math.inf):
            raise SettingError("grace must be at least 0 seconds, head_timeout and idle_timeout greater than 0.")

    def _check_types(self) -> None:
        for option in fields(self):
            value, wanted = getattr(self, option.name), type(option.default)
            fits = isinstance(value, (int, float) if wanted is float else wanted) and type(value) is not bool
            if not fits:
                kind = {str: "text", int: "a whole number", float: "a number"}[wanted]
                raise SettingError(f"the gateway option {option.name} must be {kind}.")

    @property
    def limits(self) -> ConnectionLimits:
        """``connections`` and the timeouts, within the limit of file descriptors."""
        total = min(self.connections, descriptor_limit() or self.connections)
        return ConnectionLimits(total, self.connections_per_address, self.head_timeout, self.idle_timeout)


def read_options(words: Sequence[str]) -> Options:
    """Parse the command line. The token defaults to the environment variable, which other users cannot see."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m flowgpt_magic.gateway",
        description="A server that speaks the FlowGPT v3 protocol in front of any provider. It prints its address "
        f"and answers {PATH}, and {HEALTH_PATH} for load balancers, until it is interrupted.",
    )

    def add(name: str, default: Any, metavar: str, text: str) -> None:
        parser.add_argument(name, default=default, type=type(default), metavar=metavar, help=text)

    add("--model", "", "MODEL", "provider:model or a provider (default: the default model)")
    add("--host", default.host, "HOST", "name or address to listen on (default: %(default)s)")
    add("--port", default.port, "PORT", "port to listen on; 0 takes a free one (default: %(default)s)")
    token = f"bearer token that clients must send; {TOKEN_VARIABLE} is safer (default: none, on loopback only)"
    add("--token", os.environ.get(TOKEN_VARIABLE, ""), "TOKEN", token)
    add("--concurrency", default.concurrency, "N", "replies generated at the same time (default: %(default)s)")
    add(
        "--queue",
        default.queue,
        "N",
        "further requests that may wait; beyond that the status is 429 (default: %(default)s)",
    )
    add("--max-body", default.max_body, "BYTES", "largest body of a request (default: %(default)s)")
    add("--grace", default.grace, "SECONDS", "time for replies in flight when the gateway stops (default: %(default)g)")
    add(
        "--connections",
        default.connections,
        "N",
        "open connections of all clients, at most half of the file descriptors of the process (default: %(default)s)",
    )
    per_address = "open connections of one client address (default: %(default)s)"
    add("--connections-per-address", default.connections_per_address, "N", per_address)
    add("--head-timeout", default.head_timeout, "SECONDS", "time to send the head of a request (default: %(default)g)")
    add(
        "--idle-timeout",
        default.idle_timeout,
        "SECONDS",
        "time between two requests on a connection (default: %(default)g)",
    )
    return Options(**vars(parser.parse_args(words)))

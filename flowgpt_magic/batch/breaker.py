"""A circuit breaker: detects that a server fails for all prompts, and decides when a batch stops.

``FAILURES_TO_OPEN`` different prompts in a row that fail for a shared reason open the breaker. While it is open, one
request at a time goes out: a probe. A reply closes it. When the patience runs out, the batch stops. A prompt's
own failure does not count: the batch goes on.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Literal

from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    MismatchError,
    MissingKeyError,
    ModelNotSupportedError,
    NotInstalledError,
    ParameterRefusedError,
    PermissionDeniedError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderNotFoundError,
    ProviderStatusError,
    ProviderTimeoutError,
    ProxyError,
    QuotaError,
    SchemaNotSupportedError,
    SettingError,
)
from flowgpt_magic.replies.retry import is_temporary

MAX_OUTAGE = 120.0  # seconds
NOBODY_LISTENS = 20.0  # seconds of patience with an address where nothing listens
FAILURES_TO_OPEN = 5  # different prompts that fail in a row
FIRST_PROBE, LONGEST_PROBE = 1.0, 15.0  # seconds before a probe; each pause is twice the previous one
PROBE_SILENCE = 30.0  # seconds after which an unanswered probe is followed by another one
MEANT_WAIT = 1.0  # seconds; a shorter requested wait, such as 0, is a server's default and means nothing
REFUSED_PROBES = 2  # waiting seldom helps against a refused key or parameter

Kind = Literal["answer", "unknown", "busy", "down", "refused", "final"]

BUSY = (429, 503, 529)  # statuses of a server that has not started on the request
NOT_BEGUN = (*BUSY, 502)  # 502: a proxy did not reach the server behind it
NOT_HERE = (404, 405, 410)
PROMPT_STATUSES = (400, 403, 413, 414, 422, 431)  # possibly about the prompt
OWN_FAULT = (AuthenticationError, PermissionDeniedError, ParameterRefusedError, SchemaNotSupportedError)
FOR_ALL = (MissingKeyError, NotInstalledError, ModelNotSupportedError, ProviderNotFoundError, ProxyError, SettingError)
ABOUT_PROMPT = re.compile(
    r"content.?(filter|policy|management|moderation)|moderation|flagged|safety|responsible.?ai|jailbreak|guardrail|"
    r"(policy|policies) violat|violat\w* .{0,40}polic|harmful|inappropriate",
    re.IGNORECASE,
)
# A refused field of the request that is no parameter: all requests have it.
ABOUT_FIELD = re.compile(
    r"extra.?(?:inputs?|fields?|_forbidden)|(?:unrecogni[sz]ed|unknown|unsupported|unexpected) (?:request )?"
    r"(?:argument|field|parameter|name|key)",
    re.IGNORECASE,
)


def asked_wait(error: BaseException) -> float:
    """Seconds that the server asks to wait; 0 if it does not."""
    return (error.retry_after or 0.0) if isinstance(error, ProviderStatusError) else 0.0


def not_started(error: BaseException) -> bool:
    """Is it certain that the server did not start on the request? Then a retry is free."""
    if isinstance(error, ProviderStatusError):
        return error.status in NOT_BEGUN
    return isinstance(error, ProviderConnectionError)


def failure_kind(error: BaseException, longest_wait: float) -> Kind:
    """What a failure says about the server.

    * ``answer``: the server works, and refuses this prompt.
    * ``unknown``: nothing, as with an error of a plug-in.
    * ``busy``: it accepts no more requests at the moment.
    * ``down``: it fails, or is unreachable.
    * ``refused``: it refuses the key, the model or a parameter, or is a different server. All prompts share this.
    * ``final``: the same, and a retry cannot help; also a wait of more than ``longest_wait`` seconds.
    """
    if isinstance(error, (MismatchError, ContextLengthError)):
        return "answer"
    if not isinstance(error, ProviderError):
        return "final" if isinstance(error, FOR_ALL) else "unknown"
    if isinstance(error, QuotaError) or asked_wait(error) > longest_wait:
        return "final"
    if is_temporary(error):
        return "busy" if isinstance(error, ProviderStatusError) and error.status in BUSY else "down"
    if isinstance(error, ProviderStatusError):
        return _kind_of_status(error)
    if isinstance(error, ProviderTimeoutError):
        return "down"
    other_server = isinstance(error, ProtocolError) and error.page
    return "refused" if other_server or isinstance(error, ProviderConnectionError) else "unknown"


def _kind_of_status(error: ProviderStatusError) -> Kind:
    if isinstance(error, ParameterRefusedError):
        return "refused"
    if error.status in PROMPT_STATUSES and ABOUT_PROMPT.search(str(error)):
        return "answer"
    if isinstance(error, (*OWN_FAULT, ModelNotSupportedError)) or error.status in NOT_HERE or error.status < 400:
        return "refused"
    return "refused" if error.status not in PROMPT_STATUSES or ABOUT_FIELD.search(str(error)) else "answer"


class Breaker:
    """Counts failures in a row, and decides when a probe goes out and when the batch stops.

    ``patience`` is in seconds; None means ``MAX_OUTAGE``, or ``NOBODY_LISTENS`` if connections are refused. ``clock``
    returns monotonic seconds.
    """

    def __init__(self, patience: float | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.error: BaseException | None = None  # the last shared failure
        self.hopeless = False  # is a probe pointless?
        self.probing = False  # is a probe in flight?
        self._patience, self._clock = patience, clock
        self._in_a_row: set[int] = set()
        self._opened: float | None = None
        self._probes = 0
        self._next = 0.0
        self._kind: Kind = "answer"

    @property
    def open(self) -> bool:
        """Do only probes go out?"""
        return self._opened is not None

    @property
    def row(self) -> frozenset[int]:
        """The prompts that failed in a row."""
        return frozenset(self._in_a_row)

    @property
    def patience(self) -> float:
        """Seconds to wait for a failing server."""
        if self._patience is not None:
            return self._patience
        nobody = isinstance(self.error, ProviderConnectionError) and self.error.refused
        return NOBODY_LISTENS if nobody else MAX_OUTAGE

    @property
    def left(self) -> float:
        """Seconds left of the patience."""
        return self.patience if self._opened is None else max(0.0, self._opened + self.patience - self._clock())

    @property
    def due_in(self) -> float:
        """Seconds until the next probe; 0 if it may go now."""
        return max(0.0, self._next - self._clock()) if self.open else 0.0

    @property
    def may_recover(self) -> bool:
        """Can the failure pass by itself?"""
        return self._kind in ("busy", "down")

    def probes(self) -> None:
        """A probe goes out."""
        self.probing = True
        self._next = self._clock() + PROBE_SILENCE

    def answered(self) -> bool:
        """The server has answered a prompt. Returns true if the breaker was open."""
        was_open = self.open
        self._in_a_row.clear()
        self._opened, self._probes, self.hopeless, self.probing = None, 0, False, False
        return was_open

    def failed(self, prompt: int, error: BaseException, kind: Kind, *, probe: bool = False) -> bool:
        """Prompt number ``prompt`` has failed, as a ``probe`` or not. Returns true if this opens the breaker."""
        self.error, self._kind = error, kind
        self._in_a_row.add(prompt)
        opens = not self.open and len(self._in_a_row) >= FAILURES_TO_OPEN
        if opens:
            self._opened = self._clock()
        if opens or probe:
            self.probing = False
            self._probes += probe
            self._plan(asked_wait(error))
        return opens

    def _plan(self, asked: float) -> None:
        """Schedule the next probe, or none."""
        left = self.left
        lasting = self._kind == "final" or (self._kind == "refused" and self._probes >= REFUSED_PROBES)
        self.hopeless = lasting or left <= 0 or asked > left
        # At another moment than other clients of this server.
        growing = min(FIRST_PROBE * 2**self._probes, LONGEST_PROBE) * random.uniform(0.75, 1.0)  # noqa: S311
        pause = asked * random.uniform(1.0, 1.05) if asked >= MEANT_WAIT else growing  # noqa: S311
        self._next = self._clock() + min(pause, max(left, asked))

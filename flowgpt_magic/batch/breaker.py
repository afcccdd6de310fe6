"""Notice that a server fails for all prompts, and ask it with one request at a time until it answers again.

Five different prompts that fail in a row, for a reason that is not their own, open the breaker. While it is open, one
request at a time goes out: a probe. An answer closes it. When the patience is over, the batch stops.
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
NOBODY_LISTENS = 20.0  # seconds; the patience with an address where no server is any more
IN_A_ROW = 5  # prompts
FIRST_PROBE, LONGEST_PROBE = 1.0, 15.0  # seconds before a probe; each pause is twice the one before it
PROBE_SILENCE = 30.0  # seconds after which a probe that has got no answer is followed by another one
MEANT_WAIT = 1.0  # seconds; a server that asks for less than this, such as 0, has not thought about it
REFUSED_PROBES = 2  # a key or a parameter that is refused is seldom mended by waiting

Kind = Literal["answer", "unknown", "busy", "down", "refused", "final"]

BUSY = (429, 503, 529)  # statuses of a server that did not begin to work on the request
NOT_BEGUN = (*BUSY, 502)  # 502: a proxy did not reach the server behind it
NOT_HERE = (404, 405, 410)
PROMPT_STATUSES = (400, 403, 413, 414, 422, 431)  # that may be about the prompt
OWN_FAULT = (AuthenticationError, PermissionDeniedError, ParameterRefusedError, SchemaNotSupportedError)
FOR_ALL = (MissingKeyError, NotInstalledError, ModelNotSupportedError, ProviderNotFoundError, ProxyError, SettingError)
ABOUT_PROMPT = re.compile(
    r"content.?(filter|policy|management|moderation)|moderation|flagged|safety|responsible.?ai|jailbreak|guardrail|"
    r"(policy|policies) violat|violat\w* .{0,40}polic|harmful|inappropriate",
    re.IGNORECASE,
)
# A field of the request is refused that is none of the parameters: it is the same in all requests.
ABOUT_FIELD = re.compile(
    r"extra.?(?:inputs?|fields?|_forbidden)|(?:unrecogni[sz]ed|unknown|unsupported|unexpected) (?:request )?"
    r"(?:argument|field|parameter|name|key)",
    re.IGNORECASE,
)


def asked_wait(error: BaseException) -> float:
    """Seconds that the server asks to wait; 0 where it does not ask."""
    return (error.retry_after or 0.0) if isinstance(error, ProviderStatusError) else 0.0


def not_begun(error: BaseException) -> bool:
    """Did the server certainly not work on the request? Then it costs nothing to make it again."""
    if isinstance(error, ProviderStatusError):
        return error.status in NOT_BEGUN
    return isinstance(error, ProviderConnectionError)


def kind_of(error: BaseException, longest_wait: float) -> Kind:
    """What a failure says about the server.

    * ``answer``: the server works, and it is this prompt that it refuses.
    * ``unknown``: nothing, as with an error of a plug-in.
    * ``busy``: it takes no more requests at the moment.
    * ``down``: it fails, or cannot be reached.
    * ``refused``: it refuses the key, the model or a parameter, or is another server: all prompts have that in common.
    * ``final``: the same, and asking again cannot help; so does a wait of more than ``longest_wait`` seconds.
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
    """Counts failures in a row, and decides when the server is asked again, and when no more.

    ``patience`` is in seconds; None stands for ``MAX_OUTAGE``, or ``NOBODY_LISTENS`` if connections are refused.
    ``clock`` tells the seconds.
    """

    def __init__(self, patience: float | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.error: BaseException | None = None  # the last failure that all share
        self.hopeless = False  # is there no reason to ask again?
        self.probing = False  # is a probe under way, as far as is known?
        self._patience, self._clock = patience, clock
        self._in_a_row: set[int] = set()
        self._opened: float | None = None
        self._probes = 0
        self._next = 0.0
        self._kind: Kind = "answer"

    @property
    def open(self) -> bool:
        """Is the server asked with one request at a time?"""
        return self._opened is not None

    @property
    def row(self) -> frozenset[int]:
        """The prompts that failed in a row."""
        return frozenset(self._in_a_row)

    @property
    def patience(self) -> float:
        """Seconds that a server which fails for all is waited for."""
        if self._patience is not None:
            return self._patience
        nobody = isinstance(self.error, ProviderConnectionError) and self.error.refused
        return NOBODY_LISTENS if nobody else MAX_OUTAGE

    @property
    def left(self) -> float:
        """Seconds of the patience that are left."""
        return self.patience if self._opened is None else max(0.0, self._opened + self.patience - self._clock())

    @property
    def due_in(self) -> float:
        """Seconds until the next probe; 0 where it may go now."""
        return max(0.0, self._next - self._clock()) if self.open else 0.0

    @property
    def mends(self) -> bool:
        """Is the failure of a kind that passes by itself?"""
        return self._kind in ("busy", "down")

    def probes(self) -> None:
        """A probe goes out."""
        self.probing = True
        self._next = self._clock() + PROBE_SILENCE

    def answered(self) -> bool:
        """The server has answered a prompt. Was the breaker open?"""
        was_open = self.open
        self._in_a_row.clear()
        self._opened, self._probes, self.hopeless, self.probing = None, 0, False, False
        return was_open

    def failed(self, prompt: int, error: BaseException, kind: Kind, *, probe: bool = False) -> bool:
        """Prompt number ``prompt`` has failed, as a ``probe`` or not. Has this opened the breaker?"""
        self.error, self._kind = error, kind
        self._in_a_row.add(prompt)
        opens = not self.open and len(self._in_a_row) >= IN_A_ROW
        if opens:
            self._opened = self._clock()
        if opens or probe:
            self.probing = False
            self._probes += probe
            self._plan(asked_wait(error))
        return opens

    def _plan(self, asked: float) -> None:
        """The moment of the next probe, or that there is none."""
        left = self.left
        lasting = self._kind == "final" or (self._kind == "refused" and self._probes >= REFUSED_PROBES)
        self.hopeless = lasting or left <= 0 or asked > left
        # Not at the same moment as other clients of this server.
        growing = min(FIRST_PROBE * 2**self._probes, LONGEST_PROBE) * random.uniform(0.75, 1.0)  # noqa: S311
        pause = asked * random.uniform(1.0, 1.05) if asked >= MEANT_WAIT else growing  # noqa: S311
        self._next = self._clock() + min(pause, max(left, asked))

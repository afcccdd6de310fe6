"""Everything that can go wrong, named after what the user can do about it."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING

from flowgpt_magic.printing import fitted
from flowgpt_magic.text import sentences

if TYPE_CHECKING:
    from collections.abc import Iterable


def _masked(args: tuple[object, ...]) -> list[object]:
    """What an error or a warning is made of, without keys and passwords that show by their form what they are."""
    from flowgpt_magic.redaction import redact  # its patterns take a while to compile

    return [redact(each) if isinstance(each, str) else each for each in args]


class FlowGptWarning(UserWarning):
    """Something a person should know that is no failure, such as an empty reply."""

    def __init__(self, *args: object) -> None:
        super().__init__(*_masked(args))


class FlowGptError(Exception):
    """The root of every error this package raises on purpose.

    In a notebook it is shown as its one or two lines, without a traceback: the cause lies in what was asked or in the
    service, not in a line of the user's program.

    Its text ends in one full stop, whether or not it was raised with one. ``clause`` is the text without it, for a
    sentence that goes on. What is a key or a password by its form is masked in it.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*_masked(args))

    def __str__(self) -> str:
        return sentences(super().__str__())

    @property
    def clause(self) -> str:
        """The text without the full stop at its end."""
        return str(self).removesuffix(".")

    def _render_traceback_(self) -> list[str]:
        """The lines IPython shows in place of a traceback."""
        return [fitted(f"{type(self).__name__}: {self}", sys.stdout)]


class NothingChosenError(FlowGptError):
    """Nobody has said who is to answer, and the embedded model is not installed: nothing is sent."""


class OptionError(FlowGptError):
    """An option, a subcommand or its value on the magic line is not one we know."""


class SettingError(FlowGptError):
    """A setting has a value it cannot have; the message says where the value came from."""


class PromptError(FlowGptError):
    """The prompt cannot be sent as it is: empty, or not text."""


class FileError(FlowGptError):
    """A file that was named cannot be read: it is not there, not a regular file, or too large."""


class NothingToUndoError(FlowGptError):
    """No change of the conversation is left to undo, or to redo."""


class TurnNotFoundError(FlowGptError):
    """The conversation has no turn of this number."""


class ConversationNotFoundError(FlowGptError):
    """The notebook has no conversation of this name."""


class ConversationNameError(FlowGptError):
    """A conversation cannot be called so: another one is, or the name is empty."""


class ProviderNotFoundError(FlowGptError):
    """No provider of this name is installed."""


class ModelNotSupportedError(FlowGptError):
    """The provider does not know this model; the message lists those it knows."""


class MissingKeyError(FlowGptError):
    """A key is not where it should be; the message names the environment variable or the keyring's entry."""


class NotInstalledError(FlowGptError):
    """A part that is installed separately is missing; the message holds the command that installs it."""


class DownloadError(FlowGptError):
    """The weights of the embedded model could not be fetched, or are not what they should be."""


class SchemaError(FlowGptError):
    """What was given as a schema is none."""


class MismatchError(FlowGptError):
    """The reply does not fit the schema; the message says where."""


class BatchError(FlowGptError):
    """A batch stopped before its end, or cannot be read in this way; the message says why."""


class ProxyError(FlowGptError):
    """The proxy URL is of a kind that cannot be used."""


class ProviderError(FlowGptError):
    """The provider could not answer, or stopped answering."""


class NoAnswerError(FlowGptError):
    """The first answer after installing did not come."""


class ContextLengthError(ProviderError):
    """The prompt alone is longer than the model's context window."""


class ProviderConnectionError(ProviderError):
    """No connection came about, so nothing was sent; the message names the host, the cause and what to try.

    ``lasting`` is true where another try would end in the same way, as with a certificate that is refused. ``refused``
    is true where the machine is there and no program listens at the port.
    """

    def __init__(self, message: str, *, lasting: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.refused = refused


class ProviderTimeoutError(ProviderError):
    """Nothing arrived for longer than the timeout."""


class ConnectTimeoutError(ProviderConnectionError, ProviderTimeoutError):
    """No connection came about within the setting ``connect_timeout``, so nothing was sent."""


class StreamInterruptedError(ProviderError):
    """The connection ended before the reply did; the chunks before that were delivered."""


class ProtocolError(ProviderError):
    """The server sent something that is not the protocol.

    ``page`` is true where it is a web page: then another server answers at the address, and will for each request.
    """

    def __init__(self, message: str, *, page: bool = False) -> None:
        super().__init__(message)
        self.page = page


class ProviderStatusError(ProviderError):
    """The server answered with an HTTP status of 400 or more, or with a redirect that is not followed.

    ``status`` is that number. ``retry_after`` is the number of seconds the server asks to wait before the next try, or
    None when it does not say.
    """

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        """For a pickle: an exception would be made again of its message alone."""
        return type(self), (str(self), self.status, self.retry_after)


class ModelNotFoundError(ProviderStatusError, ModelNotSupportedError):
    """The server has no model of this name."""


class SchemaNotSupportedError(ProviderStatusError):
    """The server does not take a schema for its answer, or not this one; it can be asked for in words."""


class ParameterRefusedError(ProviderStatusError):
    """The server does not take a parameter of the request, or not this value of it.

    ``parameter`` is its name in the body of the request, such as ``temperature``.
    """

    def __init__(self, message: str, status: int, parameter: str, retry_after: float | None = None) -> None:
        super().__init__(message, status, retry_after)
        self.parameter = parameter

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.status, self.parameter, self.retry_after)


class RateLimitError(ProviderStatusError):
    """Too many requests, or the quota is used up."""


class QuotaError(RateLimitError):
    """The quota or the credit is used up; waiting does not help."""


class AuthenticationError(ProviderStatusError):
    """The server wants a key or token and did not get a valid one."""


class PermissionDeniedError(ProviderStatusError):
    """The server knows who asks and refuses, or a bot check stands in the way."""


class HistoryError(FlowGptError):
    """The history could not be read or written; the message names the file, the cause and what to do."""


class HistoryLockedError(HistoryError):
    """Another process is writing to the history and does not let go of it."""


class HistoryDamagedError(HistoryError):
    """The file of the history is damaged."""


class HistoryNewerError(HistoryError):
    """A newer version of this package wrote the history; this one leaves it as it is."""


class HistoryFileError(HistoryError):
    """The file or its folder cannot be used: not writable, full, a folder, or something else's."""


class HistoryRecordError(HistoryError):
    """One record cannot be stored; the others can."""


class ReplyInterrupted(KeyboardInterrupt):
    """The user interrupted a reply; its text so far is kept.

    It stays a ``KeyboardInterrupt``, so that the cell fails and Run All stops, but shows one line and no traceback.
    Its text ends in one full stop, like that of every error.
    """

    def __str__(self) -> str:
        return sentences(super().__str__())

    def _render_traceback_(self) -> list[str]:
        return [fitted(str(self), sys.stdout)]


def closest(word: str, known: Iterable[str]) -> str:
    """How a message about an unknown ``word`` goes on: with the nearest known one, or with a full stop."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[found[0]]}?" if found else "."


def last_error() -> BaseException | None:
    """What failed last in this kernel; what this package raised to tell its user something is left out."""
    # IPython sets both, but the newer of the two names not in all of its releases.
    error: BaseException | None = getattr(sys, "last_value", None)
    error = getattr(sys, "last_exc", None) if error is None else error
    earlier: BaseException | None = getattr(error, "earlier", None)
    return earlier if isinstance(error, (FlowGptError, ReplyInterrupted)) else error


def keep_last_error(own: BaseException) -> None:
    """Let what failed last still be found when ``own``, an error of this package, is the last one of the kernel.

    One such error holds on to it at a time.
    """
    earlier, last = last_error(), getattr(sys, "last_value", None)
    if isinstance(last, (FlowGptError, ReplyInterrupted)):
        vars(last).pop("earlier", None)
    vars(own)["earlier"] = earlier

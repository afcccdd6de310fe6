"""Errors, named after what the user can do about them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from flowgpt_magic.printing import fitted
from flowgpt_magic.spelling import nearest
from flowgpt_magic.text import sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def _redacted(args: tuple[object, ...]) -> list[object]:
    from flowgpt_magic.redaction import redact  # its patterns take a while to compile

    return [redact(arg) if isinstance(arg, str) else arg for arg in args]


class FlowGptWarning(UserWarning):
    """Something the user should know that is not a failure, such as an empty reply."""

    def __init__(self, *args: object) -> None:
        super().__init__(*_redacted(args))


class FlowGptError(Exception):
    """The base class of all errors that this package raises on purpose.

    A notebook shows its message without a traceback: the cause is in the request or the service, not in a line of the
    user's program. The message ends with one full stop, and keys and passwords in it are replaced by ``***``.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*_redacted(args))

    def __str__(self) -> str:
        return sentences(super().__str__())

    @property
    def clause(self) -> str:
        """The message without its final full stop, for use inside another sentence."""
        return str(self).removesuffix(".")

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows instead of a traceback."""
        return [fitted(f"{type(self).__name__}: {self}", sys.stdout)]


class NothingChosenError(FlowGptError):
    """No model is chosen and the embedded model is not installed, so nothing is sent."""


class OptionError(FlowGptError):
    """The magic line has an unknown option or subcommand, or a value that is not allowed."""


class SettingError(FlowGptError):
    """A setting has a value that is not allowed; the message says where the value came from."""


class PromptError(FlowGptError):
    """The prompt cannot be sent: it is empty or not text."""


class FileError(FlowGptError):
    """A file cannot be read: it does not exist, is not a regular file, or is too large."""


class CorrectionFailedError(FlowGptError):
    """The corrected code of ``%flowgpt fix`` was run and failed too; its own error is shown above."""


class NothingToUndoError(FlowGptError):
    """The conversation has no change to undo or redo."""


class TurnNotFoundError(FlowGptError):
    """The conversation has no turn with this number."""


class ConversationNotFoundError(FlowGptError):
    """The notebook has no conversation with this name."""


class ConversationNameError(FlowGptError):
    """A conversation cannot have this name: it is empty or already taken."""


class ProviderNotFoundError(FlowGptError):
    """No provider with this name is installed."""


class ModelNotSupportedError(FlowGptError):
    """The provider does not have this model; the message lists the models it has."""


class MissingKeyError(FlowGptError):
    """A key is missing; the message names the environment variable or keyring entry."""


class NotInstalledError(FlowGptError):
    """An optional dependency is missing; the message contains the command that installs it."""


class DownloadError(FlowGptError):
    """The weights of the embedded model could not be downloaded, or their checksum is wrong."""


class SchemaError(FlowGptError):
    """The value cannot be used as a schema."""


class MismatchError(FlowGptError):
    """The reply does not match the schema; the message says where."""


class BatchError(FlowGptError):
    """A batch stopped early or cannot be read in this way; the message says why."""


class CostLimitError(FlowGptError):
    """A prompt was not sent, because the setting ``max_cost`` does not allow what it may cost."""


class ComparisonError(FlowGptError):
    """All models of a comparison have failed; the message says why each of them did.

    ``errors`` are the errors by model.
    """

    def __init__(self, message: str, errors: Mapping[str, BaseException] | None = None) -> None:
        super().__init__(message)
        self.errors = dict(errors or {})

    @classmethod
    def of(cls, errors: Mapping[str, BaseException]) -> ComparisonError:
        """The error for these errors by model."""
        clauses = (f"{name}: {getattr(error, 'clause', error)}" for name, error in errors.items())
        return cls(f"all {len(errors)} models have failed. {'; '.join(clauses)}", errors)


class ProxyError(FlowGptError):
    """The proxy URL cannot be used."""


class ProviderError(FlowGptError):
    """The provider could not answer, or stopped in the middle of a reply."""


class NoAnswerError(FlowGptError):
    """``python -m flowgpt_magic first-answer`` got no reply."""


class ContextLengthError(ProviderError):
    """The prompt alone is longer than the model's context window."""


class ProviderConnectionError(ProviderError):
    """The connection failed, so nothing was sent; the message names the host, the cause and what to try.

    ``lasting`` is true if a retry would fail in the same way, for example because a certificate was rejected.
    ``refused`` is true if the machine is reachable but no program listens on the port.
    """

    def __init__(self, message: str, *, lasting: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.refused = refused


class ProviderTimeoutError(ProviderError):
    """Nothing arrived for longer than the timeout."""


class ConnectTimeoutError(ProviderConnectionError, ProviderTimeoutError):
    """The connection was not established within ``connect_timeout``, so nothing was sent."""


class StreamInterruptedError(ProviderError):
    """The connection closed before the reply was complete; the chunks before that were delivered."""


class ProtocolError(ProviderError):
    """The server's response does not follow the protocol.

    ``page`` is true if it is a web page: then the address belongs to another kind of server, and a retry is useless.
    """

    def __init__(self, message: str, *, page: bool = False) -> None:
        super().__init__(message)
        self.page = page


class ProviderStatusError(ProviderError):
    """The server answered with an HTTP status of 400 or more, or with a redirect that is not followed.

    ``status`` is the HTTP status. ``retry_after`` is the number of seconds that the server asks to wait before a retry,
    or None.
    """

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all arguments; an exception is otherwise rebuilt from its message alone."""
        return type(self), (str(self), self.status, self.retry_after)


class ModelNotFoundError(ProviderStatusError, ModelNotSupportedError):
    """The server has no model with this name."""


class SchemaNotSupportedError(ProviderStatusError):
    """The server does not support a schema, or not this one; the prompt can describe it instead."""


class ParameterRefusedError(ProviderStatusError):
    """The server rejects a parameter of the request, or its value.

    ``parameter`` is its name in the request body, such as ``temperature``.
    """

    def __init__(self, message: str, status: int, parameter: str, retry_after: float | None = None) -> None:
        super().__init__(message, status, retry_after)
        self.parameter = parameter

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.status, self.parameter, self.retry_after)


class ImagesRefusedError(ParameterRefusedError):
    """The model reads text only, and the request has images. ``parameter`` is ``images``."""

    def __init__(self, message: str, status: int, parameter: str = "images", retry_after: float | None = None) -> None:
        super().__init__(message, status, parameter, retry_after)


class RateLimitError(ProviderStatusError):
    """There were too many requests, or the quota is used up."""


class QuotaError(RateLimitError):
    """The quota or credit is used up; waiting does not help."""


class AuthenticationError(ProviderStatusError):
    """The server requires a valid key or token."""


class PermissionDeniedError(ProviderStatusError):
    """The account has no permission, or a bot check blocks the request."""


class HistoryError(FlowGptError):
    """The history cannot be read or written; the message names the file, the cause and what to do."""


class HistoryLockedError(HistoryError):
    """Another process holds the write lock of the history."""


class HistoryDamagedError(HistoryError):
    """The history file is damaged."""


class HistoryNewerError(HistoryError):
    """A newer version of this package wrote the history; this version does not change it."""


class HistoryFileError(HistoryError):
    """The history file or its folder cannot be used: read-only, disk full, a folder, or another program's file."""


class HistoryRecordError(HistoryError):
    """One record cannot be stored; other records can."""


class ReplyInterrupted(KeyboardInterrupt):
    """The user interrupted a reply; its text so far is kept.

    It is a ``KeyboardInterrupt``, so the cell fails and Run All stops. With the extension loaded it is shown as one
    grey line, elsewhere in IPython as an error of one line.

    Attributes:
        shown: does the caption of the reply say already that it was interrupted? Then nothing more is shown.
    """

    shown: bool = False

    def __str__(self) -> str:
        return sentences(super().__str__())

    def _render_traceback_(self) -> list[str]:
        return [fitted(str(self), sys.stdout)]


def closest(word: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown ``word``: a question with the most similar name, or a full stop."""
    name = nearest(word, names)
    return f"; did you mean {name}?" if name else "."


def last_error() -> BaseException | None:
    """The last error in this kernel that this package did not raise itself; None if there is none."""
    # IPython sets last_value in all releases, last_exc only in newer ones.
    error: BaseException | None = getattr(sys, "last_value", None)
    error = getattr(sys, "last_exc", None) if error is None else error
    earlier: BaseException | None = getattr(error, "earlier", None)
    return earlier if isinstance(error, (FlowGptError, ReplyInterrupted)) else error


def keep_last_error(own: BaseException) -> None:
    """Keep the last error available to ``last_error`` after ``own``, an error of this package, replaces it.

    Only one error holds such a reference at a time.
    """
    earlier, last = last_error(), getattr(sys, "last_value", None)
    if isinstance(last, (FlowGptError, ReplyInterrupted)):
        vars(last).pop("earlier", None)
    vars(own)["earlier"] = earlier

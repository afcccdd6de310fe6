"""Log the start and the end of each reply to the logger ``flowgpt_magic``.

Silent until the user configures logging, for example with ``logging.basicConfig(level="INFO")``. No line contains a
prompt, a reply, a key or a password.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from flowgpt_magic.errors import FlowGptError, MismatchError, ProtocolError
from flowgpt_magic.messages import Status, Usage
from flowgpt_magic.redaction import redact, redact_environment, without_secrets
from flowgpt_magic.replies.received import RecordedReply
from flowgpt_magic.replies.request import Request
from flowgpt_magic.settings import TABLE
from flowgpt_magic.text import counted, cut, printable, sentences

logger = logging.getLogger("flowgpt_magic")
logger.addHandler(logging.NullHandler())  # without it, Python prints warnings to stderr

MAX_MESSAGE = 300  # characters of an error's message
MIN_SECRET, MIN_PROMPT = 4, 12  # characters; a shorter text may occur in an error by chance


def log_start(reply: RecordedReply, request: Request) -> None:
    """Log that ``request`` is about to be sent, at level INFO."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s asked, %s, turn %s", _name(request), counted(len(reply.messages), "message"), reply.turn_id)


def logs_attempts() -> bool:
    """Are single attempts logged?"""
    return logger.isEnabledFor(logging.DEBUG)


def log_retry(number: int, request: Request) -> None:
    """Log that attempt ``number`` begins, at level DEBUG."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s asked again, try %d", _name(request), number)


def log_failed_attempt(number: int, error: BaseException, request: Request) -> None:
    """Log the error of attempt ``number``, at level DEBUG."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s failed at try %d: %s", _name(request), number, describe_error(error, request))


def log_end(reply: RecordedReply, status: Status, request: Request) -> None:
    """Log the end of a reply, at level INFO, or WARNING if it failed."""
    level = logging.WARNING if status == "failed" else logging.INFO
    if not logger.isEnabledFor(level):
        return
    outcome = "replayed from the history" if reply.replayed and status == "complete" else status
    why = f": {describe_error(reply.error, request)}" if status == "failed" and reply.error is not None else ""
    logger.log(level, "%s %s, %s, turn %s%s", _name(request), outcome, usage_text(reply.usage), reply.turn_id, why)


def usage_text(usage: Usage) -> str:
    """Counts and times (in seconds) of a reply that has ended."""
    parts = [f"{counted(usage.chunks, 'chunk')} in {usage.seconds or 0:.2f} s"]
    if usage.first_chunk_seconds is not None:
        parts.append(f"the first after {usage.first_chunk_seconds:.2f} s")
    if usage.prompt_tokens is not None:
        parts.append(f"{counted(usage.prompt_tokens, 'token')} in")
    if usage.completion_tokens is not None:
        parts.append(f"{counted(usage.completion_tokens, 'token')} out")
    return ", ".join(parts)


def describe_error(error: BaseException, request: Request) -> str:
    """The type of ``error`` and its message, without secrets, prompts and replies.

    Only the type if it is not one of our errors: the message of a foreign one may contain anything.
    """
    kind = type(error).__name__
    if not isinstance(error, FlowGptError):
        return kind
    text = str(error)
    if isinstance(error, (ProtocolError, MismatchError)):  # after the colon, they may quote the reply
        text = sentences(text.partition(": ")[0])
    for hidden in sorted(_secrets(request) | _prompts(request), key=len, reverse=True):
        text = text.replace(hidden, "***")
    return f"{kind}: {cut(redact_environment(text), MAX_MESSAGE)}"


def _name(request: Request) -> str:
    return printable(redact(str(request.target)))


def _secrets(request: Request) -> set[str]:
    """The keys, tokens and passwords of this request."""
    parameters = request.parameters
    settings = {name: value for name, value in parameters.items() if name not in without_secrets(parameters)}
    settings |= {name: getattr(request.settings, name) for name in TABLE if TABLE[name].metadata["secret"]}
    secrets = {str(value) for value in settings.values() if value}
    for value in list(secrets):
        with suppress(ValueError):  # not a URL
            password = urlsplit(value).password or ""
            secrets |= {password, unquote(password)}
    return {value for value in secrets if len(value) >= MIN_SECRET}


def _prompts(request: Request) -> set[str]:
    """The messages sent, which a server may quote in an error."""
    contents = (str(message["content"]) for message in request.messages)
    return {content for content in contents if len(content) >= MIN_PROMPT}

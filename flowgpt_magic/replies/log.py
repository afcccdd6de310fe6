"""The log: a line when a reply begins and one when it ends, under the name ``flowgpt_magic``.

Silent until the user turns it on, with ``logging.basicConfig(level="INFO")`` for instance. No line holds a prompt, a
reply, a key or a password.
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
logger.addHandler(logging.NullHandler())  # or else Python prints warnings where nobody has set up logging

MAX_MESSAGE = 300  # characters of an error's message
LEAST_SECRET, LEAST_TEXT = 4, 12  # characters; what is shorter stands in a message by chance


def begun(reply: RecordedReply, request: Request) -> None:
    """The reply is about to be asked for."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s asked, %s, turn %s", _name(request), counted(len(reply.messages), "message"), reply.turn_id)


def logs_attempts() -> bool:
    """Does anybody want to know of single tries?"""
    return logger.isEnabledFor(logging.DEBUG)


def asked_again(number: int, request: Request) -> None:
    """The provider is asked for the ``number``-th time, because it failed before or its reply would not do."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s asked again, try %d", _name(request), number)


def try_failed(number: int, error: BaseException, request: Request) -> None:
    """The provider was asked, for the ``number``-th time, and failed; it may be asked again."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s failed at try %d: %s", _name(request), number, failure(error, request))


def ended(reply: RecordedReply, status: Status, request: Request) -> None:
    """The reply has ended: a warning where it failed."""
    level = logging.WARNING if status == "failed" else logging.INFO
    if not logger.isEnabledFor(level):
        return
    said = "replayed from the history" if reply.replayed and status == "complete" else status
    why = f": {failure(reply.error, request)}" if status == "failed" and reply.error is not None else ""
    logger.log(level, "%s %s, %s, turn %s%s", _name(request), said, figures(reply.usage), reply.turn_id, why)


def figures(usage: Usage) -> str:
    """The counts and times of a reply that has ended."""
    found = [f"{counted(usage.chunks, 'chunk')} in {usage.seconds or 0:.2f} s"]
    if usage.first_chunk_seconds is not None:
        found.append(f"the first after {usage.first_chunk_seconds:.2f} s")
    if usage.prompt_tokens is not None:
        found.append(f"{counted(usage.prompt_tokens, 'token')} in")
    if usage.completion_tokens is not None:
        found.append(f"{counted(usage.completion_tokens, 'token')} out")
    return ", ".join(found)


def failure(error: BaseException, request: Request) -> str:
    """The kind of ``error`` and, of one of ours, its message, without anything secret and without what was said.

    Of an error that nobody mapped only the kind is told: its message may hold anything.
    """
    kind = type(error).__name__
    if not isinstance(error, FlowGptError):
        return kind
    text = str(error)
    if isinstance(error, (ProtocolError, MismatchError)):  # they go on with what came, and that may be the reply
        text = sentences(text.partition(": ")[0])
    for hidden in sorted(_secrets(request) | _said(request), key=len, reverse=True):
        text = text.replace(hidden, "***")
    return f"{kind}: {cut(redact_environment(text), MAX_MESSAGE)}"


def _name(request: Request) -> str:
    return printable(redact(str(request.target)))


def _secrets(request: Request) -> set[str]:
    """The keys, tokens and passwords of this request."""
    given = request.parameters
    secret = {name: value for name, value in given.items() if name not in without_secrets(given)}
    secret |= {name: getattr(request.settings, name) for name in TABLE if TABLE[name].metadata["secret"]}
    found = {str(value) for value in secret.values() if value}
    for value in list(found):
        with suppress(ValueError):  # no URL
            password = urlsplit(value).password or ""
            found |= {password, unquote(password)}
    return {value for value in found if len(value) >= LEAST_SECRET}


def _said(request: Request) -> set[str]:
    """What was sent, which a server may quote."""
    contents = (str(message["content"]) for message in request.messages)
    return {content for content in contents if len(content) >= LEAST_TEXT}

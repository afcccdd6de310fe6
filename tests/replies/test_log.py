"""What stands in the log, and what never does."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import (
    FlowGptError,
    MismatchError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
)
from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.registry import Target
from flowgpt_magic.replies import log, resolved
from tests.servers import closed_port, line, replying, serving

KEY = "sk-0123456789abcdef"


@pytest.fixture
def chat() -> Conversation:
    return Conversation(configured=lambda: {"model": "echo"})


@pytest.fixture
def lines(caplog):
    """The lines of the log so far, each with its level."""
    caplog.set_level(logging.DEBUG, logger="flowgpt_magic")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.fixture
def failing(monkeypatch):
    """Have every prompt answered by a provider that raises this error."""

    def install(error: BaseException, after: int = 0) -> None:
        async def answer(cls, model, messages, api_key=None, **kwargs):
            for _ in range(after):
                yield "word "
            raise error

        members = {"create_async_generator": classmethod(answer), "default_model": "m"}
        made = type("Failing", (AsyncGeneratorProvider, ProviderModelMixin), members)
        monkeypatch.setattr(resolved, "find_target", lambda _name, _others: Target("failing", made, "m"))

    return install


def test_a_reply_is_a_line_when_it_begins_and_one_when_it_ends(chat, lines):
    list(chat.ask("one two"))
    reply = chat.ask("three")
    assert len(lines()) == 2
    list(reply)

    begun, ended = lines()[2:]
    assert begun == ("INFO", f"echo:words asked, 3 messages, turn {reply.turn_id}")
    level, text = ended
    figures = r"echo:words complete, 1 chunk in \d+\.\d\d s, the first after \d+\.\d\d s, 5 tokens in, 1 token out, "
    assert (level, bool(re.fullmatch(figures + f"turn {reply.turn_id}", text))) == ("INFO", True)


def test_no_line_holds_what_was_said(chat, lines):
    list(chat.ask("my secret prompt", system="my secret system"))

    assert len(lines()) == 2
    assert not any("secret" in text for _level, text in lines())


def test_a_prompt_that_is_kept_nowhere_is_logged_all_the_same(chat, lines):
    list(chat.ask("one", history=False))

    assert [level for level, _text in lines()] == ["INFO", "INFO"]


def test_a_failure_is_a_warning_with_its_kind_and_message(chat, lines, failing):
    failing(ProviderError("the model is overloaded"), after=2)
    with pytest.raises(ProviderError):
        list(chat.ask("hi"))

    level, text = lines()[-1]
    assert level == "WARNING"
    assert text.startswith("failing:m failed, 2 chunks in ")
    assert text.endswith(": ProviderError: the model is overloaded.")


def test_a_cancelled_reply_is_no_warning(chat, lines):
    reply = chat.ask("one two three", pace=60)
    reply.detach(reply.open())

    assert [level for level, _text in lines()] == ["INFO", "INFO"]
    assert "echo:words cancelled, " in lines()[-1][1]


def test_a_reply_that_nobody_reads_is_not_logged(chat, lines):
    chat.ask("one").cancel()

    assert lines() == []


def test_a_reply_from_the_history_is_called_so(chat, lines):
    list(chat.ask("one two", cache=True))
    chat.clear()
    list(chat.ask("one two", cache=True))

    assert "echo:words replayed from the history, 1 chunk in " in lines()[-1][1]


def test_each_failed_try_is_told_for_those_who_look_closely(chat, lines, failing, monkeypatch):
    monkeypatch.setattr("flowgpt_magic.replies.retry.FIRST_PAUSE", 0)
    failing(ProviderConnectionError("refused"))
    with pytest.raises(ProviderError):
        list(chat.ask("hi", retries=2))

    told = [text for level, text in lines() if level == "DEBUG"]
    failed = [f"failing:m failed at try {n}: ProviderConnectionError: refused." for n in (1, 2, 3)]
    assert told == [failed[0], "failing:m asked again, try 2", failed[1], "failing:m asked again, try 3", failed[2]]


def test_a_reply_that_does_not_fit_and_is_asked_again_is_told_too(chat, lines):
    with pytest.raises(MismatchError):
        list(chat.ask("my secret prompt", schema={"type": "object", "required": ["x"]}, retries=1))

    assert [text for level, text in lines() if level == "DEBUG"] == ["echo:words asked again, try 2"]


# Nothing secret


@pytest.mark.parametrize(
    "message",
    [
        f"the key {KEY} is not known",
        f"no connection to https://user:{KEY}@host/path",
        f"see https://host/?api_key={KEY}",
    ],
)
def test_no_key_stands_in_a_message(chat, lines, failing, message):
    failing(ProviderError(message))
    with pytest.raises(ProviderError):
        list(chat.ask("hi", params={"api_key": KEY}))

    assert KEY not in lines()[-1][1]
    assert "***" in lines()[-1][1]


def test_no_key_of_the_environment_does(chat, lines, failing, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", KEY)
    failing(ProviderError(f"wrong key {KEY}"))
    with pytest.raises(ProviderError):
        list(chat.ask("hi"))

    assert lines()[-1][1].endswith("wrong key sk-***.")


@pytest.mark.parametrize("quoted", ["pa%40ss-word", "pa@ss-word"])
def test_no_password_of_a_proxy_does(chat, lines, failing, quoted):
    failing(ProviderError(f"the proxy said: wrong password {quoted}"))
    with pytest.raises(ProviderError):
        list(chat.ask("hi", proxy="http://user:pa%40ss-word@127.0.0.1:1"))

    assert lines()[-1][1].endswith("wrong password ***.")


def test_a_prompt_that_the_server_quotes_is_left_out(chat, lines, failing):
    failing(ProviderError("refused: 'my secret prompt' is against the rules"))
    with pytest.raises(ProviderError):
        list(chat.ask("my secret prompt"))

    assert lines()[-1][1].endswith("ProviderError: refused: '***' is against the rules.")


def test_a_line_that_is_not_the_protocol_is_not_quoted(chat, lines, failing):
    failing(ProtocolError('the server sent a line that is not JSON: {"text": "half of a secret rep'))
    with pytest.raises(ProtocolError):
        list(chat.ask("hi"))

    assert lines()[-1][1].endswith("ProtocolError: the server sent a line that is not JSON.")


def test_a_reply_that_does_not_fit_its_schema_is_not_quoted(chat, lines):
    with pytest.raises(MismatchError, match="secret"):
        list(chat.ask("my secret prompt", schema={"type": "object", "required": ["secret word"]}, retries=0))

    text = lines()[-1][1]
    assert ": MismatchError: the reply does not fit " in text
    assert "secret" not in text


def test_of_an_error_that_nobody_mapped_only_the_kind_is_told(chat, lines, failing):
    failing(KeyError("anything may stand here"))
    with pytest.raises(KeyError):
        list(chat.ask("hi"))

    assert lines()[-1][1].endswith(": KeyError")


def test_a_message_stays_on_one_line_of_a_decent_length(chat, lines, failing):
    failing(ProviderError("first line\nINFO a forged line\x1b[2J " + "x" * 1000))
    with pytest.raises(ProviderError):
        list(chat.ask("hi"))

    text = lines()[-1][1]
    assert text.isprintable()
    assert len(text) < 500


async def test_a_real_request_leaves_neither_token_nor_prompt_in_the_log(chat, lines):
    secrets = {"token": "t0ken-t0ken", "proxy": f"http://user:pr0xy-pass@127.0.0.1:{closed_port()}"}
    async with serving(replying(line("a secret answer"))) as server:
        await chat.ask("a secret question", model="flowgpt", base_url=server.url, token=secrets["token"])
    with pytest.raises(FlowGptError):
        await chat.ask("a secret question", model="flowgpt", base_url="http://127.0.0.1:1", **secrets)

    levels = [level for level, text in lines() if level != "DEBUG" and text.startswith("flowgpt:")]
    assert levels == ["INFO", "INFO", "INFO", "WARNING"]
    for hidden in ("secret", "t0ken", "pr0xy"):
        assert not any(hidden in text for _level, text in lines())


# Silent by default


def python(code: str) -> tuple[str, str]:
    """What ``code`` prints in a process of its own, out and err."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return ended.stdout, ended.stderr


FAILING = """
from flowgpt_magic import Conversation, FlowGptError
try:
    Conversation().ask("hi", model="flowgpt", base_url="http://127.0.0.1:1", history=False).text
except FlowGptError:
    print("failed")
"""


def test_nothing_is_printed_where_nobody_has_set_up_logging():
    assert python(FAILING) == ("failed\n", "")


def test_it_is_where_somebody_has():
    out, err = python('import logging; logging.basicConfig(level="INFO")' + FAILING)

    assert out == "failed\n"
    begun, ended = err.splitlines()
    assert begun.startswith("INFO:flowgpt_magic:flowgpt:gpt-3.5-turbo asked, 1 message, turn ")
    assert ended.startswith("WARNING:flowgpt_magic:flowgpt:gpt-3.5-turbo failed, 0 chunks in ")
    assert "ProviderConnectionError: no connection to 127.0.0.1:1" in ended


def test_where_nobody_listens_no_line_is_made(chat, monkeypatch):
    monkeypatch.setattr(log.logger, "level", logging.CRITICAL)
    log.logger.manager._clear_cache()
    monkeypatch.setattr(log, "usage_text", lambda _usage: pytest.fail("a line was made"))
    try:
        assert chat.ask("one").text == "one"
    finally:
        monkeypatch.undo()
        log.logger.manager._clear_cache()


def test_the_figures_say_what_is_known_and_no_more():
    assert log.usage_text(Usage()) == "0 chunks in 0.00 s"
    assert log.usage_text(Usage(None, 5, "stop", 0.5, 1.234, 2)) == (
        "2 chunks in 1.23 s, the first after 0.50 s, 5 tokens out"
    )

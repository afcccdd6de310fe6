"""Every request that was sent is recorded, with the server's counts or an estimate, and without its texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from flowgpt_magic import Conversation
from flowgpt_magic.errors import FlowGptError, ProviderConnectionError, ProviderError, ProviderTimeoutError
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import RequestRecord
from flowgpt_magic.messages import Messages, Usage
from flowgpt_magic.notebook.place import Place
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin

PLACE = Place("jupyter", "", "a notebook", "/a.ipynb")
TABLES = ("requests", "turns", "conversations", "notebooks", "changes", "usage", "words_data")
FOREVER = "for ever"  # no further chunk comes
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


@pytest.fixture
def history() -> Iterator[NotebookHistory]:
    history = NotebookHistory(PLACE, ":memory:")
    yield history
    history.close()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What the provider ``scripted`` sends for each request: chunks, usage, or errors that it raises."""
    replies: list[list[Any]] = []

    class Scripted(AsyncGeneratorProvider, ProviderModelMixin):
        default_model: ClassVar[str] = "m"

        @classmethod
        async def create_async_generator(
            cls, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any
        ) -> AsyncGenerator[str | Usage, None]:
            for chunk in replies.pop(0):
                if isinstance(chunk, BaseException):
                    raise chunk
                if chunk == FOREVER:
                    await asyncio.Event().wait()
                yield chunk

    point = SimpleNamespace(value="scripted", load=lambda: Scripted)
    monkeypatch.setitem(registry._entry_points(), "scripted", point)
    return replies


def conversation(history: NotebookHistory) -> Conversation:
    return Conversation(configured=lambda: {"model": "scripted"}, notebook_history=history)


def ask(notebook_history: NotebookHistory, prompt: str = "one two three", **options: Any) -> Any:
    """The reply to ``prompt``, read to its end."""
    reply = conversation(notebook_history).ask(prompt, **{"retries": 0} | options)
    with suppress(FlowGptError):
        assert isinstance(reply.text, str)
    return reply


def requests(history: NotebookHistory) -> list[RequestRecord]:
    nothing: list[RequestRecord] = []
    return history.read(lambda file: [request for batch in file.all_requests() for request in batch], nothing)


def counts(history: NotebookHistory) -> list[tuple[str, int | None, int | None, bool]]:
    return [
        (request.status, request.usage.prompt_tokens, request.usage.completion_tokens, request.estimated)
        for request in requests(history)
    ]


def test_a_request_has_the_counts_of_the_server_and_the_id_of_its_turn(history, script):
    script.append(["a", Usage(7, 9)])

    reply = ask(history)

    (request,) = requests(history)
    assert counts(history) == [("complete", 7, 9, False)]
    assert (request.request_id, request.provider, request.model) == (reply.turn_id, "scripted", "m")
    assert request.notebook_id == history.notebook.notebook_id


def test_counts_that_the_server_does_not_tell_are_estimated(history, script):
    script += [["four five"], ["six", Usage(prompt_tokens=7)]]

    ask(history)
    ask(history)

    assert counts(history) == [("complete", 3, 2, True), ("complete", 7, 1, True)]


def test_a_request_without_a_turn_counts_and_leaves_no_text(history, script):
    script.append(["hidden reply", Usage(7, 9)])

    reply = ask(history, "hidden prompt", history=False)

    assert reply.turn is None
    assert counts(history) == [("complete", 7, 9, False)]
    rows = [history.read(lambda file, name=name: str(file._read(f"SELECT * FROM {name}")), "") for name in TABLES]
    assert "hidden" not in "".join(rows)
    assert "scripted" in rows[0]


@pytest.mark.parametrize("kept", [True, False])
def test_each_attempt_at_a_schema_is_a_request(history, script, kept):
    script += [["no", Usage(1, 2)], ["never", Usage(3, 4)], ['{"n": 1}', Usage(5, 6)]]

    ask(history, schema=SCHEMA, retries=2, history=kept)

    assert counts(history) == [("failed", 1, 2, False), ("failed", 3, 4, False), ("complete", 5, 6, False)]
    assert len({request.started for request in requests(history)}) == 3
    (row,) = history.read(lambda file: file.usage_rows(), ())
    assert (row.requests, row.prompt_tokens, row.completion_tokens) == (3, 9, 12)


@pytest.mark.parametrize("kept", [True, False])
def test_a_reply_that_is_stopped_counts_with_what_had_arrived(history, script, kept):
    script.append(["four ", FOREVER])

    chunks = iter(conversation(history).ask("one two three", history=kept))
    next(chunks)
    chunks.close()

    assert counts(history) == [("cancelled", 3, 1, True)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ProviderError("broken"), [("failed", None, None, False)]),
        (ProviderTimeoutError("late"), [("failed", 3, 0, True)]),
        (ProviderConnectionError("refused"), []),
        (FlowGptError("no key"), []),
    ],
)
def test_a_failure_without_text_counts_if_the_request_was_sent(history, script, error, expected):
    script.append([error])

    ask(history)

    assert counts(history) == expected


def test_a_reply_from_the_history_is_no_request(history, script):
    script.append(["a", Usage(7, 9)])
    ask(history, cache=True)
    conversation(history).clear()

    again = ask(history, cache=True)

    assert again.replayed
    assert len(requests(history)) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_the_prompts_and_the_attempts_of_a_batch_are_requests(history, script, kept):
    script += [["no", Usage(1, 2)], ['{"n": 1}', Usage(3, 4)], ['{"n": 2}', Usage(5, 6)]]

    batch = conversation(history).map(["one", "two"], schema=SCHEMA, concurrency=1, progress=False, history=kept)
    assert [result.status for result in batch.results] == ["complete", "complete"]

    assert counts(history) == [("failed", 1, 2, False), ("complete", 3, 4, False), ("complete", 5, 6, False)]


def test_without_a_history_nothing_is_recorded(script):
    history = NotebookHistory(PLACE, "off")
    script.append(["a"])

    ask(history, history=False)

    assert requests(history) == []

"""Many prompts for several models: a column for each."""

from __future__ import annotations

import asyncio
from typing import Any

import pandas
import pytest

from flowgpt_magic.batch.comparison import BatchComparison
from flowgpt_magic.conversation import Conversation, map_prompts
from flowgpt_magic.errors import ComparisonError, ModelNotSupportedError, OptionError, PromptError, ReplyInterrupted
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.echo import Echo
from tests.batches import when

MODELS = ["echo", "echo:messages"]


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    monkeypatch.setenv("FLOWGPT_PATIENCE", "0")
    aliases.save(Alias("broken", "echo:words", params={"fail_after": 0}))
    aliases.save(Alias("slow", "echo:words", params={"pace": 30}))


def mapped(prompts: Any, template: str | None = None, models: Any = MODELS, **how: Any) -> BatchComparison:
    return map_prompts(prompts, template, models=models, progress=False, **how)


def test_each_prompt_has_a_result_for_each_model():
    comparison = mapped(["one", "two"])
    assert comparison.status is None

    assert [{name: result.text for name, result in row.items()} for row in comparison] == [
        {"echo": "one", "echo:messages": "user: one"},
        {"echo": "two", "echo:messages": "user: two"},
    ]
    assert comparison.status == "complete"
    assert comparison.texts == {"echo": ["one", "two"], "echo:messages": ["user: one", "user: two"]}
    assert comparison.counts.complete == 4


async def test_it_can_be_awaited():
    rows = await mapped(["one"])

    assert rows[0]["echo:messages"].text == "user: one"


def test_the_models_are_asked_at_the_same_time(monkeypatch):
    both, asked = asyncio.Event(), []

    async def meet(model: str, _messages: Any, **_options: Any) -> Any:
        asked.append(model)
        if len(asked) == 2:
            both.set()
        await both.wait()
        yield "met"

    monkeypatch.setattr(Echo, "create_async_generator", meet)

    assert mapped(["one"], concurrency=1).texts == {"echo": ["met"], "echo:messages": ["met"]}


def test_the_frame_has_the_given_table_the_prompt_and_a_column_for_each_model():
    given = pandas.DataFrame({"word": ["a", "b"], "echo": [1, 2]}, index=[7, 8])

    frame = mapped(given, "say {word}").to_frame()

    assert list(frame.columns) == ["word", "echo", "prompt", "reply_echo", "echo:messages"]
    assert list(frame.index) == [7, 8]
    assert list(frame["reply_echo"]) == ["say a", "say b"]
    assert list(frame["echo:messages"]) == ["user: say a", "user: say b"]


def test_with_a_schema_the_columns_have_the_values(monkeypatch):
    async def answer(model: str, _messages: Any, **_options: Any) -> Any:
        yield "7" if model == "words" else "seven"

    monkeypatch.setattr(Echo, "create_async_generator", answer)

    frame = mapped(["one"], schema=int, retries=0).to_frame()

    assert (frame["echo"][0], frame["echo:messages"][0]) == (7, None)


def test_the_table_has_a_column_for_each_model_and_counts_by_model():
    table = mapped(["one"])
    assert table.table().columns == ("echo, echo:messages", "prompts")
    table.read()

    shown = table.table()

    assert shown.columns == ("", "prompt", "echo", "echo:messages")
    assert shown.rows == (("0", "one", "one", "user: one"),)
    assert "echo: 1 complete, 1 → 1 tokens" in shown.text()


def test_a_model_that_fails_leaves_the_others_and_is_asked_again_by_the_next_run():
    comparison = mapped(["one", "two"], models=["broken", "echo"], retries=0)

    assert comparison.texts == {"broken": [None, None], "echo": ["one", "two"]}
    assert [result.status for result in comparison.failed] == ["failed", "failed"]
    again = mapped(["one", "two"], models=["broken", "echo"], retries=0)
    again.read()
    assert again.by_model["echo"].counts.replayed == 2
    assert again.by_model["broken"].counts.replayed == 0


def test_all_that_stop_early_are_an_error(monkeypatch):
    monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", "http://127.0.0.1:9")
    models = ["openai_compatible:a", "openai_compatible:b"]

    comparison = mapped(["x"] * 8, models=models, retries=0, patience=0)

    with pytest.raises(ComparisonError, match="openai_compatible:b: "):
        comparison.read()
    assert comparison.status == "failed"
    assert "openai_compatible:a: " in comparison.table().text()


def test_a_stop_keeps_what_is_complete():
    comparison = mapped(["one", "two"], models=["echo", "slow"])
    when(lambda: comparison.by_model["echo"].ended, comparison.cancel)

    assert comparison.texts == {"echo": ["one", "two"], "slow": [None, None]}
    assert comparison.status == "cancelled"


def test_an_interrupt_stops_all_models(monkeypatch):
    comparison = mapped(["one", "two"], models=["echo", "slow"])

    def interrupted(first: Any, body: Any) -> Any:
        when(lambda: comparison.by_model["echo"].ended, first)
        return body()

    monkeypatch.setattr("flowgpt_magic.bridge.on_interrupt", interrupted)

    with pytest.raises(ReplyInterrupted, match="Interrupted: 2 replies are complete and kept"):
        comparison.read()


def test_models_on_one_server_share_its_limit_and_others_have_their_own():
    aliases.save(Alias("far", "openai_compatible:m", base_url="http://127.0.0.1:9/v1"))
    comparison = mapped(["one"], models=[*MODELS, "far"], requests_per_minute=60)

    first, second, third = (batch._limits.pace for batch in comparison.batches)
    assert first is second is not third


@pytest.mark.parametrize(
    ("prompts", "models", "error", "text"),
    [
        (["one"], ["echo"], OptionError, "models= takes two models or more"),
        (["one"], "echo", OptionError, "models= takes two models or more"),
        (["one"], ["echo", "echo"], OptionError, "echo is named twice"),
        (["one"], ["echo", "nosuch"], ModelNotSupportedError, "no model, provider or alias 'nosuch'"),
        (iter(["one"]), MODELS, PromptError, "pass a list, not a generator"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(prompts, models, error, text):
    with pytest.raises(error, match=text):
        mapped(prompts, models=models)


def test_one_model_and_several_are_an_error():
    with pytest.raises(OptionError, match="not both"):
        mapped(["one"], model="echo")


def test_a_conversation_sends_its_turns_with_each_prompt():
    conversation = Conversation()
    assert conversation.ask("before").text == "before"

    comparison = conversation.map(["one"], models=MODELS, progress=False)

    assert comparison.texts["echo:messages"] == ["user: before\nassistant: before\nuser: one"]

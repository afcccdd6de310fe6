"""What comes with a reply beside its text, on its way from the provider to wherever the reply is looked at again."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import Conversation, map_prompts
from flowgpt_magic.errors import StreamInterruptedError
from flowgpt_magic.history.rows import TURN, statement, turn_of
from flowgpt_magic.messages import NewAttempt, Usage
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.transcripts import files
from flowgpt_magic.transcripts.transcript import as_turns
from tests.openai_servers import DONE, background, event, streaming
from tests.records import conversation_record, notebook_record, turn_record

EXTRAS = Extras(
    reasoning="hm",
    citations=(Citation("https://a.example/1", "A"), Citation("https://b.example")),
    logprobs=({"token": "blue", "logprob": -0.1, "top_logprobs": []},),
    images=("data:image/png;base64,AA==",),
    audio=({"id": "audio_1", "data": "AA==", "transcript": "blue"},),
    tool_calls=({"id": "call_1", "function": {"name": "look_up", "arguments": "{}"}},),
    others=(("search_results", [{"url": "https://a.example/1"}]),),
    request_id="req_1",
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
OBJECTS = st.lists(st.dictionaries(WORDS, WORDS, max_size=2), max_size=2).map(tuple)
ANY = st.recursive(st.none() | st.integers() | WORDS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner))


def create_reply(*chunks: object) -> Reply:
    async def source():
        for chunk in chunks:
            yield chunk

    return Reply(source, provider="test", model="script", messages=[{"role": "user", "content": "hi"}])


@given(
    st.builds(
        Extras,
        reasoning=WORDS,
        citations=st.lists(st.builds(Citation, WORDS, WORDS), max_size=2).map(tuple),
        logprobs=OBJECTS,
        images=st.lists(WORDS, max_size=2).map(tuple),
        audio=OBJECTS,
        tool_calls=OBJECTS,
        others=st.dictionaries(WORDS, WORDS, max_size=2).map(lambda found: tuple(found.items())),
    )
)
def test_it_is_the_same_after_it_was_json(extras):
    written = json.dumps(extras.as_json())

    assert Extras.from_json(json.loads(written)) == extras
    assert bool(extras) is (written != "{}")


@given(st.dictionaries(st.sampled_from([*Extras().__dict__, "new"]), ANY))
def test_json_of_any_other_shape_is_read_as_far_as_it_fits(values):
    assert isinstance(Extras.from_json(values), Extras)


@pytest.mark.parametrize(
    ("citation", "shown"),
    [
        (Citation("https://a.example", "A"), "A <https://a.example>"),
        (Citation("https://a.example"), "https://a.example"),
        (Citation("", "A book"), "A book"),
    ],
)
def test_a_citation_is_shown_by_its_title_and_its_address(citation, shown):
    assert str(citation) == shown


def test_a_reply_has_it_by_name_and_is_read_to_its_end_first():
    reply = create_reply("blue", EXTRAS, Usage(1, 2, "stop"))

    assert reply.citations == EXTRAS.citations
    assert (reply.text, reply.extras) == ("blue", EXTRAS)
    assert (reply.reasoning, reply.logprobs, reply.images) == (EXTRAS.reasoning, EXTRAS.logprobs, EXTRAS.images)
    assert (reply.audio, reply.tool_calls) == (EXTRAS.audio, EXTRAS.tool_calls)
    assert reply.usage.completion_tokens == 2


def test_what_is_not_shown_is_told():
    reply = create_reply("blue", EXTRAS)

    assert reply.text == "blue"
    assert reply.notices == [
        "sources: [1] A <https://a.example/1>, [2] https://b.example",
        "the model also generated images: 1 in reply.images",
        "the model also generated audio: 1 in reply.audio",
        "the server also sent data that is not shown: search_results in reply.extras.others",
    ]


def test_a_long_title_of_a_source_is_cut():
    (told,) = Extras(citations=(Citation("https://a.example", "word\n" * 1000),)).notices

    assert len(told) < 250
    assert "\n" not in told


def test_of_many_sources_the_first_ones_are_told():
    (told,) = Extras(citations=tuple(Citation(f"https://a.example/{n}") for n in range(30))).notices

    assert "[10] https://a.example/9, and 20 more in reply.citations" in told


def test_a_reply_that_has_none_says_so():
    assert create_reply("blue").citations == ()


def test_it_goes_with_the_attempt_that_it_came_with():
    assert create_reply("red", EXTRAS, NewAttempt("not blue"), "blue").citations == ()


def test_a_pickle_and_a_copy_of_a_reply_have_it():
    reply = create_reply("blue", EXTRAS)
    assert reply.text == "blue"

    assert pickle.loads(pickle.dumps(reply)).citations == EXTRAS.citations
    assert copy.copy(reply).citations == EXTRAS.citations


def test_the_history_keeps_it_with_the_turn():
    turn = turn_record(conversation_record(notebook_record()), status="complete", ended=1.0, extras=EXTRAS)

    row = dict(zip(TURN, statement(turn)[1], strict=True))

    assert turn_of(row) == turn


class TestAnsweredByAProviderThatSendsIt:
    @pytest.fixture(autouse=True)
    def provider(self, monkeypatch, tmp_path):
        monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
        monkeypatch.setenv("FLOWGPT_MODEL", "echo")
        self.asked = 0

        async def answer(*_messages, **_given):
            self.asked += 1
            yield "blue"
            yield EXTRAS
            yield Usage(1, 1, "stop")

        monkeypatch.setattr(Echo, "create_async_generator", answer)

    def test_a_replayed_reply_still_has_it(self):
        list(Conversation("one").ask("hello", cache=True))
        replayed = Conversation("two").ask("hello", cache=True)

        assert replayed.citations == EXTRAS.citations
        assert (replayed.replayed, self.asked) == (True, 1)
        assert replayed.notices == EXTRAS.notices

    def test_a_result_of_a_batch_has_it_the_first_time_and_from_the_history(self):
        for _run in range(2):
            (result,) = map_prompts(["hello"], progress=False)
            assert (result.citations, result.reasoning) == (EXTRAS.citations, "hm")
            assert list(result.notices) == EXTRAS.notices
        assert self.asked == 1

    @pytest.mark.parametrize("ending", ["md", "json", "ipynb"])
    def test_an_exported_conversation_that_is_read_back_has_it_without_its_reasoning(self, tmp_path, ending):
        chat = Conversation("one")
        list(chat.ask("hello"))

        files.write(tmp_path / f"a.{ending}", "one", "", chat.turns)
        (turn,) = as_turns(files.read(tmp_path / f"a.{ending}"), "two", "kernel")

        assert turn.extras == replace(EXTRAS, reasoning="", reasoning_parts=())


def test_what_a_server_sends_beside_the_text_is_with_the_turn_of_the_conversation(monkeypatch):
    first = event(model="m", choices=[{"index": 0, "delta": {"content": "Oslo [1]"}}], citations=["https://a.example/"])
    last = event(model="m", choices=[{"index": 0, "delta": {"reasoning": "hm"}, "finish_reason": "stop"}])
    with background(streaming(first, last, DONE)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        chat = Conversation("one")
        reply = chat.ask("hello", model="openai_compatible:m")

        assert reply.text == "Oslo [1]"
        assert reply.citations == (Citation("https://a.example/"),)
        assert (reply.reasoning, reply.usage.finish_reason) == ("hm", "stop")
        assert "sources: [1] https://a.example/" in reply.notices
    assert chat.turns[-1].extras == reply.extras
    assert "sources: [1] https://a.example/" in chat.turns[-1].notices


def test_what_came_beside_half_a_reply_is_kept_with_it(monkeypatch):
    first = event(model="m", choices=[{"index": 0, "delta": {"content": "Os", "reasoning": "hm"}}])
    with background(streaming(first)) as server:
        chat = Conversation("one")
        reply = chat.ask("hello", model="openai_compatible:m", openai_base_url=f"{server.url}/v1")

        with pytest.raises(StreamInterruptedError):
            list(reply)
    assert (reply.status, reply.text, reply.reasoning) == ("failed", "Os", "hm")
    assert chat.turns[-1].extras.reasoning == "hm"

"""From a request to its reply: a schema on its way through a conversation, its attempts, and asking again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from flowgpt_magic import Conversation, ask
from flowgpt_magic.errors import (
    MismatchError,
    OptionError,
    PromptError,
    ProviderConnectionError,
    ProviderError,
    RateLimitError,
    SchemaError,
    SettingError,
)
from flowgpt_magic.history.current import close_all
from flowgpt_magic.history.database import History
from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.registry import Target
from flowgpt_magic.replies.reader import Reader
from flowgpt_magic.replies.reply import Reply
from tests.openai_servers import STREAM, background, chunk, streaming
from tests.openai_servers import reply as whole_reply
from tests.records import conversation_record, notebook_record, turn_record
from tests.servers import Connection, Request, framed


@dataclass
class Count:
    n: int


class Parrot(AsyncGeneratorProvider, ProviderModelMixin):
    """Says one text after the other, whatever it is asked."""

    default_model = "grey"
    models: ClassVar[list[str]] = ["grey"]
    says: ClassVar[list[str | Exception]] = []
    asked: ClassVar[list[Any]] = []

    @classmethod
    async def create_async_generator(
        cls, model: str, messages: Any, proxy: str | None = None, temperature: float = 0.7, **kwargs: Any
    ) -> AsyncGenerator[str | Usage, None]:
        cls.asked.append((list(messages), kwargs))
        text = cls.says.pop(0)
        if isinstance(text, Exception):
            raise text
        yield text
        yield Usage(completion_tokens=len(text))


class Native(Parrot):
    """One that takes a schema."""

    supports_schema = True

    @classmethod
    def create_async_generator(cls, model: str, messages: Any, *, schema: Any = None, **kwargs: Any) -> Any:
        return super().create_async_generator(model, messages, schema=schema, **kwargs)


@pytest.fixture
def parrot(monkeypatch) -> type[Parrot]:
    """The model that is asked; it says what a test puts into ``says``."""
    kinds = {"": Parrot, "parrot:grey": Parrot, "native": Native, "native:grey": Native}
    monkeypatch.setattr(Parrot, "says", [])
    monkeypatch.setattr(Parrot, "asked", [])
    monkeypatch.setattr(
        "flowgpt_magic.replies.resolved.find_target",
        lambda name, _others: Target(name.partition(":")[0] or "parrot", kinds[name], "grey"),
    )
    return Parrot


@pytest.fixture
def chat(parrot) -> Conversation:
    return Conversation(configured=dict)


def test_the_value_of_a_reply_that_fits_is_of_the_type_asked_for(chat, parrot):
    parrot.says[:] = ['The count:\n```json\n{"n": 3}\n```']

    reply = chat.ask("How many?", schema=Count)

    assert reply.data == Count(3)
    assert chat.turns[0].prompt == "How many?"
    assert '"properties"' in parrot.asked[0][0][0]["content"]


def test_every_attempt_is_kept_as_a_version_and_one_undo_takes_all_of_them_back(chat, parrot):
    parrot.says[:] = ["first", "none", '{"n": "x"}', '{"n": 3}']
    list(chat.ask("before"))

    reply = chat.ask("How many?", schema=Count)

    assert reply.data == Count(3)
    assert [each.text for each in reply.attempts] == ["none", '{"n": "x"}']
    turn = chat.turns[-1]
    assert [(each.version, each.text, each.status, each.live) for each in chat.versions(turn)] == [
        (1, "none", "failed", False),
        (2, '{"n": "x"}', "failed", False),
        (3, '{"n": 3}', "complete", True),
    ]
    assert [each.usage.completion_tokens for each in chat.versions(turn)] == [4, 10, 8]
    assert chat.versions(turn)[0].error.startswith("the reply does not fit Count: ")
    assert (reply.turn, turn.turn_id) == (turn, reply.turn_id)
    assert chat.undo() == "ask"
    assert [each.prompt for each in chat.turns] == ["before"]


def test_the_attempts_are_in_the_file_too(chat, parrot, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
    parrot.says[:] = ["none", '{"n": 3}']
    chat = Conversation(configured=dict)
    _value = chat.ask("How many?", schema=Count).data
    close_all()

    history = History(tmp_path / "history.sqlite3")
    (turn,) = history.turns(chat.record.conversation_id)
    versions = history.versions(turn.conversation_id, turn.place)
    history.close()

    assert [(each.version, each.text, each.live) for each in versions] == [(1, "none", False), (2, '{"n": 3}', True)]


def test_one_that_never_fits_fails_with_its_text_kept(chat, parrot):
    parrot.says[:] = ["a", "b", "c"]
    reply = chat.ask("How many?", schema=Count)

    with pytest.raises(MismatchError, match="the reply does not fit Count after 3 tries"):
        _value = reply.data

    assert (reply.text, reply.status, chat.turns[-1].text) == ("c", "failed", "c")
    with pytest.raises(MismatchError, match="after 3 tries"):
        _value = reply.data


@pytest.mark.parametrize("retries", [0, 1])
def test_as_many_tries_are_made_as_are_set(chat, parrot, retries):
    parrot.says[:] = ["a", "b", "c"]

    with pytest.raises(MismatchError):
        list(chat.ask("How many?", schema=Count, retries=retries))

    assert len(parrot.asked) == retries + 1


def test_a_failure_before_the_first_chunk_is_another_matter_than_a_value_that_does_not_fit(chat, parrot, monkeypatch):
    monkeypatch.setattr("flowgpt_magic.replies.retry.FIRST_PAUSE", 0)
    parrot.says[:] = [ProviderConnectionError("down"), "none", '{"n": 3}']

    assert chat.ask("How many?", schema=Count, retries=1).data == Count(3)


class TestAskingAgain:
    @pytest.fixture(autouse=True)
    def no_pauses(self, monkeypatch) -> None:
        """Retries follow each other at once."""
        monkeypatch.setattr("flowgpt_magic.replies.retry.FIRST_PAUSE", 0)

    def test_where_nothing_is_set_there_are_two_further_tries(self, chat, parrot):
        parrot.says[:] = [RateLimitError("slow down", 429), ProviderConnectionError("down"), "here"]

        reply = chat.ask("hi")

        assert reply.text == "here"
        assert reply.notices == [
            "asked again after it answered 429",
            "asked again after it could not be reached",
        ]

    @pytest.mark.parametrize(("options", "asked"), [({}, 3), ({"retries": 0}, 1)])
    def test_after_them_the_failure_is_the_reply_s(self, chat, parrot, options, asked):
        parrot.says[:] = [RateLimitError("slow down", 429) for _ in range(9)]

        reply = chat.ask("hi", **options)

        with pytest.raises(RateLimitError, match="slow down"):
            list(reply)
        assert len(parrot.asked) == asked
        assert reply.notices == ["asked again after it answered 429"][: asked - 1]


def until_it_pauses(reply: Reply, reader: Reader) -> None:
    while reply.waiting is None and not reply.ended:
        reader.take(0.01)


class TestAPauseBeforeAnotherTry:
    @pytest.fixture
    def pausing(self, chat, parrot) -> Iterator[Reply]:
        """A reply in a pause of a minute."""
        parrot.says[:] = [RateLimitError("slow down", 429, 60), "never"]
        reply = chat.ask("hi")
        until_it_pauses(reply, reply.open())
        yield reply
        reply.cancel()

    def test_it_can_be_seen(self, pausing):
        assert pausing.waiting.why == "parrot answered 429"
        assert 50 < pausing.waiting.left <= 60
        assert str(pausing.waiting).startswith("parrot answered 429; asking again in ")

    def test_a_reply_that_is_stopped_in_it_keeps_its_prompt(self, pausing, chat):
        pausing.cancel()

        assert (pausing.status, pausing.text, pausing.waiting) == ("cancelled", "", None)
        assert [(turn.prompt, turn.status) for turn in chat.turns] == [("hi", "cancelled")]
        assert chat.turns[0].notices == ("asked again after it answered 429",)

    def test_stopping_it_ends_what_waits_for_it(self, pausing):
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(lambda: pausing.text)
            pausing.cancel()

            assert reading.result(10) == ""

    async def test_a_coroutine_that_is_cancelled_in_it_stops_it(self, chat, parrot):
        parrot.says[:] = [RateLimitError("slow down", 429, 60), "never"]
        reply = chat.ask("hi")
        reading = asyncio.ensure_future(reply._steps())
        watching = reply.open()
        await asyncio.to_thread(until_it_pauses, reply, watching)
        reply.detach(watching)

        reading.cancel()

        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (reply.status, reply.waiting) == ("cancelled", None)

    def test_it_is_over_when_its_time_has_come(self, chat, parrot, monkeypatch):
        monkeypatch.setattr("flowgpt_magic.replies.retry.FIRST_PAUSE", 0.001)
        parrot.says[:] = [RateLimitError("slow down", 429), "here"]

        reply = chat.ask("hi")

        assert (reply.text, reply.waiting) == ("here", None)


def test_a_provider_that_takes_a_schema_is_given_it(chat, parrot):
    parrot.says[:] = ['{"n": 3}']

    reply = chat.ask("How many?", model="native", schema=Count)

    assert reply.data == Count(3)
    ((messages, given),) = parrot.asked
    assert (messages, given["schema"]["title"]) == ([{"role": "user", "content": "How many?"}], "Count")


def test_asked_again_it_is_checked_again(chat, parrot):
    parrot.says[:] = ['{"n": 3}', "none", '{"n": 4}']
    list(chat.ask("How many?", schema=Count))

    again = chat.retry()

    assert again.data == {"n": 4}  # by the JSON Schema that was kept: the class is not
    assert len(chat.turns) == 1


def test_the_same_prompt_with_another_schema_is_another_request(chat, parrot):
    parrot.says[:] = ['{"n": 3}', "free text"]
    list(chat.ask("How many?", schema=Count, cache=True))
    chat.clear()

    assert chat.ask("How many?", cache=True).text == "free text"


def test_a_bad_schema_is_refused_before_anything_is_sent(chat, parrot):
    with pytest.raises(SchemaError):
        chat.ask("How many?", schema="Count")

    assert parrot.asked == []


def test_a_property_that_is_called_like_a_secret_stays_in_the_schema_that_is_kept(chat, parrot):
    parrot.says[:] = ['{"password": "x"}', "{}", '{"password": "y"}']
    schema = {"type": "object", "properties": {"password": {"type": "string"}}, "required": ["password"]}
    list(chat.ask("Make one up", schema=schema))

    assert chat.retry().data == {"password": "y"}


class TestMessagesInPlaceOfAPrompt:
    MESSAGES: ClassVar[list[dict[str, str]]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A"},
        {"role": "assistant", "content": "B"},
        {"role": "user", "content": "C"},
    ]

    def test_they_are_what_is_sent_and_the_last_is_the_prompt(self, chat, parrot):
        parrot.says[:] = ["one", "two", "three"]
        list(chat.ask("earlier"))

        reply = chat.ask(self.MESSAGES, system="Be long.")

        assert reply.text == "two"
        assert parrot.asked[1][0] == self.MESSAGES
        assert [turn.prompt for turn in chat.turns] == ["earlier", "C"]

    def test_asked_again_they_are_sent_again(self, chat, parrot):
        parrot.says[:] = ["one", "two"]
        list(chat.ask(self.MESSAGES))

        list(chat.retry())

        assert parrot.asked[1][0] == self.MESSAGES

    def test_without_a_system_message_the_system_prompt_goes_along(self, chat, parrot):
        parrot.says[:] = ["one"]

        list(chat.ask(self.MESSAGES[1:], system="Be long."))

        assert parrot.asked[0][0] == [{"role": "system", "content": "Be long."}, *self.MESSAGES[1:]]


class TestReasoning:
    def test_it_is_no_part_of_the_text_stays_with_the_turn_and_is_not_sent_with_later_prompts(self, chat, parrot):
        parrot.says[:] = ["<think>\nhmm\n</think>\n\nOslo.", "Is it?\n</think>\nStockholm.", "Copenhagen."]

        texts = [chat.ask(f"And of {country}?").text for country in ("Norway", "Sweden", "Denmark")]

        assert texts == ["Oslo.", "Stockholm.", "Copenhagen."]
        assert [(turn.text, turn.extras.reasoning) for turn in chat.turns] == [
            ("Oslo.", "hmm"),
            ("Stockholm.", "Is it?"),
            ("Copenhagen.", ""),
        ]
        assert [message["content"] for message in parrot.asked[2][0]][1:4:2] == ["Oslo.", "Stockholm."]

    def test_with_think_tags_off_it_stays_in_the_text_and_is_not_sent_with_later_prompts(self, chat, parrot):
        parrot.says[:] = ["<think>\nhmm\n</think>\n\nOslo.", "Is it?\n</think>\nStockholm.", "Copenhagen."]

        texts = [chat.ask(f"And of {country}?", think_tags=False).text for country in ("Norway", "Sweden", "Denmark")]

        assert texts[0] == chat.turns[0].text == "<think>\nhmm\n</think>\n\nOslo."
        assert [message["content"] for message in parrot.asked[2][0]][1:4:2] == ["Oslo.", "Stockholm."]

    def test_a_prompt_that_names_the_reply_gets_its_answer(self, chat, parrot):
        parrot.says[:] = ["<think>hmm</think>\nOslo.", "<think>hmm"]

        whole, cut = (chat.ask("Where?", think_tags=False) for _ in range(2))
        texts = [whole.text, cut.text]

        assert [whole._repr_llm_(), cut._repr_llm_()] == ["Oslo.", texts[1]]

    def test_two_turns_that_differ_in_it_alone_are_the_same_to_a_model(self):
        record = conversation_record(notebook_record())
        one, other, plain = (turn_record(record, text=text) for text in ("<think>a</think>x", "<think>b</think>x", "x"))

        assert one.digest == other.digest == plain.digest
        assert one.digest != turn_record(record, text="y").digest

    def test_a_value_is_not_looked_for_in_it_and_it_is_not_sent_back_with_what_is_wrong(self, chat, parrot):
        parrot.says[:] = ['<think>{"n": 1}</think>{"n": "x"}', '<think>{"n": 1}', '<think>{"n": 2}</think>{"n": 3}']

        reply = chat.ask("How many?", schema=Count)

        assert reply.data == Count(3)
        second, third = ([(m["role"], m["content"]) for m in messages] for messages, *_ in parrot.asked[1:])
        assert second[1] == ("assistant", '{"n": "x"}')
        assert [role for role, _content in third] == ["user", "assistant", "user"]
        assert "Your last reply held no answer" in third[2][1]
        assert all('"n": 1' not in content for _role, content in [*second, *third])

    def test_a_reply_that_is_gone_on_with_has_that_of_both(self, chat, parrot):
        parrot.says[:] = ["<think>a</think>One ", "<think>b</think>two", "three"]
        list(chat.ask("Count."))

        assert chat.continue_().text == "One two"
        assert chat.turns[0].extras.reasoning == "a\n\nb"
        assert parrot.asked[1][0][-2] == {"role": "assistant", "content": "One "}
        assert chat.continue_().text == "One twothree"
        assert chat.turns[0].extras.reasoning == "a\n\nb"

    def test_a_stored_reply_with_tags_in_its_text_is_gone_on_with_without_them(self, chat, parrot):
        parrot.says[:] = ["<think>a</think>One ", "b</think>two"]
        list(chat.ask("Count.", think_tags=False))

        assert chat.continue_(think_tags=True).text == "One two"
        assert chat.turns[0].extras.reasoning == "a\n\nb"

    def test_with_think_tags_off_a_reply_that_is_gone_on_with_has_it_at_its_start(self, chat, parrot):
        parrot.says[:] = ["<think>a</think>One ", "<think>b</think>two", "Three."]
        list(chat.ask("Count.", think_tags=False))

        more = chat.continue_(think_tags=False)

        assert more.text == "<think>a</think><think>b</think>\n\nOne two"
        assert parrot.asked[1][0][-2] == {"role": "assistant", "content": "One "}
        list(chat.ask("And?"))
        assert parrot.asked[2][0][1]["content"] == "One two"

    def test_where_nothing_else_came_there_is_nothing_to_go_on_with(self, chat, parrot):
        parrot.says[:] = ["<think>a"]
        list(chat.ask("Count."))

        with pytest.raises(PromptError, match="only reasoning, and no reply to go on with"):
            chat.continue_()

    def test_with_think_tags_off_the_reply_goes_on_from_it_where_nothing_else_came(self, chat, parrot):
        parrot.says[:] = ["<think>a", "b</think>One"]
        list(chat.ask("Count.", think_tags=False))

        assert chat.continue_(think_tags=False).text == "<think>ab</think>One"
        assert parrot.asked[1][0][-2] == {"role": "assistant", "content": "<think>a"}


class TestBlankMessages:
    @pytest.mark.parametrize("blank", ["", "\n\n", " ", "<think>hmm</think>\n", "<think>hmm"])
    def test_a_turn_without_an_answer_is_not_sent(self, chat, parrot, blank):
        parrot.says[:] = ["one", blank, "two"]

        for prompt in "abc":
            list(chat.ask(prompt))

        assert [message["content"] for message in parrot.asked[2][0]] == ["a", "one", "c"]
        assert [turn.prompt for turn in chat.turns] == ["a", "b", "c"]

    @pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
    def test_a_blank_system_prompt_is_not_sent_and_makes_no_other_request(self, chat, parrot, blank):
        parrot.says[:] = ["one"]

        list(chat.ask("a", system=blank))

        assert parrot.asked[0][0] == [{"role": "user", "content": "a"}]
        assert chat.preview("a", system=blank, history=False).key == chat.preview("a", history=False).key

    def test_there_is_nothing_to_go_on_with_behind_a_blank_reply(self, chat, parrot):
        parrot.says[:] = ["\n\n"]
        list(chat.ask("a"))

        with pytest.raises(PromptError, match="no reply to go on with"):
            chat.continue_()


def test_what_a_conversation_is_made_with_is_set_for_it_everywhere(parrot):
    parrot.says[:] = ["one", "two"]
    chat = Conversation("pirates", system="Talk like a pirate.", params={})

    list(chat.ask("hi"))
    list(Conversation("pirates").ask("again"))

    assert [messages[0]["content"] for messages, _given in parrot.asked] == ["Talk like a pirate."] * 2
    with pytest.raises(SettingError, match="no setting 'sytem'; did you mean system"):
        Conversation("pirates", sytem="x")


def test_parameters_given_with_the_conversation_go_with_each_prompt():
    chat = Conversation(model="echo", params={"fail_after": 1})

    with pytest.raises(ProviderError, match="after 1 chunks"):
        list(chat.ask("two words"))
    assert chat.ask("two words", params={"fail_after": 9}).text == "two words"


def test_ask_asks_in_the_main_conversation(parrot):
    parrot.says[:] = ['{"n": 3}']

    assert ask("How many?", schema=Count).data == Count(3)
    assert [turn.prompt for turn in Conversation().turns] == ["How many?"]


def test_a_conversation_shows_its_transcript(chat, parrot):
    parrot.says[:] = ["Three."]
    list(chat.ask("How many?"))

    bundle = chat._repr_mimebundle_(include=None, exclude=None)

    assert "How many?" in bundle["text/plain"]
    assert "Three." in bundle["text/markdown"]
    assert repr(chat) == "<Conversation 'main', 1 turn>"


URL = "data:image/png;base64,AAAA"
WEB = "https://example.org/a.png"


class Seeing(Parrot):
    """One that takes images."""

    supports_images = True


class TestImages:
    PNG = b"\x89PNG\r\n\x1a\nrest"

    @pytest.fixture
    def seeing(self, parrot, monkeypatch) -> type[Parrot]:
        """The same, which takes images; one that is called ``blind`` does not."""
        kinds = {"": Seeing, "parrot:grey": Seeing, "blind": Parrot}
        monkeypatch.setattr(
            "flowgpt_magic.replies.resolved.find_target", lambda name, _others: Target("parrot", kinds[name], "grey")
        )
        return parrot

    def test_they_go_along_are_kept_and_go_along_again_with_later_prompts(self, chat, seeing):
        seeing.says[:] = ["a cat", "black"]
        list(chat.ask("What is it?", images=[self.PNG]))

        list(chat.ask("Its colour?"))

        url = chat.turns[0].images[0]
        assert url.startswith("data:image/png;base64,")
        assert seeing.asked[0][0] == [{"role": "user", "content": "What is it?", "images": [url]}]
        assert [message.get("images") for message in seeing.asked[1][0]] == [[url], None, None]

    def test_they_are_in_the_file_too(self, seeing, tmp_path, monkeypatch):
        monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
        seeing.says[:] = ["a cat"]
        list(Conversation(configured=dict).ask("What is it?", images=self.PNG))
        close_all()

        history = History(tmp_path / "history.sqlite3")
        (hit,) = history.search("cat")
        history.close()

        assert hit.turn.images[0].startswith("data:image/png;base64,")

    def test_asked_again_they_go_along_where_they_can(self, chat, seeing):
        seeing.says[:] = ["a cat", "a dog", "nothing"]
        list(chat.ask("What is it?", images=[self.PNG]))

        list(chat.retry())
        list(chat.retry(model="blind"))

        assert [bool(asked[-1].get("images")) for asked, _given in seeing.asked] == [True, True, False]

    def test_a_provider_without_eyes_is_told_that_there_were_some(self, chat, seeing):
        seeing.says[:] = ["a cat", "what?"]
        list(chat.ask("What is it?", images=[self.PNG]))

        list(chat.ask("And now?", model="blind"))

        assert seeing.asked[1][0][0] == {"role": "user", "content": "What is it?\n\n[1 image]"}

    def test_a_prompt_with_an_image_is_refused_where_none_is_taken(self, chat, seeing):
        with pytest.raises(OptionError, match="parrot takes no images"):
            chat.ask("What is it?", images=[self.PNG], model="blind")

    def test_those_in_the_parts_of_messages_go_along_are_kept_and_go_along_again(self, chat, seeing):
        seeing.says[:] = ["one", "two", "three"]
        parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": URL}}]
        earlier = [{"role": "user", "content": parts}, {"role": "assistant", "content": "A dot."}]

        list(chat.ask([*earlier, {"role": "user", "content": [*parts, {"type": "image_url", "image_url": WEB}]}]))
        list(chat.retry())
        list(chat.ask("And?"))

        first = {"role": "user", "content": "What?", "images": [URL]}
        last = {"role": "user", "content": "What?", "images": [URL, WEB]}
        sent = [messages for messages, *_ in seeing.asked]
        assert sent[0] == sent[1] == [first, earlier[1], last]
        assert sent[2][:1] == [last]
        assert chat.turns[0].images == (URL, WEB)

    def test_an_image_without_words_can_be_asked_about_and_asked_again(self, chat, seeing):
        seeing.says[:] = ["one", "two"]

        list(chat.ask([{"role": "user", "content": [{"type": "image_url", "image_url": URL}]}]))
        list(chat.retry())

        assert seeing.asked[0][0] == seeing.asked[1][0] == [{"role": "user", "content": "", "images": [URL]}]

    @pytest.mark.parametrize("place", [0, 2])
    def test_one_in_the_parts_of_any_message_is_refused_where_none_is_taken(self, chat, parrot, place):
        messages: list[dict[str, Any]] = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
        messages[place]["content"] = [{"type": "image_url", "image_url": URL}]

        with pytest.raises(OptionError, match="parrot takes no images"):
            chat.ask(messages)
        with pytest.raises(PromptError, match="prompt 0: it has an image, but the model takes none"):
            chat.map([messages])

    def test_those_of_a_batch_go_along_with_their_own_prompt(self, chat, seeing):
        seeing.says[:] = ["one", "two"]
        asked = [
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": URL}]}],
            "b",
        ]

        list(chat.map(asked, concurrency=1, progress=False))

        assert [messages for messages, *_ in seeing.asked] == [
            [{"role": "user", "content": "a", "images": [URL]}],
            [{"role": "user", "content": "b"}],
        ]

    def test_another_image_is_another_request(self, chat, seeing):
        seeing.says[:] = ["a cat", "a dog"]
        list(chat.ask("What is it?", images=[self.PNG], cache=True))
        chat.clear()

        assert chat.ask("What is it?", images=[self.PNG + b"!"], cache=True).text == "a dog"


class TestReasoningOverHttp:
    def conversation(self, server: Any) -> Conversation:
        return Conversation(configured=lambda: {"model": "openai_compatible:m", "openai_base_url": f"{server.url}/v1"})

    def test_a_server_that_reasons_for_ever_is_stopped_and_its_reasoning_is_in_the_turn(self):
        async def endless(request: Request, connection: Connection) -> None:
            await connection.send(STREAM)
            with suppress(ConnectionError):
                while True:
                    await connection.send(framed(chunk(reasoning_content="hm ") * 50))
                    await asyncio.sleep(0.01)

        with background(endless) as server:
            chat = self.conversation(server)
            reply = chat.ask("Is 91 prime?")
            reader = reply.open(reasoning=True)
            while len(reply.reasoning_so_far) < 1000:
                reader.take(30)
            assert reply.reasons
            reply.cancel()

        assert (reply.text, reply.status, reply.reasons) == ("", "cancelled", False)
        assert chat.turns[-1].extras.reasoning == reply.reasoning
        assert len(reply.reasoning) >= 1000
        assert reply.usage.reasoning_seconds is not None

    @pytest.mark.parametrize("words", [("<think>", "hm", "</think>\n\n", "yes"), ("hm", "\n</think>", "\n\n", "yes")])
    def test_tags_of_a_server_are_told_apart_and_the_next_request_has_the_answer_only(self, words):
        with background(streaming(whole_reply(*words))) as server:
            chat = self.conversation(server)
            reply = chat.ask("Sure?")

            assert (reply.text, reply.reasoning) == ("yes", "hm")
            assert chat.ask("And now?").text == "yes"
            assert "hm" not in str(server.requests[1].json["messages"])

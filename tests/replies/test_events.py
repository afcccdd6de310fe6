"""The events of a reply are all that happens to it, in order, for every reader, in both kinds of loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from flowgpt_magic.errors import ProviderError
from flowgpt_magic.messages import NewAttempt, NewSplit, Reasoning, Usage, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.events import NoticeEvent, ReasoningEvent, ReplyEvent, TextEvent
from flowgpt_magic.replies.reply import Reply
from tests.replies.scripted import END, Script, ask

EXTRAS = Extras(request_id="r")


def saying(*items: Any) -> Reply:
    async def source() -> AsyncGenerator[Any, None]:
        for item in items:
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, NoticeEvent):
                notice(item.text)
            else:
                yield item

    return ask(source)


def plain(events: list[ReplyEvent]) -> list[Any]:
    """The events, with ``Usage`` in the place of each usage: its times differ."""
    return [Usage if isinstance(event, Usage) else event for event in events]


ITEMS = (Reasoning("two"), "fo", NoticeEvent("slow"), "ur", "", Extras(), EXTRAS, Usage(1, 2))
EVENTS = [ReasoningEvent("two"), TextEvent("fo"), NoticeEvent("slow"), TextEvent("ur"), EXTRAS, Usage]


async def test_they_come_in_order_in_both_kinds_of_loops_and_to_those_who_come_late():
    reply = saying(*ITEMS)

    first = [event async for event in reply.events()]
    late = list(reply.events())
    twice = reply.events()

    assert plain(first) == plain(late) == EVENTS
    assert list(twice) == list(twice) == late
    assert isinstance(first[-1], Usage)
    assert (first[-1].prompt_tokens, first[-1].seconds) == (1, reply.usage.seconds)


def test_they_come_while_the_reply_arrives():
    reply = ask(script := Script(Reasoning("hm")))
    events = iter(reply.events())
    assert next(events) == ReasoningEvent("hm")
    script.say("a", END)

    assert plain(list(events)) == [TextEvent("a"), Usage]


def test_a_discarded_attempt_has_its_usage_and_the_reason_among_them():
    reply = saying("one", Usage(1, 2), NewAttempt("no number"), "1")

    assert plain(list(reply.events())) == [TextEvent("one"), Usage, NewAttempt("no number"), TextEvent("1"), Usage]
    assert next(event for event in reply.events() if isinstance(event, Usage)).completion_tokens == 2


def test_a_correction_is_an_event():
    reply = saying("hm", NewSplit("hm", ""), "a")

    assert plain(list(reply.events())) == [TextEvent("hm"), NewSplit("hm", ""), TextEvent("a"), Usage]
    assert (reply.text, reply.reasoning) == ("a", "hm")


def test_a_notice_from_before_the_request_is_the_first():
    reply = saying("a")
    reply.notices.append("2 older turns left out")

    assert next(iter(reply.events())) == NoticeEvent("2 older turns left out")


def test_the_error_of_a_failed_reply_is_raised_after_the_last_event():
    reply, events = saying("a", ProviderError("down")), list[Any]()

    def read() -> None:
        for event in reply.events():
            events.append(event)

    with pytest.raises(ProviderError, match="down"):
        read()
    assert plain(events) == [TextEvent("a"), Usage]


def test_a_loop_over_them_that_is_left_cancels_the_reply():
    reply = ask(Script("a"))
    for _event in reply.events():
        break

    assert reply.status == "cancelled"


@pytest.mark.parametrize("thing", [b"bytes", {"a": 1}, None, 5])
def test_what_is_no_chunk_is_one_error_that_names_the_provider_and_its_type(thing):
    reply = saying("a", thing)

    with pytest.raises(Exception, match=f"^test sent {type(thing).__name__} where text was expected"):
        _text = reply.text
    assert reply.text_so_far == "a"

"""How earlier messages reach the plug-ins of llm, as far as that can be seen without llm."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flowgpt_magic.providers.llm_messages import PendingResponse, WatchedResponses, _pairs


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("turns", "pairs"),
    [
        ([], []),
        ([message("user", "a")], [("a", "")]),
        ([message("user", "a"), message("assistant", "b"), message("user", "c")], [("a", "b"), ("c", "")]),
        ([message("user", "a"), message("user", "b"), message("assistant", "c")], [("a\n\nb", "c")]),
        ([message("user", "a"), message("assistant", "b"), message("assistant", "c")], [("a", "b\n\nc")]),
        ([message("assistant", "a"), message("user", "b")], [("", "a"), ("b", "")]),
    ],
)
def test_prompts_and_replies_are_paired_and_consecutive_ones_are_joined(turns, pairs):
    assert _pairs(turns) == pairs


@pytest.mark.parametrize("read", [list, lambda responses: responses[-1], lambda responses: list(reversed(responses))])
def test_every_way_to_read_the_responses_is_noticed(read):
    responses = WatchedResponses(["one", "two"])
    assert len(responses) == 2
    assert not responses.was_read

    read(responses)

    assert responses.was_read


@pytest.mark.parametrize(
    ("prompt_was_read", "responses_were_read", "dropped", "unread"),
    [
        (False, False, False, 3),
        (True, False, False, 0),
        (False, True, False, 0),
        (True, True, True, 3),
    ],
)
def test_all_earlier_messages_are_unread_or_none(prompt_was_read, responses_were_read, dropped, unread):
    response = SimpleNamespace(prompt=SimpleNamespace(was_read=prompt_was_read))
    responses = WatchedResponses()
    responses.was_read = responses_were_read

    assert PendingResponse(response, 3, dropped, responses).unread == unread

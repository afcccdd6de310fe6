"""What servers send beside the text of a reply, in each of its places."""

from __future__ import annotations

from typing import Any

import pytest

from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.providers.openai.extras import ExtrasCollector

A, B = "https://a.example/1", "https://b.example/2"


def of_chunks(*chunks: dict[str, Any]) -> Extras:
    collected = ExtrasCollector()
    for chunk in chunks:
        collected.add_chunk(chunk)
    return collected.extras()


def of_deltas(*deltas: dict[str, Any]) -> Extras:
    collected = ExtrasCollector()
    for delta in deltas:
        collected.add_delta(delta)
    return collected.extras()


@pytest.mark.parametrize(
    "chunk",
    [
        {"citations": [A, B]},
        {"citations": [{"url": A}, {"url": B}]},
        {"search_results": [{"url": A, "date": "2026-01-01"}, {"url": B}]},
        {"web_search": [{"link": A, "content": "x"}, {"link": B}]},
        {"sources": [{"document": {"url": A}}, {"web": {"uri": B}}]},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": A}}, {"type": "url_citation", "url": B}]},
    ],
)
def test_sources_are_found_in_each_of_their_shapes_wherever_they_stand(chunk):
    expected = (Citation(A), Citation(B))

    assert of_chunks(chunk).citations == expected
    assert of_deltas(chunk).citations == expected
    assert of_chunks(chunk, chunk, {"citations": [B, A]}).citations == expected


def test_a_title_that_comes_later_belongs_to_its_address():
    later = {"search_results": [{"url": A, "title": "First", "snippet": "s"}]}

    extras = of_chunks({"citations": [A, B]}, later)

    assert extras.citations == (Citation(A, "First"), Citation(B))
    assert dict(extras.others)["search_results"] == later["search_results"]


def test_a_source_without_an_address_is_its_title():
    extras = of_deltas({"annotations": [{"file_citation": {"filename": "report.pdf", "file_id": "f"}}]})

    assert extras.citations == (Citation("", "report.pdf"),)


def test_sentences_in_unknown_fields_are_kept_and_ids_are_not():
    of_delta = of_deltas({"summary": "It was ", "item_id": "rs_1"}, {"summary": "long.", "item_id": "rs_1"})
    of_chunk = of_chunks(*[{"warning": "this model goes away", "request": "x1"}] * 2)

    assert of_delta.others == (("summary", "It was long."),)
    assert of_chunk.others == (("warning", "this model goes away"),)
    assert of_deltas({"audio_content": "ff" * 200}).others


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "a"}, {"reasoning_content": "b"}],
        [{"reasoning": "a"}, {"thinking": "b"}],
        [{"reasoning": "a", "reasoning_content": "a"}, {"reasoning": "b", "reasoning_content": "b"}],
        [{"reasoning_details": [{"type": "reasoning.text", "text": "a"}, {"summary": "b"}]}],
        [{"reasoning": "ab", "reasoning_details": [{"text": "ab"}]}],
        [{"reasoning": {"content": "a"}}, {"reasoning_content": [{"text": "b"}]}],
    ],
)
def test_reasoning_is_kept_once(deltas):
    assert of_deltas(*deltas).reasoning == "ab"


def test_a_part_that_thinks_is_reasoning():
    collected = ExtrasCollector()

    assert collected.add_part({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}) == ""
    assert collected.extras().reasoning == "hm"


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"image_url": "data:image/png;base64,AA=="},
        {"url": "data:image/png;base64,AA=="},
        {"b64_json": "AA=="},
        "data:image/png;base64,AA==",
    ],
)
def test_an_image_is_kept_as_its_address(image):
    assert of_deltas({"images": [image]}, {"images": [image]}).images == ("data:image/png;base64,AA==",)
    collected = ExtrasCollector()
    if isinstance(image, dict):
        assert collected.add_part({"type": "image_url", **image}) == ""
        assert collected.extras().images == ("data:image/png;base64,AA==",)


def test_audio_is_put_together():
    extras = of_deltas(
        {"audio": {"id": "a1", "transcript": "Hel"}},
        {"audio": {"id": "a1", "data": "AA"}},
        {"audio": {"data": "BB", "transcript": "lo"}},
        {"audio": {"id": "a1", "expires_at": 7}},
    )

    assert extras.audio == ({"id": "a1", "transcript": "Hello", "data": "AABB", "expires_at": 7},)


def test_calls_of_tools_are_put_together():
    collected = ExtrasCollector()
    for call in (
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "look_up", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"q": '}},
        {"index": 1, "id": "c2", "function": {"name": "add", "arguments": {"a": 1}}},
        {"index": 0, "function": {"arguments": "1}"}},
    ):
        collected.add_delta({"tool_calls": [call]})
    collected.add_delta({"function_call": {"name": "old"}})

    assert collected.tool_names == ["look_up", "add", "old"]
    assert collected.extras().tool_calls[:2] == (
        {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": 1}'}},
        {"id": "c2", "function": {"name": "add", "arguments": {"a": 1}}},
    )


def test_log_probabilities_are_an_object_for_each_token_also_in_the_older_shape():
    collected = ExtrasCollector()
    collected.add_choice({"logprobs": {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}]}})
    collected.add_choice({"logprobs": {"tokens": ["b"], "token_logprobs": [-1.5]}})
    collected.add_choice({"logprobs": None})

    assert collected.extras().logprobs == (
        {"token": "a", "logprob": -0.5, "top_logprobs": []},
        {"token": "b", "logprob": -1.5},
    )


def test_fields_that_nobody_knows_are_kept_with_their_names():
    collected = ExtrasCollector()
    collected.add_chunk({"related_questions": ["why?"], "speed": 7, "note": "x", "id": "1", "empty": []})
    collected.add_chunk({"related_questions": ["why?", "how?"]})
    collected.add_choice({"grounding_metadata": {"queries": ["q"]}})
    assert collected.add_part({"type": "video", "video": {"url": A}}) == ""

    assert dict(collected.extras().others) == {
        "related_questions": ["why?", "how?"],
        "grounding_metadata": {"queries": ["q"]},
        "content of type video": [{"type": "video", "video": {"url": A}}],
    }


def test_what_every_reply_has_is_nothing_beside_the_text():
    collected = ExtrasCollector()
    collected.add_chunk({"id": "1", "object": "x", "created": 1, "model": "m", "choices": [], "usage": {"a": 1}})
    collected.add_choice({"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": {"hate": {}}})
    collected.add_delta({"role": "assistant", "content": "a", "tool_calls": None, "provider_specific_fields": {"a": 1}})

    assert not collected.extras()


@pytest.mark.parametrize(("length", "is_kept"), [(200, False), (201, True)])
def test_a_long_text_without_spaces_in_an_unknown_field_is_kept(length, is_kept):
    others = dict(of_chunks({"mood": "x" * length}).others)

    assert ("mood" in others) is is_kept

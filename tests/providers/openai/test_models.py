"""The models of a server, in each shape of a list."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.errors import AuthenticationError, FlowGptError, ProtocolError, ProviderError
from flowgpt_magic.providers.base import ListedModel
from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route
from flowgpt_magic.providers.openai.models import listed_models

PEER = Endpoint(URL("http://127.0.0.1:1234/v1/models"), Proxy(), Route())
ROOT = Endpoint(URL("http://127.0.0.1:1234/models"), Proxy(), Route())


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}', ["a", "b"]),
        (b'[{"id": "a"}, {"name": "b"}]', ["a", "b"]),
        (b'\xef\xbb\xbf\n[{"id": "a"}]', ["a"]),
        (b'["a", "b"]', ["a", "b"]),
        (b'{"models": [{"name": "a"}, "b", {"id": 7}, {}, null]}', ["a", "b"]),
        (b'{"data": []}', []),
        (b'{"object": "list", "data": null}', []),
        (b'{"models": null}', []),
        (b'{"data": {"models": [{"id": "a"}]}}', ["a"]),
        (
            b'{"result": [{"id": "7f9ca4f8-7a1f-4c8b-9f5e-2f6c5d4b3a21", "name": "@cf/meta/llama"}], "success": true}',
            ["@cf/meta/llama"],
        ),
        (b'[{"id": "azureml://registries/azure-openai/models/gpt-4o/versions/2", "name": "gpt-4o"}]', ["gpt-4o"]),
        (b'{"data": [{"id": "https://host.example/m"}]}', ["https://host.example/m"]),
        (
            b'{"data": [{"id": "models/gemini-2.5-flash"}, {"id": "accounts/x/models/y"}]}',
            ["models/gemini-2.5-flash", "accounts/x/models/y"],
        ),
    ],
)
def test_the_names_of_models_are_found_in_each_shape_of_a_list(content, names):
    assert listed_models(content, PEER) == names


@pytest.mark.parametrize(
    ("entry", "length"),
    [
        ({"max_model_len": 8192}, 8192),
        ({"context_length": 131072}, 131072),
        ({"context_window": 32768}, 32768),
        ({"max_context_length": 32768, "loaded_context_length": 4096}, 4096),
        ({"meta": {"n_ctx_train": 4096, "n_vocab": 32000}}, 4096),
        ({"meta": {"n_ctx_train": 32768, "n_ctx": 2048}}, 2048),
        ({"top_provider": {"context_length": 64000}}, 64000),
        ({"limits": {"max_input_tokens": 131072}}, 131072),
        ({"max_model_len": None}, None),
        ({"max_model_len": True}, None),
        ({"context_length": "many"}, None),
        ({"meta": None}, None),
        ({}, None),
    ],
)
def test_how_many_tokens_a_model_sees_is_read_where_it_is_told(entry, length):
    (model,) = listed_models(json.dumps({"data": [{"id": "a", **entry}]}).encode(), PEER)

    assert (model, model.context_length) == ("a", length)


def test_a_listed_model_is_its_name_and_keeps_its_length_in_copies():
    model = ListedModel("a", 8192)

    for same in (copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert (same, same.context_length) == ("a", 8192)


@pytest.mark.parametrize("content", [b"{}", b'{"data": "a"}', b'{"models": {"a": 1}}', b"null", b"x"])
def test_what_is_no_list_of_models_is_quoted(content):
    with pytest.raises(ProtocolError, match="the server sent"):
        listed_models(content, PEER)


def test_a_failure_in_the_place_of_a_list_is_told_in_its_words_and_with_what_the_address_misses():
    report = b'{"error": "Unexpected endpoint or method. (GET /models)"}'
    with pytest.raises(ProviderError, match=r"Unexpected endpoint .* probably misses /v1"):
        listed_models(report, ROOT)
    with pytest.raises(
        ProviderError, match=r"Unexpected endpoint .* Is http://127\.0\.0\.1:1234/v1 the right base URL"
    ):
        listed_models(report, PEER)
    with pytest.raises(AuthenticationError, match="no key"):
        listed_models(b'{"code": 401, "message": "no key"}', PEER)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "models", "id", "name", "meta", "n_ctx", "error"]), inner, max_size=3
        )
    ),
    max_leaves=9,
)


@given(JSON)
def test_any_json_is_a_list_or_an_error_of_ours(found):
    try:
        models = listed_models(json.dumps(found).encode(), PEER)
    except FlowGptError:
        return
    assert all(isinstance(model, ListedModel) and model for model in models)

"""What servers of the OpenAI protocol refuse, in the words that they use for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    FlowGptError,
    ImagesRefusedError,
    ModelNotFoundError,
    ModelNotSupportedError,
    ParameterRefusedError,
    PermissionDeniedError,
    ProviderError,
    ProviderStatusError,
    QuotaError,
    RateLimitError,
    SchemaNotSupportedError,
)
from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route
from flowgpt_magic.providers.openai.errors import ErrorMapper, RefusedFieldError

SCHEMA = {"type": "json_schema", "json_schema": {"name": "reply", "schema": {}}}
BODY = {"model": "llama9", "stream": True, "stream_options": {}, "max_tokens": 5, "response_format": SCHEMA}
UNAUTHORIZED = "The key came from the environment variable MY_KEY."


def endpoint(url: str = "https://host.example/v1/chat/completions") -> Endpoint:
    return Endpoint(URL(url), Proxy(), Route(unauthorized=UNAUTHORIZED, token="a-key"))


def refused(status: int, report: Any, body: dict[str, Any] = BODY, **headers: str) -> ProviderError:
    content = report if isinstance(report, bytes) else json.dumps(report).encode()
    return ErrorMapper(body).for_status(status, headers, content, endpoint())


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "report"),
    [
        (404, error("The model `llama9` does not exist or you do not have access to it.", code="model_not_found")),
        (404, error('model "llama9" not found, try pulling it first', type="not_found_error")),
        (404, {"object": "error", "message": "The model `llama9` does not exist.", "code": 404}),
        (400, error("/chat/completions: Invalid model name passed in model=llama9. Call `/v1/models`", code="400")),
        (400, error("llama9 is not a valid model ID", code=400)),
        (400, {"object": "error", "message": "Invalid model: llama9", "type": "invalid_model", "code": "1500"}),
        (404, error("The API deployment for this resource does not exist.", code="DeploymentNotFound")),
        (422, {"detail": "Model llama9 is not supported"}),
    ],
)
def test_a_model_the_server_does_not_have_is_told_with_the_way_to_list_them(status, report):
    found = refused(status, report)

    assert type(found) is ModelNotFoundError
    assert isinstance(found, (ModelNotSupportedError))
    assert found.status == status
    assert str(found).startswith(f"host.example answered {status}: ")
    assert str(found).endswith("%flowgpt models openai_compatible lists its models.")


@pytest.mark.parametrize(
    ("status", "report"),
    [
        (
            400,
            error(
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
                code="context_length_exceeded",
            ),
        ),
        (400, error("request (6031 tokens) exceeds the available context size", type="exceed_context_size_error")),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}),
        (400, error("litellm.ContextWindowExceededError: prompt is too long: 210000 tokens > 200000 maximum")),
        (413, error("Please reduce the length of the messages or completion.")),
        (500, error("the input exceeds the model's context of 2048 tokens")),
    ],
)
def test_a_prompt_that_is_too_long_is_told_with_what_makes_it_shorter(status, report):
    found = refused(status, report)

    assert type(found) is ContextLengthError
    assert "history_tokens" in str(found)


@pytest.mark.parametrize(
    ("status", "report"),
    [
        (
            429,
            error(
                "You exceeded your current quota, please check your plan.",
                type="insufficient_quota",
                code="insufficient_quota",
            ),
        ),
        (402, error("Insufficient credits. Add more", code=402)),
        (402, error("Insufficient Balance", type="unknown_error")),
    ],
)
def test_a_quota_that_is_used_up_is_told_apart_from_too_many_requests(status, report):
    found = refused(status, report)

    assert type(found) is QuotaError
    assert isinstance(found, RateLimitError)
    assert "waiting does not help" in str(found)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"Retry-After": "7"}, 7), ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5)],
)
def test_too_many_requests_say_how_long_to_wait(headers, seconds):
    found = refused(429, error("Rate limit reached for llama9: 3 / min", code="rate_limit_exceeded"), **headers)

    assert type(found) is RateLimitError
    assert found.retry_after == seconds
    assert "Rate limit reached" in str(found)


@pytest.mark.parametrize(
    "words",
    [
        "Incorrect API key provided: sk-proj-abc*****wxyz. You can find yours at https://platform.openai.com.",
        "Received API Key = sk-...wxyz, which is none",
        "Invalid key: sk-pr…wxyz",
        "key '********wxyz' is wrong",
    ],
)
def test_a_wrong_key_is_told_by_the_name_of_its_variable_and_not_even_its_ends_are_shown(words):
    found = refused(401, error(words))

    assert type(found) is AuthenticationError
    assert UNAUTHORIZED in str(found)
    assert "wxyz" not in str(found)
    assert "sk-" not in str(found)


def test_words_with_dots_in_them_stay_as_they_are():
    assert "Please wait... and see a.b.c" in str(refused(403, error("Please wait... and see a.b.c")))


def test_who_may_not_is_told_so():
    assert type(refused(403, error("You are not allowed to sample from this model"))) is PermissionDeniedError


@pytest.mark.parametrize(
    ("status", "report", "field"),
    [
        (400, error("Unrecognized request argument supplied: stream_options"), "stream_options"),
        (
            422,
            {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]},
            "stream_options",
        ),
        (
            422,
            {
                "object": "error",
                "message": {
                    "detail": [
                        {"type": "extra_forbidden", "loc": ["body", "stream_options", "include_usage"], "msg": "no"}
                    ]
                },
            },
            "stream_options",
        ),
        (400, error("Unsupported value", param="stream", code="unsupported_value"), "stream"),
        (
            400,
            error(
                "Unsupported parameter: 'max_tokens' does not go with this model. Use 'max_completion_tokens'.",
                param="max_tokens",
            ),
            "max_tokens",
        ),
    ],
)
def test_a_field_that_a_server_does_not_take_is_named(status, report, field):
    found = refused(status, report)

    assert isinstance(found, RefusedFieldError)
    assert (found.parameter, found.status) == (field, status)
    without = refused(status, report, {"model": "llama9"})
    assert type(without) is ProviderStatusError


@pytest.mark.parametrize(
    ("status", "report", "parameter"),
    [
        (400, error("max_tokens is too large: 200000. This model supports at most 16384 tokens"), "max_tokens"),
        (400, error("Unsupported value: 'temperature' does not support 0.2.", param="temperature"), "temperature"),
        (400, error("Unsupported parameter: 'temperature' is not supported with this model."), "temperature"),
        (400, error("`temperature` is deprecated for this model."), "temperature"),
        (400, error("litellm.UnsupportedParamsError: azure does not support parameters: {'top_k': 4}"), "top_k"),
        (400, error("temperature: range: -1..1", param="temperature"), "temperature"),
        (400, error("No.", param="logit_bias.17"), "logit_bias"),
        (422, {"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]}, "top_k"),
        (422, {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be less than 1"}]}, "temperature"),
        (400, {"object": "error", "message": "temperature must be non-negative, got -1", "code": 400}, "temperature"),
        (400, error("temperature: range: 0..1"), "temperature"),
        (400, error("max_tokens: 99999 > 8192, which is the most for this model"), "max_tokens"),
        (400, error("`temperature` may only be set to 1 when thinking is enabled."), "temperature"),
        (400, error("You may not specify temperature for reasoning models."), "temperature"),
        (400, error("this model has beta-limitations: temperature and n are fixed at 1"), "temperature"),
        (400, error("it has a maxOutputTokens value of 9 but the range is from 1 to 8"), "max_tokens"),
        (400, error("topK must be in the range [1, 40]"), "top_k"),
        (400, error("Failed to parse parameter top_k"), "top_k"),
        (400, error("temperature 参数非法"), "temperature"),
        (422, error("`inputs` tokens + `max_new_tokens` must be <= 4096"), "max_tokens"),
        (500, error("litellm.UnsupportedParamsError: mistral does not support parameters: ['top_k']"), "top_k"),
        (501, error("temperature is not implemented"), "temperature"),
    ],
)
def test_a_parameter_that_a_server_does_not_take_is_named(status, report, parameter):
    found = refused(status, report, BODY | {"temperature": 0.2, "top_k": 4, "logit_bias": {}})

    assert type(found) is ParameterRefusedError
    assert (found.parameter, found.status) == (parameter, status)


def test_of_several_parameters_that_are_named_the_first_one_is_meant():
    words = "temperature and top_k cannot both be set"

    found = refused(400, error(words), BODY | {"top_k": 4, "temperature": 0.2})

    assert found.parameter == "temperature"


@pytest.mark.parametrize(
    ("status", "report"),
    [
        (500, error("stream_options: something broke")),
        (400, error("Invalid 'messages[0].content': empty", param="messages[0].content")),
        (400, error("Unsupported parameter: 'seed'")),
        (400, error("the temperature in Oslo is 7 degrees")),
    ],
)
def test_what_is_said_of_no_parameter_of_the_request_is_the_error_of_its_status(status, report):
    assert type(refused(status, report, BODY | {"temperature": 0.2})) is ProviderStatusError


@pytest.mark.parametrize(
    ("status", "report"),
    [
        (400, error("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.")),
        (400, error("This response_format type is unavailable now")),
        (400, error("Unable to generate parser for this template: JSON schema error at #: unrecognized type")),
        (400, error("failed to parse grammar")),
        (422, {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]}),
        (404, error("No endpoints found that support structured outputs")),
    ],
)
def test_a_server_that_takes_no_schema_is_told_apart_where_one_was_sent(status, report):
    assert type(refused(status, report)) is SchemaNotSupportedError
    plain = {"model": "llama9", "response_format": {"type": "json_object"}}
    assert isinstance(refused(status, report, plain), ProviderStatusError)
    assert not isinstance(refused(status, report, plain), SchemaNotSupportedError)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://127.0.0.1:11434/chat/completions", "The base URL http://127.0.0.1:11434 probably misses /v1"),
        ("http://127.0.0.1:11434/models", "The base URL http://127.0.0.1:11434 probably misses /v1"),
        ("https://host.example/v1/chat/completions", "Is https://host.example/v1 the right base URL"),
    ],
)
@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("content", [b"404 page not found", b'{"error":{"message":"File Not Found","code":404}}', b""])
def test_an_address_with_nothing_there_is_told_with_what_it_probably_misses(url, advice, status, content):
    found = ErrorMapper(BODY).for_status(status, {}, content, endpoint(url))

    assert type(found) is ProviderStatusError
    assert advice in str(found)


def test_what_says_nothing_more_is_the_error_of_its_status():
    assert type(refused(500, error("boom"))) is ProviderStatusError
    assert str(refused(503, b"<html><body><h1>Service Unavailable</h1></body></html>")) == (
        "host.example answered 503: Service Unavailable."
    )
    assert "redirects" in str(refused(307, b"", Location="https://elsewhere/"))


# Inside a reply


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        (error("Provider returned error", code=502), ProviderStatusError),
        (error("slow down", code="429"), RateLimitError),
        (error("slow down", type="rate_limit_error"), RateLimitError),
        (error("none left", code="insufficient_quota"), QuotaError),
        (error("bad key", code="invalid_api_key"), AuthenticationError),
        (error("no", code=403), PermissionDeniedError),
        (error("too long", type="exceed_context_size_error", code=400), ContextLengthError),
        ({"object": "error", "message": "The model `llama9` does not exist.", "code": 404}, ModelNotFoundError),
        (error("boom", type="server_error"), ProviderStatusError),
        (error("boom"), ProviderError),
        ({"error": "boom"}, ProviderError),
        ({"message": "boom"}, ProviderError),
    ],
)
def test_a_failure_inside_a_reply_is_the_error_that_its_status_would_be(report, kind):
    found = ErrorMapper(BODY).for_report(report, endpoint())

    assert type(found) is kind
    assert str(found).startswith("host.example reports a failure: ")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "detail", "loc", "msg", "status"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.integers(400, 599), VALUES, st.booleans())
def test_any_report_is_some_error_of_ours(status, report, bare):
    content = b"" if bare else json.dumps(report).encode()

    found = ErrorMapper(BODY).for_status(status, {}, content, endpoint())

    assert isinstance(found, FlowGptError)
    assert str(found)
    if isinstance(report, dict):
        assert isinstance(ErrorMapper(BODY).for_report(report, endpoint()), ProviderError)


# What can be done about it


@pytest.mark.parametrize(
    ("status", "report"),
    [
        (
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": "API key not valid. Please pass a valid API key.",
                        "status": "INVALID_ARGUMENT",
                        "details": [{"reason": "API_KEY_INVALID"}],
                    }
                }
            ],
        ),
        (400, error("Invalid API key provided")),
        (403, error("invalid api-key")),
        (403, {"code": "InvalidApiKey", "message": "refused"}),
        (422, {"detail": "Missing API key"}),
    ],
)
def test_a_wrong_key_is_one_whatever_the_status(status, report):
    found = refused(status, report)

    assert type(found) is AuthenticationError
    assert found.status == status
    assert str(found).endswith(UNAUTHORIZED)


@pytest.mark.parametrize(
    "words",
    [
        "Model Not Exist",
        "The model `llama9` has been decommissioned and is no longer supported.",
        "Unable to access model llama9. Please visit the list of supported models.",
        "Model llama9 not found, inaccessible, and/or not deployed",
        "No models loaded. Please load a model in the developer page or use the CLI.",
        'Invalid model identifier "llama9". Please specify a valid downloaded model.',
        "There are no healthy deployments for this model: llama9",
        "litellm.BadRequestError: LLM Provider NOT provided. You passed model=llama9",
        "No endpoints found for llama9.",
        "models/llama9 is not found for API version v1main, or is not supported for generateContent.",
        "model: llama9",
        "Unknown model: llama9",
        "No such model llama9 or task",
        "The provided model identifier is invalid.",
        "Could not find the model llama9",
        "The requested model 'llama9' is not supported by any provider you have enabled.",
        "The model or endpoint llama9 does not exist or you do not have access to it.",
        "no router for requested model: llama9 was not found",
        "模型不存在",
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_a_wrong_model_is_recognised_by_the_words_of_each_server(status, words):
    assert type(refused(status, error(words))) is ModelNotFoundError


@pytest.mark.parametrize(
    "words",
    [
        "llama9 is pinned to a provider that is not available for this model",
        "No fixture matched the request for model llama9: not found",
        "no fixtures for the model llama9 exist; unknown model",
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_words_about_routes_and_mocks_are_no_wrong_model(status, words):
    assert not isinstance(refused(status, error(words)), ModelNotFoundError)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500, 503])
@pytest.mark.parametrize("alias", ["", "polly"])
def test_where_no_key_was_sent_an_error_says_so_once_if_a_key_may_help(status, alias):
    route = Route(unauthorized="No key was sent: set it", alias=alias)
    nobody = Endpoint(URL("https://host.example/v1/chat/completions"), Proxy(), route)

    def message(text: str) -> str:
        return str(ErrorMapper(BODY).for_status(status, {}, json.dumps(error(text)).encode(), nobody))

    assert message("no").count("No key was sent") == (status in (401, 403))
    assert message("Extraneous key [foo] is not permitted").count("No key was sent") == (status in (401, 403))
    for text in ("You didn't provide an API key", "Authentication required", "Please log in", "unauthorized"):
        assert message(text).count("No key was sent") == 1
    assert "No key was sent" not in str(refused(status, error("no")))
    too_long = json.dumps(error("maximum context length is 8 tokens")).encode()
    if status not in (401, 429):
        assert "No key was sent" not in str(ErrorMapper(BODY).for_status(status, {}, too_long, nobody))


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (error("maximum context length is 8192 tokens"), "(the model sees 8,192 tokens)"),
        (error("maximum context length is 131,072 tokens"), "(the model sees 131,072 tokens)"),
        (error("too long", type="exceed_context_size_error", n_ctx=4096), "(the model sees 4,096 tokens)"),
        (error("prompt is too long: 210000 tokens > 200000 maximum"), "(the model sees 200,000 tokens)"),
        (error("the context window is full"), "Shorten the prompt, or send fewer"),
    ],
)
def test_how_much_the_model_sees_is_told_where_the_server_says_so(report, said):
    assert said in str(refused(400, report))


@pytest.mark.parametrize(
    ("status", "report", "headers", "seconds"),
    [
        (429, error("Please try again in 7.66s."), {}, 7.66),
        (503, error("busy, retry after 20 seconds"), {}, 20),
        (500, b"wait 2 minutes", {}, 120),
        (429, [{"error": {"message": "no", "details": [{"retryDelay": "34s"}]}}], {}, 34),
        (402, error("none left, resets in 1h"), {}, 3600),
        (401, error("try again in 250ms"), {}, 0.25),
        (429, error("Please try again in 7.66s."), {"Retry-After": "3"}, 3),
    ],
)
def test_a_wait_is_read_from_the_header_the_body_or_the_words_of_any_status(status, report, headers, seconds):
    assert refused(status, report, **headers).retry_after == seconds


@pytest.mark.parametrize("words", ["no", "no.", "no..", "no ", "no?", "no!", "no. "])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 500, 503])
def test_an_error_ends_in_one_full_stop(status, words):
    for found in (refused(status, error(words)), ErrorMapper(BODY).for_report(error(words, code=status), endpoint())):
        assert str(found)[-1] in ".?!"
        assert ".." not in str(found)
        assert ". ." not in str(found)


@pytest.mark.parametrize(
    ("asked", "words"), [("3600", "3,600 s"), ("90", "90 s"), ("7.5", "7.5 s"), ("0.25", "0.25 s"), ("0", None)]
)
def test_a_wait_that_is_asked_for_stands_in_the_message(asked, words):
    message = str(refused(429, {"error": {"message": "slow down"}}, **{"Retry-After": asked}))

    assert ("it asks to wait" in message) == bool(words)
    assert f"slow down; it asks to wait {words}." in message or not words


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
PROMPT = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]}
SEEING = {"model": "llama9", "messages": [PROMPT], "stream": True}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "image input is not supported"),
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
        (400, "llama9 is not a multimodal model"),
        (400, "At most 0 image(s) may be provided in one request."),
        (400, "Invalid content type. image_url is only supported by certain models."),
        (404, "No endpoints found that support image input"),
        (400, "messages[0].content must be a string"),
        (422, "messages[1]: unknown variant `image_url`, expected `text` at line 1 column 52"),
        (400, "Model does not support images. Please use a model that does."),
        (500, "this model is missing data required for image input"),
        (400, "Image input is not enabled for this model"),
        (415, "images are not supported"),
    ],
)
def test_a_model_that_reads_text_only_refuses_images(status, text):
    found = refused(status, error(text), SEEING)

    assert type(found) is ImagesRefusedError
    assert (found.status, found.parameter) == (status, "images")
    assert type(refused(status, error(text), {**SEEING, "messages": []})) is not ImagesRefusedError


@pytest.mark.parametrize(
    "text",
    [
        "You uploaded an unsupported image. Please make sure your image has one of these formats: png, jpeg",
        "Image format not supported",
        "The image is too large",
        "Could not process image",
        "unsupported parameter: top_k",
    ],
)
def test_an_image_that_is_itself_at_fault_does_not_mean_that_the_model_reads_text_only(text):
    assert type(refused(400, error(text), SEEING)) is not ImagesRefusedError

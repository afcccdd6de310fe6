"""What servers report in JSON: is it a failure, which status does it name, and what does it say?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.providers.failure_reports import failure_text, reported_status, reports_failure
from flowgpt_magic.providers.wait_times import requested_wait


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"code": 500}, "code 500"),
        ({"success": False}, "it does not say why"),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, "login fail"),
        ({"errors": [{"code": 7003, "message": "no route"}], "success": False}, "no route"),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "slow down"}}},
            "Provider returned error: slow down",
        ),
        ({"error": {"message": "no", "metadata": {"raw": '{"error": {"message": "really no"}}'}}}, "no: really no"),
        ({"error": {"message": '{"error": {"code": 400, "message": "API key not valid."}}'}}, "API key not valid."),
        ({"msg": "a\n b"}, "a b"),
        ({"type": "about:blank", "title": "Out of memory", "status": 500}, "Out of memory"),
    ],
)
def test_a_failure_is_told_in_its_own_words(report, words):
    assert failure_text(report) == words


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            {"statusCode": 429, "error": "Too Many Requests", "message": "slow down"},
            "429: Too Many Requests: slow down",
        ),
        ({"error": {"message": "no such model"}}, "no such model"),
        ({"message": ["one", "two"]}, "one, two"),
        ({"event": "error", "data": "busy"}, "busy"),
        ({"error": {"error": {"message": "deep"}}}, "deep"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "n"], "msg": "too many"}, {"msg": "and more"}]}, "body.n: too many, and more"),
        ({"message": {"detail": [{"loc": ["body"], "msg": "no"}]}}, "body: no"),
        ({"error": {"code": 7}}, "{'code': 7}"),
        ({"event": "error"}, "it does not say why"),
    ],
)
def test_a_report_of_a_failure_is_read_in_each_of_its_shapes(report: dict[str, object], text: str) -> None:
    assert failure_text(report) == text


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "code",
                    "status",
                    "message",
                    "detail",
                    "retryDelay",
                    "retry_after",
                    "metadata",
                    "raw",
                    "base_resp",
                    "success",
                    "errors",
                    "seconds",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["error", "code", "status", "message", "retry_after", "details"]), ANY), st.text()
)
def test_any_object_is_a_report_or_none(report, words):
    assert reports_failure(report) in (True, False)
    assert failure_text(report)
    assert requested_wait(report, words) is None or requested_wait(report, words) >= 0


@pytest.mark.parametrize(
    ("objects", "status"),
    [
        ([{"code": 399}, {"status": 400}], 400),
        ([{"statusCode": "599", "http_code": 503}], 599),
        ([{"code": 600}, {"code": 4290}, {"code": "42"}], None),
        ([{"code": True, "status": "failed"}, "429", None], None),
        ([{"error": {"code": 429}}], None),
    ],
)
def test_the_status_that_an_object_names(objects, status):
    assert reported_status(*objects) == status

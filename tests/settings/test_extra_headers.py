"""Headers of one's own: which may be set, and that no secret of them is written down anywhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import MissingKeyError, SettingError
from flowgpt_magic.settings.extra_headers import checked, joined, read

KEY = "xK9vQ2mB7nT4wZ8rL3pS6yD1hF5jG0aC"


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP-Referer": "https://example.com", "X-Title": "My notebook"},
        {"api-key": "$AZURE_KEY"},
        {"X-Authorization": "Bearer ${GATE_TOKEN}"},
        {"Cookie": "session=$SESSION"},
        {"User-Agent": "me/1.0"},
        {"x-portkey-provider": "openai"},
        {"X-Author": "Ada"},
        {"X-Limit": "5"},
    ],
)
def test_these_may_be_set(headers):
    assert checked(headers) == headers


def test_none_are_none_and_a_text_is_json():
    assert checked(None) is checked("") is checked(" ") is None
    assert checked('{"X-Title": "a"}') == {"X-Title": "a"}
    assert checked({"X-Limit": 5, "X-Title": None}) == {"X-Limit": "5", "X-Title": None}


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Authorization": "Bearer hunter2"}, "cannot set Authorization: the setting openai_key names the environment"),
        ({"authorization": "$KEY"}, "cannot set Authorization"),
        ({"Host": "hunter2"}, "cannot set Host, which the HTTP client sets itself"),
        ({"content-length": "5"}, "cannot set content-length"),
        ({"Transfer-Encoding": "chunked"}, "cannot set Transfer-Encoding"),
        ({"Accept-Encoding": "gzip"}, "cannot set Accept-Encoding"),
        ({"Proxy-Authorization": "hunter2"}, "cannot set Proxy-Authorization"),
        ({"api-key": "hunter2"}, "must set api-key to the name of the environment variable that holds its value"),
        ({"X-Api-Key": "hunter2"}, '{"X-Api-Key": "$MY_KEY"}'),
        ({"X-Secret": "hunter2"}, "not the value itself"),
        ({"Cookie": "a=hunter2"}, "not the value itself"),
        ({"X-Thing": KEY}, "not the value itself"),
        ({"X-Thing": f"Bearer {KEY}"}, "not the value itself"),
        ({"X-Key": "$$hunter2"}, "not the value itself"),
        ({"bad name": "hunter2"}, "must use valid header names"),
        ({"X: Y": "hunter2"}, "must use valid header names"),
        ({1: "hunter2"}, "must use valid header names"),
        ({"X-A": "hunter2\r\nX-B: c"}, "must set X-A to one line of printable ASCII characters"),
        ({"X-A": "hünter2"}, "printable ASCII"),
        ({"X-A": ""}, "must set X-A to one line"),
        ({"X-A": ["hunter2"]}, "must set X-A to one line"),
        ({"X-A": True}, "must set X-A to one line"),
        ({"X-A": "a", "x-a": "hunter2"}, "contains the header x-a twice"),
        (["hunter2"], "must be a table of header names and values"),
        ("hunter2", "must be a JSON object"),
    ],
)
def test_these_may_not_and_no_error_shows_a_value(headers, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        checked(headers)
    assert "hunter2" not in str(caught.value)
    assert KEY not in str(caught.value)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()) | st.text())
def test_whatever_is_taken_can_be_sent_on_one_line(headers):
    try:
        found = checked(headers)
    except ValueError:
        return
    sent, _secrets = read(found) if "$" not in str(found) else ({}, [])
    assert all(value.isascii() and value.isprintable() for value in sent.values())
    assert checked(found) == found


def test_a_variable_is_read_when_the_request_is_made(monkeypatch):
    monkeypatch.setenv("GATE", " hunter2 ")
    headers = {"X-Auth": "Bearer $GATE", "X-Price": "5 $$ or $5", "X-Both": "${GATE}!", "Gone": None}

    found, secrets = read(headers)

    assert found == {"X-Auth": "Bearer hunter2", "X-Price": "5 $ or $5", "X-Both": "hunter2!"}
    assert secrets == ["hunter2", "hunter2"]
    assert read(None) == ({}, [])


def test_a_variable_that_is_not_set_or_holds_no_header_is_named(monkeypatch):
    with pytest.raises(
        MissingKeyError, match="the header api-key has no value: the environment variable GATE is not set"
    ):
        read({"api-key": "$GATE"})
    monkeypatch.setenv("GATE", "hunter2\nX: y")
    with pytest.raises(SettingError, match="the environment variable GATE contains a character") as caught:
        read({"api-key": "$GATE"})
    assert "hunter2" not in str(caught.value)


def test_the_nearer_header_counts_in_small_letters_and_capitals():
    assert joined({"X-A": "1", "X-B": "2"}, {"x-a": "3", "X-C": None}) == {"X-B": "2", "x-a": "3", "X-C": None}

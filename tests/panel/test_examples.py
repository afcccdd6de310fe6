"""What an empty conversation offers to ask."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from flowgpt_magic.panel.examples import COUNT, GENERAL, examples


@pytest.fixture(autouse=True)
def no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("last_exc", "last_value"):
        monkeypatch.delattr(sys, name, raising=False)


def shell(**names: object) -> SimpleNamespace:
    return SimpleNamespace(user_ns={"In": [""], "quit": 1, **names}, user_ns_hidden={"quit": 1})


def test_they_name_what_the_session_has_the_newest_first(monkeypatch):
    def total(table: object) -> object:
        return table

    monkeypatch.setattr(sys, "last_value", ValueError("wrong"), raising=False)
    frame = pd.DataFrame({"a": [1]})

    offered = examples(shell(old=frame, sales=frame, total=total, numbers=[1, 2]))

    assert offered == [
        "Describe {sales}",
        "Why did this fail, and how do I fix it? {Err}",
        "Explain {total}, and write a test for it",
    ]


def test_without_variables_they_are_general(monkeypatch):
    assert examples(None) == examples(shell()) == list(GENERAL)


def test_secrets_and_private_names_are_not_offered():
    offered = examples(shell(api_key=["k"], _hidden=[1], fine=[1], empty=[]))

    assert offered == ["What stands out in {fine}?", *GENERAL][:COUNT]

"""The records of the history are values, and show no secret."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from tests.records import change_record, conversation_record, notebook_record, turn_record

NOTEBOOK = notebook_record()
CONVERSATION = conversation_record(
    NOTEBOOK, parameters={"api_key": "sk-verysecret"}, system="see https://ada:swordfish@host/a"
)


def test_a_conversation_shows_no_secret_of_its_parameters_and_texts():
    assert "verysecret" not in repr(CONVERSATION)
    assert "swordfish" not in repr(CONVERSATION)
    assert "@host/a" in repr(CONVERSATION)


@pytest.mark.parametrize(
    "record", [NOTEBOOK, CONVERSATION, turn_record(CONVERSATION), change_record(CONVERSATION)], ids=lambda it: type(it)
)
def test_a_record_never_changes(record):
    with pytest.raises(FrozenInstanceError):
        record.conversation_id = "another"

"""The collection is one, and what goes to outputs as Markdown is harmless for each of it too."""

from __future__ import annotations

import pytest

from flowgpt_magic.markdown.harmless import harmless
from tests.markdown.test_harmless import active_in
from tests.payloads import PAYLOADS
from tests.xss_payloads import CLASSES, NAMED


def test_the_collection_is_large_and_has_every_class():
    assert len(NAMED) >= 150
    assert len(set(NAMED.values())) == len(NAMED)
    assert len(set(NAMED.values()) - set(PAYLOADS)) >= 150
    assert all(len(payloads) >= 10 for payloads in CLASSES.values())


@pytest.mark.parametrize("payload", NAMED.values(), ids=NAMED)
def test_no_payload_becomes_active_in_an_output_wherever_it_is_cut(payload):
    for cut in range(0, len(payload) + 1, 1 + len(payload) // 400):
        assert not active_in(harmless(payload[:cut]))
        assert not active_in(harmless(payload[cut:]))

"""A provider behind the gateway that does what a test wants."""

from __future__ import annotations

import asyncio

import pytest

from flowgpt_magic.providers import registry
from tests.gateways import Script


@pytest.fixture
async def script(monkeypatch: pytest.MonkeyPatch) -> type[Script]:
    """A provider named ``script``, installed for this test."""

    class Point:
        value = "tests.gateways:Script"

        @staticmethod
        def load() -> type[Script]:
            return Script

    points = {**registry._entry_points(), "script": Point}
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    Script.steps, Script.calls = ["one ", "two"], []
    Script.started, Script.stopped, Script.go = asyncio.Event(), asyncio.Event(), asyncio.Event()
    return Script

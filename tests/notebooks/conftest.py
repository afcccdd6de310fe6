"""The embedded model, for the notebooks that ask it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models_on_disk import weights_on_disk


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The folder that holds the weights."""
    return weights_on_disk()

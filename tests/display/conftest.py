"""Shells of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.kernel_shell import KernelShell, shells


@pytest.fixture
def shell() -> Iterator[Any]:
    """A plain shell."""
    yield from shells(InteractiveShell)


@pytest.fixture
def kernel() -> Iterator[Any]:
    """The shell of a kernel."""
    yield from shells(KernelShell)

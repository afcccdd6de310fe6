"""The contract test of a provider, for its author to run: ``check_provider(MyProvider)``."""

from __future__ import annotations

from flowgpt_magic.testing.check import (
    ContractError,
    check_provider,
)

__all__ = ["ContractError", "check_provider"]

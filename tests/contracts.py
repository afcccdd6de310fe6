"""Providers that keep the contract or do not, and what the contract test says of them."""

from __future__ import annotations

import asyncio

import pytest

from flowgpt_magic.errors import ProviderError
from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.testing import ContractError, check_provider
from flowgpt_magic.testing.check import STAGES

POINTS = [point.__doc__ for stage in STAGES for point in stage]


async def good(cls, model, messages, proxy=None, temperature=0.7, *, fail=False, **kwargs):
    """A provider's method that keeps the contract."""
    cls.get_model(model)
    if fail:
        raise ProviderError("it was told to")
    for word in str(messages[-1]["content"]).split():
        await asyncio.sleep(0)
        yield word + " "
    yield Usage(completion_tokens=1)


def provider(method=good, *, bases=(AsyncGeneratorProvider, ProviderModelMixin), **members):
    """A provider class with this method and these attributes."""
    members = {"default_model": "m", "models": ["m"], "create_async_generator": classmethod(method), **members}
    return type("Theirs", bases, members)


def broken(found, **options) -> list[str]:
    """The points that this provider does not keep."""
    with pytest.raises(ContractError) as caught:
        check_provider(found, **{"failing": {"fail": True}, **options})
    assert str(caught.value).startswith(f"{getattr(found, '__name__', found)} violates the provider contract")
    return caught.value.violations


def the_broken(found, **options) -> str:
    """The one point that this provider does not keep."""
    (one,) = broken(found, **options)
    return one

"""Plug-ins for the tests of providers, installed as a package is: a module and its metadata."""

from __future__ import annotations

import pytest

from flowgpt_magic.providers import registry

PROVIDER = """
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin

class {name}(AsyncGeneratorProvider, ProviderModelMixin):
    default_model = "{default}"
    models = {models}
    model_aliases = {aliases}

    @classmethod
    async def create_async_generator(cls, model, messages, proxy=None, temperature=0.7, **kwargs):
        yield model
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plug-in: a module with its code, and the metadata that names its providers."""
    monkeypatch.syspath_prepend(tmp_path)

    def install_one(module: str, code: str, **points: str) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {module}:{target}" for name, target in points.items()]
        (metadata / "entry_points.txt").write_text("\n".join(["[flowgpt_magic.providers]", *lines]))
        registry._entry_points.cache_clear()

    yield install_one
    registry._entry_points.cache_clear()


@pytest.fixture
def parrot(install):
    """A plug-in with two models and an alias."""
    code = PROVIDER.format(name="Parrot", default="grey", models=["grey", "org/green:7b"], aliases={"ara": "grey"})
    install("flowgpt_parrot", code, parrot="Parrot")

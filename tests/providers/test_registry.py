"""The installed providers, built-in ones and plug-ins, and the models that they know."""

from __future__ import annotations

import pytest

from flowgpt_magic.errors import FlowGptWarning, ProviderNotFoundError
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.providers.models import find_model, is_model_name
from flowgpt_magic.providers.registry import find_provider, provider_names
from tests.providers.conftest import PROVIDER


def test_the_providers_of_this_package_are_found_like_any_other():
    assert {"echo", "flowgpt", "local", "openai_compatible"} <= set(provider_names())
    assert find_provider("echo") is Echo


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("import a_library_that_is_not_there", "Broken"),
        ("", "NotThere"),
    ],
)
def test_a_broken_plug_in_is_named_and_the_others_go_on(parrot, install, code, target):
    install("flowgpt_broken", code, broken=target)

    assert "broken" in provider_names()
    with pytest.raises(ProviderNotFoundError, match="provider 'broken' cannot be loaded: "):
        find_model("broken:model")
    with pytest.warns(FlowGptWarning, match="provider 'broken' cannot be loaded"):
        assert str(find_model("grey")) == "parrot:grey"
    assert str(find_model("parrot:grey")) == "parrot:grey"


def test_the_names_of_providers_are_known_without_importing_one(install):
    install("flowgpt_broken", "raise SystemExit", broken="Broken")

    assert "broken" in provider_names()
    assert is_model_name("broken")


@pytest.mark.parametrize(
    "code", ["def broken(:", "raise RuntimeError('no display')", "Parrot = 3", "import sys; Parrot = sys"]
)
def test_a_plug_in_that_is_broken_in_any_way_is_named_and_breaks_nothing_else(install, code):
    install("flowgpt_wreck", code, wreck="Parrot")

    with pytest.raises(ProviderNotFoundError, match="'wreck' can"):
        find_provider("wreck")
    with pytest.warns(FlowGptWarning, match="'wreck' can"):
        assert is_model_name("words")


def test_a_plug_in_cannot_take_the_name_of_one_of_ours(install):
    code = PROVIDER.format(name="Impostor", default="x", models=["x"], aliases={})
    install("flowgpt_impostor", code, echo="Impostor")

    assert find_provider("echo") is Echo


def test_a_plug_in_that_is_installed_while_we_run_is_found(install):
    assert "late" not in provider_names()
    code = PROVIDER.format(name="Late", default="x", models=["x"], aliases={})

    install("flowgpt_late", code, late="Late")
    registry._entry_points()

    assert find_provider("late").default_model == "x"


def test_built_in_are_ours_only(parrot):
    assert [name for name in ("echo", "local", "flowgpt", "parrot", "zzz") if registry.is_built_in(name)] == [
        "echo",
        "local",
        "flowgpt",
    ]


def test_the_models_that_can_be_asked_are_listed_provider_by_provider_and_one_that_fails_hides_no_other(install):
    install("flowgpt_broken", "raise SystemExit", broken="Broken")

    known = {models.provider: models for models in registry.known_models()}

    assert list(known) == provider_names()
    assert known["echo"].models == ("words", "messages")
    assert known["local"].aliases == {"smollm2": "smollm2-135m-instruct"}
    assert known["openai_compatible"].models == ()
    assert known["echo"].require_class() is find_provider("echo")
    assert known["broken"].provider_class is None
    with pytest.raises(ProviderNotFoundError, match="'broken' cannot be loaded"):
        known["broken"].require_class()

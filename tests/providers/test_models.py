"""Who is meant by what stands after ``-m``, with plug-ins as they are installed."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import ModelNotSupportedError, NothingChosenError, ProviderNotFoundError
from flowgpt_magic.providers import aliases, models
from flowgpt_magic.providers.aliases import Alias, AliasError, save
from flowgpt_magic.providers.local import Local
from flowgpt_magic.providers.models import (
    are_model_names,
    find_model,
    is_model_name,
    split_names,
    with_implied_model,
)
from flowgpt_magic.providers.registry import provider_names
from tests.providers.conftest import PROVIDER


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("parrot", "parrot:grey"),
        ("parrot:", "parrot:grey"),
        ("parrot:grey", "parrot:grey"),
        ("parrot/grey", "parrot:grey"),
        ("parrot:ara", "parrot:grey"),
        ("parrot:org/green:7b", "parrot:org/green:7b"),
        ("parrot/org/green:7b", "parrot:org/green:7b"),
        ("grey", "parrot:grey"),
        ("ara", "parrot:grey"),
        ("org/green:7b", "parrot:org/green:7b"),
        (" parrot ", "parrot:grey"),
        ("polly", "parrot:grey"),
    ],
)
def test_a_plug_in_is_named_in_every_way(parrot, name, target):
    assert str(find_model(name, {"polly": "parrot:ara"})) == target
    assert find_model(name, {"polly": "parrot:ara"}).provider_class.__name__ == "Parrot"


def test_a_providers_name_goes_before_a_models(parrot, install):
    install(
        "flowgpt_other", PROVIDER.format(name="Other", default="parrot", models=["parrot"], aliases={}), other="Other"
    )

    assert str(find_model("parrot")) == "parrot:grey"


def test_an_alias_goes_before_everything(parrot):
    assert str(find_model("parrot", {"parrot": "echo:messages"})) == "echo:messages"


def test_the_default_is_the_embedded_model_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(Local, "would_answer", classmethod(lambda cls, chosen, model="": ""))

    assert str(find_model("")) == f"local:{Local.default_model}"


def test_without_a_choice_and_without_the_embedded_model_nobody_is_asked():
    with pytest.raises(NothingChosenError) as caught:
        find_model(" ")

    said = str(caught.value)
    assert installing.module("install-model") in said
    assert "%flowgpt model openai_compatible:NAME" in said
    assert "%flowgpt model flowgpt" in said
    assert said.endswith("FLOWGPT_MODEL instead.")
    assert str(find_model("flowgpt")) == "flowgpt:gpt-3.5-turbo"


def test_the_address_of_a_server_is_a_choice_of_it(monkeypatch):
    assert with_implied_model(settings.load()).model == ""
    monkeypatch.setenv("FLOWGPT_BASE_URL", "http://127.0.0.1:9")
    assert with_implied_model(settings.load()).model == "flowgpt"
    assert with_implied_model(settings.load({"model": "echo"})).model == "echo"

    monkeypatch.setattr(Local, "would_answer", classmethod(lambda cls, chosen, model="": ""))
    assert with_implied_model(settings.load()).model == ""


def test_a_model_of_two_providers_asks_which_one_is_meant(parrot, install):
    install("flowgpt_twin", PROVIDER.format(name="Twin", default="grey", models=["grey"], aliases={}), twin="Twin")

    with pytest.raises(ModelNotSupportedError, match="choose one: parrot:grey, twin:grey"):
        find_model("grey")
    assert str(find_model("twin:grey")) == "twin:grey"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("Parrot", ModelNotSupportedError, "no model, provider or alias 'Parrot'; did you mean parrot?"),
        ("gray", ModelNotSupportedError, "did you mean grey?"),
        ("poly", ModelNotSupportedError, "did you mean polly?"),
        ("zzzzzz", ModelNotSupportedError, "no model, provider or alias 'zzzzzz'. Installed providers: "),
        ("parrot:gray", ModelNotSupportedError, "Parrot has no model 'gray'; did you mean grey? Known: grey, "),
        ("parrot/gray", ModelNotSupportedError, "did you mean grey?"),
        ("parot:grey", ProviderNotFoundError, "no provider 'parot'; did you mean parrot? Installed: "),
        ("parot/grey", ModelNotSupportedError, "did you mean parrot:grey?"),
    ],
)
def test_a_name_almost_right_is_answered_with_the_right_one(parrot, name, error, said):
    with pytest.raises(error, match=re.escape(said)):
        find_model(name, {"polly": "parrot:ara"})


def test_an_error_about_a_name_lists_who_is_installed(parrot):
    with pytest.raises(ModelNotSupportedError) as caught:
        find_model("zzzzzz")

    listed = str(caught.value).partition("Installed providers: ")[2].rstrip(".").split(", ")
    assert {"echo", "flowgpt", "openai_compatible", "parrot"} <= set(listed) <= set(provider_names())
    assert ("llm" in listed) == bool(find_spec("llm"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "gpu,mini",
            "'gpu,mini' is more than one model: %%flowgpt -m gpu,mini asks them at once, in Python "
            "compare(prompt, models=['gpu', 'mini']).",
        ),
        ("mini,echo:words", "'mini,echo:words' is more than one model: %%flowgpt -m mini,echo:words asks them at once"),
        ("llama3", "no model, provider or alias 'llama3'. Installed providers: "),
        ("gtp-4", "did you mean gpt-4-turbo?"),
        ("qwne", "did you mean gpu, which asks qwen?"),
        ("qwen2.5-codr", "did you mean qwen2.5-coder-7b? %flowgpt install-model qwen2.5-coder-7b installs it."),
        (",", "no model, provider or alias ','. Installed"),
    ],
)
def test_a_suggestion_is_one_that_can_be_used(name, said):
    with pytest.raises(ModelNotSupportedError, match=re.escape(said)):
        find_model(name, {"gpu": "openai_compatible:qwen", "mini": "echo"})


@pytest.mark.parametrize("word", ["parrot", "grey", "ara", "polly", "any:thing", "any/thing"])
def test_a_word_that_names_whom_to_ask_is_known_as_such(parrot, word):
    assert is_model_name(word, {"polly": "parrot"})


@pytest.mark.parametrize("word", ["what", "Parrot", "gray", ""])
def test_a_word_of_a_prompt_is_not_taken_for_a_model(parrot, word):
    assert not is_model_name(word)


async def test_a_plug_in_answers(parrot):
    target = find_model("ara")

    assert await target.provider_class.create_async(target.model, []) == "grey"


@pytest.mark.parametrize("word", ["Note:", "https://example.org/a", '{"a":', "1/2?", "{x}/y", "http://x", "a:"])
def test_a_word_of_a_prompt_is_no_model(word):
    assert not is_model_name(word) or word == "1/2?"  # this and that with a slash between claims to be a model


# The user's aliases


def test_the_users_aliases_are_known_without_being_given(parrot):
    assert not is_model_name("polly")
    save(Alias("polly", "ara"))
    save(Alias("pol", "polly"))

    assert str(find_model("polly")) == str(find_model(" pol ")) == "parrot:grey"
    assert is_model_name("polly")
    assert is_model_name("pol")
    aliases.remove("polly")
    assert not is_model_name("polly")


def test_aliases_that_are_given_are_the_only_ones(parrot):
    save(Alias("polly", "grey"))

    assert not is_model_name("polly", {})
    with pytest.raises(ModelNotSupportedError, match="no model, provider or alias 'polly'"):
        find_model("polly", {})


def test_an_alias_may_be_called_as_a_model_and_goes_before_it(parrot):
    save(Alias("grey", "echo:messages"))

    assert str(find_model("grey")) == "echo:messages"
    assert str(find_model("parrot:grey")) == "parrot:grey"


def test_a_provider_that_is_installed_later_does_not_take_the_place_of_an_alias(install):
    save(Alias("late", "echo:messages"))
    install("flowgpt_late", PROVIDER.format(name="Late", default="x", models=["x"], aliases={}), late="Late")

    assert str(find_model("late")) == "echo:messages"
    assert str(find_model("late:x")) == "late:x"


def test_an_alias_almost_right_is_answered_with_the_right_one(parrot):
    save(Alias("polly", "grey"))

    with pytest.raises(ModelNotSupportedError, match=re.escape("'poly'; did you mean polly?")):
        find_model("poly")


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        ("gray", ModelNotSupportedError, "alias polly: no model, provider or alias 'gray'; did you mean grey?"),
        ("parrot:gray", ModelNotSupportedError, "alias polly: Parrot has no model 'gray'"),
        ("parot:grey", ProviderNotFoundError, "alias polly: no provider 'parot'"),
    ],
)
def test_an_alias_whose_target_is_gone_says_so(parrot, target, error, said):
    save(Alias("polly", target))

    assert is_model_name("polly")
    with pytest.raises(error, match=re.escape(said)):
        find_model("polly")


def test_a_damaged_file_of_aliases_is_named_where_a_name_may_be_one_and_only_there(parrot):
    path = aliases.aliases_file()
    path.parent.mkdir(parents=True)
    path.write_text("{")

    for name in ("echo", "parrot:grey", "parrot/grey"):
        find_model(name)
    for name in ("echo", "parrot", "parrot:grey", "any/thing", "two words", ""):
        is_model_name(name)
    for use in (find_model, is_model_name):
        with pytest.raises(AliasError, match=r"aliases\.json cannot be used: "):
            use("grey")


def test_the_file_of_aliases_is_not_read_for_every_line(monkeypatch):
    save(Alias("polly", "echo"))
    os.utime(aliases.aliases_file(), (1, 1))
    assert is_model_name("polly")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))

    assert is_model_name("polly")
    assert not is_model_name("what")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("polly", "polly"), (" polly ", "polly"), ("ara", "parrot:grey"), ("parrot/ara", "parrot:grey")],
)
def test_a_choice_is_kept_as_provider_and_model_but_an_alias_as_what_it_is(parrot, name, kept):
    save(Alias("polly", "grey"))

    assert models.canonical_name(name) == kept


def test_a_choice_of_nobody_is_refused():
    with pytest.raises(ModelNotSupportedError):
        models.canonical_name("zzzzzz")


# A provider that takes every name, and has none of its own


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "meta-llama/llama-3:free", "qwen2.5:7b", "a/b/c:d:e", "words", "echo"]
)
@pytest.mark.parametrize("separator", [":", "/"])
def test_the_name_of_a_model_may_hold_anything_where_only_the_server_knows_them(model, separator):
    target = find_model(f"openai_compatible{separator}{model}")

    assert (target.provider, target.model) == ("openai_compatible", model)
    assert is_model_name(f"openai_compatible{separator}{model}")


@pytest.mark.parametrize("name", ["openai_compatible", "openai_compatible:", "openai_compatible/"])
def test_without_the_name_of_a_model_the_way_to_name_one_and_to_list_them_is_told(name):
    said = r"needs the name of a model, such as -m openai_compatible:gpt-4o-mini; %flowgpt models openai_compatible"
    with pytest.raises(ModelNotSupportedError, match=said):
        find_model(name)


def test_a_model_alone_is_never_taken_for_one_that_any_server_may_have(parrot):
    with pytest.raises(ModelNotSupportedError, match="no model, provider or alias 'llama3'"):
        find_model("llama3")
    assert str(find_model("grey")) == "parrot:grey"


def test_the_settings_of_address_and_key_are_those_of_whoever_is_asked(parrot):
    save(Alias("fast", "openai_compatible:x"))

    assert models.server_settings("openai_compatible:x") == ("openai_base_url", "openai_key")
    assert models.server_settings("fast") == ("openai_base_url", "openai_key")
    for name in ("flowgpt:gemini", "parrot", "zzzzzz"):
        assert models.server_settings(name) == ("base_url", "token")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("echo", ["echo"]),
        ("echo,gpu", ["echo", "gpu"]),
        ("echo, gpu ,echo:words", ["echo", "gpu", "echo:words"]),
        ("one,two", ["one,two"]),
        ("gpu,one,two,echo", ["gpu", "one,two", "echo"]),
        ("openai_compatible:a,openai_compatible:b", ["openai_compatible:a", "openai_compatible:b"]),
    ],
)
def test_several_models_are_separated_by_commas_that_are_in_no_name(text, names):
    assert split_names(text, {"gpu": "echo", "one,two": "echo"}) == names


@pytest.mark.parametrize("text", ["echo,", ",echo", "echo,,echo:words", "echo, "])
def test_a_missing_name_is_an_error(text):
    with pytest.raises(ModelNotSupportedError, match="a name is missing"):
        split_names(text, {})


@given(st.lists(st.text(st.characters(codec="ascii", categories=("L", "N"))), min_size=1))
def test_names_without_commas_come_back_as_they_were(names):
    if all(names):
        assert split_names(",".join(names), {}) == names


@pytest.mark.parametrize(
    ("word", "are_models"),
    [("echo,echo:words", True), ("echo,gpu", True), ("echo", False), ("yes,no", False), ("note:this,that:too", False)],
)
def test_a_first_word_names_several_models_only_if_each_is_known(word, are_models):
    assert are_model_names(word, {"gpu": "echo"}) is are_models

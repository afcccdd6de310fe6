"""For each point that can be told without asking a provider, one that does not keep it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from flowgpt_magic.errors import ModelNotSupportedError
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.testing import check_provider
from flowgpt_magic.testing.contract import describe_error
from tests.contracts import POINTS, broken, good, provider, the_broken


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (provider()(), "is not a class"),
        (provider(bases=(AsyncGeneratorProvider,)), "does not derive from ProviderModelMixin"),
        (provider(bases=(ProviderModelMixin,)), "does not derive from AsyncGeneratorProvider"),
        (3, "3 is not a class"),
    ],
    ids=["instance", "no models", "no generator", "number"],
)
def test_what_is_no_provider_class_is_told_so_and_nothing_else(found, said):
    assert said in the_broken(found)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"url": None}, "url is None: it must be a str"),
        ({"working": "yes"}, "working is 'yes': it must be a bool"),
        ({"models": ("m",)}, "models is ('m',): it must be a list"),
        ({"models": ["m", 3]}, "models contains 3"),
        ({"settings": ["proxy"]}, "settings is ['proxy']: it must be a tuple"),
        ({"address_setting": None}, "address_setting is None: it must be a str"),
        ({"settings": ("nonsense",)}, "settings contains 'nonsense', which is not a setting"),
    ],
)
def test_attributes_of_another_type_are_named(members, said):
    assert any(said in each for each in broken(provider(**members)))


async def no_unknown(cls, model, messages, proxy=None, temperature=0.7):
    yield "x"


async def no_proxy(cls, model, messages, temperature=0.7):
    yield "x"


@pytest.mark.parametrize("method", [no_unknown, no_proxy])
def test_a_method_that_takes_too_little_is_shown_what_it_should_take(method):
    said = the_broken(provider(method))

    assert said.startswith("create_async_generator takes the model, the messages")
    assert "let it take (cls, model, messages, proxy=None, temperature=0.7, **kwargs)" in said


def test_a_method_of_an_instance_is_named():
    assert "must be a classmethod" in broken(provider(create_async_generator=good))[0]


def test_a_class_without_the_method_is_told_so():
    found = type("Theirs", (AsyncGeneratorProvider, ProviderModelMixin), {"default_model": "m"})

    assert "it does not define create_async_generator" in broken(found)[0]


def test_a_schema_that_is_promised_must_be_taken():
    assert "supports_schema is True, but" in the_broken(provider(supports_schema=True))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"default_model": ""}, "get_model(None) returns '': without a name it must return the default model"),
        ({"default_model": "other"}, "the default model 'other' is not among get_models(): m"),
        ({"model_aliases": {"short": "other"}}, "model_aliases maps 'short' to 'other'"),
        ({"get_models": classmethod(lambda cls: cls.models)}, "returns its own list: return a copy"),
        ({"get_models": classmethod(lambda cls: ("m",))}, "it must return a list of names"),
        (
            {"get_model": classmethod(lambda cls, name: {"": "m", None: "m"}[name])},
            "raises KeyError: 'no-such-model-0'",
        ),
        ({"get_model": classmethod(lambda cls, name: None if name else "m")}, "of an unknown name returns None"),
        ({"would_answer": classmethod(lambda cls, settings, model="": True)}, "would_answer() must return text"),
    ],
)
def test_models_that_are_in_disorder_are_named(members, said):
    assert said in the_broken(provider(**members))


def test_a_list_of_ones_own_is_left_as_it_was():
    found = provider(get_models=classmethod(lambda cls: cls.models))
    broken(found)

    assert found.models == ["m"]


def test_a_provider_without_a_default_model_asks_for_one():
    class Nameless(provider()):
        @classmethod
        def get_model(cls, name):
            if not name:
                raise ModelNotSupportedError("name a model")
            return name

    assert check_provider(Nameless, model="m", failing={"fail": True}) == POINTS
    assert "it raises ModelNotSupportedError: name a model" in the_broken(Nameless)


def returns_a_generator(cls, model, messages, **kwargs):
    async def answer():
        cls.get_model(model)
        yield "one "
        yield "two"

    return answer()


async def returns_from_a_coroutine(cls, model, messages, **kwargs):
    return returns_a_generator(cls, model, messages)


def judges(cls, model, messages, **kwargs):
    cls.get_model(model)
    return returns_a_generator(cls, model, messages)


def looks_at_messages(cls, model, messages, **kwargs):
    messages[-1]
    return returns_a_generator(cls, model, messages)


def reads_a_file(cls, model, messages, **kwargs):
    with open(__file__, encoding="utf-8"):
        return returns_a_generator(cls, model, messages)


def sleeps(cls, model, messages, **kwargs):
    time.sleep(0)
    return returns_a_generator(cls, model, messages)


def starts_a_thread(cls, model, messages, **kwargs):
    threading.Thread(target=print).start()
    return returns_a_generator(cls, model, messages)


def starts_a_thread_unprofiled(cls, model, messages, **kwargs):
    profiler = sys.getprofile()
    sys.setprofile(None)  # as in an extension module, whose calls are not seen
    threading.Thread(target=threading.Event().wait, args=(0.05,)).start()
    sys.setprofile(profiler)
    return good(cls, model, messages, **kwargs)


def starts_a_program(cls, model, messages, **kwargs):
    subprocess.run([sys.executable, "--version"], stdout=subprocess.DEVNULL, check=True)
    return returns_a_generator(cls, model, messages)


def returns_a_list(cls, model, messages, **kwargs):
    return ["one ", "two"]


def test_a_plain_method_that_returns_a_generator_is_fine():
    assert check_provider(provider(returns_a_generator), failing=()) == POINTS


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (returns_from_a_coroutine, "returns a coroutine: write it with async def and yield"),
        (returns_a_list, "returns ['one ', 'two']: write it with async def and yield"),
        (judges, "raises ModelNotSupportedError"),
        (looks_at_messages, "raises TypeError"),
        (reads_a_file, "opens a file"),
        (sleeps, "sleeps"),
        (starts_a_thread, "starts a thread"),
        (starts_a_thread_unprofiled, "starts a thread"),
        (starts_a_program, "starts a program"),
    ],
)
def test_work_before_the_first_chunk_is_seen(method, said):
    found = the_broken(provider(method))

    assert found.startswith("Calling create_async_generator does no work")
    assert said in found


def test_the_profiler_of_whoever_calls_stays():
    def profiler(*_):
        pass

    sys.setprofile(profiler)
    try:
        check_provider(provider(), failing=())
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)


def test_a_name_that_is_not_installed_is_told_how_to():
    found = the_broken(provider(), name="theirs")

    assert "no provider 'theirs'" in found
    assert '[project.entry-points."flowgpt_magic.providers"]' in found


def test_a_name_that_is_another_ones_is_told_so():
    assert "the installed provider 'echo' is another class" in the_broken(provider(), name="echo")


def test_a_name_that_is_installed_is_found(monkeypatch):
    found = provider()

    class Check:
        value = "theirs:Theirs"
        load = staticmethod(lambda: found)

    points = {**registry._entry_points(), "theirs": Check}
    monkeypatch.setattr(registry, "_entry_points", lambda: points)

    assert check_provider(found, name="theirs", failing=()) == POINTS


def test_what_a_provider_raises_stands_in_a_sentence_that_goes_on():
    assert describe_error(ModelNotSupportedError("no such model")) == "ModelNotSupportedError: no such model"
    assert describe_error(ValueError("no such model.")) == "ValueError: no such model"
    assert describe_error(ValueError()) == "ValueError"

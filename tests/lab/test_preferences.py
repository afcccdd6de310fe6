"""What JupyterLab's settings say, as settings of the kernel."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

import flowgpt_magic
from flowgpt_magic.lab.preferences import NAMES, preferences, take, take_early
from flowgpt_magic.magics import magic
from flowgpt_magic.notebook import ipython
from flowgpt_magic.providers.models import known_names
from flowgpt_magic.settings import FORMATS, FRONT_END, load
from tests.example_shell import example_shell
from tests.test_redaction import FORMS

SCHEMA = json.loads(
    Path(flowgpt_magic.__file__).parent.joinpath("labextension/schema/settings.json").read_text("utf-8")
)
KEY = SCHEMA["properties"]["model"]["not"]["pattern"]
RANDOM = "4f8b1c2d" * 5
EITHER = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    with example_shell(monkeypatch, tmp_path) as shell:
        shell.config.pop("FlowGPT")
        magic.unload(shell)
        magic.load(shell)
        yield shell


def in_force(name: str) -> tuple[object, str]:
    """The value of a setting, and where it comes from."""
    chosen = load(configured=ipython.configured())
    return getattr(chosen, name), chosen.sources.get(name, "")


def test_what_jupyterlab_says_is_in_force_and_named(shell):
    assert take({"model": "echo", "temperature": 0.5, "format": "text"}).notice == ""

    assert in_force("model") == ("echo", FRONT_END)
    assert in_force("temperature") == (0.5, FRONT_END)
    assert in_force("format") == ("text", FRONT_END)


def test_a_model_in_the_environment_and_config_stay(shell, monkeypatch):
    take({"model": "echo", "temperature": 0.5})

    monkeypatch.setenv("FLOWGPT_MODEL", "local")
    shell.run_line_magic("config", "FlowGPT.temperature = 1")

    assert in_force("model") == ("local", "environment variable FLOWGPT_MODEL")
    assert in_force("temperature") == (1.0, "%config")


def test_what_was_said_before_the_extension_was_loaded_counts_from_then_on(shell):
    magic.unload(shell)
    take_early('{"model": "echo"}')
    assert in_force("model") == ("", "")

    magic.load(shell)

    assert in_force("model") == ("echo", FRONT_END)


def test_what_is_said_last_takes_the_place_of_what_was_said_before(shell):
    take({"model": "echo", "temperature": 0.5})
    take({})

    assert in_force("model") == ("", "")
    assert in_force("temperature") == (None, "")
    assert preferences().given == {}


def test_a_wrong_model_is_one_notice_and_the_other_settings_count(shell):
    taken = take({"model": "ecko", "temperature": 0.5})

    assert taken.notice.startswith("JupyterLab's settings, not used: model: ")
    assert "echo" in taken.notice
    assert in_force("model") == ("", "")
    assert in_force("temperature") == (0.5, FRONT_END)
    assert taken.given == {"model": "ecko", "temperature": 0.5}  # so that the page does not send it again


def test_several_wrong_settings_are_one_notice(shell):
    notice = take({"temperature": 9, "format": "poem"}).notice

    assert "temperature is 9" in notice
    assert "format is 'poem'" in notice


@pytest.mark.parametrize("key", [*FORMS, RANDOM, f"openai_compatible:{RANDOM}", "http://anna:geheim@host/v1"])
def test_a_key_is_refused_is_not_kept_and_is_not_shown(shell, key):
    taken = take({"model": key})

    assert "keys do not belong there" in taken.notice
    assert key not in repr(taken)
    assert taken.given == {}
    assert in_force("model") == ("", "")


@pytest.mark.parametrize("key", [*FORMS, RANDOM, f"openai_compatible:{RANDOM}", "http://anna:geheim@host/v1"])
def test_the_editor_saves_no_key(key):
    assert re.search(KEY, key)


MODELS = """
openai_compatible:Qwen2.5-Coder-32B-Instruct-Q4_K_M gpu local /home/anna/models/qwen3-0.6b-instruct-q4_k_m.gguf
openai_compatible:meta-llama/Llama-3.3-70B-Instruct-Turbo-Free openai_compatible:gpt-4o-mini-2024-07-18
openai_compatible:anthropic/claude-3-5-sonnet-20241022 hf.co/bartowski/Qwen_Qwen3-30B-A3B-GGUF:Q4_K_M
C:\\Models\\my_model.gguf openai_compatible:accounts/fireworks/models/deepseek-v3
""".split()  # noqa: SIM905


@pytest.mark.parametrize("model", ["", *MODELS, *known_names()])
def test_the_editor_saves_every_model(model):
    assert not re.search(KEY, model)


def test_the_page_has_these_settings_and_no_field_for_a_key():
    assert tuple(SCHEMA["properties"]) == (*NAMES, "shortcuts")
    assert SCHEMA["properties"]["shortcuts"]["additionalProperties"] is False
    assert SCHEMA["additionalProperties"] is False
    assert {choice["const"] for choice in SCHEMA["properties"]["format"]["oneOf"]} - {""} < set(FORMATS)


@pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning")
@given(st.dictionaries(st.sampled_from([*NAMES, "token", "history"]), EITHER) | EITHER)
def test_whatever_a_page_sends_the_settings_can_be_loaded(sent):
    shell = InteractiveShell.instance()
    try:
        taken = take(sent)

        assert taken.values.keys() <= set(NAMES)
        load(configured=magic.FlowGPT(shell).configured(), environ={})
        assert json.dumps(dict(taken.given))
    finally:
        InteractiveShell.clear_instance()

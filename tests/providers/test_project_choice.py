"""What a project's pyproject.toml may choose: a model of the person's own provider, and nothing else of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from flowgpt_magic import settings
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import FlowGptWarning, SettingError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.project_choice import project_notice, with_project_model


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write the person's own settings."""
    file = settings.settings_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.write_text


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """The pyproject.toml of the folder one works in, with a model file beside it."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "weights.gguf").write_bytes(b"GGUF")
    return folder / "pyproject.toml"


def write(project: Path, text: str) -> None:
    project.write_text(f"[tool.flowgpt_magic]\n{text}\n")


def chosen(**options: object) -> settings.Settings:
    return with_project_model(settings.load(options))


@pytest.mark.parametrize(
    ("mine", "theirs", "model"),
    [
        ("flowgpt", "gpt-4-turbo", "flowgpt:gpt-4-turbo"),
        ("flowgpt:claude-v2", "flowgpt:gpt-4-turbo", "flowgpt:gpt-4-turbo"),
        ("flowgpt", "gemini", "flowgpt:gemini"),
        ("openai_compatible:gpt-4o", "gpt-4o-mini", "openai_compatible:gpt-4o-mini"),
        ("openai_compatible:gpt-4o", "meta-llama/Llama-3", "openai_compatible:meta-llama/Llama-3"),
        ("echo:messages", "echo:words", "echo:words"),
    ],
)
def test_a_project_chooses_a_model_of_the_persons_own_provider(own, project, mine, theirs, model):
    own(f'model = "{mine}"')
    write(project, f'model = "{theirs}"')

    assert chosen().model == model
    assert chosen().sources["model"] == str(project)
    assert project_notice(chosen()) == f"{project} sets model for this project"


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("echo", "flowgpt:gpt-4-turbo"),
        ("echo", "openai_compatible:gpt-x"),
        ("echo", "gpt-4-turbo"),
        ("echo", "local:./weights.gguf"),
        ("local", "./weights.gguf"),
        ("local", "local:./weights.gguf"),
        ("openai_compatible:gpt-4o", "flowgpt"),
        ("openai_compatible:gpt-4o", "local/weights.gguf"),
        ("", "openai_compatible:gpt-x"),
        ("nobody:nothing", "gpt-4"),
    ],
)
def test_a_project_chooses_no_provider_and_no_model_file(own, project, mine, theirs):
    own(f'model = "{mine}"')
    write(project, f'model = "{theirs}"')

    assert chosen().model == mine
    assert f"model = {theirs} of this project is not used" in project_notice(chosen())


def test_an_alias_of_the_person_stays_with_its_own_model(own, project):
    aliases.save(aliases.Alias("fast", "openai_compatible:gpt-4o", base_url="https://example.org/v1"))
    own('model = "fast"')
    write(project, 'model = "gpt-4o-mini"')

    assert chosen().model == "fast"


def test_what_the_person_sets_nearer_to_the_prompt_stays(own, project, monkeypatch):
    own('model = "flowgpt"')
    write(project, 'model = "gpt-4-turbo"\ntemperature = 0.5')

    found = chosen(model="flowgpt:claude-v2", temperature=1)

    assert (found.model, found.temperature) == ("flowgpt:claude-v2", 1)
    assert project_notice(found) == ""


def test_a_project_sets_no_system_prompt(own, project):
    own('model = "echo"\nsystem = "Be brief."')
    write(project, 'system = "Obey."')

    assert chosen().system == "Be brief."
    assert "a system prompt of this project is not used" in project_notice(chosen())


@pytest.mark.parametrize("line", ["tools = []", "params = { tools = [] }", "params = { extra_body = { tools = [] } }"])
def test_a_project_sets_no_tools_and_no_fields_that_are_not_known(own, project, line):
    write(project, line)

    with pytest.raises(SettingError, match="a project cannot set"):
        chosen()


def test_what_a_project_sets_is_said_once_when_it_takes_effect(own, project):
    own('model = "echo"')
    write(project, 'temperature = 0.5\nhistory_tokens = 500\nsystem = "Obey."')
    chat = Conversation("of a project")

    with pytest.warns(FlowGptWarning) as caught:
        chat.ask("hello")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chat.ask("again")

    (line,) = [str(each.message) for each in caught]
    assert line == (
        f"{project} sets temperature, history_tokens for this project; a system prompt of this project is not used: a "
        "project cannot choose a provider, a model file or a system prompt; to use it, set it yourself with %flowgpt "
        "set"
    )

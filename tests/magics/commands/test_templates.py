"""Asking with a template."""

from __future__ import annotations

import pytest

from flowgpt_magic.magics.commands.table import find_subcommand
from flowgpt_magic.notebook import ipython
from flowgpt_magic.prompt.compose import PromptContext
from flowgpt_magic.prompt.templates import TemplateError
from flowgpt_magic.tables import Table
from tests.shell_states import prompts
from tests.templates_on_disk import write, write_in_project


@pytest.fixture(autouse=True)
def _variables(state, monkeypatch):
    state.names["code"] = "x = 1"
    monkeypatch.setattr(ipython, "prompt_context", lambda _names: PromptContext(state.names))


def run_cell(state, line: str, body: str) -> None:
    found = find_subcommand(line, body)
    assert found is not None, f"{line} is a prompt"
    found[0](state, found[1])


def test_a_template_is_asked_with_its_slots_filled(state, run, capsys):
    write("review", "---\ntemperature: 0.2\n---\nReview for {who}: {code}")

    run("template review who=beginners")

    assert prompts(state) == ["Review for beginners: x = 1"]
    assert state.conversation().turns[-1].parameters["temperature"] == 0.2
    assert "Review for beginners: x = 1" in capsys.readouterr().out


def test_options_of_the_line_win_over_those_of_the_template(state, run):
    write("review", "---\ntemperature: 0.2\nmodel: nobody\n---\nReview {code}")

    run("template review -t 1 -m echo -c other")

    assert prompts(state, "other") == ["Review x = 1"]
    assert state.conversation("other").turns[-1].parameters["temperature"] == 1


def test_the_lines_of_a_cell_are_the_text(state):
    write("review", "Review for {who}.")
    write("sum", "Sum up:\n{body}\nBriefly.")

    run_cell(state, "template review who=me", "def f(): {code}\n")
    run_cell(state, "template sum", "a\nb\n")
    run_cell(state, "template sum some text", "")
    run_cell(state, "template review who=us", "")

    assert prompts(state) == [
        "Review for me.\n\ndef f(): x = 1",
        "Sum up:\na\nb\nBriefly.",
        "Sum up:\nsome text\nBriefly.",
        "Review for us.",
    ]


@pytest.mark.parametrize("line", ["template for a letter", "template letters, please", "templates"])
def test_a_prompt_that_begins_with_the_word_is_a_prompt(line):
    assert find_subcommand(line, "to my bank") is None


def test_a_dry_run_shows_what_would_be_sent(state, run, capsys):
    write("review", "Review {code}")

    run("template review --dry-run")

    assert "Review x = 1" in capsys.readouterr().out
    assert prompts(state) == []


def test_nothing_is_sent_for_a_missing_slot(state, run):
    write("review", "Review {nothing}")

    with pytest.raises(TemplateError, match="needs nothing"):
        run("template review")
    assert prompts(state) == []


def test_templates_are_listed_with_what_they_are_for(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "there are no templates yet" in run("template")
    write("review", "---\ndescription: review code\n---\nReview {code}")
    write("bad", "---\nkey: x\n---\nx")
    write_in_project(tmp_path, "tests", "Write tests.")

    table = run("template")

    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["bad", "review", "tests"]
    assert "cannot be used: " in table.rows[0][1]
    assert "line 2" in table.rows[0][1]
    assert (table.rows[1][1:3], table.rows[2][1:3]) == (("review code", "yours"), ("", "project"))


class TestProjects:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_a_projects_template_chooses_a_model_of_the_users_provider(self, state, run, tmp_path):
        write_in_project(tmp_path, "t", "---\nmodel: words\ntemperature: 1\n---\nHello")

        run("template t")

        assert state.conversation().turns[-1].model == "words"
        assert state.conversation().turns[-1].parameters["temperature"] == 1

    @pytest.mark.parametrize("model", ["local", "openai_compatible:m", "/tmp/a.gguf"])
    def test_it_chooses_no_other_provider_and_no_file_and_says_so(self, state, run, tmp_path, model, capsys):
        path = write_in_project(tmp_path, "t", f"---\nmodel: {model}\n---\nHello")

        with pytest.warns(UserWarning, match="is not used: a project's template cannot choose a provider") as warned:
            run("template t")

        assert state.conversation().turns[-1].provider == "echo"
        assert str(path) in str(warned[0].message)
        assert prompts(state) == ["Hello"]

"""What is offered as the value of an option or of a subcommand."""

from __future__ import annotations

import pytest

from flowgpt_magic.completion.values import SUBCOMMAND_ARGUMENTS
from flowgpt_magic.magics.commands.aliases import ALIAS_FLAGS
from flowgpt_magic.magics.commands.files import OVERWRITE
from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.providers.llama_cpp import installed
from tests.tabs import tab
from tests.templates_on_disk import write


def test_aliases_are_offered_to_be_changed_and_models_to_be_called_so():
    assert tab("%flowgpt dealias |") == ["fast"]
    assert tab("%flowgpt alias quick |") == ["echo", "echo:words", "fast"]
    assert tab("%flowgpt alias fa|") == []
    assert tab("%flowgpt update fast ec|") == ["echo", "echo:words"]
    assert tab("%flowgpt models |") == ["echo", "fast"]


def test_settings_and_their_values_are_offered():
    assert tab("%flowgpt set tempe|") == ["temperature"]
    assert tab("%flowgpt set format h|") == ["html"]
    assert tab("%flowgpt set model fa|") == ["fast"]
    assert tab("%flowgpt set cache |") == ["on", "off"]
    assert tab("%flowgpt set temperature |") == []
    assert tab("%flowgpt set nonsense |") == []


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%%flowgpt -s @|", ["@notes/", "@my\\ file.md", "@a,b"]),
        ("%%flowgpt -s @.|", ["@.env"]),
        ("%%flowgpt -s @notes/|", ["@notes/one.md"]),
        ('%%flowgpt -s "@my|', ['@my file.md"']),
        ('%%flowgpt -s "@not|', ["@notes/"]),
        ("%%flowgpt -s not|", []),
        ("%flowgpt adopt my|", ["my file.md"]),
        ("%flowgpt adopt my f|", ["my file.md"]),
        ("%flowgpt adopt notes/o|", ["notes/one.md"]),
        ("%flowgpt not|", []),
    ],
)
def test_files_are_offered_where_a_file_belongs(text, offered):
    assert tab(text) == offered


def test_what_can_be_attached_is_offered_behind_each_comma():
    assert tab("%%flowgpt -a na|") == ["name", "Name"]
    assert tab("%%flowgpt -a name,nu|") == ["number"]
    assert tab("%%flowgpt --attach=name,nu|") == ["number"]
    assert tab("%%flowgpt -a 'name, nu|") == ["number'"]
    assert tab("%%flowgpt -a ce|") == ["cell:"]
    assert tab("%%flowgpt -a name,o|") == ["out:"]
    assert tab("%%flowgpt -a err|") == ["err"]
    assert tab("%%flowgpt -a no|") == ["notes/"]
    assert tab("%%flowgpt -a a,|")[0] == "d"
    assert tab("%%flowgpt -a api|") == []


def test_templates_are_offered_on_a_line_and_at_the_head_of_a_cell():
    write("review", "For {who}: {code} {body}")
    write("rewrite", "x")

    assert tab("%flowgpt template |") == ["review", "rewrite"]
    assert tab("%flowgpt template rev|") == ["review"]
    assert tab("%%flowgpt template rew|") == ["rewrite"]
    assert tab("%flowgpt template review |") == ["who=", "code="]
    assert tab("%%flowgpt template review who=all c|") == ["code="]
    assert tab("%flowgpt template review who=|") == []
    assert tab("%flowgpt template review who={na|") == ["name", "Name"]
    assert tab("%%flowgpt template review -m ec|") == ["echo", "echo:words"]
    assert tab("%%flowgpt template review -t|") == tab("%%flowgpt -t|")


def test_behind_an_asterisk_patterns_for_the_files_of_the_folder_are_offered():
    assert tab("%%flowgpt -a notes/*|") == ["notes/*.md"]
    assert tab("%%flowgpt -a name,notes/*|") == ["notes/*.md"]
    assert tab("%%flowgpt -a notes/|") == ["notes/one.md"]
    assert tab("%%flowgpt -a thing.la|") == ["thing.label"]


def test_every_subcommand_that_is_told_what_it_takes_is_there():
    assert SUBCOMMAND_ARGUMENTS.keys() <= SUBCOMMANDS.keys()


@pytest.mark.parametrize("command", ["alias", "register", "update"])
def test_the_flags_of_an_alias_are_offered_with_what_they_take(command):
    lead = f"%flowgpt {command} fast echo"

    assert set(tab(f"{lead} -|")) == set(SUBCOMMAND_ARGUMENTS[command].flags) == set(ALIAS_FLAGS)
    assert tab(f"{lead} --end|") == ["--endpoint"]
    assert tab(f"{lead} --endpoint |") == []
    assert tab(f"{lead} --endpoint http://x -s @no|") == ["@notes/"]
    assert tab(f"{lead} --key-variable my|") == ["MY_KEY"]
    assert tab(f"{lead} --key-variable=HO|") == ["HOME"]
    assert tab(f"{lead} --endpoint=http://x --end|") == []
    assert tab(f"%flowgpt {command} -t 1 fast ec|") == ["echo", "echo:words"]


def test_an_export_may_be_told_to_overwrite():
    assert tab("%flowgpt export --|") == [OVERWRITE, "--addresses", "--reasoning"]
    assert tab("%flowgpt export my.md --ov|") == [OVERWRITE]
    assert tab("%flowgpt export --overwrite no|") == ["notes/"]
    assert tab("%flowgpt export my.md no|") == []
    assert tab("%flowgpt import --|") == []


def test_a_turn_may_be_shown_with_its_reasoning():
    assert tab("%flowgpt show 1 -|") == ["--reasoning"]
    assert tab("%flowgpt show 1 |") == []


def test_what_is_to_be_explained_is_offered_and_who_is_to_fix_it():
    assert tab("%flowgpt explain thi|") == ["thing"]
    assert tab("%flowgpt explain thing.la|") == ["thing.label"]
    assert tab("%flowgpt explain thing -m fa|") == ["fast"]
    assert tab("%flowgpt fix fa|") == tab("%flowgpt error fa|") == ["fast"]
    assert tab("%flowgpt fix --temp|") == ["--temperature"]
    assert tab("%flowgpt usage |") == ["all", "notebooks"]
    assert tab("%flowgpt edit 1 -m fa|") == ["fast"]
    assert tab("%flowgpt edit 1 who is {na|") == ["name", "Name"]
    assert tab("%flowgpt panel my|") == ["my chat"]


def test_a_model_to_install_is_offered_by_name_and_an_installed_one_to_be_removed():
    assert "qwen2.5-coder-7b" in tab("%flowgpt install-model qwen|")
    assert set(tab("%flowgpt install-model -|")) == set(SUBCOMMAND_ARGUMENTS["install-model"].flags)
    folder = installed.folder_of("tiny")
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(b"GGUF")
    installed.add(installed.InstalledModel("tiny", "owner/repo", ("tiny.gguf",), 4, "mit"))

    assert tab("%flowgpt install-model --remove t|") == ["tiny"]

"""Tab completion: what is offered where, for any text and any place of the cursor."""

from __future__ import annotations

import dataclasses
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowgpt_magic import settings
from flowgpt_magic.completion.complete import Completion, complete
from flowgpt_magic.completion.names import MAX_CANDIDATES, Candidate
from flowgpt_magic.completion.values import CompletionSources
from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.prompt import magic_line
from tests.tabs import KNOWN, replaced, tab


@pytest.mark.parametrize(
    "text",
    [
        "|",
        "prin|",
        "%flowg|",
        "%flowgpt|",
        "%%flowgpt|",
        "|%%flowgpt echo",
        "%%flow|gpt echo",
        "%flowgpt undo\nprin|",
        "prin|\n%flowgpt undo",
        "x = '%flowgpt' + na|",
        "%%flowgpt_ai un|",
        "x = 5 %flowgpt|",
    ],
)
def test_what_is_not_our_line_is_left_to_ipython(text):
    assert tab(text) is None


def test_ai_is_completed_while_it_is_answered():
    answered = dataclasses.replace(KNOWN, magics=("flowgpt", "ai"))

    assert [tab(text) for text in ("%ai un|", "%%ai -f ht|", "%%ai\n{nam|")] == [None] * 3
    assert tab("%ai un|", answered) == ["undo"]
    assert tab("r = %ai un|", answered) == ["undo"]
    assert tab("%%ai -f ht|", answered) == ["html"]
    assert tab("# why\n%%ai echo\n{na|", answered) == ["name", "Name"]
    assert tab("%flowgpt un|", answered) == ["undo"]
    assert tab("%air un|", answered) is None


def test_the_percent_sign_may_be_missing_where_ipython_lets_it():
    automagic = dataclasses.replace(KNOWN, automagic=True)
    taken = dataclasses.replace(automagic, names={**KNOWN.names, "flowgpt": 1})

    assert tab("flowgpt un|") is None
    assert tab("flowgpt un|", automagic) == tab("  flowgpt un|\n", automagic) == ["undo"]
    assert tab("flowgpt tell me of {na|", automagic) == ["name", "Name"]
    assert tab("flowgpt un|", taken) is None
    assert tab("%flowgpt un|", taken) == ["undo"]
    for text in ("flowgpt = un|", "flowgpt=un|", "flowgpt.un|", "x = 1\nflowgpt un|", "flowgpt|", "ai un|"):
        assert tab(text, automagic) is None


def test_every_subcommand_is_offered_as_the_first_word_of_a_line():
    offered = tab("%flowgpt |")

    assert offered[: len(SUBCOMMANDS)] == list(SUBCOMMANDS)
    assert tab("%flowgpt un|") == ["undo"]
    assert tab("   r = %flowgpt un|") == ["undo"]
    assert tab("if x:\n    %flowgpt UN|") == ["undo"]


@pytest.mark.parametrize("text", ["%%flowgpt un|", "%flowgpt -t 1 un|", "%flowgpt what un|", "%flowgpt a << un|"])
def test_a_subcommand_is_offered_nowhere_else(text):
    assert tab(text) == []


@pytest.mark.parametrize("magic", ["%flowgpt", "%%flowgpt"])
def test_every_flag_is_offered_behind_a_dash_with_what_it_does(magic):
    found = complete(f"{magic} -", len(magic) + 2, KNOWN)

    assert [each.text for each in found.candidates] == list(magic_line.BY_FLAG)
    assert all(each.type.startswith("option: ") for each in found.candidates)
    assert tab(f"{magic} --|") == [f"--{option.name}" for option in magic_line.OPTIONS]


@pytest.mark.parametrize(
    ("typed", "kinds"),
    [
        ("%flowgpt ", {"subcommand", "provider", "model", "alias of echo"}),
        ("%flowgpt help ", {"subcommand", "topic"}),
        ("%flowgpt set ", {"setting"}),
        ("%flowgpt nested ", {"value"}),
        ("%%flowgpt -f ", {"format"}),
        ("%%flowgpt -c ", {"conversation"}),
        ("%%flowgpt -m ", {"provider", "model", "alias of echo"}),
        ("%%flowgpt --schema ", {"variable"}),
    ],
)
def test_each_candidate_says_what_kind_of_thing_it_is(typed, kinds):
    found = complete(typed, len(typed), KNOWN)

    assert {each.type.partition(":")[0] for each in found.candidates} == kinds


def test_a_flag_that_is_there_is_not_offered_again_unless_it_may_be():
    assert tab("%%flowgpt -t 1 --temp|") == []
    assert tab("%%flowgpt --format=md --form|") == []
    assert tab("%%flowgpt -P a=1 --para|") == ["--param"]


def test_a_row_that_is_added_to_the_options_is_offered(monkeypatch):
    row = magic_line.Option("zzz", "z", "", str, "sleep")
    monkeypatch.setitem(magic_line.BY_FLAG, "--zzz", row)

    assert tab("%%flowgpt --zz|") == ["--zzz"]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%%flowgpt -m |", ["echo", "echo:words", "fast"]),
        ("%%flowgpt |", ["echo", "echo:words", "fast"]),
        ("%%flowgpt --model=echo:|", ["echo:words"]),
        ("%%flowgpt -t 1 ec|", ["echo", "echo:words"]),
        ("%%flowgpt answer << ec|", ["echo", "echo:words"]),
        ("%%flowgpt -m echo ec|", []),
        ("%%flowgpt echo ec|", []),
        ("%%flowgpt other:model ec|", []),
        ("%%flowgpt -s “be brief” ec|", ["echo", "echo:words"]),
        ("%%flowgpt --system=“be brief” ec|", ["echo", "echo:words"]),
        ("%%flowgpt “be brief” ec|", []),
        ("%%flowgpt what is ec|", []),
        ("%%flowgpt -- ec|", []),
        ("%flowgpt model fa|", ["fast"]),
        ("%flowgpt model fast f|", []),
        ("%%flowgpt -f |", list(settings.FORMATS)),
        ("%%flowgpt -t |", []),
        ("%%flowgpt -o na|", []),
        ("%flowgpt nested |", ["on", "off"]),
        ("%flowgpt help und|", ["undo"]),
        ("%flowgpt undo |", []),
        ("%flowgpt retry -m fa|", ["fast"]),
        ("%flowgpt retry --temp|", ["--temperature"]),
        ("%flowgpt retry 2 --fo|", ["--following", "--format"]),
        ("%flowgpt retry --following --fo|", ["--format"]),
        ("%flowgpt fix --ap|", ["--apply", "--append"]),
        ("%flowgpt fix what is --ap|", []),
    ],
)
def test_values_are_offered_where_they_belong(text, offered):
    assert tab(text) == offered


@pytest.mark.parametrize(
    ("text", "offered", "stretch"),
    [
        ('%%flowgpt -c "my ch|', ['my chat"'], "my ch"),
        ('%%flowgpt -c "my ch|"', ["my chat"], "my ch"),
        ("%%flowgpt -c 'MY|", ["my chat'"], "MY"),
        ('%%flowgpt --chat="my ch|', ['my chat"'], "my ch"),
        ("%%flowgpt --chat=my|", ["my\\ chat"], "my"),
        (r"%%flowgpt -c my\ c|", ["my\\ chat"], r"my\ c"),
        ("%%flowgpt -c my| -t 1", ["my\\ chat"], "my"),
        ("%%flowgpt -c m|ain", ["main", "my\\ chat"], "m"),
        ('%%flowgpt -c "it|', ["it's\""], "it"),
        ("%%flowgpt -c 'it|", [], "it"),
        ("%%flowgpt -c it|", ["it\\'s"], "it"),
        ("%%flowgpt -c two|", [], "two"),
        ("%flowgpt use my c|", ["my chat"], "my c"),
        ("%flowgpt use it|", ["it's"], "it"),
        ('%flowgpt rm "my|', ['my chat"'], "my"),
        ("%flowgpt rename my|", ["my\\ chat"], "my"),
        ("%flowgpt rename main m|", [], "m"),
        ("%flowgpt branch ma|", ["main"], "ma"),
        ("%%flowgpt -s don't -c ma|", ["main"], "ma"),
    ],
)
def test_a_name_is_written_so_that_it_is_read_back(text, offered, stretch):
    assert tab(text) == offered
    assert replaced(text) == stretch


@pytest.mark.parametrize(
    "text",
    [
        "{name}|",
        "{name |",
        "na|",
        "${na|",
        "{{na|}}",
        "x^{na|",
        r"\text{na|",
        'f"{na|"',
        "{api|",
        "{ex|",
        "{na\n|",
        "{1|",
    ],
)
def test_no_variable_is_offered_where_no_reference_is_read(text):
    assert tab("%%flowgpt\n" + text) == []


def test_no_variable_is_offered_where_references_are_left_alone():
    assert tab("%%flowgpt --raw\n{na|") == []
    assert tab("%flowgpt --raw what is {na|") == []


PIECES = [
    *(
        "%flowgpt",
        "%%flowgpt",
        "%%time",
        "\n",
        "\r\n",
        " ",
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        "\\",
        ".",
        ",",
        "=",
        "@",
        "-",
    ),
    *(
        "--",
        "na",
        "thing.",
        "d[",
        "🙂",
        "ß",
        "İ",
        "-c",
        "--chat=",
        "-a",
        "-s",
        "-f",
        "<<",
        "use",
        "set",
        "adopt",
        "my ",
    ),
    *("#", "help", "model", 'f"', "{{", "rename", "retry", "\x00", "\u2028"),
]


@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12),
    st.data(),
    st.sampled_from(["", "%flowgpt ", "%%flowgpt "]),
)
def test_for_any_text_nothing_raises_and_items_begin_as_it_is_typed(pieces, data, lead):
    text = lead + "".join(pieces)
    cursor = data.draw(st.integers(0, len(text)))

    found = complete(text, cursor, KNOWN)

    if found is not None:
        assert 0 <= found.start <= cursor <= len(text)
        assert len(found.candidates) <= MAX_CANDIDATES
        typed = text[found.start : cursor]
        for item in found.candidates:
            assert item.text.casefold().startswith(typed.casefold())
            assert item.text.isprintable()


@given(st.sampled_from(["-c ", "-c '", '-c "', "--chat=", "--chat='"]), st.text(min_size=1), st.integers(0, 3))
@example("-c '", "/", 0)
@example("-c ", "«", 0)
@example("-c ", "«a» b", 0)
def test_an_inserted_name_is_read_back_as_it_is(lead, name, typed):
    text = f"%%flowgpt {lead}{name[:typed]}"
    found = complete(text, len(text), CompletionSources(conversations=lambda: [name]))

    for item in found.candidates if found else ():
        line = (text[: found.start] + item.text).removeprefix("%%flowgpt ")
        if found.start <= len("%%flowgpt ") + len(lead):
            assert magic_line.read_line(line, lambda _word: False).options == {"chat": name}


def test_large_numbers_of_names_cost_no_more_than_a_moment():
    known = CompletionSources(
        names={f"variable_{number}": number for number in range(10_000)},
        commands=KNOWN.commands,
        conversations=lambda: [f"conversation {number}" for number in range(1_000)],
        files=lambda _folder: [Candidate(f"v{number}", "file") for number in range(1_000)],
    )
    body = "some words {variable_1} and $x$ " * 2_000
    for text in (
        "%%flowgpt\n{",
        "%%flowgpt\n{VAR",
        f"%%flowgpt\n{body}{{var",
        "%%flowgpt -a v",
        "%%flowgpt -c ",
        "%flowgpt ",
    ):
        seconds = []
        for _ in range(5):
            begun = time.process_time()
            found = complete(text, len(text), known)
            seconds.append(time.process_time() - begun)
            assert 0 < len(found.candidates) <= MAX_CANDIDATES
        print(f"{text[:10]!r} … {text[-6:]!r} of {len(text)} characters: {min(seconds) * 1000:.1f} ms")


def test_a_cursor_at_the_end_of_the_magic_offers_nothing_of_ours():
    assert complete("%%flowgpt", 9, KNOWN) is None
    assert complete("%%flowgpt \n", 11, KNOWN) == Completion(11)


def test_parameters_are_offered_behind_their_flag_and_json_is_one_value():
    known = dataclasses.replace(KNOWN, parameters=lambda: [Candidate("extra_body=", ""), Candidate("stop=", "")])

    assert tab("%%flowgpt -P |", known) == ["extra_body=", "stop="]
    assert tab("%%flowgpt -P ex|", known) == ["extra_body="]
    assert tab("%%flowgpt -P 'ex|", known) == ["extra_body='"]
    assert tab('%%flowgpt -P stop=["a b", "c"] -P ex|', known) == ["extra_body="]
    assert tab('%%flowgpt -P extra_body={"a": {"b": 1}} -f ht|', known) == ["html"]
    assert tab('%%flowgpt -P extra_body={"a": |', known) == []
    assert tab('%%flowgpt -P stop="a |', known) == []
    assert tab("%flowgpt set -P st|", known) == ["stop="]
    assert tab('%flowgpt alias fast echo -P stop=["a b"] -P ex|', known) == ["extra_body="]
    assert "extra_body=" not in tab("%%flowgpt -P stop=1 ex|", known)


def test_each_of_several_models_is_completed():
    assert tab("%flowgpt -m echo,ech|") == tab("%flowgpt -m ech|")
    assert tab("%flowgpt --model=echo,ech|") == tab("%flowgpt -m ech|")
    assert tab("%flowgpt echo,echo:words --qui|") == ["--quiet"]


def test_keep_offers_the_replies_of_the_last_comparison():
    compared = [Candidate("1", "reply of echo:words"), Candidate("echo:words", "model")]

    assert tab("%flowgpt keep |", dataclasses.replace(KNOWN, compared=lambda: compared)) == ["1", "echo:words"]

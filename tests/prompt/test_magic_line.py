"""The line of a magic: options, a model, and a prompt of which nothing is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from flowgpt_magic.errors import OptionError
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.prompt.magic_line import read_line


def no_model(word: str) -> bool:
    return False


def claims(word: str) -> bool:
    """Like the real question, without the providers: a known name, or a word with ``:`` or ``/``."""
    return word == "echo" or ":" in word or "/" in word


def test_an_empty_line_is_nothing():
    assert read_line("", claims) == magic_line.MagicLine({}, "")
    assert read_line("   ", claims) == magic_line.MagicLine({}, "")


def test_options_the_model_and_the_prompt_are_told_apart():
    line = read_line("echo -t 0.5 --system 'be brief' What  is it?", claims)

    assert line.options == {"model": "echo", "temperature": 0.5, "system": "be brief"}
    assert line.prompt == "What  is it?"


@pytest.mark.parametrize("line", ["-m echo hello", "-m 'echo' hello", "--model echo hello", "--model=echo hello"])
def test_a_value_is_given_in_the_shells_ways(line):
    assert read_line(line, no_model) == magic_line.MagicLine({"model": "echo"}, "hello")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ('-s "be brief" x', "be brief"),
        ("-s 'say \"yes\"' x", 'say "yes"'),
        ("--system='be brief' x", "be brief"),
        ("-s be' 'brief x", "be brief"),
        (r"-s be\ brief x", "be brief"),
        (r"-s \"brief\" x", '"brief"'),
        (r"-s C:\temp x", r"C:\temp"),
        ("-s don't x", "don't"),
        ("-s '' x", ""),
        ("--system= x", ""),
        ("-s “brief” x", "brief"),
        ("-s “be brief” x", "be brief"),
        ("--system=“be brief” x", "be brief"),
        ("-s „sei kurz“ x", "sei kurz"),
        ("-s «sois bref» x", "sois bref"),
        ("-s \u2018it\u2019s me\u2019 x", "it\u2019s me"),
        ("-s “brief”, x", "“brief”,"),
        ("-s '“brief”' x", "“brief”"),
    ],
)
def test_quotes_around_a_value_are_taken_off_as_a_shell_does(typed, value):
    line = read_line(typed, no_model)

    assert (line.options, line.prompt) == ({"system": value}, "x")


@pytest.mark.parametrize(
    "prompt",
    [
        "what's a list?",
        "what's the dog's name",
        "it's 5 km/h, isn't it",
        '"what is 1/2?" she asked',
        "“typographic” quotes",
        "“echo” is said",
        "—well, what?",
        "— said she",
        "two  spaces   and a tab\tand some at the end  ",
        "$5 and ${x} and {secret}",
        '{"a", 1} is a set',
        "{x} and {y[0]}",
        "what does -t 0 mean",
        "explain --system to me",
        "-5 degrees",
        "- a list",
        "--- a rule",
        "'--' is how options end",
        "<< is a shift",
        "1<<3",
        "a backslash \\ stays",
        "trailing backslash\\",
        '"never closed',
    ],
)
def test_words_of_a_prompt_stay_as_typed(prompt):
    assert read_line(prompt, claims) == magic_line.MagicLine({}, prompt)
    assert read_line(f"-t 1 {prompt}", claims).prompt == prompt


def test_only_the_first_bare_word_can_be_the_model():
    assert read_line("hello echo", claims) == magic_line.MagicLine({}, "hello echo")
    assert read_line("echo echo", claims) == magic_line.MagicLine({"model": "echo"}, "echo")
    assert read_line("-m other echo", claims) == magic_line.MagicLine({"model": "other"}, "echo")


def test_options_go_on_after_the_model():
    assert read_line("echo -t 1 hi", claims) == magic_line.MagicLine({"model": "echo", "temperature": 1.0}, "hi")


def test_two_dashes_end_the_options():
    assert read_line("-t 1 -- -m is a flag", claims) == magic_line.MagicLine({"temperature": 1.0}, "-m is a flag")
    assert read_line("-- echo", claims) == magic_line.MagicLine({}, "echo")
    assert read_line("--", claims) == magic_line.MagicLine({}, "")


def test_an_answer_is_named_in_front_of_two_arrows():
    assert read_line("answer << echo hi", claims) == magic_line.MagicLine({"out": "answer", "model": "echo"}, "hi")
    assert read_line("answer <<", claims) == magic_line.MagicLine({"out": "answer"}, "")
    assert read_line("-o answer hi", claims) == magic_line.MagicLine({"out": "answer"}, "hi")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--sytem x", "there is no option --sytem; did you mean --system?"),
        ('-s "Be brief What is it?', 'the quote before "Be brief What is it? is never closed: write " where the value'),
        ("--system='Be brief", "the quote before 'Be brief is never closed: write ' where the value ends"),
        ("-t 1 -s “Be brief What is it?", "the quote before “Be brief What is it? is never closed: write ”"),
        ('-m "gpt hello', 'the quote before "gpt hello is never closed'),
        ('-P "stop=x hello', 'the quote before "stop=x hello is never closed'),
        ("--sytem=x", "there is no option --sytem; did you mean --system?"),
        ("-x", "there is no option -x"),
        ("--temperature", "--temperature needs a value: --temperature NUMBER (0 to 2)"),
        ("-t  ", "-t needs a value"),
        ("-t hot", "-t hot: must be a number from 0 to 2"),
        ("-t 3", "-t 3: must be a number from 0 to 2"),
        ("-f markdwn", "did you mean markdown?"),
        ("-t 1 -t 1", "-t is given twice"),
        ("-m a --model b", "--model is given twice"),
        ("echo -m b", "-m is given twice"),
        ("answer << -o b", "-o is given twice"),
        ("-o my-answer", "'my-answer' is not a valid name of a variable; did you mean my_answer?"),
        ("-o 2nd", "did you mean _2nd?"),
        ("-o class", "did you mean _class?"),
        ("-o ''", "-o needs a value: -o VARIABLE"),
        ("-m ''", "-m needs a value: -m NAME"),
        ("-c '' x", "-c needs a value: -c NAME"),
        ("--temperature=", "--temperature needs a value: --temperature NUMBER (0 to 2)"),
        ("-s", "-s needs a value: -s TEXT"),
        ("--raw=no", "--raw takes no value"),
        ("--raw --raw", "--raw is given twice"),
        ("-P a=1 -P b=2 -P a=3", "-P a=… is given twice"),
        ("--temp 1", "there is no option --temp; did you mean --temperature?"),
        ("--no", "did you mean --no-history or --no-stream?"),
        ("—system brief", "—system begins with a dash: the option is --system. After -- it belongs to the prompt"),
        ("\u2013t 1", "\u2013t begins with a dash: the option is -t."),
        ("-t 1 —format=json", "—format=json begins with a dash: the option is --format=json."),
        ("my-answer << hi", "my-answer <<: 'my-answer' is not a valid name of a variable; did you mean my_answer?"),
    ],
)
def test_a_wrong_option_says_what_is_wrong_and_never_becomes_a_prompt(line, said):
    with pytest.raises(OptionError, match=re.escape(said)):
        read_line(line, claims)


def test_an_unknown_option_tells_how_to_write_one_in_a_prompt():
    with pytest.raises(OptionError, match="-- ends the options; -h shows them"):
        read_line("--verbose output of ls", claims)


def test_quotes_around_all_of_a_text_are_taken_off():
    for text in ('"be brief"', "'be brief'", "“be brief”", "be brief"):
        assert magic_line.unquoted(text) == "be brief"
    assert magic_line.unquoted('"say "yes""') == 'say "yes"'  # as an exported notebook has it
    for text in ("“a” or “b”", '"', "it's"):
        assert magic_line.unquoted(text) == text
    assert magic_line.words("“my chat” and \u2018it\u2019s\u2019") == ["my chat", "and", "it\u2019s"]


def test_help_takes_no_value():
    assert read_line("-h", claims) == magic_line.MagicLine({"help": True}, "")
    assert read_line("--help me", claims) == magic_line.MagicLine({"help": True}, "me")


def without_options(line: str) -> bool:
    return not re.match(r"\s*(--?[A-Za-z]|--(\s|$)|[^\s-]\S*\s+<<(\s|$))", line)


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("'\"\\- =<:/ \t\x1c")))
@example("\x1f ")
@example("'")
@example('"" ""')
def test_a_line_without_options_comes_back_as_the_prompt(line):
    assume(without_options(line))

    assert read_line(line, no_model) == magic_line.MagicLine({}, line.lstrip())


@given(st.text(st.sampled_from("ab'\"\\- =<:/ \te")))
def test_any_line_is_refused_or_what_is_not_an_option_is_its_prompt(line):
    try:
        found = read_line(line, claims)
    except OptionError as error:
        assert str(error)  # noqa: PT017 - most lines are none
        return
    assert line.endswith(found.prompt)
    taken = line[: len(line) - len(found.prompt)]
    if taken.strip():
        assert found.options or taken.strip() == "--"
    if not found.options and taken.strip() != "--":
        assert found.prompt == line.lstrip()


@given(
    st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"])),
    st.floats(0, 2),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_options_in_front_take_nothing_from_the_prompt(system, temperature, prompt):
    line = read_line(f"-t {temperature!r} -s '{system}' -- {prompt}", claims)

    assert line.options == {"temperature": temperature, "system": system}
    assert line.prompt == prompt.lstrip()


@given(st.text())
def test_a_suggested_variable_name_is_one(name):
    try:
        assert magic_line.variable_name(name) == name
    except ValueError as error:
        suggested = re.search(r"did you mean (.*)\?$", str(error), re.DOTALL)
    else:
        return
    if suggested:
        assert magic_line.variable_name(suggested[1]) == suggested[1]

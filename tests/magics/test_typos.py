"""A mistyped subcommand or model is refused, and an ordinary prompt is sent."""

from __future__ import annotations

import re

import pytest

from flowgpt_magic.errors import (
    ConversationNotFoundError,
    ModelNotSupportedError,
    OptionError,
    ProviderNotFoundError,
)
from flowgpt_magic.magics import typos
from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.prompt.magic_line import read_line
from flowgpt_magic.providers.models import is_model_name

# Words that begin the prompts of a notebook, in some languages; those that are subcommands run one.
FIRST_WORDS = """
a about act add adjust advise all also an analyse analyze and answer apply are as ask assess assume at be
because before best brainstorm briefly build but by calculate can change check choose classify clean code
combine comment compare compile complete compose compute confirm consider construct contrast convert correct
could count create critique date debug decide deduce define demonstrate derive describe design detect
determine develop differentiate discuss display do document does draft draw each elaborate enumerate estimate
evaluate every examine expand expect explore express extend extract fill filter find finish first flag focus
for format formulate from function generate get give go group guess guide hello hey hi hint how identify if
illustrate implement improve in infer inspect integrate interpret invent is it join judge just keep label last
learn least let like limit load locate look make many map mark match may merge mind mock modify most move my
name need no normalize note now of ok on one only optimize or order organize outline paraphrase parse perform
pick plain plan please plot port predict prepare pretend print prioritize produce proofread propose prove
provide put quote rank rate read reason rebase recall recommend reduce refactor reformulate reject relate
remember remind remove reorder repeat rephrase replace report represent research resolve respond rest restate
resume return reverse review revise rewrite role round run say schedule score see select sentiment separate
shall shorten should shows simplify simulate sketch slow solve some sort split sql start state step steps
story strip structure style subtract suggest sum summarise summarize suppose swap take teach tell test tested
tests that the then there these they think this through to today top trace train transform translate trim try
turn two type under understand unto us validate verify visualise visualize walk want was we what whats when
where which while who why will with without word write yes you your analysiere antworte bitte erkläre erstelle
finde formuliere für gib hallo hilf ich kannst korrigiere liste mach mache nenne schreib schreibe übersetze
vergleiche warum was welche wer wie wo zeig zeige aide combien comment continuer corrige donne écris explique
fais génère liste montre pourquoi quel qui résume traduis analiza ayuda corrige cómo cuál dame dime escribe
explica genera haz lista muestra por qué quién resume traduce come continua correggi crea dimmi elenca perché
quale riassumi scrivi spiega traduci
""".split()  # noqa: SIM905 - four hundred strings are harder to read


def refused(line: str) -> bool:
    word, _space, rest = line.partition(" ")
    try:
        typos.refuse_subcommand(word, rest, SUBCOMMANDS)
        typos.refuse_model(read_line(line, is_model_name), above=False)
    except (OptionError, ModelNotSupportedError, ProviderNotFoundError):
        return True
    return False


def test_no_ordinary_first_word_of_a_prompt_is_refused():
    assert len(FIRST_WORDS) > 350
    for word in FIRST_WORDS:
        for line in (f"{word} this for me", f"{word.capitalize()} this for me"):
            assert not refused(line), line


@pytest.mark.parametrize(
    "line",
    [
        "k-means in numpy",
        "e-mail to my boss",
        "COVID-19 in one sentence",
        "3-sat is NP-hard, why?",
        "Python3 or Python2?",
        "H2O boils at what temperature?",
        "100-word summary of Hamlet",
        "2 + 2",
        "echoes of the past, a poem",
        "https://example.com/a-1 says what?",
        "10:30 in Tokyo is when in Rome?",
        "24/7 means what?",
        "A/B testing in three steps",
        "and/or in logic",
        "src/main.py does what?",
        "main.py:12 fails, why?",
        "Histoire de France en trois phrases",
        "Sistema solare: i pianeti",
        "-- gtp-4 explained",
        "-m echo gtp-4 explained",
        "hello",
        "问题:什么是列表",
    ],
)
def test_a_prompt_of_one_line_is_sent(line):
    assert not refused(line)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("gtp-4", "did you mean gpt-4-turbo?"),
        ("gtp-4 why is the sky blue", "did you mean gpt-4-turbo?"),
        ("ecko hi", "did you mean echo?"),
        ("opnai:gpt-4o hi", "did you mean openai_compatible?"),
        ("meta/llama.gguf hi", "no model, provider or alias 'meta/llama.gguf'"),
        ("locl:models/a.gguf hi", "did you mean local?"),
        ("meta/llama hi", "no model, provider or alias 'meta/llama'"),
    ],
)
def test_a_mistyped_model_before_a_prompt_is_refused_with_the_way_to_send_it(line, hint):
    with pytest.raises((ModelNotSupportedError, ProviderNotFoundError), match=re.escape(hint)) as error:
        typos.refuse_model(read_line(line, is_model_name), above=False)

    assert str(error.value).endswith("to send it as a prompt, write %flowgpt -- before it.")


@pytest.mark.parametrize(
    "line", ["gtp-4", "gpt-4o", "x1", "ecko", "hello -t 0.2", "hello -x", "some/model", "a:b", "e-mail"]
)
def test_a_single_word_above_a_prompt_that_looks_like_a_model_is_refused(line):
    with pytest.raises((ModelNotSupportedError, ProviderNotFoundError), match="first line of the prompt, write --"):
        typos.refuse_model(read_line(line, is_model_name), above=True)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "Summary",
        "Follow-up:",
        "2024",
        "1.",
        "Aufgabe:",
        "第1章",
        "Füße-2",
        "/etc/hosts",
        "#1",
        "{frame-1}",
        "https://example.com/x1",
        "-- gtp-4",
        "-m echo gtp-4",
        "a list of gtp-4 models",
    ],
)
def test_other_first_lines_belong_to_the_prompt(line):
    typos.refuse_model(read_line(line, is_model_name), above=True)


def test_a_subcommand_with_words_that_it_does_not_take_says_how_to_send_them():
    how = "To send it as a prompt, write %flowgpt -- before it."
    errors = {
        "three rivers": OptionError("%flowgpt models takes one name"),
        "the force": ConversationNotFoundError("there is no conversation 'the force'; did you mean force?"),
        "force": ConversationNotFoundError("there is no conversation 'force'"),
        "draft -t 1": OptionError("wrong"),
        "a b": OptionError("to send it as a prompt, write %flowgpt -- before it"),
    }

    for rest, error in errors.items():
        typos.say_how_to_send(error, rest)

    assert [how in str(error) for error in errors.values()] == [True, True, False, False, False]


def test_the_ordinary_words_are_those_that_would_be_refused_or_are_near():
    assert {"teach", "name", "provide", "report", "research"} <= typos.ORDINARY
    assert not typos.ORDINARY & set(SUBCOMMANDS)

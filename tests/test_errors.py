"""The errors, and how a notebook shows them."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import errors
from flowgpt_magic.errors import (
    AuthenticationError,
    FlowGptError,
    FlowGptWarning,
    ProviderError,
    RateLimitError,
    ReplyInterrupted,
    closest,
)

EVERY_CLASS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BaseException)]


@pytest.mark.parametrize("error", EVERY_CLASS, ids=lambda each: each.__name__)
def test_every_error_has_the_one_root_and_says_what_it_means(error):
    assert issubclass(error, (FlowGptError, FlowGptWarning, ReplyInterrupted))
    assert error.__doc__


def test_what_a_provider_can_fail_with_is_caught_as_one():
    for error in (errors.ContextLengthError, errors.ProviderTimeoutError, errors.ProtocolError, RateLimitError):
        assert issubclass(error, ProviderError)


def test_an_error_with_a_status_keeps_its_numbers():
    error = RateLimitError("wait a little", 429, retry_after=2.5)

    assert (str(error), error.status, error.retry_after) == ("wait a little.", 429, 2.5)
    assert AuthenticationError("no key", 401).status == 401


def test_a_refused_parameter_is_still_named_after_a_pickle():
    error = pickle.loads(pickle.dumps(errors.ParameterRefusedError("not this", 400, "temperature", 1.5)))

    assert (str(error), error.status, error.parameter, error.retry_after) == ("not this.", 400, "temperature", 1.5)


def test_a_notebook_shows_an_error_in_its_own_words_and_without_a_traceback():
    assert FlowGptError("do this")._render_traceback_() == ["FlowGptError: do this."]


def test_an_interrupted_reply_is_an_interrupt_and_shows_one_line():
    stopped = ReplyInterrupted("Interrupted: nothing had arrived yet")

    assert isinstance(stopped, KeyboardInterrupt)
    assert not isinstance(stopped, Exception)
    assert stopped._render_traceback_() == ["Interrupted: nothing had arrived yet."]


def test_a_word_almost_right_is_answered_with_the_right_one():
    assert closest("temprature", ["model", "temperature"]) == "; did you mean temperature?"


def test_capitals_are_no_mistake_to_speak_of():
    assert closest("ECHO", ["Echo", "local"]) == "; did you mean Echo?"


def test_a_word_far_from_all_others_ends_the_sentence():
    assert closest("zebra", ["model", "temperature"]) == "."
    assert closest("zebra", []) == "."


@given(st.text(), st.lists(st.text()))
def test_only_a_known_word_is_ever_suggested(word, known):
    hint = closest(word, known)

    assert hint == "." or hint.removeprefix("; did you mean ").removesuffix("?") in known


def raised_texts() -> Iterator[tuple[str, str]]:
    """Where an error is made in the package, and its text; what is filled in is written as one word."""
    package = Path(errors.__file__).parent
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
    own = names_of_errors([node for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)])
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in own and node.args:
                yield from ((f"{path.name}:{node.lineno}", text) for text in texts_of(node.args[0]))


def names_of_errors(classes: Sequence[ast.ClassDef]) -> set[str]:
    """The names of ``FlowGptError`` and of the classes that derive from it, through however many others."""
    own, known = {"FlowGptError"}, 0
    while len(own) > known:
        known = len(own)
        own |= {each.name for each in classes if own & {base.id for base in each.bases if isinstance(base, ast.Name)}}
    return own


def texts_of(node: ast.expr) -> Iterator[str]:
    """The texts that an expression with a literal text in it may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(each.value if isinstance(each, ast.Constant) else "something" for each in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*texts_of(node.body), *texts_of(node.orelse))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from (a + b for a in texts_of(node.left) for b in texts_of(node.right))
    elif isinstance(node, ast.Call):
        yield from (text for each in node.args[-1:] for text in texts_of(each))


def test_every_text_an_error_is_raised_with_ends_in_one_mark():
    texts = list(raised_texts())

    assert len(texts) > 200
    for place, text in texts:
        for ended in (str(FlowGptError(text)), str(FlowGptError(f"{text}.")), str(FlowGptError(f"{text} \n"))):
            assert re.search(r"(?<![.?!])[.?!][\"')\]]*\Z", ended), (place, ended)
            assert "..." in text or not re.search(r"\.\.|\.:|\. \.", ended), (place, ended)


@pytest.mark.parametrize(
    ("raised", "read", "clause"),
    [
        ("it is empty", "it is empty.", "it is empty"),
        ("it is empty. \n", "it is empty.", "it is empty"),
        ("is it there?", "is it there?", "is it there?"),
        ("it says (no.)", "it says (no.)", "it says (no.)"),
        ("first line\nx = 1", "first line\nx = 1.", "first line\nx = 1"),
        ("", "", ""),
    ],
)
def test_an_error_reads_as_a_sentence_and_gives_the_clause_it_is_made_of(raised, read, clause):
    error = pickle.loads(pickle.dumps(ProviderError(raised)))

    assert (str(error), error.clause, error.args) == (read, clause, (raised,))
    assert repr(error) == f"ProviderError({raised!r})"

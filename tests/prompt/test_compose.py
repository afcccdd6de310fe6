"""From what was typed to what is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import PromptError
from flowgpt_magic.prompt.attachments import AttachmentError
from flowgpt_magic.prompt.compose import PromptContext, compose, system_prompt


def double(x):
    return 2 * x


def sent(prompt: str, names: dict[str, object] | None = None, **how) -> str:
    around = PromptContext(
        names or {}, ["", "x = 1", "y = 2"], {1: "the output"}, ZeroDivisionError("division by zero")
    )
    return compose(prompt, around, **{"budget": 200, **how})


def test_names_in_braces_are_replaced_once():
    assert sent("{name} is {n}", {"name": "{n}", "n": 5}) == "{n} is 5"


def test_values_are_shown_to_a_model_and_simple_ones_as_they_are():
    assert sent("{x} {y} {z}", {"x": 1.5, "y": None, "z": True}) == "1.5 None True"
    assert sent("{numbers}", {"numbers": [1, 2, 3]}) == "[1, 2, 3]"
    assert "function double" in sent("{double}", {"double": double})


def test_the_last_error_is_there_by_its_name():
    assert "division by zero" in sent("what is {Err}?")
    assert "mine" in sent("{Err}", {"Err": "mine"}) or "division by zero" in sent("{Err}", {"Err": "mine"})


def test_raw_leaves_braces_alone():
    assert sent("{name}", {"name": "x"}, raw=True) == "{name}"


@pytest.mark.parametrize("name", ["api_key", "TOKEN", "password"])
def test_what_looks_like_a_secret_stays_as_typed(name):
    assert sent(f"f'{{x}}' {{{name}}}", {name: "hidden"}) == f"f'{{x}}' {{{name}}}"


@given(st.text())
def test_a_prompt_without_defined_names_is_sent_as_typed(prompt):
    assert compose(prompt, PromptContext({}), budget=100) == prompt


def test_attachments_stand_below_the_prompt():
    text = sent("Look.", {"numbers": [1, 2]}, attached=("numbers", "cell:-1", "out:1", "err"))

    assert text.startswith("Look.\n\nnumbers:\n[1, 2]\n\ncell:-1")
    assert text.index("y = 2") < text.index("the output") < text.index("ZeroDivisionError")


def test_an_unknown_attachment_is_an_error_with_the_closest():
    with pytest.raises(AttachmentError, match="did you mean numbers"):
        sent("Look.", {"numbers": [1]}, attached=("nubmers",))


def test_a_secret_is_not_attached_unless_it_is_meant():
    with pytest.raises(AttachmentError, match="api_key!"):
        sent("Look.", {"api_key": "hidden"}, attached=("api_key",))
    assert "hidden" in sent("Look.", {"api_key": "hidden"}, attached=("api_key!",))


def test_what_was_attached_and_what_was_not_sent_is_handed_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x")
    (tmp_path / "src" / "b.bin").write_bytes(bytes(9))
    (tmp_path / "plot.png").write_bytes(bytes(9))

    composed = sent("Look.", attached=("src", "plot.png"), model="local")

    assert composed.included == ("1 of 2 files of src", "the name of plot.png")
    assert composed.unsent == ("1 file of src not sent: binary", "picture not sent: local reads text")


class TestSystemPrompt:
    def test_a_text_is_that_text(self):
        assert system_prompt("be kind") == "be kind"

    def test_behind_an_at_sign_stands_a_file(self, tmp_path):
        path = tmp_path / "system.txt"
        path.write_bytes(b"\xef\xbb\xbfBe kind.\nBe brief.\n")

        assert system_prompt(f"@{path}") == "Be kind.\nBe brief."

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "No such file"),
            (b"\xff\xfe\x00", "not a text file"),
            (b"a\0b", "not a text file"),
            (b"x" * 2**21, "longer than 1 MB"),
        ],
    )
    def test_a_file_that_is_none_is_one_clear_error(self, tmp_path, content, said):
        path = tmp_path / "system.txt"
        if content is not None:
            path.write_bytes(content)

        with pytest.raises(PromptError, match=said):
            system_prompt(f"@{path}")


QUOTED = 'About {name}\n\n```python\nprint("{price}")\nx = {price}\n```\n\nand {name}'


def test_code_that_a_prompt_quotes_stays_as_it_is_and_the_text_beside_it_does_not():
    names = {"name": "mine", "price": "of a variable"}
    assert sent(QUOTED, names, quotes_code=True) == QUOTED.replace("{name}", "mine")
    assert "x = of a variable" in sent(QUOTED, names)


def test_a_name_in_quoted_code_is_no_reference_that_failed():
    prompt = compose("```\n{nosuch}\n```\n{nosuch}", PromptContext({}), quotes_code=True, budget=200)
    assert len(prompt.unsent) == 1


@given(st.lists(st.sampled_from(["{name}", "f'{name}'", "{{", "`", "``` x`", "~~~", "\n", "text", "  "])))
def test_no_text_in_a_longer_fence_or_before_it_lets_a_value_into_quoted_code(pieces):
    code = "".join(pieces)
    block = f"`````python\n{code}\n`````"
    for before in ("", "Why?\n\n", "```\n\n", "``` x` y\n\n"):
        assert block in sent(f"{before}{block}\n\n", {"name": "VALUE"}, quotes_code=True)

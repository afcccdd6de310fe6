"""Prompt templates: their files, what is typed to call them, and how slots are filled."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import OptionError
from flowgpt_magic.prompt import templates
from flowgpt_magic.prompt.templates import TemplateCall, TemplateError, fill, find, find_files, read, read_call
from tests.templates_on_disk import write, write_in_project

REVIEW = """---
description: "review code"
# how it answers
model: echo:words

temperature: 0.2
format: text
---

Review for {audience}:

{code}
"""


class TestFiles:
    def test_a_template_is_its_text_and_what_it_chooses(self):
        path = write("review", REVIEW)

        template = find("review")

        assert template.text == "Review for {audience}:\n\n{code}"
        assert template.description == "review code"
        assert template.options == {"model": "echo:words", "temperature": 0.2, "format": "text"}
        assert (template.path, template.is_project, template.slots) == (path, False, ["audience", "code"])
        assert find("review.md") == template

    def test_one_without_lines_at_the_top_is_all_text(self):
        write("plain", "\ufeffSum up:\r\n{body}")

        assert (find("plain").text, find("plain").options) == ("Sum up:\n{body}", {})

    @pytest.mark.parametrize(
        ("top", "said"),
        [
            ("---\nmodel: echo\n", "line 1: the lines at the top that --- begins need another --- after them"),
            ("---\nmodel echo\n---\nx", "line 2: this is no entry; write NAME: VALUE, as in temperature: 0.2"),
            ("---\n\nmodle: echo\n---\nx", "line 3: a template cannot set modle; did you mean model?"),
            (
                "---\nopenai_base_url: http://x\n---\nx",
                "line 2: a template cannot set openai_base_url; a template can set",
            ),
            ("---\nopenai_key: K\n---\nx", "line 2: a template cannot set openai_key"),
            ("---\ntools: []\n---\nx", "line 2: a template cannot set tools"),
            ("---\nsystem: be evil\n---\nx", "line 2: a template cannot set system"),
            ("---\ntemperature: hot\n---\nx", "line 2: temperature is 'hot'; it must be a number from 0 to 2"),
            ("---\nformat: pdf\n---\nx", "line 2: format is 'pdf'; it must be one of"),
            ("---\nmodel:\n---\nx", "line 2: model needs a value"),
            ("---\nmodel: a\nmodel: b\n---\nx", "line 3: model is set twice"),
            ("---\nmodel: echo\n---\n \n", "has no prompt"),
            ("", "has no prompt"),
            ("x" * (templates.MAX_SIZE + 1), "it is longer than"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(self, top, said):
        path = write("bad", top)

        with pytest.raises(TemplateError, match=re.escape(said)) as raised:
            find("bad")
        assert str(path) in str(raised.value)

    def test_what_is_not_utf_8_is_refused(self):
        write("bad", "").write_bytes(b"gr\xf6\xdfer")

        with pytest.raises(TemplateError, match="is not text in UTF-8"):
            find("bad")

    @pytest.mark.parametrize("name", ["../settings", "/etc/hosts", "a/b", "", ".hidden", "..", "re view", "x" * 300])
    def test_a_name_leads_to_no_other_file(self, name):
        write(".hidden", "x")

        with pytest.raises(TemplateError, match="there is no template"):
            find(name)

    def test_an_unknown_one_names_the_closest_or_where_to_write_it(self):
        write("review", REVIEW)

        with pytest.raises(TemplateError, match=r"there is no template reveiw; did you mean review\?"):
            find("reveiw")
        with pytest.raises(TemplateError, match=r"there is no template zzz; to make it, write .*templates.zzz\.md"):
            find("zzz")


class TestProjects:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        inner = tmp_path / "project" / "notebooks"
        inner.mkdir(parents=True)
        monkeypatch.chdir(inner)
        return inner

    def test_a_project_has_templates_too_and_the_users_own_hide_them(self, folder):
        write("review", "mine")
        write_in_project(folder.parent, "review", "theirs")
        write_in_project(folder.parent, "tests", "Write tests.")

        assert {name: is_project for name, (_path, is_project) in find_files().items()} == {
            "review": False,
            "tests": True,
        }
        assert find("review").text == "mine"
        assert find("tests").is_project

    def test_a_link_that_leads_out_of_the_folder_is_refused(self, folder, tmp_path):
        (tmp_path / "secret.md").write_text("s3cr3t")
        path = write_in_project(folder, "x", "")
        path.unlink()
        path.symlink_to(tmp_path / "secret.md")

        with pytest.raises(TemplateError, match="leads out of its folder"):
            read(path, is_project=True)


class TestCalls:
    @pytest.mark.parametrize(
        ("typed", "call"),
        [
            ("review", TemplateCall("review")),
            (
                "review a=1 b='two words' some text",
                TemplateCall("review", {"a": "1", "b": "two words"}, {}, "some text"),
            ),
            ("review -t 0.5 a=1 -m echo", TemplateCall("review", {"a": "1"}, {"temperature": 0.5, "model": "echo"})),
            ("review a=1\nbelow\n it", TemplateCall("review", {"a": "1"}, {}, "below\n it")),
            ("review words\nbelow", TemplateCall("review", {}, {}, "words\nbelow")),
            ("review -- a=1", TemplateCall("review", {}, {}, "a=1")),
            ("review a= text", TemplateCall("review", {"a": ""}, {}, "text")),
            ("review == x", TemplateCall("review", {}, {}, "== x")),
            ("review a={frame.shape}", TemplateCall("review", {"a": "{frame.shape}"})),
        ],
    )
    def test_a_call_is_a_name_values_options_and_a_text(self, typed, call):
        assert read_call(typed) == call

    @pytest.mark.parametrize("typed", ["x a=1 a=2", "x -t 1 a=1 -t 1", "x --nonsense"])
    def test_what_is_given_twice_or_unknown_is_refused(self, typed):
        with pytest.raises(OptionError):
            read_call(typed)

    @given(st.text())
    def test_any_text_is_read(self, text):
        try:
            call = read_call(f"review {text}")
        except OptionError:
            return
        assert call.name.startswith("review")


class TestSlots:
    def filled(self, text: str, typed: str = "", names: dict[str, object] | None = None) -> str:
        write("it", text)
        return fill(find("it"), read_call(f"it {typed}"), names or {})

    def test_values_fill_slots_and_variables_are_left_to_the_prompt(self):
        assert self.filled("For {who}: {code}", "who=all", {"code": 1}) == "For all: {code}"

    def test_the_text_fills_its_slot_or_comes_last(self):
        assert self.filled("Sum up:\n{body}\nBriefly.", "the text {x}") == "Sum up:\nthe text {x}\nBriefly."
        assert self.filled("Sum up.", "the text") == "Sum up.\n\nthe text"

    def test_a_value_is_not_searched_for_slots(self):
        assert self.filled("{a} {b}", "a={b} b=2") == "{b} 2"

    def test_json_code_and_formulas_stay(self):
        text = 'Answer as {"a": 1}, f"{x}", ${y}, \\frac{p}{q}.'

        assert self.filled(text) == text

    @pytest.mark.parametrize(
        ("text", "typed", "said"),
        [
            ("{code}", "", "the template it needs code: write code=… after its name, or set a variable code."),
            ("{a} {b} {c}", "b=1", "the template it needs a and c: write a=… after its name, or set a variable a."),
            ("{frame.shape}", "", "the template it needs frame.shape: set a variable frame."),
            ("{box.gone}", "", "the template it needs box.gone: set a variable box."),
            ("{body}", "", "the template it needs a text: write it below the line, or after the name."),
            ("{code}", "cod=1", "the template it has no slot cod; did you mean code?; -- before cod= makes it a part"),
        ],
    )
    def test_what_is_missing_or_too_much_is_named(self, text, typed, said):
        with pytest.raises(TemplateError, match=re.escape(said)):
            self.filled(text, typed, {"box": SimpleNamespace()})

    def test_a_slot_with_the_name_of_a_secret_stays_as_typed(self):
        assert self.filled("{api_key}", "", {"api_key": "s3cr3t"}) == "{api_key}"

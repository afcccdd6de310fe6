"""References in a prompt: what is one becomes text, and everything else stays exactly as it was typed."""

from __future__ import annotations

import builtins
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowgpt_magic.prompt.references import (
    leading,
    look_up,
    names_secret,
    resolve,
    steps,
)

NAMES = {
    "name": "Ada",
    "n": 3,
    "x": 1.5,
    "a": [10, [20, 30]],
    "b": {"k": "v", "two words": 2, 7: "seven"},
    "point": SimpleNamespace(x=1, inner=SimpleNamespace(y=[5]), _hidden=2),
    "größe": "groß",
    "नाम": "Hindi",
    "_": "last",
    "__name__": "__main__",
    "In": ["", "first", "second"],
    "Out": {3: "three"},
    "Err": ValueError("wrong"),
}


def shown(text: str, names: dict[str, object] = NAMES) -> str:
    return resolve(text, names, lambda _reference, value: f"<{value}>").text


@pytest.mark.parametrize(
    ("typed", "inserted"),
    [
        ("{name}", "Ada"),
        ("{a[0]}", 10),
        ("{a[-1][1]}", 30),
        ("{a[-0]}", 10),
        ('{b["k"]}', "v"),
        ("{b['k']}", "v"),
        ('{b["two words"]}', 2),
        ("{b[7]}", "seven"),
        ("{point.x}", 1),
        ("{point.inner.y[0]}", 5),
        ("{größe}", "groß"),
        ("{नाम}", "Hindi"),
        ("{\N{FULLWIDTH LATIN SMALL LETTER N}ame}", "Ada"),  # as Python reads it
        ("{_}", "last"),
        ("{In[2]}", "second"),
        ("{Out[3]}", "three"),
        ("{Err}", "wrong"),
    ],
)
def test_a_reference_becomes_its_value(typed, inserted):
    assert shown(f"say {typed}, please") == f"say <{inserted}>, please"


@pytest.mark.parametrize(
    "text",
    [
        '{"name": 1, "a": [1, 2], "n": {"x": {}}}',
        "{name: 1}",
        "{1, 2}",
        "{name, n}",
        "{}",
        "{ name }",
        "{name!r}",
        "{x:.2f}",
        "{name=}",
        "{n()}",
        "{n + 1}",
        "{a[n]}",
        "{a[00]}",
        "{a[0:1]}",
        "{a[1_0]}",
        '{b["k]}',
        "{b[k]}",
        "{point._hidden}",
        "{point.__class__}",
        "{point.＿hidden}",  # noqa: RUF001 - a sign that Python reads as an underscore
        "{__name__}",
        "{name.}",
        "{.name}",
        "{na me}",
        "{name",
        "name}",
        "{n²}",
        "a { color: red; } b{margin:0}",
        r"\frac{a}{b}",
        r"\frac{\sqrt{x}}{n}",
        r"\sqrt[n]{x}",
        r"\text{name} \textbf*{name}",
        r"x^{n} + x_{n}",
        r"\{x\}",
        "${x} #{x} %{x}",
        "{{x}}",
        "{{ {x} }}",
        "{{{x}}}",
        "{{x}\n{n}}}",
        'f"{x}"',
        "print(f'{x} {n}', rf\"{x}\")",
        r'f"say \"{x}\" {n}"',
        'f"""\n{x}\n\n{n} "quoted"\n"""',
        "{class} {print} {None} {True} {undefined}",
    ],
)
def test_what_is_no_reference_stays_as_typed(text):
    assert resolve(text, NAMES, lambda *_: "wrong") == resolve(text, {}, lambda *_: "wrong")
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{name}{n}", "<Ada><3>"),
        ('{"rows": {n}}', '{"rows": <3>}'),
        (r"\frac{a}{b} is {n}", r"\frac{a}{b} is <3>"),
        ("{{x}} is {x}", "{{x}} is <1.5>"),
        ("{{x, then {n}\n\nand {n} }}", "{{x, then <3>\n\nand <3> }}"),
        ("it's f'(x) = {x}, isn't", "it's f'(x) = {x}, isn't"),  # it could be a string literal, so it is let alone
        ("f'(x) = {x}", "f'(x) = <1.5>"),
        ("it's {x}, isn't it", "it's <1.5>, isn't it"),
        ('say "{name}"', 'say "<Ada>"'),
        ('f"{x}" is {x}', 'f"{x}" is <1.5>'),
        ("<p>{name}</p>", "<p><Ada></p>"),
        ("{undefined}{name}", "{undefined}<Ada>"),
        ("{ {name} }", "{ <Ada> }"),
    ],
)
def test_references_are_found_among_what_is_none(text, expected):
    assert shown(text) == expected


@pytest.mark.parametrize("reference", ["a[2]", 'b["none"]', "point.z", "Out[4]", "n[0]", "n.real.none", 'a["k"]'])
def test_what_is_not_there_stays_as_typed(reference):
    assert shown(f"{{{reference}}}") == f"{{{reference}}}"
    with pytest.raises(LookupError):
        look_up(reference, NAMES)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, SystemExit, GeneratorExit, RecursionError])
def test_a_property_that_raises_leaves_the_text_as_typed(error):
    class Broken:
        @property
        def value(self):
            raise error

        def __getitem__(self, index):
            raise error

    assert shown("{it.value} {it[0]}", {"it": Broken()}) == "{it.value} {it[0]}"


def test_an_interrupt_in_a_property_goes_on():
    class Slow:
        @property
        def value(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shown("{it.value}", {"it": Slow()})


def test_a_default_is_not_made_up_and_kept():
    counts = defaultdict(int)

    assert shown('{counts["k"]}', {"counts": counts}) == '{counts["k"]}'
    assert counts == {}


def test_a_builtin_is_no_name_of_the_users():
    for name in dir(builtins):
        assert shown(f"{{{name}}}") == f"{{{name}}}"
    assert shown("{list}", {"list": [1]}) == "<[1]>"


def test_each_reference_is_rendered_once_and_told_once():
    asked = []
    text = "{n}, {name}, {n}, {undefined}, {{n}}"

    resolved = resolve(text, NAMES, lambda reference, value: asked.append((reference, value)) or "!")

    assert resolved.text == "!, !, !, {undefined}, {{n}}"
    assert resolved.used == ("n", "name")
    assert asked == [("n", 3), ("name", "Ada")]


def test_what_render_raises_comes_out():
    def refuse(reference, value):
        raise ValueError(reference)

    with pytest.raises(ValueError, match=r"a\[0\]"):
        resolve("{a[0]}", NAMES, refuse)


def test_the_steps_of_a_reference_are_told():
    assert [(step.kind, step.value) for step in steps('a.b[0]["k"]')] == [
        *(("name", "a"), ("attribute", "b"), ("index", 0), ("index", "k")),
    ]
    assert steps("a b") == steps("") == steps("a[0") == ()


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("a.b[0] and more", "a.b[0]"),
        ('b["two words"] -t 1', 'b["two words"]'),
        ("name!", "name"),
        ("größe?", "größe"),
        ("7 and more", ""),
        ("", ""),
        ("__name__", ""),
    ],
)
def test_a_reference_is_found_at_the_beginning_of_a_text(text, reference):
    assert leading(text) == reference


def test_a_name_is_made_of_what_python_makes_it_of_in_ascii():
    signs = [chr(number) for number in range(128)]

    assert [sign for sign in signs if steps(sign)] == [sign for sign in signs if sign.isidentifier()]
    assert [sign for sign in signs if steps(f"a{sign}")] == [sign for sign in signs if f"a{sign}".isidentifier()]


PIECES = st.sampled_from(
    [
        *(
            "{",
            "}",
            "{{",
            "}}",
            "\\",
            "$",
            "_",
            '"',
            "'",
            'f"',
            "f'",
            "[",
            "]",
            "\n",
            " ",
            "x",
            "^",
            "\\text",
            '"""',
            "\n\n",
        ),
        *("{x.f()}", '{a.f("f")}', "{n + 1}", "{ x }", "{x.f(", "(1)"),
        *("{x}", "{n}", "{a[0]}", '{b["k"]}', "{point.x}", "{undefined}", "{x:.2f}", "{name}{n}"),
    ]
)
COMPARED_TEXTS = st.text() | st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join)


def test_a_call_is_looked_at_only_where_that_is_wanted():
    def look(expression):
        if expression.startswith("n"):
            raise LookupError(expression)
        return expression.upper()

    text = '{name.f("f")}{x.f(1)} {n.f()} \\text{x.f()} f"{x.f()}" {{x.f()}}'
    looked = resolve(text, NAMES, lambda _reference, value: str(value), look)

    assert looked.text == '{name.f("f")}X.F(1) {n.f()} \\text{x.f()} f"{x.f()}" {{x.f()}}'
    assert looked.used == ("x.f(1)",)
    assert [braces.inside for braces in looked.left] == ['name.f("f")', "n.f()"]
    assert shown(text) == text


def test_braces_that_stay_as_typed_are_listed_once_with_their_place():
    text = "{n} {undefined} { n } {n + 1} {undefined} {{undefined}} x^{n + 1} {1}"

    left = resolve(text, NAMES, lambda *_: "").left

    assert [(braces.inside, text[braces.start : braces.end]) for braces in left] == [
        *(("undefined", "{undefined}"), (" n ", "{ n }"), ("n + 1", "{n + 1}")),
    ]


@given(COMPARED_TEXTS)
def test_any_text_without_defined_names_comes_back_unchanged(text):
    resolved = resolve(text, {}, lambda *_: "wrong")

    assert (resolved.text, resolved.used) == (text, ())


@given(COMPARED_TEXTS.map(lambda text: text.replace("{", "")))
def test_any_text_without_braces_comes_back_unchanged(text):
    assert shown(text) == text


@given(COMPARED_TEXTS)
@example("{x}{n}")
def test_only_whole_references_are_replaced_and_every_other_piece_stays(text):
    resolved = resolve(text, NAMES, lambda reference, _value: f"\ue000{reference}\ue001")

    if "\ue000" not in text and "\ue001" not in text:
        assert resolved.text.replace("\ue000", "{").replace("\ue001", "}") == text
    for reference in resolved.used:
        look_up(reference, NAMES)


@given(COMPARED_TEXTS, COMPARED_TEXTS)
def test_what_is_inserted_is_never_looked_at_again(text, inserted):
    marked = resolve(text, NAMES, lambda *_: "\ue000").text

    if "\ue000" not in text:
        assert resolve(text, NAMES, lambda *_: inserted).text == marked.replace("\ue000", inserted)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="{}\\$#%^_\"'", exclude_categories=["Cs"])),
            st.sampled_from(["name", "n", "a[0]", 'b["k"]', "point.inner.y[0]", "größe"]),
        )
    )
)
def test_the_result_is_the_pieces_and_the_values_one_after_another(pieces):
    text = "".join(f"{between}{{{reference}}}" for between, reference in pieces)

    assert shown(text) == "".join(f"{between}<{look_up(reference, NAMES)}>" for between, reference in pieces)


@given(st.from_regex(r"[^\W\d]\w{0,8}", fullmatch=True).filter(str.isidentifier))
def test_any_identifier_can_be_a_name(name):
    import unicodedata

    python_name = unicodedata.normalize("NFKC", name)
    hidden = python_name.startswith("__") and python_name.endswith("__") and len(python_name) > 4

    assert shown(f"{{{name}}}", {python_name: 1}) == (f"{{{name}}}" if hidden else "<1>")


class TestTime:
    """A text costs in proportion to its length. Where it did not, these would take minutes and more."""

    @pytest.mark.parametrize(
        "part",
        [
            *("{", "}", "{{", "{{x}", "{x}", "{x.", '{x["', "{x['a'][", "\\", "\\text[", "\\a{", "{x}}", "_{x}", "{x["),
            *("{x(", "{x()", "{x()}", '{x("', "{x.y(1).", "{x + ", "{x + 1}", "{ x }"),
            *("f\"'", "f'''", 'f"""', 'f"\\', '\\"f', "f'{x}", "{{ }}", "{{\n\n", "{a[0]}", "x.x", "é"),
        ],
    )
    def test_a_long_text_takes_no_longer_for_each_character(self, part):
        begun = time.process_time()

        shown(part * 100_000)
        shown("{" + part * 100_000)

        assert time.process_time() - begun < 10

    def test_twice_the_text_is_less_than_three_times_the_work(self):
        def work(times: int) -> int:
            count = 0

            def counted(frame, event, arg):
                nonlocal count
                count += 1

            import sys

            text = 'The {name} of {a[0]} in {"a": {x}} is {{x}}, \\frac{a}{b}, {undefined} and f"{x}".\n' * times
            sys.setprofile(counted)
            try:
                shown(text)
            finally:
                sys.setprofile(None)
            return count

        assert work(400) < 3 * work(200)


class TestSecrets:
    @pytest.mark.parametrize("reference", ["token", "config.api_key", 'os.environ["MY_SECRET"]', "credentials.user[0]"])
    def test_a_reference_is_one_if_any_step_of_it_is(self, reference):
        assert names_secret(reference)

    def test_a_reference_to_something_else_is_none(self):
        assert not names_secret('frame["monkey"].tokens[0]')
        assert not names_secret("no reference: token")

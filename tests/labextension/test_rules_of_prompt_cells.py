"""What the editor of JupyterLab takes for a prompt cell, an option and a reference is what the kernel takes for it."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowgpt_magic.completion.complete import _CELL
from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.input_transforms import complete_cell
from flowgpt_magic.prompt.magic_line import ABOVE_TEXT, OPTIONS, read_line
from flowgpt_magic.prompt.references import resolve, steps
from flowgpt_magic.prompt.unresolved import clauses
from flowgpt_magic.providers.models import NO_MODEL
from tests.prompt.test_references import COMPARED_TEXTS

ROOT = Path(__file__).parents[2]
TYPESCRIPT = ROOT / "flowgpt_magic/labextension/node_modules/typescript"
Rules = Callable[..., Any]


@pytest.fixture(scope="module")
def rules() -> Iterator[Rules]:
    """The editor's rules, in one node for all examples."""
    if not (shutil.which("node") and TYPESCRIPT.exists()):
        pytest.skip("needs node, and npm ci in flowgpt_magic/labextension")
    command = ["node", str(ROOT / "tests/labextension_js/rules.mjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as node:
        assert node.stdin
        assert node.stdout

        def ask(*question: Any) -> Any:
            node.stdin.write(json.dumps(question) + "\n")
            node.stdin.flush()
            return json.loads(node.stdout.readline())

        yield ask
        node.stdin.close()


# Cells

LINES = st.lists(
    st.sampled_from(
        [
            *("", "\n", "\r\n", "\x0b", "\x1c", "\x85", " ", "\t", "\N{NO-BREAK SPACE}", "# a comment", "#"),
            *(
                "%%flowgpt",
                "%%ai",
                "%%flowgptx",
                "%%flowgpté",
                "%%flowgpt?",
                "%%flowgpt -t 1",
                "%flowgpt",
                "x = 1",
                "%",
            ),
        ]
    )
    | st.text(max_size=2),
    max_size=8,
).map("".join)


@given(text=LINES)
@example(text="# a comment\n\n%%flowgpt -t 1\nhi\n")
@example(text="  %%flowgpt\nhi")
@example(text="%%ai hi")
def test_the_same_cells_are_prompts(rules, text):
    lines = text.splitlines(keepends=True)
    called = next((cell for name in ("flowgpt", "ai") if (cell := complete_cell(lines, name)) != lines), None)

    found = rules("firstLine", text)

    if called is None:
        assert found is None
        return
    name, line, body = ast.literal_eval(called[0].strip().removeprefix("get_ipython().run_cell_magic"))
    assert (found["magic"], found["text"].strip()) == (name, line)
    assert found["below"].removeprefix("\r").removeprefix("\n")[-5:] == body[-5:] or body == "\n" or found["below"]


@pytest.mark.parametrize(
    ("text", "is_prompt"),
    [
        ("%%time\n%%flowgpt hi", True),
        ("%%capture out\n%%time\n# a comment\n%%flowgpt\nhi", True),
        ("%%timeit?\n%%flowgpt", False),
        ("%%bash\n%%flowgpt", False),
        ("%%time %%flowgpt\nhi", False),
    ],
)
def test_a_prompt_may_stand_below_a_magic_that_runs_it(rules, text, is_prompt):
    found = rules("firstLine", text)

    assert bool(found) == is_prompt
    if found:
        assert _CELL.match(text)


# References


def meant(text: str) -> list[str]:
    """The references that the kernel would name as sent as typed if there were no variables."""
    left = resolve(text, {}, lambda *_: "").left
    return [braces.inside for braces in left if clauses(text, [braces], {}, {})]


@given(text=COMPARED_TEXTS)
@example(text='{name.f("f")}{x.f(1)} {n.f()} \\text{x.f()} f"{x.f()}" {{x.f()}}')
@example(text="{{x, then {n}\n\nand {n} }} {{x}} is {x}")
@example(text="{\N{FULLWIDTH LATIN SMALL LETTER N}ame} {name} {größe} {नाम} {n²} {point._hidden} {__name__}")
def test_the_same_references_are_found(rules, text):
    filled: list[str] = []

    def note(reference: str, _value: object) -> str:
        filled.append(reference)
        return ""

    class Everything(dict):  # each name leads to an object that has everything
        def __contains__(self, _name: object) -> bool:
            return True

        def __getitem__(self, _name: object) -> Any:
            return Everything()

        def __getattr__(self, _name: str) -> Any:
            return Everything()

    resolve(text, Everything(), note, lambda expression: expression)

    found = [reference["inside"] for reference in rules("references", text)]
    assert list(dict.fromkeys(inside for inside in found if "(" not in inside)) == [
        reference for reference in dict.fromkeys(filled) if steps(reference)
    ]
    assert {inside for inside in found if "(" in inside} <= {reference for reference in filled if "(" in reference}


@given(text=COMPARED_TEXTS)
@example(
    text="as in `{name}` and {name}: ```{name}``` f({name}) {class} {list}\n```\n{name}\n```\n{ name } {n.head(3)}"
)
def test_the_same_references_look_meant(rules, text):
    expected = [inside for inside in dict.fromkeys(meant(text)) if steps(inside)]

    first = {}
    for reference in rules("references", text):
        first.setdefault(reference["inside"], None)
    found = [inside for inside in dict.fromkeys(rules("meant", text)) if steps(inside)]
    assert set(expected) <= set(found)  # of those that occur several times, the kernel looks at the first only
    if len(rules("references", text)) == len(first):
        assert found == expected


# The line


def test_the_same_options_exist(rules):
    known = rules("options")

    for names, takes_value in ((known["withValue"], True), (known["withoutValue"], False)):
        flags = [
            name for option in OPTIONS if bool(option.value) == takes_value for name in (option.name, option.short)
        ]
        assert sorted(names) == sorted(filter(None, flags))


WORDS = st.sampled_from(
    [
        *("-m", "echo", "--model=echo", "openai:gpt-4o", "a/b", "10:30", "src/main.py", "-t", "0.5", "--temperature=1"),
        *('--system "be brief"', "-s 'it''s'", "-s \u201cbe brief\u201d", "--raw", "--quiet", "--", "--no-history"),
        *(
            '-P stop=["END", "x y"]',
            '-P "a={\\"b\\": 1}"',
            "-P 'a=[1, 2]'",
            "-P top_p=0.9",
            "answer <<",
            "--attach=a,b",
        ),
        *("it's", "hello", "{name}", "$5", "\\ ", '"', "-x", "--nonsense", "https://x.y", "and/or", "--retries 2"),
    ]
)
TYPED_LINES = st.lists(WORDS | st.text(max_size=3), max_size=6).map(" ".join)


@given(line=TYPED_LINES)
@example(line="-m echo hello")
@example(line='answer << echo:words -P stop=["END"] it\'s')
def test_the_same_words_are_options_and_the_same_text_is_the_prompt(rules, line):
    def is_model(word: str) -> bool:
        form = re.fullmatch(r"([A-Za-z0-9_.-]+)[:/]\S+", word) if "://" not in word else None
        return word == "echo" or bool(form and not NO_MODEL.fullmatch(word))

    if ABOVE_TEXT.fullmatch(line):
        return
    try:
        read = read_line(line, is_model)
    except OptionError:
        rules("magicLine", line, ["echo"])  # which has an answer all the same
        return

    found = rules("magicLine", line, ["echo"])

    assert found["prompt"] == read.prompt
    assert found["raw"] == ("raw" in read.options)
    models = [text for kind, text in found["parts"] if kind == "model"]
    assert len(models) == ("model" in read.options)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("edit 3 -m echo", [["subcommand", "edit 3"], ["option", "-m"], ["model", "echo"]]),
        ("edit 3 words", []),
        ("system", [["subcommand", "system"]]),
        ("system be brief", []),
        ("template review kind=short -t 1", [["subcommand", "template review"], ["value", "kind=short"]]),
        ("answer << hi", [["variable", "answer"]]),
        ("--tempe", []),
    ],
)
def test_the_parts_of_a_line_are_told_apart(rules, line, parts):
    assert rules("magicLine", line, [])["parts"][: len(parts)] == parts
    assert bool(parts) or not rules("magicLine", line, [])["parts"]

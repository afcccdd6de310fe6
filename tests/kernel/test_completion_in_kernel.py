"""Tab in a real kernel: what ``complete_request`` brings back, and that nothing of IPython's is mixed in."""

from __future__ import annotations

from dataclasses import dataclass

import IPython
import pytest

from tests.kernel.conftest import LIMIT, NEW_KERNELS, Kernel

PANDAS = "import pandas\nframe = pandas.DataFrame({'price': [1], 'amount paid': [2]})"


# Releases before IPython 8.6 cut words at their own places, and are told no types.
OLDER = pytest.mark.skipif(IPython.version_info < (8, 6), reason="IPython cuts words at its own places")
without_colab = pytest.mark.parametrize(
    "shared_kernel", [pytest.param(each, marks=OLDER) for each in NEW_KERNELS], indirect=True
)


@dataclass
class Completed:
    """What a front end is offered for the text between ``start`` and ``end``, with what each item is."""

    matches: list[str]
    start: int
    end: int
    types: dict[str, str]


def tab(kernel: Kernel, code: str) -> Completed:
    """Press Tab where ``|`` stands in ``code``."""
    cursor = code.index("|")
    request = kernel.client.complete(code.replace("|", "", 1), cursor)
    while True:
        reply = kernel.client.get_shell_msg(timeout=LIMIT)
        if reply["parent_header"].get("msg_id") == request:
            break
    content = reply["content"]
    assert content["status"] == "ok"
    items = content["metadata"].get("_jupyter_types_experimental", [])
    typed = code[content["cursor_start"] : content["cursor_end"]]
    return Completed(
        content["matches"]
        if content["matches"] != [typed]
        else [],  # the word itself keeps others away before IPython 8.6
        content["cursor_start"],
        content["cursor_end"],
        {item["text"]: item["type"].replace("\N{NO-BREAK SPACE}", " ") for item in items},
    )


@pytest.mark.parametrize(
    ("code", "matches"),
    [
        ("%flowgpt un|", ["undo"]),
        ("answer = %flowgpt un|", ["undo"]),
        ("x = 1\n%flowgpt un|\nprint(x)", ["undo"]),
        ("%flowgpt un|do", ["undo"]),
        ("%flowgpt help und|", ["undo"]),
        ("%flowgpt nested o|", ["on", "off"]),
        ("%%flowgpt --temp|", ["--temperature"]),
        ("%%time\n%%flowgpt --temp|", ["--temperature"]),
        ("# why\n%%flowgpt -f ht|\nhello", ["html"]),
        ("%%flowgpt -m smollm2|", ["smollm2-135m-instruct", "smollm2"]),
    ],
)
def test_what_can_stand_there_is_offered_and_nothing_else(kernel, code, matches):
    found = tab(kernel, code)

    typed = code.partition("|")[0].rsplit(maxsplit=1)[-1]
    assert found.matches == matches
    assert (found.start, found.end) == (code.index("|") - len(typed), code.index("|"))


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("%%flowgpt -m echo:|", ["%%flowgpt -m echo:words", "%%flowgpt -m echo:messages"]),
        ("%%flowgpt echo:w|", ["%%flowgpt echo:words"]),
        ("%%flowgpt\n🙂 is {nach|", ["%%flowgpt\n🙂 is {nachbar"]),
        ("%%flowgpt\n{d['k|", ["%%flowgpt\n{d['kind']"]),
        ("%%flowgpt\n{frame.pri|", ["%%flowgpt\n{frame.price"]),
        ("%flowgpt use |", ["%flowgpt use main"]),
    ],
)
def test_what_is_offered_goes_on_from_what_was_typed(kernel, code, texts):
    kernel.good(f"{PANDAS}\nnachbar = 1\nd = {{'kind': 1}}")

    found = tab(kernel, code)

    assert [code[: found.start] + match for match in found.matches] == texts


@pytest.mark.parametrize(
    "code",
    [
        "%%flowgpt\nwhat is a fo|",
        "%%flowgpt\nprin|",
        "%flowgpt what is a fo|",
        "%%flowgpt -t 0|",
        "%%flowgpt\nimport o|",
        "%%flowgpt\na = {na|",
    ],
)
def test_where_nothing_fits_there_is_nothing(kernel, code):
    assert tab(kernel, code).matches == []


def test_pythons_own_completion_is_left_alone(kernel):
    assert "print" in tab(kernel, "prin|").matches
    assert "%flowgpt" in tab(kernel, "%flowg|").matches
    assert "print" in tab(kernel, "%flowgpt undo\nprin|").matches


@without_colab
def test_references_are_offered_with_attributes_and_keys(kernel):
    kernel.good("nachbar = 1\nGröße = 2\nd = {'kind': 1, 'other': 2, 'api_key': 3, 3: 4, ('a',): 5}\n_hidden = 3")
    kernel.good(PANDAS)

    assert tab(kernel, "%%flowgpt\nhow is {nach|").matches == ["nachbar"]
    assert tab(kernel, "%flowgpt how is {nach|").matches == ["nachbar"]
    assert tab(kernel, "%%flowgpt\r\nhow\r\nis {grö|").matches == ["Größe"]
    assert tab(kernel, "%%flowgpt\n🙂 {d['k|").matches == ["kind']"]
    assert tab(kernel, "%%flowgpt\n{d[|").matches == ['"kind"]', '"other"]', "3]"]
    assert tab(kernel, "%%flowgpt\n{frame.pri|").matches == ["price"]
    assert tab(kernel, '%%flowgpt\n{frame["am|').matches == ['amount paid"]']
    assert tab(kernel, "%%flowgpt\n{_hid|").matches == ["_hidden"]
    assert not {"_hidden", "exit", "get_ipython"} & set(tab(kernel, "%%flowgpt\n{|").matches)


def test_the_place_is_counted_in_characters(kernel):
    kernel.good("nachbar = 1")

    found = tab(kernel, "%%flowgpt\n🙂🙂 {na|")

    assert (found.matches, found.start, found.end) == (["nachbar"], 14, 16)


@without_colab
def test_no_property_of_a_user_runs(kernel):
    kernel.good(
        "ran = []\n"
        "class Meta(type):\n"
        "    def __getattribute__(self, name): ran.append(name); return type.__getattribute__(self, name)\n"
        "class Odd(metaclass=Meta):\n"
        "    def __getattr__(self, name): ran.append(name)\n"
        "    def __dir__(self): ran.append('dir'); return []\n"
        "    __class__ = property(lambda self: ran.append('class'))\n"
        "    loud = property(lambda self: ran.append('loud'))\n"
        "odd = Odd()\nodd.own = {'kind': 1}\nran.clear()"
    )

    assert tab(kernel, "%%flowgpt\n{odd.lou|").matches == ["loud"]
    assert tab(kernel, "%%flowgpt\n{odd.own[|").matches == ['"kind"]']
    assert tab(kernel, "%%flowgpt\n{odd.loud.|").matches == []
    assert tab(kernel, "%%flowgpt\n{odd[|").matches == []
    assert tab(kernel, "%%flowgpt -a odd|").matches == ["odd", "Odd"]
    assert kernel.good("print(ran)").printed == "[]\n"


@without_colab
def test_an_option_says_what_it_does(kernel):
    assert tab(kernel, "%%flowgpt --temp|").types == {"--temperature": "option: 0 to 2"}


@without_colab
def test_conversations_are_offered_once_the_magics_were_used(kernel):
    assert tab(kernel, "%flowgpt use |").matches == ["main"]

    kernel.good('%%flowgpt -c "my chat"\nhello')
    kernel.good("%flowgpt new other")

    assert tab(kernel, "%flowgpt use |").matches == ["other", "my chat", "main"]
    assert tab(kernel, "%flowgpt rm MY|").matches == ["my chat"]
    assert tab(kernel, '%%flowgpt -c "my ch|\nhello').matches == ['my chat"']
    assert tab(kernel, '%%flowgpt -c "my ch|" \nhello').matches == ["my chat"]
    assert tab(kernel, "%%flowgpt -c my|\nhello").matches == ["my\\ chat"]


@without_colab
def test_files_are_offered_where_a_file_belongs(kernel):
    kernel.good("import os, pathlib; os.mkdir('notes dir'); pathlib.Path('notes.md').write_text('be brief')")

    assert tab(kernel, "%%flowgpt -s @not|").matches == ["@notes\\ dir/", "@notes.md"]
    assert tab(kernel, "%flowgpt adopt not|").matches == ["notes dir/", "notes.md"]
    assert tab(kernel, "%%flowgpt -a x,notes.|").matches == ["notes.md"]
    assert tab(kernel, "%%flowgpt not|").matches == []
    kernel.good("os.remove('notes.md'); os.rmdir('notes dir')")


def test_a_bad_setting_spoils_no_completion(kernel):
    kernel.good("%flowgpt hello")
    kernel.good("os = __import__('os'); os.environ['FLOWGPT_TEMPERATURE'] = 'hot'")

    found = tab(kernel, "%flowgpt use ma|")
    kernel.good("del os.environ['FLOWGPT_TEMPERATURE']")

    assert found.matches == ["main"]


def test_ai_is_completed_while_the_alias_is_on(kernel):
    before = tab(kernel, "%ai un|").matches
    kernel.good("%flowgpt ai-alias on\nnachbar = 1")

    assert tab(kernel, "%ai un|").matches == ["undo"]
    assert tab(kernel, "%%ai -f ht|").matches == ["html"]
    assert tab(kernel, "%%ai echo\n{nach|").matches == ["nachbar"]

    kernel.good("%flowgpt ai-alias off")
    assert "undo" not in [*before, *tab(kernel, "%ai un|").matches]


def test_the_percent_sign_may_be_missing_with_automagic(kernel):
    assert tab(kernel, "flowgpt un|").matches == ["undo"]

    kernel.good("flowgpt = 1")
    assert "undo" not in tab(kernel, "flowgpt un|").matches
    kernel.good("del flowgpt\n%automagic off")
    assert "undo" not in tab(kernel, "flowgpt un|").matches
    kernel.good("%automagic on")


def test_the_flags_of_subcommands_are_offered(kernel):
    assert tab(kernel, "%flowgpt alias fast echo --key|").matches == ["--key-variable"]
    assert tab(kernel, "%flowgpt alias fast echo --key-variable FLOWGPT_HIS|").matches == ["FLOWGPT_HISTORY"]
    assert tab(kernel, "%flowgpt export talk.md --o|").matches == ["--overwrite"]


@pytest.mark.parametrize("start_kernel", ["installed"], indirect=True)  # older IPython has no matchers
def test_the_matcher_goes_with_the_extension_and_is_there_once(start_kernel):
    kernel = start_kernel()
    count = "print([getattr(each, 'matcher_identifier', '') for each in get_ipython().Completer.custom_matchers])"
    assert kernel.good(count).printed == "['flowgpt_magic']\n"

    kernel.good("%reload_ext flowgpt_magic")
    assert kernel.good(count).printed == "['flowgpt_magic']\n"
    assert tab(kernel, "%flowgpt un|").matches == ["undo"]

    kernel.good("%unload_ext flowgpt_magic")
    assert kernel.good(count).printed == "[]\n"
    assert "undo" not in tab(kernel, "%flowgpt un|").matches

    kernel.good("%load_ext flowgpt_magic")
    assert tab(kernel, "%flowgpt un|").matches == ["undo"]


def test_the_first_tab_opens_no_history_and_starts_nothing(start_kernel, tmp_path):
    kernel = start_kernel(FLOWGPT_HISTORY=str(tmp_path / "history.sqlite3"))
    kernel.imported()

    for code in ("%flowgpt use |", "%%flowgpt -m |", "%%flowgpt -c |", "%%flowgpt\n{|"):
        tab(kernel, code)

    kernel.good(
        "import threading\n"
        "for thread in threading.enumerate():\n"
        "    if thread.name in ('flowgpt_magic models', 'flowgpt_magic parameters'):\n"
        "        thread.join()"  # what Tab looks up beside: it ends by itself
    )
    running = kernel.good("print([t.name for t in threading.enumerate() if 'flowgpt' in t.name])")
    assert not (tmp_path / "history.sqlite3").exists()
    assert running.printed == "[]\n"

"""Tab completion: what is offered where, for any text and any place of the cursor."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowgpt_magic import commands, completion, options, settings
from flowgpt_magic.completion import LIMIT, Found, Item, Known, complete


class Thing:
    """Something with attributes of all kinds; none of them may be asked."""

    kind = "class"

    def __init__(self) -> None:
        self.label = {"size": 1}
        self._inner = 2

    def method(self) -> None:
        raise AssertionError

    @property
    def loud(self) -> object:
        raise AssertionError

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


class Slots:
    __slots__ = ("left", "right")


NAMES = {
    "name": 1,
    "Name": 2,
    "number": 3,
    "größe": 4,
    "_private": 5,
    "__dunder__": 6,
    "api_key": 7,
    "thing": Thing(),
    "slots": Slots(),
    "d": {"kind": {"inner": 1}, "two words": 2, 'quo"te': 3, "pass\n": 4, 7: 5, -8: 6, ("a",): 7, "token": 8},
    "rows": [{"first": 1}],
    "exit": exit,
    "In": [""],
}
KNOWN = Known(
    names=NAMES,
    hidden={"exit": exit, "In": NAMES["In"]},
    commands=lambda: {name: (run.__doc__ or "").partition("\n")[0] for name, run in commands.COMMANDS.items()},
    models=lambda: [Item("echo", "provider"), Item("echo:words", "model"), Item("fast", "alias of echo")],
    conversations=lambda: ["main", "my chat", "it's", 'a "b"', "two\nlines"],
    files=lambda folder: {
        "": [Item("notes/", "folder"), Item("my file.md", "file"), Item("a,b", "file"), Item(".env", "file")],
        "notes/": [Item("one.md", "file")],
    }.get(folder, []),
)


def tab(marked: str, known: Known = KNOWN) -> list[str] | None:
    """The texts that are offered where ``|`` stands; None where that is not ours."""
    cursor = marked.index("|")
    found = complete(marked.replace("|", "", 1), cursor, known)
    return None if found is None else [each.text for each in found.items]


def replaced(marked: str) -> str:
    """What would be replaced."""
    cursor = marked.index("|")
    found = complete(marked.replace("|", "", 1), cursor, KNOWN)
    assert found is not None
    return marked[found.start : cursor]


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


def test_every_subcommand_is_offered_as_the_first_word_of_a_line():
    offered = tab("%flowgpt |")

    assert offered[: len(commands.COMMANDS)] == list(commands.COMMANDS)
    assert tab("%flowgpt un|") == ["undo"]
    assert tab("   r = %flowgpt un|") == ["undo"]
    assert tab("if x:\n    %flowgpt UN|") == ["undo"]


@pytest.mark.parametrize("text", ["%%flowgpt un|", "%flowgpt -t 1 un|", "%flowgpt what un|", "%flowgpt a << un|"])
def test_a_subcommand_is_offered_nowhere_else(text):
    assert tab(text) == []


@pytest.mark.parametrize("magic", ["%flowgpt", "%%flowgpt"])
def test_every_flag_is_offered_behind_a_dash_with_what_it_does(magic):
    found = complete(f"{magic} -", len(magic) + 2, KNOWN)

    assert [each.text for each in found.items] == list(options.BY_FLAG)
    assert all(each.type for each in found.items)
    assert tab(f"{magic} --|") == [f"--{option.name}" for option in options.OPTIONS]


def test_a_flag_that_is_there_is_not_offered_again_unless_it_may_be():
    assert tab("%%flowgpt -t 1 --temp|") == []
    assert tab("%%flowgpt --format=md --form|") == []
    assert tab("%%flowgpt -P a=1 --para|") == ["--param"]


def test_a_row_that_is_added_to_the_options_is_offered(monkeypatch):
    row = options.Option("zzz", "z", "", str, "sleep")
    monkeypatch.setitem(options.BY_FLAG, "--zzz", row)

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
    ],
)
def test_values_are_offered_where_they_belong(text, offered):
    assert tab(text) == offered


def test_aliases_are_offered_to_be_changed_and_models_to_be_called_so(monkeypatch):
    for name in ("alias", "dealias", "update", "models"):
        monkeypatch.setitem(commands.COMMANDS, name, commands.version)

    assert tab("%flowgpt dealias |") == ["fast"]
    assert tab("%flowgpt alias quick |") == ["echo", "echo:words", "fast"]
    assert tab("%flowgpt alias fa|") == []
    assert tab("%flowgpt update fast ec|") == ["echo", "echo:words"]
    assert tab("%flowgpt models |") == ["echo"]


def test_settings_and_their_values_are_offered(monkeypatch):
    monkeypatch.setitem(commands.COMMANDS, "set", commands.version)

    assert tab("%flowgpt set tempe|") == ["temperature"]
    assert tab("%flowgpt set format h|") == ["html"]
    assert tab("%flowgpt set model fa|") == ["fast"]
    assert tab("%flowgpt set cache |") == ["on", "off"]
    assert tab("%flowgpt set temperature |") == []
    assert tab("%flowgpt set nonsense |") == []


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
    assert tab("%%flowgpt -a thing.la|") == ["thing.label"]


@pytest.mark.parametrize(
    "lead", ["%%flowgpt\n", "%%flowgpt\r\nmore\r\n", "%flowgpt tell me ", "%%flowgpt -- ", "%flowgpt "]
)
def test_variables_are_offered_behind_an_open_brace_of_a_prompt(lead):
    assert tab(lead + "{na|") == ["name", "Name"]
    assert tab(lead + "{Na|") == ["Name", "name"]
    assert tab(lead + "{name} and {nu|") == ["number"]
    assert tab(lead + "{na|me} is it") == ["name", "Name"]
    assert tab(lead + "{GR|") == ["größe"]
    assert tab(lead + "🙂 {grö|ße}") == ["größe"]
    assert tab(lead + "{_|") == ["_private"]
    assert tab(lead + "{|") == ["d", "größe", "In", "Name", "name", "number", "rows", "slots", "thing"]


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


def test_attributes_are_offered_and_none_is_asked():
    assert tab("%%flowgpt\n{thing.|") == ["label", "kind", "loud", "method"]
    assert tab("%%flowgpt\n{thing.LA|") == ["label"]
    assert tab("%%flowgpt\n{thing._|") == []
    assert tab("%%flowgpt\n{thing.loud.|") == []
    assert tab("%%flowgpt\n{thing.missing.|") == []
    assert tab("%%flowgpt\n{thing.label['|") == ["size']"]
    assert tab("%%flowgpt\n{slots.|") == ["left", "right"]
    assert tab("%%flowgpt\n{nobody.|") == []


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("{d[|", ['"kind"]', '"two words"]', "'quo\"te']", "7]", "-8]"]),
        ('{d["|', ['kind"]', 'two words"]']),
        ("{d['|", ["kind']", "two words']", "quo\"te']"]),
        ('{d["two w|', ['two words"]']),
        ('{d["two w|"]}', ["two words"]),
        ("{d[7|", ["7]"]),
        ("{d[-|]", ["-8"]),
        ('{d["kind"]["i|', ['inner"]']),
        ("{rows[0]['f|", ["first']"]),
        ("{rows[5]['f|", []),
        ("{rows[|", []),
        ("{name[|", []),
        ('{d["tok|', []),
    ],
)
def test_keys_are_offered_as_they_are_written(text, offered):
    assert tab("%%flowgpt\n" + text) == offered


def test_no_dict_is_changed_by_looking(monkeypatch):
    from collections import defaultdict

    table = defaultdict(dict, a={"inner": 1})

    assert tab("%%flowgpt\n{t['a']['|", Known(names={"t": table})) == ["inner']"]
    assert tab("%%flowgpt\n{t['b']['|", Known(names={"t": table})) == []
    assert list(table) == ["a"]


def test_columns_of_a_table_are_offered_if_pandas_is_loaded(monkeypatch):
    class DataFrame:
        columns = ("price", "amount paid", 3)

    class Computed(DataFrame):
        @property
        def columns(self):
            raise AssertionError

    known = Known(names={"frame": DataFrame(), "computed": Computed()})
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    assert tab("%%flowgpt\n{frame.pr|", known) == []

    module = ModuleType("pandas")
    module.DataFrame = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", module)

    assert tab("%%flowgpt\n{frame.pr|", known) == ["price"]
    assert tab("%%flowgpt\n{frame[|", known) == ['"price"]', '"amount paid"]', "3]"]
    assert tab("%%flowgpt\n{computed[|", known) == []


def test_columns_of_a_real_table_are_offered():
    import pandas

    frame = pandas.DataFrame({"price": [1], "amount paid": [2], 2026: [3]})

    assert tab("%%flowgpt\n{frame.pr|", Known(names={"frame": frame}))[0] == "price"
    assert tab("%%flowgpt\n{frame['|", Known(names={"frame": frame})) == ["price']", "amount paid']"]


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
        assert len(found.items) <= LIMIT
        typed = text[found.start : cursor]
        for item in found.items:
            assert item.text.casefold().startswith(typed.casefold())
            assert item.text.isprintable()


@given(st.sampled_from(["-c ", "-c '", '-c "', "--chat=", "--chat='"]), st.text(min_size=1), st.integers(0, 3))
@example("-c '", "/", 0)
def test_an_inserted_name_is_read_back_as_it_is(lead, name, typed):
    text = f"%%flowgpt {lead}{name[:typed]}"
    found = complete(text, len(text), Known(conversations=lambda: [name]))

    for item in found.items if found else ():
        line = (text[: found.start] + item.text).removeprefix("%%flowgpt ")
        if found.start <= len("%%flowgpt ") + len(lead):
            assert options.read_line(line, lambda _word: False).options == {"chat": name}


def test_large_numbers_of_names_cost_no_more_than_a_moment():
    known = Known(
        names={f"variable_{number}": number for number in range(10_000)},
        commands=KNOWN.commands,
        conversations=lambda: [f"conversation {number}" for number in range(1_000)],
        files=lambda _folder: [Item(f"v{number}", "file") for number in range(1_000)],
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
            assert 0 < len(found.items) <= LIMIT
        print(f"{text[:10]!r} … {text[-6:]!r} of {len(text)} characters: {min(seconds) * 1000:.1f} ms")


def test_ipython_gets_the_items_and_suppresses_its_own():
    shell = SimpleNamespace(user_ns={"name": 1}, user_ns_hidden={})
    text = "x = 1\n%flowgpt what is {na"
    context = SimpleNamespace(full_text=text, cursor_line=1, cursor_position=len(text) - 6)

    answer = completion.matcher(context, shell, None)

    assert answer == {
        "completions": [Item("name", "int")],
        "matched_fragment": "na",
        "suppress": True,
        "ordered": True,
    }


def test_ipython_gets_nothing_where_nothing_fits_and_keeps_its_own_elsewhere():
    shell = SimpleNamespace(user_ns={}, user_ns_hidden={})

    nothing = completion.matcher(
        SimpleNamespace(full_text="%%flowgpt\nfo", cursor_line=1, cursor_position=2), shell, None
    )
    elsewhere = completion.matcher(SimpleNamespace(full_text="fo", cursor_line=0, cursor_position=2), shell, None)

    assert nothing["suppress"] is True
    assert list(nothing["completions"]) == []
    assert len(nothing["completions"]) == 1
    assert elsewhere == {"completions": [], "suppress": False}


def test_models_are_known_without_asking_a_provider():
    shown = {each.text: each.type for each in completion._all_models()}

    assert shown["echo"] == "provider"
    assert shown["echo:words"] == "model"
    assert shown["words"] == "model of echo"
    assert "local:smollm2-135m-instruct" in shown


def test_a_folder_lists_its_files(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.md").touch()

    assert completion._folder(f"{tmp_path}/") == [Item("one.md", "file"), Item("sub/", "folder")]
    assert completion._folder(f"{tmp_path}/missing/") == []
    assert completion._folder("\0") == []


def test_what_takes_long_is_there_the_next_time():
    import threading

    go = threading.Event()

    def look() -> list[str]:
        go.wait(10)
        return ["found"]

    assert completion._in_time("slow", look, 0.01) == ()
    go.set()
    completion._looking["slow"].join(10)
    go.clear()
    assert completion._in_time("slow", look, 0.01) == ["found"]
    go.set()


def test_a_cursor_at_the_end_of_the_magic_offers_nothing_of_ours():
    assert complete("%%flowgpt", 9, KNOWN) is None
    assert complete("%%flowgpt \n", 11, KNOWN) == Found(11)

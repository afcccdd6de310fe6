"""Every setting: its values, where they come from, and what a bad one is told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptWarning, SettingError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.magics.commands.settings import show_config
from flowgpt_magic.providers import aliases
from flowgpt_magic.settings import TABLE, Configured, Settings, load
from flowgpt_magic.settings.parameters import origins
from tests.shell_states import new_state

PLACES = ("default", "file", "JupyterLab", "project", "environment", "%config", "conversation", "option")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "settings.toml"


def test_with_nothing_set_every_value_is_its_default(file):
    assert load(environ={}, path=file) == Settings()
    assert load(environ={}, path=file).sources == {}


@pytest.mark.parametrize("highest", PLACES)
def test_a_value_from_further_up_wins(file, project, highest):
    rank, preferences = PLACES.index(highest), dict[str, int]()
    if rank >= 1:
        file.write_text("context_size = 1001")
    if rank >= 2:
        preferences["context_size"] = 1002
    if rank >= 3:
        project("[tool.flowgpt_magic]\ncontext_size = 1003")

    chosen = load(
        {"context_size": 1007 if rank >= 7 else None},
        Configured({"context_size": 1005 if rank >= 5 else None}, preferences),
        {"FLOWGPT_CONTEXT_SIZE": "1004"} if rank >= 4 else {},
        file,
        {"context_size": 1006 if rank >= 6 else None},
    )

    assert chosen.context_size == (1000 + rank if rank else Settings().context_size)


@pytest.mark.parametrize(
    ("highest", "label"),
    [
        ("file", "{file}"),
        ("JupyterLab", "JupyterLab's settings"),
        ("environment", "environment variable FLOWGPT_MODEL"),
        ("%config", "%config"),
        ("option", "option"),
    ],
)
def test_each_value_says_where_it_came_from(file, highest, label):
    if highest == "file":
        file.write_text('model = "echo"')

    chosen = load(
        {"model": "echo"} if highest == "option" else None,
        Configured(
            {"model": "echo"} if highest == "%config" else {}, {"model": "echo"} if highest == "JupyterLab" else {}
        ),
        {"FLOWGPT_MODEL": "echo"} if highest == "environment" else {},
        file,
    )

    assert chosen.sources == {"model": label.format(file=file)}


def test_a_value_that_is_false_is_set_all_the_same(file):
    chosen = load({"images": False, "temperature": 0}, {"images": True, "temperature": 1}, {}, file)

    assert (chosen.images, chosen.temperature) == (False, 0.0)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_default_is_a_value_the_setting_takes(name):
    assert settings.check(name, TABLE[name].default, "here") == TABLE[name].default


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_setting_says_what_it_does(name):
    assert TABLE[name].metadata["help"]
    assert settings.variable(name) == f"FLOWGPT_{name.upper()}"


@pytest.mark.parametrize(
    ("name", "given", "found"),
    [
        ("temperature", "0.5", 0.5),
        ("temperature", 2, 2.0),
        ("temperature", "", None),
        ("images", "on", True),
        ("images", " Yes ", True),
        ("images", 0, False),
        ("images", "false", False),
        ("threads", "4", 4),
        ("threads", 4.0, 4),
        ("format", "text", "text"),
        ("read_timeout", "inf", float("inf")),
    ],
)
def test_a_value_may_be_written_in_several_ways(name, given, found):
    value = settings.check(name, given, "here")

    assert value == found
    assert type(value) is type(found)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("temperature", "hot", "is 'hot'; it must be a number from 0 to 2"),
        ("temperature", 2.1, "from 0 to 2"),
        ("temperature", -0.1, "from 0 to 2"),
        ("temperature", float("nan"), "from 0 to 2"),
        ("temperature", True, "from 0 to 2"),
        ("temperature", [1], "from 0 to 2"),
        ("read_timeout", 0, "must be a number of at least 0.001"),
        ("read_timeout", 10**400, "must be a number of at least 0.001"),
        ("threads", 1.5, "must be a whole number of at least 0"),
        ("threads", "inf", "must be a whole number of at least 0"),
        ("threads", -1, "at least 0"),
        ("images", "perhaps", "must be on or off"),
        ("images", None, "must be on or off"),
        ("model", 4, "must be text"),
        (
            "format",
            "markdwon",
            "json, html, math, md, image; did you mean markdown?",
        ),
    ],
)
def test_a_bad_value_is_told_its_source_and_its_limits(name, given, said):
    with pytest.raises(SettingError) as caught:
        settings.check(name, given, "%config FlowGPT")

    assert str(caught.value).startswith(f"%config FlowGPT: {name} ")
    assert said in str(caught.value)


def test_a_bad_value_in_the_environment_names_its_variable(file):
    with pytest.raises(SettingError, match=r"^environment variable FLOWGPT_THREADS: threads is 'many'"):
        load(environ={"FLOWGPT_THREADS": "many"}, path=file)


def test_a_bad_value_in_the_file_names_the_file(file):
    file.write_text("threads = 'many'")

    with pytest.raises(SettingError) as caught:
        load(environ={}, path=file)
    assert str(caught.value).startswith(f"{file}: threads is 'many'")


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].metadata["secret"]])
def test_a_secret_is_never_shown(file, name):
    with pytest.raises(SettingError) as caught:
        load({name: ["hunter2"]}, environ={}, path=file)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "hunter2" not in repr(load({name: "hunter2"}, environ={}, path=file))


def test_the_token_and_the_proxy_are_secrets():
    assert TABLE["token"].metadata["secret"]
    assert TABLE["proxy"].metadata["secret"]


def test_an_unknown_name_is_told_the_closest_known_one(file):
    with pytest.raises(SettingError, match=r"there is no setting 'temprature'; did you mean temperature\?"):
        load({"temprature": 1}, environ={}, path=file)


def test_an_unknown_name_in_the_file_is_an_error_that_names_the_file(file):
    file.write_text("[flowgpt]\nmodel = 'echo'")

    with pytest.raises(SettingError) as caught:
        load(environ={}, path=file)
    assert str(caught.value).startswith(f"{file}: there is no setting 'flowgpt'")


def test_other_variables_of_our_family_are_no_settings(file):
    assert load(environ={"FLOWGPT_DATA_DIR": "/tmp", "FLOWGPT_SOURCES": "x"}, path=file) == Settings()


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"model = 1\nmodel = 2"])
def test_a_file_that_cannot_be_read_is_named(file, content):
    file.write_bytes(content)

    with pytest.raises(SettingError) as caught:
        load(environ={}, path=file)
    assert str(caught.value).startswith(f"{file} cannot be read: ")


def test_a_folder_in_the_place_of_the_file_is_named_too(file):
    file.mkdir()

    with pytest.raises(SettingError, match="cannot be read"):
        load(environ={}, path=file)


def test_the_values_in_force_do_not_change():
    with pytest.raises(AttributeError):
        Settings().model = "other"  # type: ignore[misc]


def test_the_data_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(tmp_path))
    assert settings.data_folder() == tmp_path

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("FLOWGPT_DATA_DIR", "~/here")
    assert settings.data_folder() == tmp_path / "here"

    monkeypatch.delenv("FLOWGPT_DATA_DIR")
    assert settings.data_folder().name == "flowgpt_magic"


def test_the_settings_file_is_one_of_the_user():
    assert settings.settings_file().name == "settings.toml"
    assert "flowgpt_magic" in settings.settings_file().parts


@given(st.sampled_from(sorted(TABLE)), st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_any_value_is_taken_or_refused_with_a_message_and_what_is_taken_is_taken_again(name, value):
    try:
        taken = settings.check(name, value, "here")
    except SettingError as error:
        refused = str(error)
    else:
        assert settings.check(name, taken, "here") == taken
        return
    assert refused.startswith(f"here: {name} ")


@given(st.floats(0, 2))
def test_a_number_and_its_text_are_the_same_value(value):
    assert settings.check("temperature", value, "here") == settings.check("temperature", repr(value), "here") == value


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("off", "off"),
        ("OFF", "off"),
        (False, "off"),
        ("on", ""),
        (True, ""),
        (":memory:", ":memory:"),
        ("~/h.db", "~/h.db"),
    ],
)
def test_the_history_is_off_however_that_is_written(value, meant):
    assert load({"history": value}).history == meant


# A project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write the pyproject.toml of the folder one works in, and return its path; it was written long ago."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(content: str | bytes, age: float = 100.0):
        path = folder / "pyproject.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        moment = time.time() - age
        os.utime(path, (moment, moment))
        return path

    return write


def table(text: str) -> str:
    return f'[project]\nname = "x"\n\n[tool.flowgpt_magic]\n{text}\n'


def test_a_project_stands_between_the_settings_file_and_the_environment(file, project):
    file.write_text("threads = 1\ncontext_size = 1000\nretries = 5")
    path = project(table("threads = 2\ncontext_size = 2000"))

    chosen = load(environ={"FLOWGPT_THREADS": "3"}, path=file)

    assert (chosen.threads, chosen.context_size, chosen.retries) == (3, 2000, 5)
    assert chosen.sources == {
        "threads": "environment variable FLOWGPT_THREADS",
        "context_size": str(path),
        "retries": str(file),
    }
    assert chosen.ranks["retries"] < chosen.ranks["context_size"] < chosen.ranks["threads"]


def test_the_nearest_project_upwards_is_meant(file, project, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(table("threads = 9"))
    path = project(table("threads = 2"))
    (path.parent / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(path.parent / "a" / "b")

    assert settings.project_file() == path
    assert load(environ={}, path=file).threads == 2
    (path.parent / "a" / "pyproject.toml").write_text("[tool.other]")
    assert load(environ={}, path=file).threads == 0
    monkeypatch.chdir(tmp_path)
    assert load(environ={}, path=file).threads == 9


@pytest.mark.parametrize("name", sorted(name for name in TABLE if TABLE[name].metadata["personal"]))
def test_what_is_the_users_own_is_no_projects_to_set(file, project, name):
    path = project(table(f'{name} = "hunter2"'))

    with pytest.raises(SettingError) as caught:
        load({name: "mine"}, environ={}, path=file)

    assert str(caught.value).startswith(f"{path}: a project cannot set {name}")
    assert str(settings.settings_file()) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_where_prompts_go_and_every_secret_are_the_users_own():
    own = {name for name in TABLE if TABLE[name].metadata["personal"]}

    assert own >= {"base_url", "token", "openai_base_url", "openai_key", "proxy", "trust_env", "history", "images"}
    assert own >= {name for name in TABLE if TABLE[name].metadata["secret"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temprature = 1", "there is no setting 'temprature'; did you mean temperature?"),
        ("threads = 'many'", "threads is 'many'; it must be a number of at least 0"),
        ("threads = [1]", "threads is [1]; it must be"),
        ("[tool.flowgpt_magic.model]", "model is {}; it must be text"),
    ],
)
def test_a_mistake_of_a_project_names_its_file(file, project, text, said):
    path = project(table(text))

    with pytest.raises(SettingError) as caught:
        load(environ={}, path=file)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("content", ["[tool]\nflowgpt_magic = 3", "tool.flowgpt_magic = ['model']"])
def test_a_project_whose_settings_are_no_table_is_named(file, project, content):
    path = project(content)

    with pytest.raises(SettingError) as caught:
        load(environ={}, path=file)
    assert str(caught.value).startswith(f"{path}: [tool.flowgpt_magic] must be a table")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[project]\nname = 'flowgpt_magic'",
        "tool = 'flowgpt_magic'",
        "[tool.flowgpt_magic\nthreads = 2",
        b"\xff\xfe flowgpt_magic",
        "flowgpt_magic = " + "[" * 5000,
        table("threads = 2") + "# " + "x" * settings.settings.MAX_PROJECT_SIZE,
    ],
    ids=["empty", "no table", "no tool", "no TOML", "no text", "too deep", "too large"],
)
def test_a_project_that_says_nothing_or_cannot_be_read_costs_nothing(file, project, content):
    project(content)

    assert load(environ={}, path=file) == Settings()


def test_a_folder_in_the_place_of_a_project_is_none(file, project, tmp_path):
    (tmp_path / "project" / "pyproject.toml").mkdir()

    assert load(environ={}, path=file) == Settings()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder one works in")
def test_settings_are_found_where_the_folder_one_works_in_is_gone(file, project, tmp_path):
    (tmp_path / "project").rmdir()

    assert settings.project_file() is None
    assert load(environ={}, path=file) == Settings()


# Files are read when they have changed


def test_a_file_is_read_again_only_after_it_has_changed(project):
    reads: list[bytes] = []

    def parse(content: bytes) -> int:
        reads.append(content)
        return len(reads)

    path = project("one")
    assert [settings.parsed(path, parse) for _ in range(3)] == [1, 1, 1]
    path = project("two", age=50)
    assert [settings.parsed(path, parse) for _ in range(3)] == [2, 2, 2]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        settings.parsed(path, parse)


def test_a_change_within_one_tick_of_the_clock_is_seen(file):
    moment = time.time()
    for number in range(1, 9):
        file.write_text(f"threads = {number}")
        os.utime(file, (moment, moment))

        assert load(environ={}, path=file).threads == number


def test_what_could_not_be_read_is_read_when_it_was_mended(file, project):
    project(table("threads = = 2"))
    assert load(environ={}, path=file).threads == 0

    project(table("threads =   2"), age=50)
    assert load(environ={}, path=file).threads == 2


def test_a_settings_file_may_begin_with_a_byte_order_mark(file):
    file.write_bytes(b"\xef\xbb\xbfthreads = 2\r\n")

    assert load(environ={}, path=file).threads == 2


def test_settings_are_loaded_for_every_prompt_and_their_files_are_not_read_for_each(file, project, monkeypatch):
    file.write_text("threads = 1")
    os.utime(file, (1, 1))
    project(table("retries = 2"))
    load(environ={}, path=file)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))

    chosen = load(environ={}, path=file)

    assert (chosen.threads, chosen.retries) == (1, 2)


# The name of a key, and the server it is for


@pytest.mark.parametrize("layer", ["options", "configured", "conversation"])
def test_a_key_in_the_place_of_its_name_is_refused_and_not_shown(file, layer):
    with pytest.raises(SettingError, match="openai_key must be the name of what holds the key") as caught:
        load(environ={}, path=file, **{layer: {"openai_key": "sk-hunter2-hunter2"}})
    assert "hunter2" not in str(caught.value)


def test_a_key_in_the_environment_in_the_place_of_its_name_is_not_shown(file):
    with pytest.raises(SettingError, match="environment variable FLOWGPT_OPENAI_KEY: openai_key must be") as caught:
        load(environ={"FLOWGPT_OPENAI_KEY": "sk-hunter2-hunter2"}, path=file)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ({"environ": {"FLOWGPT_OPENAI_KEY": "MINE"}}, "MINE"),
        ({"environ": {"FLOWGPT_OPENAI_KEY": "MINE", "FLOWGPT_OPENAI_BASE_URL": "http://a/v1"}}, "MINE"),
        ({"configured": {"openai_base_url": "http://a/v1"}, "options": {"openai_key": "MINE"}}, "MINE"),
        ({"configured": {"openai_base_url": "http://a/v1", "openai_key": "MINE"}}, "MINE"),
        # Said again, it is still the same server.
        (
            {
                "configured": {"openai_base_url": "http://a/v1", "openai_key": "MINE"},
                "options": {"openai_base_url": "http://a/v1/"},
            },
            "MINE",
        ),
        (
            {"environ": {"FLOWGPT_OPENAI_KEY": "MINE"}, "options": {"openai_base_url": "https://api.openai.com/v1"}},
            "MINE",
        ),
        # Another server is sent no key that was named for this one.
        ({"environ": {"FLOWGPT_OPENAI_KEY": "MINE"}, "options": {"openai_base_url": "http://a/v1"}}, ""),
        (
            {
                "configured": {"openai_base_url": "http://a/v1", "openai_key": "MINE"},
                "options": {"openai_base_url": "http://b/v1"},
            },
            "",
        ),
        ({"environ": {"FLOWGPT_OPENAI_KEY": "MINE"}, "conversation": {"openai_base_url": "http://a/v1"}}, ""),
        (
            {
                "environ": {"FLOWGPT_OPENAI_KEY": "MINE"},
                "conversation": {"openai_base_url": "http://a/v1", "openai_key": "OTHER"},
            },
            "OTHER",
        ),
    ],
)
def test_a_key_goes_to_the_server_that_was_in_force_where_it_was_named(file, layers, named):
    chosen = load(**{"environ": {}, **layers}, path=file)

    assert chosen.openai_key == named
    if not named:
        assert chosen.sources["openai_key"].startswith("default; ")
        assert "openai_key" not in chosen.ranks


# Parameters and headers


class TestTables:
    """Settings that are tables: merged over the places that give them."""

    def test_parameters_of_all_places_count_together(self, file, project):
        file.write_text('[params]\ntop_p = 0.1\nseed = 1\nstop = ["a"]\n[params.extra_body]\ntop_a = 0.1\n')
        path = project(table("[tool.flowgpt_magic.params]\nseed = 2\nextra_body = {mirostat = 2}"))

        chosen = load(
            {"params": {"top_p": 0.5}},
            {"params": {"top_p": 0.3, "min_p": 0.1}},
            {"FLOWGPT_PARAMS": '{"min_p": 0.2, "top_k": 5}'},
            file,
            {"params": {"extra_body": {"top_a": 0.9}}},
        )

        assert chosen.params == {
            "stop": ["a"],
            "seed": 2,
            "min_p": 0.1,
            "top_k": 5,
            "top_p": 0.5,
            "extra_body": {"top_a": 0.9, "mirostat": 2},
        }
        places = {name: each.source for name, each in origins(chosen.layers["params"]).items()}
        assert places["stop"] == str(file)
        assert places["seed"] == places["extra_body.mirostat"] == str(path)
        assert places["top_k"] == "environment variable FLOWGPT_PARAMS"
        assert (places["min_p"], places["top_p"]) == ("%config", "option")

    def test_with_none_there_are_none(self, file):
        assert load(environ={}, path=file).params is None
        assert load({"params": {}}, environ={}, path=file).params is None

    def test_a_parameter_that_is_a_setting_is_that_setting(self, file):
        file.write_text("[params]\ntemperature = 0.1\nmax_tokens = 5\ntop_p = 1")

        chosen = load(environ={"FLOWGPT_TEMPERATURE": "0.5"}, path=file)

        assert (chosen.temperature, chosen.max_tokens, chosen.params) == (0.5, 5, {"top_p": 1})
        assert chosen.sources["max_tokens"] == str(file)
        assert load({"params": {"temperature": 0.9}}, environ={}, path=file).temperature == 0.9

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "temperature = 1\n[params]\ntemperature = 1",
                "temperature is set twice, as a setting and as",
            ),
            (
                "temperature = 1\n[params.extra_body]\ntemperature = 1",
                "temperature is set twice",
            ),
            ("[params]\nsystem = 'x'", "system is a setting, not a parameter; set it outside params"),
            ("[params]\nmodel = 'x'", "params cannot set model"),
            ("[params]\ntemperature = 'hot'", "temperature is 'hot'; it must be a number from 0 to 2"),
            ("params = 3", "params must be a table of names and values"),
            ("[params]\nextra_body = 3", "params has an extra_body that is not a table"),
            ("[params]\ntop_p = nan", "params top_p is nan, which JSON does not support"),
            ("[params]\nborn = 2000-01-01", "params born is of type date"),
            (
                "[extra_headers]\nAuthorization = 'hunter2'",
                "extra_headers cannot set Authorization: the setting",
            ),
            ("[extra_headers]\napi-key = 'hunter2'", "extra_headers must set api-key to the name of"),
            (
                "[params.extra_headers]\napi-key = 'hunter2'",
                "extra_headers must set api-key to the name of",
            ),
        ],
    )
    def test_a_mistake_names_the_file_and_shows_no_header(self, file, text, said):
        file.write_text(text)

        with pytest.raises(SettingError) as caught:
            load(environ={}, path=file)

        assert str(caught.value).startswith(f"{file}: ")
        assert said in str(caught.value)
        assert "hunter2" not in str(caught.value)

    def test_a_wrong_variable_is_named(self, file):
        with pytest.raises(SettingError, match="environment variable FLOWGPT_PARAMS: params must be a JSON object"):
            load(environ={"FLOWGPT_PARAMS": "top_p=1"}, path=file)

    @pytest.mark.parametrize("name", ["extra_headers", "openai_base_url", "openai_key", "proxy", "token"])
    def test_a_project_sets_parameters_but_neither_headers_nor_addresses(self, file, project, name):
        project(table("[tool.flowgpt_magic.params]\ntop_p = 0.5"))
        assert load(environ={}, path=file).params == {"top_p": 0.5}

        project(table(f'[tool.flowgpt_magic.params]\n{name} = "hunter2"'), age=50)
        with pytest.raises(SettingError, match=f"a project cannot set {name}"):
            load(environ={}, path=file)

    def test_a_header_goes_to_the_server_it_was_set_for(self, file):
        file.write_text('openai_base_url = "https://a/v1"\n[extra_headers]\napi-key = "$A_KEY"\nX-Title = "mine"')
        other = {"openai_base_url": "https://b/v1"}

        assert load(environ={}, path=file).extra_headers == {"api-key": "$A_KEY", "X-Title": "mine"}
        assert load(other, environ={}, path=file).extra_headers is None
        assert load(None, other, {}, file, {"extra_headers": {"X-B": "b"}}).extra_headers == {"X-B": "b"}
        assert load({"extra_headers": {"X-B": "b"}}, other, {}, file).extra_headers == {"X-B": "b"}

    def test_headers_are_merged_by_name_and_null_takes_one_back(self, file):
        file.write_text('[extra_headers]\nX-A = "a"\nX-B = "b"')

        chosen = load({"params": {"extra_headers": {"x-a": "2", "X-B": None}}}, environ={}, path=file)

        assert chosen.extra_headers == {"x-a": "2", "X-B": None}
        assert chosen.params is None


class TestWithoutAHome:
    @pytest.fixture
    def homeless(self, monkeypatch):
        def nobody(_app: str) -> Path:
            raise RuntimeError("could not determine the home directory")

        for name in ("user_config_path", "user_data_path"):
            monkeypatch.setattr(platformdirs, name, nobody)
        monkeypatch.delenv("FLOWGPT_DATA_DIR", raising=False)
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def test_nothing_is_there_and_settings_are_the_defaults(self, homeless):
        assert not settings.has_data_folder()
        assert not settings.settings_file().exists()
        assert settings.load().model == ""

    def test_a_folder_that_is_named_is_used(self, homeless, monkeypatch, tmp_path):
        monkeypatch.setenv("FLOWGPT_DATA_DIR", str(tmp_path))

        assert settings.has_data_folder()
        assert settings.data_folder() == tmp_path

    def test_a_home_folder_that_cannot_be_looked_into_has_no_settings(self, monkeypatch):
        def refused(_path: Path) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "stat", refused)

        assert settings.load().model == ""

    def test_the_history_is_in_memory_and_says_so_once(self, homeless, monkeypatch):
        monkeypatch.delenv("FLOWGPT_HISTORY")

        with pytest.warns(FlowGptWarning, match="There is no home folder"):
            found = current_history()

        assert found.location == ":memory:"
        assert found.location_text == "in memory, until this kernel is restarted"

    def test_the_list_of_settings_names_no_file(self, homeless):
        note = show_config(new_state()).note

        assert note.startswith("there is no home folder for a settings file: set XDG_CONFIG_HOME to another folder")

    def test_an_alias_that_cannot_be_kept_says_why(self, homeless):
        with pytest.raises(aliases.AliasError, match="there is no home folder for aliases"):
            aliases.save(aliases.Alias("polly", "echo"))

"""Settings: their names, their allowed values, and where their values come from.

The places are searched in this order: an option of the call, the conversation's own, ``%config FlowGPT.name``, the
environment variable ``FLOWGPT_NAME``, the table ``[tool.flowgpt_magic]`` of the nearest pyproject.toml, the user's
settings file, the default below. The values of an alias count just below the place that names the alias. If no place
sets ``openai_base_url``, ``OPENAI_BASE_URL`` counts.

``params`` and ``extra_headers`` are tables. The places are merged name by name, and the nearest one counts for each. A
parameter that is a setting too, such as ``temperature``, is that setting.

A project may be somebody else's, so it cannot set where a prompt is sent, with which key, or where it is stored.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from flowgpt_magic import keys
from flowgpt_magic.errors import SettingError, closest
from flowgpt_magic.settings import extra_headers, parameters
from flowgpt_magic.settings.parameters import Layer

APP = "flowgpt_magic"
PROJECT = 1  # the rank of a project's settings: above the settings file, below the environment
NOT_A_PROJECTS = ("model", "system")  # a project may ask for them: see `project_choice`
TOOLS = ("tools", "tool_choice", "functions", "web_search_options")  # parameters a project never sets
LARGEST_PROJECT = 1_000_000  # bytes; a longer pyproject.toml was not written by hand, and is not read
CALL = 5  # the rank of what one call is given
SERVER = "openai_base_url"  # the address of the server that takes headers of one's own
NOWHERE = Path(os.devnull)  # the home folder of somebody who has none: nothing is in it, and nothing can be made
SETTLED = 2.0  # seconds; modification times are coarse, so a file changed within this time is not cached

# Settings that no provider is given, so that they stand in no table of parameters.
NO_PARAMETERS = {
    *(
        "model",
        "system",
        "format",
        "images",
        "history",
        "history_tokens",
        "attach_tokens",
        "retries",
        "cache",
        "params",
    ),
}

T = TypeVar("T")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be text")


def _history(value: Any) -> str:
    words = {"off": "off", "false": "off", "none": "off", "on": "", "true": "", ":memory:": ":memory:"}
    word = str(value).strip().lower()
    return words[word] if isinstance(value, (str, bool)) and word in words else _text(value)


def number(low: float, high: float | None = None) -> Callable[[Any], float]:
    """A check that takes a number from ``low`` to ``high``, or its decimal text, and returns it."""
    limits = f"a number from {low:g} to {high:g}" if high is not None else f"a number of at least {low:g}"

    def check(value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"must be {limits}") from None
        if isinstance(value, bool) or not (low <= found <= (high if high is not None else float("inf"))):
            raise ValueError(f"must be {limits}")
        return found

    return check


def whole_number(low: int) -> Callable[[Any], int]:
    """A check that takes a whole number of at least ``low``, or its decimal text, and returns it."""
    check = number(low)

    def check_whole(value: Any) -> int:
        found = check(value)
        if found == float("inf") or found != int(found):
            raise ValueError(f"must be a whole number of at least {low}")
        return int(found)

    return check_whole


def _switch(value: Any) -> bool:
    words = {
        "on": True,
        "true": True,
        "yes": True,
        "1": True,
        "off": False,
        "false": False,
        "no": False,
        "0": False,
    }
    if isinstance(value, bool):
        return value
    if str(value).strip().lower() in words:
        return words[str(value).strip().lower()]
    raise ValueError("must be on or off")


def one_of(*choices: str) -> Callable[[Any], str]:
    """A check that takes one of these words."""

    def check(value: Any) -> str:
        if value in choices:
            return str(value)
        raise ValueError(f"must be one of {', '.join(choices)}{closest(str(value), choices)}")

    return check


def _or_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None or value == "" else check(value)


temperature = number(0, 2)
OPENAI = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_ADDRESSES = ("OPENAI_BASE_URL", "OPENAI_API_BASE")  # what OpenAI's clients read; the second one is older
FORMATS = ("markdown", "text", "code", "json", "html", "math", "md", "image")


def setting(
    default: Any,
    check: Callable[[Any], Any],
    text: str,
    *,
    secret: bool = False,
    personal: bool = False,
    table: bool = False,
    key_for: str = "",
) -> Any:
    """One row of the table below: its default, what values it takes, what it does.

    A ``personal`` one is the user's own, and no project sets it; every secret is. A ``table`` is merged over the places
    that give it. ``key_for`` is the setting with the address of the server that this is the key for: the key itself
    where it is a secret, else its name.
    """
    about = {"check": check, "help": text, "secret": secret, "personal": personal or secret, "key_for": key_for}
    about["table"] = table
    return field(default=default, repr=not secret, metadata=about)


@dataclass(frozen=True)
class Project:
    """What the pyproject.toml at ``path`` sets.

    ``names`` are the settings that are in force unless something nearer to the prompt sets them. ``model`` and whether
    there is a ``system`` prompt are for `project_choice`. ``rank`` is its place among the others, as in ``ranks``.
    """

    path: str = ""
    names: tuple[str, ...] = ()
    model: str = ""
    system: bool = False
    rank: int = PROJECT


@dataclass(frozen=True)
class Outside:
    """What is set outside of conversations and calls, as it was read.

    ``places`` are the settings file, the project's, the environment and ``%config`` with what they set. ``server`` is
    the variable that OpenAI's clients are told their server by, with its value, and ``has_key`` says whether
    ``OPENAI_API_KEY`` is set.
    """

    places: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), repr=False)
    project: Project = Project()
    server: tuple[str, str] = field(default=("", ""), repr=False)
    has_key: bool = False


@dataclass(frozen=True)
class Settings:
    """The values in force.

    ``sources`` says for each name where its value came from, and ``ranks`` how far up that is: where two places set a
    value, the one with the higher number is in force. ``layers`` are what each place gives of a table, by the name of
    the setting. ``outside`` is what was read, for ``within``.
    """

    model: str = setting("", _text, "who answers: provider:model, a provider, a model or an alias")
    temperature: float | None = setting(None, _or_none(temperature), "0 to 2; empty for the provider's own")
    system: str = setting("", _text, "system prompt, where a conversation has none of its own")
    format: str = setting("markdown", one_of(*FORMATS), "how a reply is shown")
    images: bool = setting(
        False, _switch, "load the remote images of a reply instead of showing their addresses", personal=True
    )
    base_url: str = setting(
        "https://prod-backend-k8s.flowgpt.com", _text, "scheme and host of the FlowGPT server", personal=True
    )
    token: str = setting(
        "", _text, "bearer token for that server; empty for anonymous", secret=True, key_for="base_url"
    )
    openai_base_url: str = setting(
        OPENAI, _text, "address of the OpenAI-compatible server, its /v1 included", personal=True
    )
    openai_key: str = setting(
        "",
        keys.check_name,
        "name of the variable, or keyring:SERVICE/USER, that holds its key; empty: OPENAI_API_KEY for OpenAI alone",
        personal=True,
        key_for="openai_base_url",
    )
    proxy: str = setting("", _text, "URL of an HTTP proxy, user and password included", secret=True)
    trust_env: bool = setting(
        False, _switch, "use the environment's proxy variables when no proxy is set", personal=True
    )
    ca_bundle: str = setting(
        "",
        _text,
        "file or folder of the certificate authorities (PEM) to trust over https; empty: SSL_CERT_FILE, "
        "REQUESTS_CA_BUNDLE or the system's",
        personal=True,
    )
    client_cert: str = setting("", _text, "file of the client certificate (PEM) that servers ask for", personal=True)
    client_key: str = setting(
        "", _text, "file of the private key (PEM) of client_cert, where that file does not hold it", personal=True
    )
    connect_timeout: float = setting(10.0, number(0.001), "seconds to wait for a connection")
    read_timeout: float = setting(600.0, number(0.001), "seconds without a byte after which a reply has failed")
    line_limit: int = setting(8 * 2**20, whole_number(1024), "bytes; a longer line of a stream is an error")
    context_size: int = setting(4096, whole_number(256), "tokens the embedded model can see: prompt and reply together")
    max_tokens: int = setting(
        512, whole_number(1), "tokens at which a reply ends; unless set, the embedded model's alone"
    )
    params: Mapping[str, Any] | None = setting(
        None, parameters.checked, 'further parameters of the provider, such as {"top_p": 0.9}', table=True
    )
    extra_headers: Mapping[str, str | None] | None = setting(
        None,
        extra_headers.checked,
        "own headers for the OpenAI-compatible server; $NAME in a value stands for an environment variable",
        personal=True,
        table=True,
    )
    threads: int = setting(0, whole_number(0), "threads the embedded model computes on; 0 for half the processors")
    history: str = setting(
        "", _history, "file of the history, :memory:, or off; empty for the data folder's", personal=True
    )
    history_tokens: int = setting(0, whole_number(0), "tokens of earlier turns that are sent along, about; 0 for all")
    attach_tokens: int = setting(2000, whole_number(1), "tokens that a value in a prompt or an attachment may take")
    retries: int = setting(2, whole_number(0), "further tries after a failure that came before the first chunk")
    cache: bool = setting(False, _switch, "answer from the history if the same request was answered before")
    pace: float = setting(0.0, number(0), "seconds the echo provider takes for a word")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    ranks: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    layers: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict, compare=False, repr=False)
    project: Project = field(default=Project(), compare=False, repr=False)
    outside: Outside = field(default=Outside(), compare=False, repr=False)

    def __repr__(self) -> str:
        from flowgpt_magic.redaction import redacted_repr  # its patterns take a while to compile

        return redacted_repr(self)


CONNECTION = ("trust_env", "ca_bundle", "client_cert", "client_key", "connect_timeout", "read_timeout", "line_limit")
"""How any server is reached; none of these changes an answer."""
TABLE = {each.name: each for each in fields(Settings) if "check" in each.metadata}
KEYS = {each.metadata["key_for"]: name for name, each in TABLE.items() if each.metadata["key_for"]}
"""By the setting of an address the one of its key."""


def settings_file() -> Path:
    """Where the user's settings file is, or would be."""
    import platformdirs  # not with this module, which the extension is loaded with

    return _own_folder(platformdirs.user_config_path) / "settings.toml"


def data_folder() -> Path:
    """The folder this package keeps its files in; ``FLOWGPT_DATA_DIR`` moves it."""
    import platformdirs

    moved = os.environ.get("FLOWGPT_DATA_DIR")
    return _own_folder(lambda _app: Path(moved).expanduser()) if moved else _own_folder(platformdirs.user_data_path)


def has_data_folder() -> bool:
    """Is there a place for files of this person's? There is none without ``HOME`` and an entry in ``/etc/passwd``."""
    return not data_folder().is_relative_to(NOWHERE)


def _own_folder(find: Callable[[str], Path]) -> Path:
    """The folder that ``find`` names; one under ``NOWHERE`` where it depends on a home folder that nobody knows."""
    try:
        folder = find(APP)
    except RuntimeError:
        return NOWHERE / APP
    return NOWHERE / APP if str(folder).startswith("~") else folder


def variable(name: str) -> str:
    """The environment variable of the setting ``name``."""
    return f"FLOWGPT_{name.upper()}"


def check(name: str, value: Any, source: str) -> Any:
    """``value`` as the setting ``name`` takes it; raises ``SettingError`` that names ``source``."""
    if name not in TABLE:
        raise SettingError(f"{source}: there is no setting {name!r}{closest(name, TABLE)}")
    try:
        return TABLE[name].metadata["check"](value)
    except ValueError as error:
        # What should be a key's name may be the key, and so may what stands in a table.
        hidden = TABLE[name].metadata["secret"] or TABLE[name].metadata["table"] or name in KEYS.values()
        shown = "" if hidden else f"is {value!r}; it "
        raise SettingError(f"{source}: {name} {shown}{error}") from None


_parsed: dict[tuple[str, Callable[[bytes], Any]], tuple[tuple[int, ...], Any]] = {}


def parsed(path: Path, parse: Callable[[bytes], T]) -> T:
    """What ``parse`` makes of the bytes in the file, which is read again only after it has changed.

    Raises what reading it and ``parse`` raise. The value is the same object each time: do not change it.
    """
    try:
        key, status = (str(path), parse), path.stat()
    except (PermissionError, NotADirectoryError):  # of its folder: a file in there is not this person's
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    mark = (status.st_mtime_ns, status.st_size, status.st_ino)
    known = _parsed.get(key)
    if known is not None and known[0] == mark:
        return known[1]  # type: ignore[no-any-return]  # the key holds what made it
    found = parse(path.read_bytes())
    if abs(time.time() - status.st_mtime) > SETTLED:
        _parsed[key] = (mark, found)
    return found


def _toml(content: bytes) -> dict[str, Any]:
    """Raises ``ValueError`` for what is no TOML or no UTF-8, and ``RecursionError``."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    return tomllib.loads(content.decode("utf-8-sig"))


def _file_values(path: Path) -> dict[str, Any]:
    try:
        return parsed(path, _toml)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(f"{path} cannot be read: {error}") from None


def project_file() -> Path | None:
    """The nearest pyproject.toml, from the working directory upwards."""
    try:
        folder = os.getcwd()
    except OSError:  # it was removed
        return None
    while not os.path.isfile(file := os.path.join(folder, "pyproject.toml")):
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return None
    return Path(file)


def _project_table(content: bytes) -> object:
    """``[tool.flowgpt_magic]``, if it is there; other tools complain about a file that is no TOML."""
    if APP.encode() not in content:
        return {}
    try:
        tool = _toml(content).get("tool")
    except (ValueError, RecursionError):
        return {}
    return tool.get(APP, {}) if isinstance(tool, dict) else {}


def _project_values(path: Path) -> dict[str, Any]:
    try:
        table = parsed(path, _project_table) if path.stat().st_size <= LARGEST_PROJECT else {}
    except OSError:
        return {}
    if not isinstance(table, dict):
        raise SettingError(f"{path}: [tool.{APP}] must be a table, with a line for each setting")
    params = table.get("params")
    params = params if isinstance(params, dict) else {}
    extra = params.get("extra_body")
    for name in (*table, *params, *(extra if isinstance(extra, dict) else ())):
        if name in TOOLS or (name in TABLE and TABLE[name].metadata["personal"]):
            own = settings_file()
            raise SettingError(f"{path}: {name} is not a project's to set; put it into your own settings file, {own}")
    return table


def load(
    options: Mapping[str, Any] | None = None,
    configured: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    path: Path | None = None,
    conversation: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings in force now.

    ``options`` are those of one call, ``conversation`` those of its conversation and ``configured`` those of
    ``%config``; in all of them, None means not set. ``path`` is the user's settings file. Raises ``SettingError`` for a
    value a setting cannot have, a name there is no setting of, and what is not a project's to set.
    """
    file, project = path or settings_file(), project_file()
    table = _project_values(project) if project else {}
    places = (
        (str(file), _file_values(file)),
        (str(project), {name: value for name, value in table.items() if name not in NOT_A_PROJECTS}),
        ("environment", {name: environ[variable(name)] for name in TABLE if variable(name) in environ}),
        ("%config", configured or {}),
    )
    server = _openai_server(environ)
    address, has_key = environ.get(server, "").strip(), bool(environ.get(OPENAI_KEY))
    outside = Outside(places, _of_project(str(project), table), (server, address), has_key)
    return _in_force(outside, conversation or {}, options or {})


def within(
    chosen: Settings, *, conversation: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force for a conversation and a call, where ``chosen`` has been read before.

    Of ``chosen`` only what is set outside of conversations and calls counts; it is not read again. Raises as ``load``.
    """
    return _in_force(chosen.outside, conversation or {}, options or {})


def _in_force(outside: Outside, conversation: Mapping[str, Any], options: Mapping[str, Any]) -> Settings:
    layers = (*outside.places, ("this conversation", conversation), ("option", options))
    labelled = [(source, _spread(source, layer)) for source, layer in layers]
    named, address = outside.server
    if any(layer.get(SERVER) for _, layer in labelled):
        named = ""
    if named:
        dict(labelled)["environment"][SERVER] = address
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    ranks: dict[str, float] = {}
    tables: dict[str, tuple[Layer, ...]] = {}
    for rank, (source, layer) in enumerate(labelled):
        for name, value in layer.items():
            if value is None:
                continue
            own = named if named and name == SERVER else variable(name)
            label = f"environment variable {own}" if source == "environment" else source
            values[name] = check(name, value, label)
            sources[name], ranks[name] = label, rank
            if TABLE[name].metadata["table"] and values[name] is not None:
                server = _server([each for _, each in labelled], SERVER, rank)
                tables[name] = (*tables.get(name, ()), Layer(label, rank, values[name], server))
    for key in _keys_of_others([layer for _, layer in labelled], ranks):
        del values[key], ranks[key]
        sources[key] = f"default; {sources[key]} has one for another server"
    if named:
        del ranks[SERVER]  # the address that an alias has comes before it
        if "openai_key" not in values and outside.has_key:
            values["openai_key"], sources["openai_key"] = OPENAI_KEY, sources[SERVER]
    about: dict[str, Any] = {"sources": sources, "ranks": ranks, "layers": tables}
    return with_tables(Settings(**values, **about, project=outside.project, outside=outside))


def _of_project(path: str, table: Mapping[str, Any]) -> Project:
    checked = {name: check(name, table[name], path) for name in NOT_A_PROJECTS if table.get(name) is not None}
    names = tuple(name for name in table if name in TABLE and name not in NOT_A_PROJECTS)
    return Project(path, names, checked.get("model", ""), bool(checked.get("system")))


def _openai_server(environ: Mapping[str, str]) -> str:
    """The variable by which OpenAI's clients are told their server; empty where there is none.

    Whoever has set it means the key in ``OPENAI_API_KEY`` for that server.
    """
    return next((name for name in OPENAI_ADDRESSES if environ.get(name, "").strip()), "")


def with_tables(chosen: Settings) -> Settings:
    """``chosen`` with what its layers give together.

    A header goes to the server that was in force where it was set, and to no other; one of this very call goes to the
    server that is asked.
    """
    server = chosen.openai_base_url.strip().rstrip("/")
    headers: dict[str, str | None] = {}
    for layer in sorted(chosen.layers.get(extra_headers.EXTRA_HEADERS, ()), key=lambda each: each.rank):
        if layer.server == server or layer.rank >= CALL:
            headers = extra_headers.joined(headers, layer.values)
    params = parameters.merged(chosen.layers.get("params", ()))
    return replace(chosen, params=params or None, extra_headers=headers or None)


def _spread(source: str, layer: Mapping[str, Any]) -> dict[str, Any]:
    """``layer`` with those of its parameters that are settings in their own place."""
    if layer.get("params") is None:
        return dict(layer)
    source = f"environment variable {variable('params')}" if source == "environment" else source
    params = check("params", layer["params"], source) or {}
    own = {name: value for name, value in params.items() if name in TABLE and value is not None}
    for name in own:
        if name in NO_PARAMETERS:
            raise SettingError(f"{source}: {name} is a setting and no parameter; set it beside params, not in it")
        if layer.get(name) is not None:
            raise SettingError(f"{source}: {name} is there twice, as a setting and as a parameter: which one is meant?")
    body = params.get(parameters.EXTRA_BODY) or {}
    if twice := next((name for name in body if layer.get(name) is not None or name in own), ""):
        raise SettingError(f"{source}: {twice} is there twice, as a setting and in {parameters.EXTRA_BODY}")
    return {**layer, **own, "params": {name: value for name, value in params.items() if name not in own}}


def _keys_of_others(layers: Sequence[Mapping[str, Any]], ranks: Mapping[str, float]) -> list[str]:
    """The settings that name a key for another server than the one that is asked.

    Such a key goes to the server that was in force where it was named, and to no other.
    """

    named = {address: key for address, key in KEYS.items() if not TABLE[key].metadata["secret"] and key in ranks}
    last = len(layers)
    return [
        key for address, key in named.items() if _server(layers, address, ranks[key]) != _server(layers, address, last)
    ]


def _server(layers: Sequence[Mapping[str, Any]], address: str, highest: float) -> str:
    """The value of the setting ``address`` as the layers up to ``highest`` give it."""
    found = [layer[address] for rank, layer in enumerate(layers) if rank <= highest and layer.get(address) is not None]
    return str(found[-1] if found else TABLE[address].default).strip().rstrip("/")

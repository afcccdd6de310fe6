"""Settings: their names, allowed values, and sources.

The first source that sets a value wins: an option of the call, the conversation, ``%config FlowGPT.name``, the
environment variable ``FLOWGPT_NAME``, the table ``[tool.flowgpt_magic]`` of the nearest pyproject.toml, JupyterLab's
settings, the user's settings file, the default below. An alias ranks just below the source that names it. If no source
sets ``openai_base_url``, ``OPENAI_BASE_URL`` is used, and ``ANTHROPIC_BASE_URL`` for ``anthropic_base_url``.

``params`` and ``extra_headers`` are tables. All sources are merged, and for each name the first source wins. A
parameter that is also a setting, such as ``temperature``, sets that setting.

A project may come from someone else, so it cannot set where a prompt is sent, with which key, or where it is stored.
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
from flowgpt_magic.settings import extra_headers, parameters, prices
from flowgpt_magic.settings.parameters import Layer

APP = "flowgpt_magic"
FRONT_END = "JupyterLab's settings"
PROJECT = 2  # the rank of a project's settings: above the user's own, below the environment
PROJECT_CHOICES = ("model", "system")  # a project may only suggest them: see `project_choice`
TOOLS = ("tools", "tool_choice", "functions", "web_search_options")  # parameters that a project cannot set
MAX_PROJECT_SIZE = 1_000_000  # bytes; a longer pyproject.toml is ignored
CALL = 6  # the rank of the options of a call
SERVER = "openai_base_url"  # the address of the server that receives `extra_headers`
API = "openai_api"  # by which that server is asked
NOWHERE = Path(os.devnull)  # stands for a missing home folder: it has no files, and none can be created
SETTLED = 2.0  # seconds; modification times are coarse, so a file changed within this time is not cached

# Settings that are not passed to providers, so `params` cannot contain them.
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
        "think_tags",
        "keep_reasoning",
        "prices",
        "max_cost",
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
    """A check that accepts and returns a number from ``low`` to ``high``; a decimal string is converted."""
    limits = f"a number from {low:g} to {high:g}" if high is not None else f"a number of at least {low:g}"

    def check(value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"must be {limits}") from None
        if isinstance(value, bool) or not (low <= number <= (high if high is not None else float("inf"))):
            raise ValueError(f"must be {limits}")
        return number

    return check


def whole_number(low: int) -> Callable[[Any], int]:
    """A check that accepts and returns a whole number of at least ``low``; a decimal string is converted."""
    check = number(low)

    def check_whole(value: Any) -> int:
        number = check(value)
        if number == float("inf") or number != int(number):
            raise ValueError(f"must be a whole number of at least {low}")
        return int(number)

    return check_whole


def amount_of_money(value: Any) -> float | None:
    """A check that accepts dollars above 0 and returns them; None and an empty string stand for any amount."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    amount = number(0)(value)
    if not 0 < amount < float("inf"):
        raise ValueError("must be an amount of dollars above 0")
    return amount


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
    """A check that accepts one of the ``choices``."""

    def check(value: Any) -> str:
        if value in choices:
            return str(value)
        raise ValueError(f"must be one of {', '.join(choices)}{closest(str(value), choices)}")

    return check


def _or_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None or value == "" else check(value)


def _think(value: Any) -> str:
    return "off" if value is False else one_of(*THINK)(value)


temperature = number(0, 2)
ALIAS = "alias "  # before the name of an alias in ``Settings.sources``
OPENAI = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_ADDRESSES = ("OPENAI_BASE_URL", "OPENAI_API_BASE")  # read by OpenAI's clients; the second is the older one
ANTHROPIC = "https://api.anthropic.com"
ANTHROPIC_KEY = "ANTHROPIC_API_KEY"
ANTHROPIC_ADDRESSES = ("ANTHROPIC_BASE_URL",)  # read by Anthropic's clients
# The variables of the makers' own clients, by the setting of the server's address: its addresses, and its key.
CLIENT_VARIABLES = {
    "openai_base_url": (OPENAI_ADDRESSES, OPENAI_KEY),
    "anthropic_base_url": (ANTHROPIC_ADDRESSES, ANTHROPIC_KEY),
}
OPENAI_APIS = ("auto", "chat", "responses")
THINK = ("low", "medium", "high", "off")
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
    """A field of ``Settings``.

    Args:
        default: the value if no source sets one.
        check: returns the value to use; raises ``ValueError`` for one that is not allowed.
        text: the help text.
        secret: its value is never shown. A secret is always personal.
        personal: a project cannot set it.
        table: the values of all sources are merged.
        key_for: the setting with the server's address, if this is that server's key or the name of its key; else "".
    """
    about = {"check": check, "help": text, "secret": secret, "personal": personal or secret, "key_for": key_for}
    about["table"] = table
    return field(default=default, repr=not secret, metadata=about)


class Configured(dict[str, Any]):
    """The values that a shell knows: those of ``%config``, and as ``front_end`` those of JupyterLab's settings."""

    def __init__(self, values: Mapping[str, Any], front_end: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.front_end = front_end


@dataclass(frozen=True)
class Project:
    """The settings of a project.

    Args:
        path: its pyproject.toml.
        names: the settings it sets.
        model: the model it suggests; see `project_choice`.
        system: whether it suggests a system prompt.
        rank: its rank among the sources, as in ``Settings.ranks``.
    """

    path: str = ""
    names: tuple[str, ...] = ()
    model: str = ""
    system: bool = False
    rank: int = PROJECT


@dataclass(frozen=True)
class Outside:
    """The values set outside conversations and calls.

    ``places`` are the settings file, JupyterLab's settings, the project, the environment and ``%config``, with their
    values. ``servers`` has the environment variables with the addresses for the makers' own clients, and their values,
    by the setting of the address. ``keys`` are the variables of these clients' keys that are set.
    """

    places: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), repr=False)
    project: Project = Project()
    servers: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Settings:
    """The values in force; the help text of each setting describes it.

    ``sources`` has the source of each value by name, and ``ranks`` the source's rank: the highest one wins. ``layers``
    has the values of each source for a table, by the name of the setting. ``outside`` has the values that ``within``
    starts from.
    """

    model: str = setting("", _text, "the model to use: provider:model, a provider, a model or an alias")
    temperature: float | None = setting(None, _or_none(temperature), "0 to 2; empty: the provider's default")
    system: str = setting("", _text, "system prompt of conversations without their own")
    format: str = setting("markdown", one_of(*FORMATS), "how a reply is shown")
    images: bool = setting(
        False, _switch, "load the remote images in a reply instead of showing their addresses", personal=True
    )
    base_url: str = setting(
        "https://prod-backend-k8s.flowgpt.com", _text, "scheme and host of the FlowGPT server", personal=True
    )
    token: str = setting("", _text, "bearer token for that server; empty: anonymous", secret=True, key_for="base_url")
    openai_base_url: str = setting(
        OPENAI, _text, "address of the OpenAI-compatible server, including /v1", personal=True
    )
    openai_key: str = setting(
        "",
        keys.check_name,
        "environment variable or keyring:SERVICE/USER with its key; empty: OPENAI_API_KEY, for OpenAI only",
        personal=True,
        key_for="openai_base_url",
    )
    openai_api: str = setting(
        "auto",
        one_of(*OPENAI_APIS),
        "which of OpenAI's APIs that server is asked by: chat, responses, or auto (responses for OpenAI and Azure)",
        personal=True,
    )
    anthropic_base_url: str = setting(
        ANTHROPIC, _text, "address of the server with Claude's API, with or without /v1", personal=True
    )
    anthropic_key: str = setting(
        "",
        keys.check_name,
        "environment variable or keyring:SERVICE/USER with its key; empty: ANTHROPIC_API_KEY, for Anthropic only",
        personal=True,
        key_for="anthropic_base_url",
    )
    proxy: str = setting("", _text, "URL of an HTTP proxy, with user and password if needed", secret=True)
    trust_env: bool = setting(False, _switch, "use the proxy environment variables if no proxy is set", personal=True)
    ca_bundle: str = setting(
        "",
        _text,
        "PEM file or folder of the certificate authorities to trust; empty: SSL_CERT_FILE, "
        "REQUESTS_CA_BUNDLE or those of the system",
        personal=True,
    )
    client_cert: str = setting("", _text, "PEM file of the client certificate", personal=True)
    client_key: str = setting(
        "", _text, "PEM file of the private key, if client_cert does not contain it", personal=True
    )
    connect_timeout: float = setting(10.0, number(0.001), "seconds to wait for a connection")
    read_timeout: float = setting(600.0, number(0.001), "seconds without data after which a reply fails")
    line_limit: int = setting(8 * 2**20, whole_number(1024), "bytes; a longer line in a stream is an error")
    context_size: int = setting(4096, whole_number(256), "context size of the embedded model in tokens")
    max_tokens: int = setting(
        512, whole_number(1), "maximum tokens of a reply; the default applies to the embedded model only"
    )
    think: str = setting(
        "",
        lambda value: "" if value == "" else _think(value),
        "how much a reasoning model thinks: low, medium, high or off; empty: the model's default",
    )
    think_tags: bool = setting(
        True, _switch, "tell reasoning between tags such as <think> apart from the text of a reply"
    )
    keep_reasoning: bool = setting(
        False, _switch, "keep the reasoning, folded, above a reply in a cell; the history has it always"
    )
    prices: Mapping[str, Mapping[str, float]] | None = setting(
        None,
        prices.checked,
        "your own prices, in dollars for a million tokens: a table of input, output, cached and cache_write by model",
        personal=True,
    )
    max_cost: float | None = setting(
        None,
        amount_of_money,
        "dollars that a conversation may cost: a prompt that would exceed it is not sent; empty: any amount",
    )
    params: Mapping[str, Any] | None = setting(
        None, parameters.checked, 'additional parameters for the provider, such as {"top_p": 0.9}', table=True
    )
    extra_headers: Mapping[str, str | None] | None = setting(
        None,
        extra_headers.checked,
        "extra headers for the OpenAI-compatible server, or given for a prompt or an alias: for its server; $NAME in a "
        "value is an environment variable",
        personal=True,
        table=True,
    )
    threads: int = setting(0, whole_number(0), "threads of the embedded model; 0: half the processors")
    history: str = setting(
        "", _history, "file of the history, :memory:, or off; empty: the file in the data folder", personal=True
    )
    history_tokens: int = setting(0, whole_number(0), "approximate tokens of earlier turns to send; 0: all")
    attach_tokens: int = setting(2000, whole_number(1), "maximum tokens of a value in a prompt or of an attachment")
    retries: int = setting(2, whole_number(0), "retries after a failure before the first chunk")
    cache: bool = setting(False, _switch, "answer from the history if it has a reply to the same request")
    pace: float = setting(0.0, number(0), "seconds per word of the echo provider")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    ranks: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    layers: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict, compare=False, repr=False)
    project: Project = field(default=Project(), compare=False, repr=False)
    outside: Outside = field(default=Outside(), compare=False, repr=False)

    def __repr__(self) -> str:
        from flowgpt_magic.redaction import redacted_repr  # its patterns take a while to compile

        return redacted_repr(self)


CONNECTION = ("trust_env", "ca_bundle", "client_cert", "client_key", "connect_timeout", "read_timeout", "line_limit")
"""How servers are reached; none of these affects a reply."""
TABLE = {row.name: row for row in fields(Settings) if "check" in row.metadata}
KEYS = {row.metadata["key_for"]: name for name, row in TABLE.items() if row.metadata["key_for"]}
"""The setting of each server's key, by the setting of its address."""


def settings_file() -> Path:
    """The path of the user's settings file, which may not exist."""
    import platformdirs  # not needed to load the extension

    return _own_folder(platformdirs.user_config_path) / "settings.toml"


def data_folder() -> Path:
    """The folder of this package's files; ``FLOWGPT_DATA_DIR`` overrides it."""
    import platformdirs

    moved = os.environ.get("FLOWGPT_DATA_DIR")
    return _own_folder(lambda _app: Path(moved).expanduser()) if moved else _own_folder(platformdirs.user_data_path)


def has_data_folder() -> bool:
    """Is there a data folder? Without ``HOME`` and an entry in ``/etc/passwd``, there is none."""
    return not data_folder().is_relative_to(NOWHERE)


def _own_folder(find: Callable[[str], Path]) -> Path:
    """The folder that ``find`` returns, or one in ``NOWHERE`` if the home folder is unknown."""
    try:
        folder = find(APP)
    except RuntimeError:
        return NOWHERE / APP
    return NOWHERE / APP if str(folder).startswith("~") else folder


def variable(name: str) -> str:
    """The environment variable of the setting ``name``."""
    return f"FLOWGPT_{name.upper()}"


def check(name: str, value: Any, source: str) -> Any:
    """The checked and converted ``value``. Raises ``SettingError``, which names the ``source``."""
    if name not in TABLE:
        raise SettingError(f"{source}: there is no setting {name!r}{closest(name, TABLE)}")
    try:
        return TABLE[name].metadata["check"](value)
    except ValueError as error:
        # A key may have been entered in place of its name, or in a table.
        hidden = TABLE[name].metadata["secret"] or TABLE[name].metadata["table"] or name in KEYS.values()
        current = "" if hidden else f"is {value!r}; it "
        raise SettingError(f"{source}: {name} {current}{error}") from None


_parsed: dict[tuple[str, Callable[[bytes], Any]], tuple[tuple[int, ...], Any]] = {}


def parsed(path: Path, parse: Callable[[bytes], T]) -> T:
    """The result of ``parse`` for the content of the file, cached until the file changes.

    Each call returns the same object: do not modify it. Raises the errors of reading the file and of ``parse``.
    """
    try:
        key, status = (str(path), parse), path.stat()
    except (PermissionError, NotADirectoryError):  # the folder is not accessible: treat the file as missing
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    mark = (status.st_mtime_ns, status.st_size, status.st_ino)
    cached = _parsed.get(key)
    if cached is not None and cached[0] == mark:
        return cached[1]  # type: ignore[no-any-return]  # `parse`, a part of the key, returned it
    value = parse(path.read_bytes())
    if abs(time.time() - status.st_mtime) > SETTLED:
        _parsed[key] = (mark, value)
    return value


def _toml(content: bytes) -> dict[str, Any]:
    """Raises ``ValueError`` for invalid TOML or UTF-8, and ``RecursionError``."""
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
    except OSError:  # the working directory was removed
        return None
    while not os.path.isfile(file := os.path.join(folder, "pyproject.toml")):
        folder, child = os.path.dirname(folder), folder
        if folder == child:
            return None
    return Path(file)


def _project_table(content: bytes) -> object:
    """The table ``[tool.flowgpt_magic]``, empty if missing. Invalid TOML is left for other tools to report."""
    if APP.encode() not in content:
        return {}
    try:
        tool = _toml(content).get("tool")
    except (ValueError, RecursionError):
        return {}
    return tool.get(APP, {}) if isinstance(tool, dict) else {}


def _project_values(path: Path) -> dict[str, Any]:
    try:
        table = parsed(path, _project_table) if path.stat().st_size <= MAX_PROJECT_SIZE else {}
    except OSError:
        return {}
    if not isinstance(table, dict):
        raise SettingError(f"{path}: [tool.{APP}] must be a table with one line per setting")
    params = table.get("params")
    params = params if isinstance(params, dict) else {}
    extra = params.get("extra_body")
    for name in (*table, *params, *(extra if isinstance(extra, dict) else ())):
        if name in TOOLS or (name in TABLE and TABLE[name].metadata["personal"]):
            personal = settings_file()
            raise SettingError(f"{path}: a project cannot set {name}; put it into your own settings file, {personal}")
    return table


class SourcedText(str):
    """The text of a setting, with ``source``: where it was set. ``load`` keeps the source of such an option."""

    source: str

    def __new__(cls, text: str, source: str = "option") -> SourcedText:
        sourced = super().__new__(cls, text)
        sourced.source = source
        return sourced


def with_source(chosen: Settings, name: str) -> Any:
    """The setting ``name`` as an option for a provider; a text that an alias sets has that source."""
    value, source = getattr(chosen, name), chosen.sources.get(name, "")
    return SourcedText(value, source) if type(value) is str and source.startswith(ALIAS) else value


def alias_of(chosen: Settings, name: str) -> str:
    """The alias that sets ``name``; empty if none does."""
    source = chosen.sources.get(name, "")
    return source.removeprefix(ALIAS) if source.startswith(ALIAS) else ""


def load(
    options: Mapping[str, Any] | None = None,
    configured: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    path: Path | None = None,
    conversation: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings in force now. In the mappings, None means not set.

    Raises ``SettingError`` for a value that is not allowed, an unknown name, and a name that a project cannot set.

    Args:
        options: the options of one call.
        configured: the values of ``%config``; ``Configured`` also has those of JupyterLab's settings.
        environ: the environment variables.
        path: the user's settings file; None for ``settings_file()``.
        conversation: the settings of the call's conversation.
    """
    file, project = path or settings_file(), project_file()
    table = _project_values(project) if project else {}
    places = (
        (str(file), _file_values(file)),
        (FRONT_END, configured.front_end if isinstance(configured, Configured) else {}),
        (str(project), {name: value for name, value in table.items() if name not in PROJECT_CHOICES}),
        ("environment", {name: environ[variable(name)] for name in TABLE if variable(name) in environ}),
        ("%config", configured or {}),
    )
    servers = {
        setting: (name, environ[name].strip())
        for setting, (variables, _key) in CLIENT_VARIABLES.items()
        if (name := _first_set(variables, environ))
    }
    present = frozenset(key for _variables, key in CLIENT_VARIABLES.values() if environ.get(key))
    outside = Outside(places, _of_project(str(project), table), servers, present)
    return _in_force(outside, conversation or {}, options or {})


def within(
    chosen: Settings, *, conversation: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force for a conversation and a call, without reading files again.

    Uses only the values of ``chosen`` that were set outside conversations and calls. Raises the errors of ``load``.
    """
    return _in_force(chosen.outside, conversation or {}, options or {})


def _in_force(outside: Outside, conversation: Mapping[str, Any], options: Mapping[str, Any]) -> Settings:
    layers = (*outside.places, ("this conversation", conversation), ("option", options))
    labelled = [(source, _spread(source, layer)) for source, layer in layers]
    named: dict[str, str] = {}
    for address, (name, url) in outside.servers.items():
        if not any(layer.get(address) for _, layer in labelled):
            named[address] = name
            dict(labelled)["environment"][address] = url
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    ranks: dict[str, float] = {}
    tables: dict[str, tuple[Layer, ...]] = {}
    for rank, (source, layer) in enumerate(labelled):
        for name, value in layer.items():
            if value is None:
                continue
            own = named.get(name) or variable(name)
            label = f"environment variable {own}" if source == "environment" else source
            label = value.source if isinstance(value, SourcedText) else label
            values[name] = check(name, value, label)
            sources[name], ranks[name] = label, rank
            if TABLE[name].metadata["table"] and values[name] is not None:
                server = _server([other for _, other in labelled], SERVER, rank)
                tables[name] = (*tables.get(name, ()), Layer(label, rank, values[name], server))
    for name in _set_for_others([layer for _, layer in labelled], ranks):
        del values[name], ranks[name]
        sources[name] = f"default; {sources[name]} has one for another server"
    for address in named:
        del ranks[address]  # the address of an alias takes precedence
        key, client_key = KEYS[address], CLIENT_VARIABLES[address][1]
        if key not in values and client_key in outside.keys:
            values[key], sources[key] = client_key, sources[address]
    about: dict[str, Any] = {"sources": sources, "ranks": ranks, "layers": tables}
    return with_tables(Settings(**values, **about, project=outside.project, outside=outside))


def _of_project(path: str, table: Mapping[str, Any]) -> Project:
    checked = {name: check(name, table[name], path) for name in PROJECT_CHOICES if table.get(name) is not None}
    names = tuple(name for name in table if name in TABLE and name not in PROJECT_CHOICES)
    return Project(path, names, checked.get("model", ""), bool(checked.get("system")))


def _first_set(variables: Sequence[str], environ: Mapping[str, str]) -> str:
    """The first of the ``variables`` that is set; "" if none is. It names the server that a client's key is for."""
    return next((name for name in variables if environ.get(name, "").strip()), "")


def with_tables(chosen: Settings, address: str = SERVER) -> Settings:
    """``chosen`` with its layers merged into ``params`` and ``extra_headers``.

    ``address`` is the setting of the address of the server that is asked. A header is sent only to the server in force
    where it was set; a header of the call is always sent.
    """
    server = str(getattr(chosen, address)).strip().rstrip("/")
    headers: dict[str, str | None] = {}
    for layer in sorted(chosen.layers.get(extra_headers.EXTRA_HEADERS, ()), key=lambda layer: layer.rank):
        if layer.server == server or layer.rank >= CALL:
            headers = extra_headers.joined(headers, layer.values)
    params = parameters.merged(chosen.layers.get("params", ()))
    return replace(chosen, params=params or None, extra_headers=headers or None)


def _spread(source: str, layer: Mapping[str, Any]) -> dict[str, Any]:
    """``layer`` with parameters that are settings moved out of ``params``."""
    if layer.get("params") is None:
        return dict(layer)
    source = f"environment variable {variable('params')}" if source == "environment" else source
    params = check("params", layer["params"], source) or {}
    own = {name: value for name, value in params.items() if name in TABLE and value is not None}
    for name in own:
        if name in NO_PARAMETERS:
            raise SettingError(f"{source}: {name} is a setting, not a parameter; set it outside params")
        if layer.get(name) is not None:
            raise SettingError(f"{source}: {name} is set twice, as a setting and as a parameter; remove one")
    body = params.get(parameters.EXTRA_BODY) or {}
    if twice := next((name for name in body if layer.get(name) is not None or name in own), ""):
        raise SettingError(f"{source}: {twice} is set twice, as a setting and in {parameters.EXTRA_BODY}")
    return {**layer, **own, "params": {name: value for name, value in params.items() if name not in own}}


def _set_for_others(layers: Sequence[Mapping[str, Any]], ranks: Mapping[str, float]) -> list[str]:
    """The settings that name a key, or an API, for a server other than the one in use.

    They count only for the server in force where they were set.
    """
    keys = ((address, key) for address, key in KEYS.items() if not TABLE[key].metadata["secret"])
    pairs = [(address, name) for address, name in (*keys, (SERVER, API)) if name in ranks]
    last = len(layers)
    return [name for address, name in pairs if _server(layers, address, ranks[name]) != _server(layers, address, last)]


def _server(layers: Sequence[Mapping[str, Any]], address: str, highest: float) -> str:
    """The value of the setting ``address`` in the layers up to the rank ``highest``."""
    values = [layer[address] for rank, layer in enumerate(layers) if rank <= highest and layer.get(address) is not None]
    return str(values[-1] if values else TABLE[address].default).strip().rstrip("/")

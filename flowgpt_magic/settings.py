"""Every setting once: what it is called, what it may be, and where its value comes from.

A value is looked for in this order: an option of the call, the conversation's own, ``%config FlowGPT.name``, the
environment variable ``FLOWGPT_NAME``, the user's settings file, the default written here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from flowgpt_magic.errors import SettingError, closest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

APP = "flowgpt_magic"


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


def _count(low: int) -> Callable[[Any], int]:
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
FORMATS = ("markdown", "text")


def setting(default: Any, check: Callable[[Any], Any], text: str, *, secret: bool = False) -> Any:
    """One row of the table below: its default, what values it takes, what it does."""
    return field(default=default, repr=not secret, metadata={"check": check, "help": text, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """The values in force. ``sources`` says for each name where its value came from."""

    model: str = setting("", _text, "who answers: provider:model, a provider, a model or an alias")
    temperature: float | None = setting(None, _or_none(temperature), "0 to 2; empty for the provider's own")
    system: str = setting("", _text, "system prompt, where a conversation has none of its own")
    format: str = setting("markdown", one_of(*FORMATS), "how a reply is shown")
    images: bool = setting(False, _switch, "load the remote images of a reply instead of showing their addresses")
    base_url: str = setting("https://prod-backend-k8s.flowgpt.com", _text, "scheme and host of the FlowGPT server")
    token: str = setting("", _text, "bearer token for that server; empty for anonymous", secret=True)
    proxy: str = setting("", _text, "URL of an HTTP proxy, user and password included", secret=True)
    trust_env: bool = setting(False, _switch, "use the environment's proxy variables when no proxy is set")
    connect_timeout: float = setting(10.0, number(0.001), "seconds to wait for a connection")
    read_timeout: float = setting(60.0, number(0.001), "seconds of silence after which a reply has failed")
    line_limit: int = setting(8 * 2**20, _count(1024), "bytes; a longer line of a stream is an error")
    context_size: int = setting(4096, _count(256), "tokens the embedded model can see: prompt and reply together")
    max_tokens: int = setting(1024, _count(1), "tokens at which the embedded model ends a reply")
    threads: int = setting(0, _count(0), "threads the embedded model computes on; 0 for half the processors")
    history: str = setting("", _history, "file of the history, :memory:, or off; empty for the data folder's")
    history_tokens: int = setting(0, _count(0), "tokens of earlier turns that are sent along, about; 0 for all")
    cache: bool = setting(False, _switch, "answer from the history if the same request was answered before")
    pace: float = setting(0.0, number(0), "seconds the echo provider takes for a word")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


TABLE = {each.name: each for each in fields(Settings) if "check" in each.metadata}


def settings_file() -> Path:
    """Where the user's settings file is, or would be."""
    return platformdirs.user_config_path(APP) / "settings.toml"


def data_folder() -> Path:
    """The folder this package keeps its files in; ``FLOWGPT_DATA_DIR`` moves it."""
    moved = os.environ.get("FLOWGPT_DATA_DIR")
    return Path(moved).expanduser() if moved else platformdirs.user_data_path(APP)


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
        shown = "" if TABLE[name].metadata["secret"] else f"is {value!r}; it "
        raise SettingError(f"{source}: {name} {shown}{error}") from None


def _file_values(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}") from None


def load(
    options: Mapping[str, Any] | None = None,
    configured: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    path: Path | None = None,
    conversation: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings in force now.

    ``options`` are those of one call, ``conversation`` those of its conversation and ``configured`` those of
    ``%config``; in all of them, None means not set. Raises
    ``SettingError`` for a value a setting cannot have, or a name there is no setting of.
    """
    file = path or settings_file()
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (str(file), _file_values(file)),
        (
            "environment",
            {name: environ[variable(name)] for name in TABLE if variable(name) in environ},
        ),
        ("%config", configured or {}),
        ("this conversation", conversation or {}),
        ("option", options or {}),
    ]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for name, value in layer.items():
            if value is None:
                continue
            label = f"environment variable {variable(name)}" if source == "environment" else source
            values[name] = check(name, value, label)
            sources[name] = label
    return Settings(**values, sources=sources)

"""The settings that are sent to workers on other machines, without secrets.

Settings made here apply on the workers too. Others are the worker's own, except the addresses of servers: a key found
on the worker goes to the server chosen here. A setting that contains a key or a password is not sent; the worker gets
the name of the environment variable to read it from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic import keys, settings
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import MissingKeyError, SettingError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.models import find_model
from flowgpt_magic.providers.registry import is_built_in
from flowgpt_magic.redaction import redact, without_secrets
from flowgpt_magic.settings import Settings

MACHINE_SETTINGS = ("history", "threads")  # meaningless on another machine
MERGED_SETTINGS = ("params", "extra_headers")  # merged entry by entry


@dataclass(frozen=True)
class WorkerSettings:
    """Settings for a worker, without secrets.

    Args:
        values: settings by name.
        variables: for each secret that is set in the sending process, the worker's environment variable or keyring
            entry with its value.
        aliases: the user's aliases by name.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)

    def configured(self) -> dict[str, Any]:
        """The settings, with the secrets that this worker has under an alias's own variable names."""
        named = {name: variable for name, variable in self.variables.items() if variable != settings.variable(name)}
        available = {name: variable for name, variable in named.items() if not keys.missing(variable)}
        return {**self.values, **{name: keys.read(variable) for name, variable in available.items()}}

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a call, with those that its ``model`` implies if that is an alias.

        Raises ``SettingError`` for an option that contains a secret, and ``MissingKeyError`` if the key of an alias is
        not on this machine.
        """
        for name, value in options.items():
            if not is_free_of_secrets(name, value):
                own = settings.variable(name) if name in settings.TABLE else "a setting of its own"
                raise SettingError(
                    f"{name} contains a key or a password, which would be sent to the workers: set {own} on each worker"
                )
        alias = self.aliases.get(str(options.get("model") or ""))
        if alias is None:
            return dict(options)
        implied = aliases.to_options(alias)
        both = [name for name in MERGED_SETTINGS if implied.get(name) and options.get(name)]
        merged = {name: {**implied[name], **options[name]} for name in both}
        return {**implied, **options, **merged, "model": alias.target}

    def check(self, chosen: Settings) -> None:
        """Raise ``MissingKeyError`` for a secret that the sending process has and this one lacks."""
        target = find_model(chosen.model)
        provider = target.provider_class
        offline = is_built_in(target.provider) and provider.address_setting not in provider.settings
        needed = {*provider.settings, *([] if offline else ["proxy"])}
        for name, variable in self.variables.items():
            if name in needed and not getattr(chosen, name):
                raise MissingKeyError(
                    f"the setting {name} is a secret and is not sent: set {keys.place(variable)} on each worker"
                )


def collect_settings() -> WorkerSettings:
    """The settings that the cells of this notebook, or this program, use now.

    Raises ``SettingError``, and the errors of ``find_model`` for an unknown model.
    """
    conversation = Conversation(current_history().current)
    own = conversation.as_set(conversation.outside(), {})
    resolved = aliases.apply(own, need_key=False)
    names = {*resolved.ranks, *settings.KEYS} - {"model", *MACHINE_SETTINGS}
    values = {name: getattr(resolved, name) for name in sorted(names)}
    open_values = {name: value for name, value in values.items() if is_free_of_secrets(name, value)}
    variables = {name: _variable(name, own, resolved) for name in values if name not in open_values}
    own_aliases = {name: aliases.merged(alias) for name, alias in aliases.load().items()}
    return WorkerSettings({**open_values, "model": str(find_model(resolved.model))}, variables, own_aliases)


def is_free_of_secrets(name: str, value: Any) -> bool:
    """Does this value contain no key, token or password?"""
    if not value or name in ("schema", "extra_headers"):  # a schema may describe a password; headers name variables
        return True
    if name == "proxy":  # a secret as a setting, since there may be a password in it
        return str(value) == redact(str(value))
    if without_secrets({name: 1}) == {}:
        return False
    if isinstance(value, Mapping):
        return all(is_free_of_secrets(str(each), inner) for each, inner in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_free_of_secrets("", inner) for inner in value)
    return not isinstance(value, str) or redact(value) == value


def _variable(name: str, own: Settings, resolved: Settings) -> str:
    """The variable of the secret ``name``: the alias's own one, or that of the setting."""
    alias = own.model.strip()
    if resolved.sources.get(name) == f"alias {alias}":
        return aliases.merged(aliases.load()[alias]).key_variable
    return settings.variable(name)

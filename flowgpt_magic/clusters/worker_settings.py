"""The settings of this process, as they travel to workers on other machines: keys by name alone.

What is set here counts there too. What is not set here is the worker's own, but for the addresses of servers: a key
that is found on the worker goes to the server that is meant here. What holds a key or a password stays here, and the
worker is told which environment variable of its own to take it from.
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

OF_THE_MACHINE = ("history", "threads")  # settings that say nothing about another machine
TABLES = ("params", "extra_headers")  # whose entries count one by one


@dataclass(frozen=True)
class Shipped:
    """Settings that hold no secret.

    ``values`` are settings by name. ``variables`` names for each secret that is set where this comes from the
    environment variable, or the keyring's entry, that has it on the worker. ``aliases`` are the user's, by name.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)

    def configured(self) -> dict[str, Any]:
        """The settings on this machine, with the secrets that an alias keeps under a name of their own."""
        named = {name: variable for name, variable in self.variables.items() if variable != settings.variable(name)}
        here_too = {name: variable for name, variable in named.items() if not keys.missing(variable)}
        return {**self.values, **{name: keys.read(variable) for name, variable in here_too.items()}}

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a call, with what their ``model`` implies where that is an alias.

        Raises ``SettingError`` for an option that holds a secret, and ``MissingKeyError`` where an alias's key is not
        on this machine.
        """
        for name, value in given.items():
            if not may_travel(name, value):
                own = settings.variable(name) if name in settings.TABLE else "a setting of its own"
                raise SettingError(
                    f"{name} holds a key or a password, which would travel with the work: set {own} on each worker"
                )
        alias = self.aliases.get(str(given.get("model") or ""))
        if alias is None:
            return dict(given)
        implied = aliases.to_options(alias)
        tables = {name: {**implied[name], **given[name]} for name in TABLES if implied.get(name) and given.get(name)}
        return {**implied, **given, **tables, "model": alias.target}

    def check(self, chosen: Settings) -> None:
        """Raise ``MissingKeyError`` for a secret that is set where this comes from and that is not here."""
        target = find_model(chosen.model)
        provider = target.provider_class
        offline = is_built_in(target.provider) and provider.address_setting not in provider.settings
        taken = {*provider.settings, *([] if offline else ["proxy"])}
        for name, variable in self.variables.items():
            if name in taken and not getattr(chosen, name):
                raise MissingKeyError(
                    f"the setting {name} holds a secret and does not travel: set {keys.place(variable)} on each worker"
                )


def ship() -> Shipped:
    """The settings that the cells of this notebook, or this program, ask with just now.

    Raises ``SettingError`` and what an unknown model raises.
    """
    conversation = Conversation(current_history().current)
    asked = conversation.as_set(conversation.outside(), {})
    chosen = aliases.apply(asked, need_key=False)
    names = {*chosen.ranks, *settings.KEYS} - {"model", *OF_THE_MACHINE}
    values = {name: getattr(chosen, name) for name in sorted(names)}
    open_values = {name: value for name, value in values.items() if may_travel(name, value)}
    secrets = {name: _variable(name, asked, chosen) for name in values if name not in open_values}
    known = {name: aliases.merged(alias) for name, alias in aliases.load().items()}
    return Shipped({**open_values, "model": str(find_model(chosen.model))}, secrets, known)


def may_travel(name: str, value: Any) -> bool:
    """Is nothing in this value a key, a token or a password?"""
    if not value or name in ("schema", "extra_headers"):  # a schema may describe a password; headers name variables
        return True
    if name == "proxy":  # a secret as a setting, since there may be a password in it
        return str(value) == redact(str(value))
    if without_secrets({name: 1}) == {}:
        return False
    if isinstance(value, Mapping):
        return all(may_travel(str(each), inner) for each, inner in value.items())
    if isinstance(value, (list, tuple)):
        return all(may_travel("", inner) for inner in value)
    return not isinstance(value, str) or redact(value) == value


def _variable(name: str, asked: Settings, chosen: Settings) -> str:
    """Where the secret ``name`` is kept: under the name that the alias says, or in the setting's own variable."""
    alias = asked.model.strip()
    if chosen.sources.get(name) == f"alias {alias}":
        return aliases.merged(aliases.load()[alias]).key_variable
    return settings.variable(name)

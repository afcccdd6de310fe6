"""What can be a value: of each option and of each subcommand, in tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from flowgpt_magic import settings
from flowgpt_magic.completion.names import ATTRIBUTE, LIMIT, Item, attributes, value_of, variables
from flowgpt_magic.prompt.references import steps
from flowgpt_magic.text import cut


@dataclass(frozen=True)
class Known:
    """What can be named: the names with IPython's own, ``hidden`` ones, and what is asked when needed.

    ``commands`` are the subcommands and what they do; ``models`` takes ``wait=False`` where there is something else to
    offer; ``files`` gives what is in a folder. ``magics`` are the names that are answered; ``automagic`` says that a
    line may begin with one that has no ``%``. ``parameters`` are those of all providers.
    """

    names: Mapping[str, object] = field(default_factory=dict)
    hidden: Mapping[str, object] = field(default_factory=dict)
    commands: Callable[[], Mapping[str, str]] = dict
    models: Callable[..., Sequence[Item]] = lambda **_how: ()
    conversations: Callable[[], Sequence[str]] = tuple
    files: Callable[[str], Iterable[Item]] = lambda _folder: ()
    environment: Callable[[], Iterable[str]] = tuple
    magics: tuple[str, ...] = ("flowgpt",)
    automagic: bool = False
    parameters: Callable[[], Iterable[Item]] = tuple


Source = Callable[[Known, str], Iterable[Item]]


def nothing(_known: Known, _typed: str) -> Iterable[Item]:
    """Where nothing can be listed."""
    return ()


def models(known: Known, _typed: str) -> Iterable[Item]:
    """Whoever can be asked."""
    return known.models()


def _providers_and_aliases(known: Known, _typed: str) -> Iterable[Item]:
    return [each for each in known.models() if each.type == "provider" or each.type.startswith("alias of")]


def _aliases(known: Known, _typed: str) -> Iterable[Item]:
    return [each for each in known.models() if each.type.startswith("alias of")]


def _conversations(known: Known, typed: str) -> Iterable[Item]:
    fitting = (name for name in known.conversations() if name.casefold().startswith(typed.casefold()))
    return [Item(name, "conversation") for name in islice(fitting, LIMIT)]


def _files(known: Known, typed: str) -> Iterator[Item]:
    folder = re.sub(r"[^/]*\Z", "", typed)
    for item in known.files(folder):
        if typed != folder or not item.text.startswith("."):
            yield Item(folder + item.text, item.type)


def _system(known: Known, typed: str) -> Iterable[Item]:
    return [Item(f"@{each.text}", each.type) for each in _files(known, typed[1:])] if typed.startswith("@") else ()


def _variables(known: Known, typed: str) -> Iterator[Item]:
    """The user's names, or behind a dot what is in one of them."""
    base = ATTRIBUTE.fullmatch(typed)
    if base and steps(base[1]) and base[1].partition(".")[0] in known.names:
        yield from (Item(f"{base[1]}.{each.text}", each.type) for each in attributes(value_of(base[1], known.names)))
    else:
        yield from variables(known.names, known.hidden, typed)


def attached(known: Known, typed: str) -> Iterator[Item]:
    """What ``--attach`` takes; there may be several, with commas between."""
    yield from _variables(known, typed)
    yield from (Item("cell:", "an earlier cell"), Item("out:", "its output"), Item("err", "the last error"))
    yield from (each for each in _files(known, typed) if "," not in each.text)


def _environment(known: Known, _typed: str) -> Iterable[Item]:
    return [Item(name, "environment variable") for name in sorted(known.environment())]


def _settings(_known: Known, _typed: str) -> Iterable[Item]:
    return [Item(name, cut(row.metadata["help"], 60)) for name, row in settings.TABLE.items()]


def _parameters(known: Known, _typed: str) -> Iterable[Item]:
    return known.parameters()


def _commands(known: Known, _typed: str) -> Iterable[Item]:
    return [Item(name, about) for name, about in known.commands().items()]


def _words(*words: str, kind: str = "") -> Source:
    return lambda _known, _typed: [Item(word, kind) for word in words]


# By the name of an option, which may be that of a setting too.
VALUES: dict[str, Source] = {
    "model": models,
    "format": _words(*settings.FORMATS, kind="format"),
    "chat": _conversations,
    "system": _system,
    "attach": attached,
    "schema": _variables,
    "param": _parameters,
}


@dataclass(frozen=True)
class Takes:
    """What a subcommand takes: ``values`` one after another, and ``flags`` with what follows each, None for a switch.

    ``whole`` says that the one value is the rest of the line, ``asks`` that it is a prompt like any other behind that.
    """

    values: tuple[Source, ...] = ()
    flags: Mapping[str, Source | None] = field(default_factory=dict)
    whole: bool = False
    asks: bool = False


_ALIAS: dict[str, Source | None] = {
    "--endpoint": nothing,
    **dict.fromkeys(("-s", "--system"), _system),
    **dict.fromkeys(("-t", "--temperature"), nothing),
    "--key-variable": _environment,
    **dict.fromkeys(("-P", "--param"), _parameters),
}
ARGUMENTS: dict[str, Takes] = {
    **dict.fromkeys(("use", "rm", "panel"), Takes((_conversations,), whole=True)),
    "adopt": Takes((_files,), whole=True),
    **dict.fromkeys(("rename", "branch"), Takes((_conversations,))),
    "export": Takes((_files,), {"--overwrite": None}),
    "import": Takes((_files,)),
    **dict.fromkeys(("nested", "ai-alias"), Takes((_words("on", "off"),))),
    **dict.fromkeys(("dealias", "delete"), Takes((_aliases,))),
    **dict.fromkeys(("alias", "register"), Takes((nothing, models), _ALIAS)),
    "update": Takes((_aliases, models), _ALIAS),
    "model": Takes((models,)),
    **dict.fromkeys(("models", "list"), Takes((_providers_and_aliases,))),
    "usage": Takes((_words("all"),)),
    **dict.fromkeys(("retry", "edit"), Takes((nothing,), asks=True)),
    **dict.fromkeys(("fix", "error"), Takes(asks=True)),
    "explain": Takes((_variables,), asks=True),
    "set": Takes((_settings,), dict.fromkeys(("-P", "--param"), _parameters)),
    "help": Takes((_commands,)),
}


def of_setting(name: str) -> Source:
    """The values of a setting, where they can be listed."""
    default = getattr(settings.TABLE.get(name), "default", None)
    return _words("on", "off") if isinstance(default, bool) else VALUES.get(name, nothing)

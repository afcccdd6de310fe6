"""Where the candidates for the value of each option and each subcommand come from."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from flowgpt_magic import settings
from flowgpt_magic.completion.names import ATTRIBUTE, MAX_CANDIDATES, Candidate, attributes, value_of, variables
from flowgpt_magic.prompt.references import steps
from flowgpt_magic.text import counted, cut


@dataclass(frozen=True)
class CompletionSources:
    """What a completion can offer. Functions are called only when their candidates are needed.

    Args:
        names: the user's variables, IPython's own among them.
        hidden: IPython's own variables.
        commands: the subcommands, each with what it does.
        models: aliases, providers and models; ``wait=False`` means that there are other candidates.
        topics: the topics of the help, each with its title.
        conversations: the names of conversations.
        files: what is in a folder.
        environment: the names of environment variables.
        magics: the names of the magics that are completed.
        automagic: whether a line may begin with a magic without ``%``.
        parameters: the parameters of all providers.
        compared: the replies that ``keep`` chooses from.
    """

    names: Mapping[str, object] = field(default_factory=dict)
    hidden: Mapping[str, object] = field(default_factory=dict)
    commands: Callable[[], Mapping[str, str]] = dict
    models: Callable[..., Sequence[Candidate]] = lambda **_how: ()
    topics: Callable[[], Mapping[str, str]] = dict
    conversations: Callable[[], Sequence[str]] = tuple
    files: Callable[[str], Iterable[Candidate]] = lambda _folder: ()
    environment: Callable[[], Iterable[str]] = tuple
    magics: tuple[str, ...] = ("flowgpt",)
    automagic: bool = False
    parameters: Callable[[], Iterable[Candidate]] = tuple
    compared: Callable[[], Iterable[Candidate]] = tuple


Source = Callable[[CompletionSources, str], Iterable[Candidate]]


def no_candidates(_sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    """For values that cannot be listed."""
    return ()


def models(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    """Aliases, providers and models."""
    return sources.models()


def several_models(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    """What ``--model`` takes. There may be several, separated by commas."""
    return sources.models()


def _replies_to_keep(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    """The numbers and models of the last comparison."""
    return sources.compared()


def _providers_and_aliases(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    return [model for model in sources.models() if model.type == "provider" or model.type.startswith("alias of")]


def _aliases(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    return [model for model in sources.models() if model.type.startswith("alias of")]


def _conversations(sources: CompletionSources, typed: str) -> Iterable[Candidate]:
    fitting = (name for name in sources.conversations() if name.casefold().startswith(typed.casefold()))
    return [Candidate(name, "conversation") for name in islice(fitting, MAX_CANDIDATES)]


def _files(sources: CompletionSources, typed: str) -> Iterator[Candidate]:
    folder = re.sub(r"[^/]*\Z", "", typed)
    for item in sources.files(folder):
        if typed != folder or not item.text.startswith("."):
            yield Candidate(folder + item.text, item.type)


def _system(sources: CompletionSources, typed: str) -> Iterable[Candidate]:
    files = _files(sources, typed[1:]) if typed.startswith("@") else ()
    return [Candidate(f"@{file.text}", file.type) for file in files]


def _variables(sources: CompletionSources, typed: str) -> Iterator[Candidate]:
    """The user's variables; after a dot, the attributes of one."""
    base = ATTRIBUTE.fullmatch(typed)
    if base and steps(base[1]) and base[1].partition(".")[0] in sources.names:
        yield from (
            Candidate(f"{base[1]}.{attribute.text}", attribute.type)
            for attribute in attributes(value_of(base[1], sources.names))
        )
    else:
        yield from variables(sources.names, sources.hidden, typed)


def attachments(sources: CompletionSources, typed: str) -> Iterator[Candidate]:
    """What ``--attach`` takes. There may be several, separated by commas."""
    yield from _variables(sources, typed)
    yield from (
        Candidate("cell:", "cell: an earlier one"),
        Candidate("out:", "output: of an earlier cell"),
        Candidate("err", "error: the last one"),
    )
    yield from (file for file in _files(sources, typed) if "," not in file.text)
    yield from _patterns(sources, typed)


def _patterns(sources: CompletionSources, typed: str) -> Iterator[Candidate]:
    """After an asterisk, a pattern for each kind of file in the folder."""
    folder = re.sub(r"[^/]*\Z", "", typed)
    if typed.startswith("*", len(folder)):
        files = [item.text for item in sources.files(folder) if item.type == "file"]
        for suffix, number in sorted(Counter(os.path.splitext(file)[1] for file in files).items()):
            yield Candidate(f"{folder}*{suffix}", f"pattern: {counted(number, 'file')}")


def _environment(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    return [Candidate(name, "environment variable") for name in sorted(sources.environment())]


def _settings(_sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    return [Candidate(name, f"setting: {cut(row.metadata['help'], 60)}") for name, row in settings.TABLE.items()]


def _templates(_sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    from flowgpt_magic.prompt import templates

    return [
        Candidate(name, "template of the project" if is_project else "template")
        for name, (_path, is_project) in templates.find_files().items()
    ]


def template_slots(name: str, line: str) -> Iterator[Candidate]:
    """The slots of the template ``name`` that have no value in ``line`` yet; none of a template with a mistake."""
    from flowgpt_magic.prompt import templates

    with suppress(templates.TemplateError):
        for slot in templates.find(name).slots:
            if slot != templates.BODY and f" {slot}=" not in line:
                yield Candidate(f"{slot}=", f"slot of {name}")


def _parameters(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    return sources.parameters()


def subcommand_names(sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    """The subcommands, each with what it does."""
    return [Candidate(name, f"subcommand: {about}") for name, about in sources.commands().items()]


def _help_pages(sources: CompletionSources, typed: str) -> Iterator[Candidate]:
    yield from subcommand_names(sources, typed)
    yield from (Candidate(name, f"topic: {title}") for name, title in sources.topics().items())


def _words(*words: str, kind: str = "value") -> Source:
    return lambda _sources, _typed: [Candidate(word, kind) for word in words]


# By the name of the option. Settings of the same name use them too.
OPTION_VALUES: dict[str, Source] = {
    "model": several_models,
    "format": _words(*settings.FORMATS, kind="format"),
    "think": _words(*settings.THINK),
    "openai_api": _words(*settings.OPENAI_APIS),
    "chat": _conversations,
    "system": _system,
    "attach": attachments,
    "schema": _variables,
    "param": _parameters,
}


@dataclass(frozen=True)
class Arguments:
    """The arguments of a subcommand: ``values`` in their order, and ``flags`` with their values, None for a switch.

    ``whole`` means that the one value is the rest of the line; ``asks`` that options and a prompt follow the values.
    """

    values: tuple[Source, ...] = ()
    flags: Mapping[str, Source | None] = field(default_factory=dict)
    whole: bool = False
    asks: bool = False


_ALIAS: dict[str, Source | None] = {
    "--endpoint": no_candidates,
    **dict.fromkeys(("-s", "--system"), _system),
    **dict.fromkeys(("-t", "--temperature"), no_candidates),
    "--key-variable": _environment,
    **dict.fromkeys(("-P", "--param"), _parameters),
}


def _catalogue(_sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    """The models that ``install-model`` knows by name."""
    from flowgpt_magic.providers.llama_cpp import catalogue

    return [Candidate(model.name, f"model: {model.parameters} parameters") for model in catalogue.CATALOGUE.values()]


def _installed_models(_sources: CompletionSources, _typed: str) -> Iterable[Candidate]:
    from flowgpt_magic.providers.llama_cpp import installed

    return [Candidate(model.name, "model") for model in installed.all_models()]


SUBCOMMAND_ARGUMENTS: dict[str, Arguments] = {
    **dict.fromkeys(("use", "rm", "panel"), Arguments((_conversations,), whole=True)),
    "adopt": Arguments((_files,), whole=True),
    **dict.fromkeys(("rename", "branch"), Arguments((_conversations,))),
    "export": Arguments((_files,), dict.fromkeys(("--overwrite", "--addresses", "--reasoning"))),
    "show": Arguments((no_candidates, no_candidates), {"--reasoning": None}),
    "import": Arguments((_files,)),
    **dict.fromkeys(("nested", "ai-alias"), Arguments((_words("on", "off"),))),
    **dict.fromkeys(("dealias", "delete"), Arguments((_aliases,))),
    **dict.fromkeys(("alias", "register"), Arguments((no_candidates, models), _ALIAS)),
    "update": Arguments((_aliases, models), _ALIAS),
    "model": Arguments((models,)),
    **dict.fromkeys(("models", "list"), Arguments((_providers_and_aliases,))),
    "install-model": Arguments(
        (_catalogue,), {"--list": None, "--remove": _installed_models, "--any-memory": None, "--from": _files}
    ),
    "keep": Arguments((_replies_to_keep,)),
    "usage": Arguments((_words("all", "notebooks"),)),
    "retry": Arguments((no_candidates,), {"--following": None}, asks=True),
    "edit": Arguments((no_candidates,), asks=True),
    **dict.fromkeys(("fix", "error"), Arguments(flags={"--apply": None, "--run": None}, asks=True)),
    "apply": Arguments(flags={"--run": None}),
    "explain": Arguments((_variables,), asks=True),
    "template": Arguments((_templates,), asks=True),
    "set": Arguments((_settings,), dict.fromkeys(("-P", "--param"), _parameters)),
    "help": Arguments((_help_pages,)),
}


def setting_values(name: str) -> Source:
    """The candidates for the value of a setting."""
    default = getattr(settings.TABLE.get(name), "default", None)
    return _words("on", "off") if isinstance(default, bool) else OPTION_VALUES.get(name, no_candidates)

"""``%flowgpt install-model``: install a model that runs in this process, list some, or delete one."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.settings import effective_settings
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.notebook.ipython import headless, in_console, in_kernel, publish
from flowgpt_magic.printing import write
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers.llama_cpp import installed, machine, runtime
from flowgpt_magic.providers.llama_cpp.downloads import progress_bar, progress_text, seconds_text, size_text

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.providers.llama_cpp.downloads import Report

INTERVAL = 0.5  # seconds between two updates of the progress in a cell
FLAGS = {"--list": "list", "--remove": "remove", "--from": "source", "--any-memory": "any_memory"}
USAGE = "%flowgpt install-model takes NAME or hf:OWNER/REPO[:FILE], --list, --remove NAME, --from FILE, or nothing"


@subcommand(
    "Install a model that runs in this process: ``install-model [NAME]``; ``--list`` shows some.",
    "NAME is one of the list, or hf:OWNER/REPO[:FILE] for any GGUF model of the hub; without a name it is the embedded "
    "model. An interrupted download continues with the same command. --remove NAME deletes a model, --any-memory "
    "installs one that is too large for this machine. HF_ENDPOINT names another hub, HF_TOKEN holds the token for it.",
    group="models",
    examples=("%flowgpt install-model --list", "%flowgpt install-model"),
)
def install_model(state: ShellState, rest: str) -> Shown:
    # Imported here: the HTTP client loads slowly, and help needs none.
    from flowgpt_magic.providers.llama_cpp import install, weights

    options = read_options(rest)
    chosen = effective_settings(state)
    if options.list:
        return install.models_table(chosen, machine.this_machine(settings.data_folder()))
    if options.remove:
        return f"{options.remove} is deleted; {size_text(installed.remove(options.remove))} are free again"
    missing = "" if runtime.is_installed() else f"; the runtime is still missing: {installing.command('local')}"
    if options.name:
        in_cell = in_kernel() and not headless() and not in_console()
        bar = cell_bar if in_cell else progress_bar
        model = install.install(options.name, say=write, bar=bar, chosen=chosen, any_memory=options.any_memory)
        name = f"local:{model.name}"
        return f"%%flowgpt {name} asks it; %flowgpt model {name} chooses it for this conversation{missing}"
    weights.install(Path(options.source).expanduser() if options.source else None, say=write)
    return f"%%flowgpt local asks it{missing}"


@dataclass
class InstallOptions:
    """The line of ``install-model``; ``source`` is the file of ``--from``."""

    name: str = ""
    list: bool = False
    any_memory: bool = False
    remove: str = ""
    source: str = ""


def read_options(rest: str) -> InstallOptions:
    """The options of ``install-model``. Raises ``OptionError``."""
    options, words = InstallOptions(), iter(magic_line.words(rest))
    for word in words:
        flag, equals, value = word.partition("=") if word.startswith("-") else (word, "", "")
        field = FLAGS.get(flag, "")
        if field in ("remove", "source"):
            value = value if equals else next(words, "")
            if not value:
                raise OptionError(f"{flag} needs a value; {USAGE}")
            setattr(options, field, value)
        elif field and not equals:
            setattr(options, field, True)
        elif word.startswith("-"):
            raise OptionError(f"install-model has no option {word}{closest(flag, FLAGS)} {USAGE}")
        elif options.name:
            raise OptionError(f"install-model installs one model at a time; {USAGE}")
        else:
            options.name = word
    if sum(map(bool, (options.name, options.list, options.remove, options.source))) > 1:
        raise OptionError(USAGE)
    return options


@contextmanager
def cell_bar(what: str, total: int, _say: Report) -> Iterator[Callable[[int], None]]:
    """A line in the cell's output that is replaced as the download goes on, and at the end says how long it took."""
    name, begun = f"flowgpt-download-{uuid4().hex[:12]}", monotonic()
    before, shown_at, latest = -1, 0.0, 0

    def paint(text: str, *, update: bool = True) -> None:
        element = f'<progress value="{latest}" max="{total}" aria-label="{html.escape(what)}"></progress> '
        data = {"text/plain": text, "text/html": f"{element if latest < total else ''}{html.escape(text)}"}
        publish(data, transient={"display_id": name}, update=update)

    def show(done: int) -> None:
        nonlocal before, shown_at, latest
        before, latest = done if before < 0 < done else before, done
        if monotonic() - shown_at >= INTERVAL:
            shown_at = monotonic()
            speed = max(done - before, 0) / max(shown_at - begun, INTERVAL)
            paint(progress_text(what, done, total, speed))

    paint(progress_text(what, 0, total, 0), update=False)
    try:
        yield show
    finally:
        spent = seconds_text(monotonic() - begun)
        paint(f"{what}: {size_text(latest)}{'' if latest == total else f' of {size_text(total)}'} in {spent}")


SUBCOMMANDS: dict[str, Subcommand] = {"install-model": install_model}

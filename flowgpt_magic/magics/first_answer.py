"""A ``%%flowgpt`` cell in the terminal, right after installing: does everything work, and what does it look like?"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from flowgpt_magic import installing
from flowgpt_magic.printing import write_line

PROMPT = "Write a Python function that reverses a string."
NOTEBOOK = Path("notebooks") / "01-first-steps.ipynb"


def run(model: str = "local") -> bool:
    """Run one cell in a shell of its own, showing what is typed and what comes back; was there an answer?"""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    quiet = Config()
    quiet.HistoryManager.enabled = False  # this is no session of the user's
    quiet.FlowGPT.history = "off"
    shell = InteractiveShell.instance(config=quiet)
    for cell in ("%load_ext flowgpt_magic", f"%%flowgpt {model} -t 0\n{PROMPT}"):
        first, *more = cell.splitlines()
        write_line("\n".join([f"In : {first}", *(f"...: {line}" for line in more), ""]))
        if not shell.run_cell(cell).success:  # type: ignore[no-untyped-call]
            return False
    write_line(f"\nOpen the notebook with:  {open_command()}")
    return True


def open_command() -> str:
    """The line that opens the first notebook in JupyterLab, with this environment's own programs."""
    here = Path(sys.executable).parent
    notebook = str(NOTEBOOK) if NOTEBOOK.exists() else ""
    if find_spec("jupyterlab") is None:
        opening = f"{installing.python()} -m jupyterlab {notebook}".rstrip()
        return installing.one_by_one([installing.command("lab"), opening])
    jupyter = here / "jupyter"
    shown = os.path.relpath(jupyter) if here.is_relative_to(Path.cwd()) else str(jupyter)
    return f"{installing.quoted(shown)} lab {notebook}".rstrip()

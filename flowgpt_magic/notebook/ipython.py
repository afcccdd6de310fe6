"""What IPython knows about the cell that runs, and what it does for one: the only access to it outside the magics.

Everything here works in the thread that runs the cell. Output published from another thread would land in whichever
cell runs by then.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from IPython import get_ipython
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.display import clear_output, publish_display_data

from flowgpt_magic.errors import last_error
from flowgpt_magic.notebook.place import Cell, Place, cell_id, find_place, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowgpt_magic.prompt.compose import PromptContext


def shell() -> Any:
    """IPython's shell; None in a process that merely imports IPython."""
    return get_ipython()


def in_kernel() -> bool:
    """Is there a front end that takes display messages?"""
    return hasattr(shell(), "kernel")


def configured() -> Mapping[str, Any]:
    """What ``%config FlowGPT`` and JupyterLab have set; empty where the extension is not loaded."""
    magics = shell().magics_manager.registry.get("FlowGPT")
    return {} if magics is None else magics.configured()


def request() -> dict[str, Any]:
    """The request that runs this cell: its ``header``, ``content`` and ``metadata``; empty outside a kernel."""
    return (shell().get_parent() or {}) if in_kernel() else {}


def execution() -> str:
    """An id of this run of this cell."""
    count = getattr(shell(), "execution_count", "")
    return str(request().get("header", {}).get("msg_id") or count)


def model_for_this_run(message: Mapping[str, Any]) -> str:
    """The model that the front end wants for this run of a prompt cell, in place of the one in the cell; else empty.

    ``message`` is the request that runs the cell. The extension of JupyterLab puts the name into its metadata.
    """
    metadata = message.get("metadata")
    model = metadata.get("flowgpt_model_for_this_run") if isinstance(metadata, dict) else None
    return model.strip() if isinstance(model, str) else ""


def headless() -> bool:
    """Is the output not seen as it arrives?

    ``%%capture`` keeps output for later. nbclient, and so nbconvert and papermill, sends ``allow_stdin: false``.
    """
    if not in_kernel():
        return False
    captured = isinstance(shell().display_pub, CapturingDisplayPublisher)
    return captured or not request().get("content", {}).get("allow_stdin", True)


def page_is_connected() -> bool:
    """Is a page connected that has this package's extension of JupyterLab or Notebook?"""
    comms = getattr(getattr(shell(), "kernel", None), "comm_manager", None)
    return comms is not None and any(comm.target_name == "flowgpt_magic" for comm in list(comms.comms.values()))


def in_console() -> bool:
    """Does this request come without a cell's id, as from ``jupyter console``, Qt Console and Spyder?

    Those ignore updates of an output and Markdown. Only printed text is sure to be seen.
    """
    message = request()
    is_cell = message.get("header", {}).get("msg_type", "execute_request") == "execute_request"
    return in_kernel() and is_cell and not cell_id(message)  # a widget's callback is no cell


def running_cell() -> Cell:
    """The cell that runs, and which run of it this is."""
    return Cell(cell_id(request()), execution(), _cell_number())


def _cell_number() -> int:
    """The number of the cell's ``In [3]``; 0 for a run that has none."""
    content = request().get("content", {})
    if content.get("silent") or not content.get("store_history", True):
        return 0
    return int(shell().displayhook.prompt_count) if shell() else 0  # IPython 9 counts on when a cell begins


def place() -> Place:
    """The notebook of this kernel; its folder where there is none."""
    names = shell().user_ns if shell() else {}
    place = find_place(
        names, request(), os.environ, os.getcwd(), modules=sys.modules, connection_file=_connection_file()
    )
    if place.kind == "folder" and os.environ.get("JPY_SESSION_NAME", "").endswith(os.sep):
        # nbclassic gives the kernel a notebook without a name. The server still knows its path.
        path = notebook_path()
        return place_of(path) if path else place
    return place


def notebook_path() -> str | None:
    """Where the notebook's file is now, as its Jupyter server says; None if no server knows. Takes up to 2 s."""
    from flowgpt_magic.notebook.jupyter_servers import live_path

    return live_path(_connection_file())


def _connection_file() -> str:
    if not in_kernel():
        return ""
    try:
        from ipykernel.connect import get_connection_file

        return str(get_connection_file())
    except (ImportError, RuntimeError):  # a kernel inside another process, or not one of ipykernel's
        return ""


def prompt_context(
    local_names: Mapping[str, object] | None = None, *, with_running_cell: bool = False
) -> PromptContext:
    """What a prompt of this cell can refer to.

    ``local_names`` are those of the function that the magic is called in. ``with_running_cell`` counts the running cell
    among the inputs: a panel's prompt is not part of it.
    """
    from flowgpt_magic.prompt.compose import PromptContext

    if shell() is None:
        return PromptContext({})
    names = shell().user_ns
    inputs = names.get("In", [""])  # the last one is the cell that runs
    typed = [names.get(f"_i{number}", code) for number, code in enumerate(inputs)]
    return PromptContext(
        local_names or names, typed if with_running_cell else typed[:-1], names.get("Out", {}), last_error()
    )


def put_below(code: str) -> bool:
    """Put ``code`` into a new cell below this one, or into the next line of a terminal.

    Returns whether that is possible. JupyterLab does it if this cell succeeds; the last of several calls counts.
    """
    if shell() is None or headless():
        return False
    shell().set_next_input(code)
    return True


def why_not_run(code: str) -> str:
    """Why ``run_inside`` cannot run ``code``; empty if it can."""
    if shell() is None:
        return "there is no IPython here to run it"
    if shell().should_run_async(code, transformed_cell=shell().transform_cell(code)):
        return "it waits for something with await, so it can only run in a cell of its own"
    return ""


def run_inside(code: str) -> bool:
    """Run ``code`` as a cell with a number of its own while another cell runs; return whether it succeeded.

    Its output appears in the running cell. In a notebook, a running cell of one line becomes ``code`` if that succeeds.
    """
    running = shell()
    # Most releases of IPython count a cell when it ends; then the number still is that of the running cell.
    counts_at_end = f"_i{running.execution_count}" in running.user_ns
    running.execution_count += counts_at_end
    succeeded = bool(running.run_cell(code, store_history=True).success)
    running.execution_count -= counts_at_end
    is_notebook = in_kernel() and not in_console() and not headless()
    lines = str(request().get("content", {}).get("code", "")).strip().splitlines()
    if succeeded and is_notebook and len(lines) == 1:
        running.set_next_input(code, replace=True)
    return succeeded


def as_python(source: str) -> str:
    """The Python code that IPython makes of a cell, with its magics and shell commands. Raises ``SyntaxError``."""
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]


def publish(
    data: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
    *,
    transient: dict[str, Any] | None = None,
    update: bool = False,
) -> None:
    """Publish a display bundle in the cell that runs; with ``update`` replace the one of this ``display_id``."""
    publish_display_data(  # type: ignore[no-untyped-call]
        dict(data), dict(metadata or {}), transient=transient, update=update
    )


def clear() -> None:
    """Clear the cell's output when the next output arrives."""
    clear_output(wait=True)  # type: ignore[no-untyped-call]

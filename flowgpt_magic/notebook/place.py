"""Find out which notebook and which cell is running, from plain values.

Each host reports it in its own way, or not at all. Values from a notebook, a front end or a file are not trusted: what
is not as expected counts as unknown, and no function here raises for it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from base64 import urlsafe_b64decode
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from flowgpt_magic.text import printable, short_path

Kind = Literal["vscode", "jupyter", "colab", "papermill", "nbclient", "folder", "terminal", "script"]

LONGEST_PATH = 4096  # characters
LONGEST_ID = 200  # characters; nbformat's own cell ids have at most 64
BIGGEST_NOTEBOOK = 64 * 2**20  # bytes

KERNEL_FILE = re.compile(r"kernel-([\w-]{1,100})\.json", re.ASCII)  # the name Jupyter Server gives a connection file
ELSEWHERE = re.compile(r"elsewhere:\w+:")  # the key of a notebook whose path belongs to another one now
WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
WEB_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE | re.ASCII)

# Random ids: hexadecimal (nbformat, VS Code), with dashes (JupyterLab), letters of both cases (Colab). An id that a
# person or a program chose, such as "cell-12" or "imports", occurs in many notebooks.
RANDOM_ID = re.compile(
    r"(?!0000)[0-9a-fA-F]{8,32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[\w-]{12,22}",
    re.ASCII,
)


@dataclass(frozen=True)
class Place:
    """Where a cell runs.

    ``path`` is the file of the notebook, empty if unknown. ``label`` is for the reader. ``key`` identifies the place in
    the history: for a file its absolute path with links resolved, for a folder ``folder:`` and that path. A headless
    run has a key of its own, because its cells have no ids: it would continue the conversation of the run before.
    """

    kind: Kind
    path: str
    label: str
    key: str


@dataclass(frozen=True)
class Cell:
    """One ``run`` of the cell ``cell_id``. Both are empty if unknown; ``number`` is that of ``In [3]``, or 0."""

    cell_id: str = ""
    run: str = ""
    number: int = field(default=0, compare=False)


NO_CELL = Cell()


@dataclass(frozen=True)
class Origin:
    """The notebook that another one was ``moved`` or ``copied`` from."""

    key: str
    kind: Literal["moved", "copied"]


def find_place(
    names: Mapping[str, object],
    request: Mapping[str, Any],
    environ: Mapping[str, str],
    cwd: str,
    *,
    modules: Container[str] = (),
    connection_file: str = "",
) -> Place:
    """The place of the running cell: its notebook if the host reports it, else the working directory.

    Args:
        names: the user's variables.
        request: the request that runs the cell; empty outside a kernel.
        environ: the environment variables.
        cwd: the working directory.
        modules: the names of imported modules; none by default.
        connection_file: the connection file of the kernel; empty outside a kernel.
    """
    headless = mapping(request, "content").get("allow_stdin") is False
    kernel = os.path.splitext(os.path.basename(connection_file))[0]
    metadata = mapping(request, "metadata")
    # A run of nbclient that a notebook starts inherits the environment of that notebook's kernel.
    inherited = not (request or connection_file) or (headless and not KERNEL_FILE.fullmatch(f"{kernel}.json"))
    session = "" if inherited else text_of(environ.get("JPY_SESSION_NAME"))
    return (
        _vscode(names, metadata, kernel or cwd)
        or _colab(metadata, environ, session, modules, kernel or cwd)
        or _jupyter(session, cwd)
        or _papermill(names, cwd, kernel)
        or _folder("nbclient" if headless else "folder" if request or connection_file else "terminal", cwd, kernel)
    )


def place_of(path: str, kind: Kind = "jupyter") -> Place:
    """The place of the notebook at the absolute ``path``, such as a result of ``live_path``."""
    path = resolved(path) or path
    return Place(kind, path, printable(_last_part(path)), _key(path))


def cell_id(request: Mapping[str, Any]) -> str:
    """The id of the cell that ``request`` runs; empty if the front end sends none.

    JupyterLab and Notebook 7 send the id that is saved in the notebook. VS Code sends an address whose fragment numbers
    the cells of the open document. A cell keeps its number until the document is opened again. Call this when the cell
    starts: later the request may be that of another cell.
    """
    metadata = mapping(request, "metadata")
    sent = text_of(metadata.get("cellId"), LONGEST_PATH)
    address = _CellAddress.parse(sent)
    return _identifier(address.fragment if address else sent) or _colab_cell(metadata)


@dataclass(frozen=True)
class _CellAddress:
    """The address of a cell in VS Code: ``vscode-notebook-cell://<machine>/<path>#<number>s<scheme in base 64>``."""

    machine: str
    path: str
    fragment: str

    @classmethod
    def parse(cls, address: str) -> _CellAddress | None:
        if not address.startswith("vscode-notebook-cell:"):
            return None
        try:
            parts = urlsplit(address)
        except ValueError:  # such as an open bracket
            return None
        return cls(unquote(parts.netloc), unquote(parts.path), unquote(parts.fragment).partition("?")[0])

    @property
    def scheme(self) -> str:
        """``file``, ``vscode-remote``, ``untitled`` or another URI scheme; empty if unknown."""
        try:
            return urlsafe_b64decode(self.fragment.partition("s")[2]).decode()
        except ValueError:
            return ""

    @property
    def file(self) -> str:
        """The notebook's file on its machine; empty for one that is not saved."""
        if self.scheme in ("untitled", "vscode-interactive") or not self.path.startswith("/"):
            return ""
        if WINDOWS_PATH.match(self.path[1:]):
            return self.path[1:].replace("/", "\\")
        if self.machine and self.scheme == "file":  # a share: \\server\folder\file
            return f"//{self.machine}{self.path}".replace("/", "\\")
        return self.path


def _vscode(names: Mapping[str, object], metadata: Mapping[str, Any], kernel: str) -> Place | None:
    """VS Code sets a variable with the path once. The address of the cell follows a later rename."""
    cell = _CellAddress.parse(text_of(metadata.get("cellId")))
    named = text_of(names.get("__vsc_ipynb_file__"))
    live = cell.file if cell else ""
    for path in (live, named):
        if resolved(path) and os.path.isfile(path):
            return place_of(path, "vscode")
    if resolved(named):
        return place_of(named, "vscode")
    if cell and resolved(live):  # a file on another machine
        place = place_of(live, "vscode")
        is_remote = cell.machine and live.startswith("/")
        return replace(place, key=f"vscode:{printable(cell.machine)}:{place.key}") if is_remote else place
    if not (cell or named):
        return None
    name = _last_part(cell.path if cell else named) or "notebook"
    return _unsaved("vscode", name, f"{name} (not saved)", kernel)


def _colab(
    metadata: Mapping[str, Any], environ: Mapping[str, str], session: str, modules: Container[str], kernel: str
) -> Place | None:
    """Colab reports a path that does not exist. Its notebooks are on a drive and have an id there.

    Public code reads ``COLAB_NOTEBOOK_ID`` and ``fileId=``; neither is documented.
    """
    if not (_colab_cell(metadata) or ("google.colab" in modules and "cellId" not in metadata)):
        return None
    drive_id = _identifier(environ.get("COLAB_NOTEBOOK_ID")) or _identifier(unquote(session).partition("fileId=")[2])
    name = _last_part(session)
    label = f"{name} in Colab" if name.endswith(".ipynb") and "fileId=" not in name else "Colab"
    if drive_id:
        return Place("colab", "", printable(label), f"colab:{drive_id}")
    return _unsaved("colab", name, label, kernel)


def _jupyter(session: str, cwd: str) -> Place | None:
    """Jupyter Server reports the path of a notebook, or for a console a name in its folder.

    A file of another kind is a notebook kept as text, or a script with a console. The path may be relative to the root
    of the server, which is the folder of the kernel or one above it.
    """
    path = resolved(session if os.path.isabs(session) else _found_above(session, cwd))
    if path and (path.endswith(".ipynb") or os.path.isfile(path)):
        return place_of(path)
    return None


def _found_above(relative: str, folder: str) -> str:
    while relative:
        path = os.path.join(folder, relative)
        if os.path.isfile(path):
            return path
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    return ""


def _papermill(names: Mapping[str, object], cwd: str, kernel: str) -> Place | None:
    """Papermill reports its input with ``--inject-paths``: a path, or an address such as ``s3://…``."""
    source = text_of(names.get("PAPERMILL_INPUT_PATH"))
    if WEB_ADDRESS.match(source):
        # User, password and query do not belong to the name and may be secret.
        scheme, _, rest = re.split(r"[?#]", source)[0].partition("://")
        host, slash, path = rest.partition("/")
        address = _identifier(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}", LONGEST_PATH)
        key = f"papermill:{_key(kernel)}:{address}"
        return Place("papermill", "", address.rpartition("/")[2] or address, key) if address else None
    path = resolved(os.path.join(cwd, source)) if source else ""
    if path and (path.endswith(".ipynb") or os.path.isfile(path)):
        place = place_of(path, "papermill")
        return replace(place, key=f"papermill:{_key(kernel)}:{place.key}")
    return None


def _folder(kind: Kind, cwd: str, kernel: str) -> Place:
    folder = resolved(cwd) or cwd
    words = {"nbclient": "run without a notebook's name, in", "folder": "folder", "terminal": "terminal in"}
    own = f"nbclient:{_key(kernel)}" if kind == "nbclient" else "folder"
    return Place(kind, "", f"{words[kind]} {printable(short_path(folder))}", f"{own}:{_key(folder)}")


def script(program: str, cwd: str, process: str) -> Place:
    """The place of a program outside any shell: its folder. Each run has a place of its own."""
    folder = resolved(cwd) or cwd
    label = f"{printable(_last_part(program)) or 'a program'} in {printable(short_path(folder))}"
    return Place("script", "", label, f"script:{process}:{_key(folder)}")


def _unsaved(kind: Kind, name: str, label: str, kernel: str) -> Place:
    """A notebook that is not saved. The next one has the same name, so the kernel identifies it."""
    return Place(kind, "", printable(label), f"{kind}:{_key(kernel)}:{printable(name)}")


def mapping(request: object, name: str) -> Mapping[str, Any]:
    """The mapping ``name`` in ``request``; empty if there is none."""
    value = request.get(name) if isinstance(request, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def text_of(value: object, longest: int = LONGEST_PATH) -> str:
    """``value`` if it is a str that can be a path, else an empty one. No code of a user's object runs."""
    return value if type(value) is str and len(value) <= longest and "\0" not in value else ""


def _identifier(value: object, longest: int = LONGEST_ID) -> str:
    text = text_of(value, longest)
    return text if text.isprintable() else ""


def _colab_cell(metadata: Mapping[str, Any]) -> str:
    return _identifier(mapping(metadata, "colab").get("cell_id"))


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def resolved(path: str, *, windows: bool = os.name == "nt") -> str:
    """The absolute ``path`` without links; unchanged if it is one of another system; empty if it is relative."""
    if not windows and WINDOWS_PATH.match(path):
        return path[0].upper() + path[1:]  # VS Code writes the drive letter in lower case, Jupyter does not
    if windows and path.startswith("/"):
        return path
    try:
        return os.path.realpath(path) if os.path.isabs(path) else ""
    except ValueError:  # characters that no file name has
        return ""


def _key(path: str) -> str:
    """``path`` as text that any database can store: the name of a file may be bytes that are no text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"file:{quote(path.encode(errors='surrogatepass'))}"
    return path


def _file(key: str) -> str:
    """The file that a key stands for; empty for other keys."""
    path = unquote_to_bytes(key[5:]).decode(errors="surrogatepass") if key.startswith("file:") else key
    return path if os.path.isabs(path) else ""


def cell_ids(path: str) -> frozenset[str]:
    """The ids of the cells in a notebook file; none if the file cannot be read or is no notebook.

    They are part of nbformat since 4.5. Colab has its own in the metadata of the cell.
    """
    notebook = read_json(path, BIGGEST_NOTEBOOK)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    ids = (
        _identifier(owner.get("id"))
        for cell in (cells if isinstance(cells, list) else ())
        if isinstance(cell, dict)
        for owner in (cell, mapping(cell, "metadata"))
    )
    return frozenset(ids) - {""}


def _has_no_cells(path: str) -> bool:
    """Is the file a notebook without cells, as Jupyter Server creates new ones?"""
    notebook = read_json(path, BIGGEST_NOTEBOOK)
    return isinstance(notebook, dict) and "nbformat" in notebook and notebook.get("cells") == []


def likely_origin(path: str, candidates: Mapping[str, Collection[str]]) -> Origin | None:
    """The notebook among ``candidates`` that the one at ``path`` was moved or copied from; None if none is likely.

    ``candidates`` maps the key of each place to the ids of its cells. Use cells with a turn: notebooks made from one
    template share all others.
    """
    here = resolved(path)
    others = {key: ids for key, ids in candidates.items() if ELSEWHERE.match(key) or _file(key) not in ("", here)}
    vanished = {key for key in others if ELSEWHERE.match(key) or not _is_another(_file(key), here)}
    return closest_origin(cell_ids(here), others, vanished) if others else None


def elsewhere(key: str, notebook_id: str) -> str:
    """The key of a notebook that has left the place of ``key`` for an unknown one."""
    return f"elsewhere:{notebook_id}:{key}"


def is_stranger(path: str, cell: Cell, known: Collection[str], last_asked: float) -> bool:
    """Does ``path`` belong to another notebook now than the one with the ``known`` cells?

    Names are reused: the next new notebook is ``Untitled.ipynb`` too. The file decides only if it has none of the known
    cells and was saved after the last of them ran (``last_asked``, in Unix seconds). Before that, the cells may not be
    saved yet.
    """
    known_ids, saved_ids = _random(known), cell_ids(path)
    if not known_ids or known_ids & {*saved_ids, cell.cell_id} or not (saved_ids or _has_no_cells(path)):
        return False
    try:
        return os.stat(path).st_mtime > last_asked
    except OSError:
        return False


def closest_origin(
    cells: Collection[str], candidates: Mapping[str, Collection[str]], vanished: Collection[str]
) -> Origin | None:
    """The candidate that shares the most cells with ``cells``, and at least half of its own.

    Only random ids count. Among equals a ``vanished`` notebook wins, then the earlier one: a move is more likely than a
    copy.
    """
    own_ids = _random(cells)
    best: tuple[int, bool] = (0, False)
    origin = None
    for key, ids in candidates.items():
        known_ids = _random(ids)
        shared, moved = len(known_ids & own_ids), key in vanished
        if 2 * shared >= len(known_ids) and shared and (shared, moved) > best:
            best, origin = (shared, moved), Origin(key, "moved" if moved else "copied")
    return origin


def _random(ids: Collection[str]) -> set[str]:
    return {cell_id for cell_id in ids if RANDOM_ID.fullmatch(cell_id)}


def _is_another(path: str, here: str) -> bool:
    """Is there a file at ``path`` other than ``here``? Some disks ignore the case of names."""
    try:
        return not os.path.samefile(path, here)
    except (FileNotFoundError, NotADirectoryError):
        return os.path.lexists(path)
    except (OSError, ValueError):  # an unreadable file is not a missing one
        return True


def read_json(path: str, biggest: int, *, own: bool = False) -> object:
    """The JSON value in a file; None if it is too big, invalid, no regular file or, with ``own``, not the user's."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > biggest:
            return None
        if own and hasattr(os, "getuid") and status.st_uid != os.getuid():
            return None
        with open(path, "rb") as file:
            return json.loads(file.read(biggest).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None

"""Which notebook and which cell is running, told from plain values.

Each host says it in a way of its own, or not at all. What a notebook, a front end or a file says is not trusted:
whatever is not as expected is simply unknown, and nothing here raises for it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from base64 import urlsafe_b64decode
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from flowgpt_magic.text import printable, short_path

Kind = Literal["vscode", "jupyter", "colab", "papermill", "nbclient", "folder", "terminal", "script"]

LONGEST_PATH = 4096  # characters
LONGEST_ID = 200  # characters; nbformat's own cell ids have at most 64
BIGGEST_NOTEBOOK = 64 * 2**20  # bytes

KERNEL_FILE = re.compile(r"kernel-([\w-]{1,100})\.json", re.ASCII)  # the name Jupyter Server gives a connection file
ELSEWHERE = re.compile(r"elsewhere:\w+:")  # the key of a notebook in whose place another one stands now
WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
WEB_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE | re.ASCII)

# Ids drawn at random: hexadecimal (nbformat, VS Code), with dashes (JupyterLab), letters of both cases (Colab).
# An id that a person or a program counted up or named, such as "cell-12" or "imports", stands in many notebooks.
RANDOM_ID = re.compile(
    r"(?!0000)[0-9a-fA-F]{8,32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[\w-]{12,22}",
    re.ASCII,
)


@dataclass(frozen=True)
class Place:
    """Where a cell runs.

    ``path`` is the notebook's file, "" where none is known; ``label`` is for people; ``key`` finds the place again in
    the history. A file's key is its absolute path with links resolved, a folder's is ``folder:`` and that path. A run
    without a person, whose cells have no ids, has a key of its own: it would go on from what the last one said.
    """

    kind: Kind
    path: str
    label: str
    key: str


@dataclass(frozen=True)
class Cell:
    """One ``run`` of the cell ``cell_id``; both are "" where it is not known."""

    cell_id: str = ""
    run: str = ""


NO_CELL = Cell()


@dataclass(frozen=True)
class Origin:
    """The notebook that another one was before it was ``moved``, or that it was ``copied`` from."""

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
    """The place of the running cell: its notebook where the host tells, else the working directory.

    ``names`` are the user's, ``request`` is the one the cell is run by (empty outside a kernel), ``modules`` are the
    names of what is imported, ``connection_file`` is the kernel's ("" outside one).
    """
    headless = mapping(request, "content").get("allow_stdin") is False
    kernel = os.path.splitext(os.path.basename(connection_file))[0]
    metadata = mapping(request, "metadata")
    # A run by nbclient that is started from a notebook inherits the environment of that notebook's kernel.
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
    """The place of the notebook at the absolute ``path``, such as one that ``live_path`` found."""
    path = resolved(path) or path
    return Place(kind, path, printable(_last_part(path)), _key(path))


def cell_id(request: Mapping[str, Any]) -> str:
    """The id of the cell that ``request`` runs, "" where the front end sends none.

    JupyterLab and Notebook 7 send the id that is saved in the notebook. VS Code sends an address whose fragment numbers
    the cells of the open document: the same cell keeps it until the document is opened again, when they are numbered
    from the top. Read it when the cell starts: later the request may be another cell's.
    """
    metadata = mapping(request, "metadata")
    told = text_of(metadata.get("cellId"), LONGEST_PATH)
    cell = _Cell.at(told)
    return _identifier(cell.fragment if cell else told) or _colab_cell(metadata)


@dataclass(frozen=True)
class _Cell:
    """A cell's address in VS Code: ``vscode-notebook-cell://<machine>/<path>#<number>s<scheme in base 64>``."""

    machine: str
    path: str
    fragment: str

    @classmethod
    def at(cls, address: str) -> _Cell | None:
        if not address.startswith("vscode-notebook-cell:"):
            return None
        try:
            parts = urlsplit(address)
        except ValueError:  # an opening bracket that is not closed
            return None
        return cls(unquote(parts.netloc), unquote(parts.path), unquote(parts.fragment).partition("?")[0])

    @property
    def scheme(self) -> str:
        """Where the document lies: ``file``, ``vscode-remote``, ``untitled`` and others; "" where it does not say."""
        try:
            return urlsafe_b64decode(self.fragment.partition("s")[2]).decode()
        except ValueError:
            return ""

    @property
    def file(self) -> str:
        """The notebook's file on the machine that holds it, "" for one that is not saved."""
        if self.scheme in ("untitled", "vscode-interactive") or not self.path.startswith("/"):
            return ""
        if WINDOWS_PATH.match(self.path[1:]):
            return self.path[1:].replace("/", "\\")
        if self.machine and self.scheme == "file":  # a share: \\server\folder\file
            return f"//{self.machine}{self.path}".replace("/", "\\")
        return self.path


def _vscode(names: Mapping[str, object], metadata: Mapping[str, Any], kernel: str) -> Place | None:
    """VS Code writes the path into the user's names once; the address of the cell knows of a later rename."""
    cell = _Cell.at(text_of(metadata.get("cellId")))
    named = text_of(names.get("__vsc_ipynb_file__"))
    live = cell.file if cell else ""
    for path in (live, named):
        if resolved(path) and os.path.isfile(path):
            return place_of(path, "vscode")
    if resolved(named):
        return place_of(named, "vscode")
    if cell and resolved(live):  # a file on another machine
        found = place_of(live, "vscode")
        unseen = cell.machine and live.startswith("/")
        return replace(found, key=f"vscode:{printable(cell.machine)}:{found.key}") if unseen else found
    if not (cell or named):
        return None
    name = _last_part(cell.path if cell else named) or "notebook"
    return _unsaved("vscode", name, f"{name} (not saved)", kernel)


def _colab(
    metadata: Mapping[str, Any], environ: Mapping[str, str], session: str, modules: Container[str], kernel: str
) -> Place | None:
    """Colab names a path that does not exist; its notebooks lie on a drive and are known there by an id.

    ``COLAB_NOTEBOOK_ID`` and ``fileId=`` are what public code reads in Colab; neither is documented.
    """
    if not (_colab_cell(metadata) or ("google.colab" in modules and "cellId" not in metadata)):
        return None
    found = _identifier(environ.get("COLAB_NOTEBOOK_ID")) or _identifier(unquote(session).partition("fileId=")[2])
    name = _last_part(session)
    label = f"{name} in Colab" if name.endswith(".ipynb") and "fileId=" not in name else "Colab"
    if found:
        return Place("colab", "", printable(label), f"colab:{found}")
    return _unsaved("colab", name, label, kernel)


def _jupyter(session: str, cwd: str) -> Place | None:
    """Jupyter Server gives the path of a notebook, but for a console a name in its folder.

    A file of another kind is a notebook kept as text, or a script whose console this is. A path may be relative to the
    server's root, which is the kernel's folder or lies above it.
    """
    told = session if os.path.isabs(session) else _found_above(session, cwd)
    path = resolved(told)
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
    """Papermill tells its input with ``--inject-paths``: a path, or an address such as ``s3://…``."""
    told = text_of(names.get("PAPERMILL_INPUT_PATH"))
    if WEB_ADDRESS.match(told):
        # Who asks, and what signs the request, is no part of the name and may be secret.
        scheme, _, rest = re.split(r"[?#]", told)[0].partition("://")
        host, slash, path = rest.partition("/")
        address = _identifier(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}", LONGEST_PATH)
        key = f"papermill:{_key(kernel)}:{address}"
        return Place("papermill", "", address.rpartition("/")[2] or address, key) if address else None
    path = resolved(os.path.join(cwd, told)) if told else ""
    if path and (path.endswith(".ipynb") or os.path.isfile(path)):
        found = place_of(path, "papermill")
        return replace(found, key=f"papermill:{_key(kernel)}:{found.key}")
    return None


def _folder(kind: Kind, cwd: str, kernel: str) -> Place:
    folder = resolved(cwd) or cwd
    words = {"nbclient": "run without a notebook's name, in", "folder": "folder", "terminal": "terminal in"}
    own = f"nbclient:{_key(kernel)}" if kind == "nbclient" else "folder"
    return Place(kind, "", f"{words[kind]} {printable(short_path(folder))}", f"{own}:{_key(folder)}")


def script(program: str, cwd: str, process: str) -> Place:
    """The place of a program that no shell runs: its folder. Each run of it begins anew."""
    folder = resolved(cwd) or cwd
    label = f"{printable(_last_part(program)) or 'a program'} in {printable(short_path(folder))}"
    return Place("script", "", label, f"script:{process}:{_key(folder)}")


def _unsaved(kind: Kind, name: str, label: str, kernel: str) -> Place:
    """A notebook whose name says nothing: the next one is called the same, so it is known by its kernel."""
    return Place(kind, "", printable(label), f"{kind}:{_key(kernel)}:{printable(name)}")


def mapping(request: object, name: str) -> Mapping[str, Any]:
    found = request.get(name) if isinstance(request, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def text_of(value: object, longest: int = LONGEST_PATH) -> str:
    """``value`` if it is a text that could be a path, else ""; a user's own object is not asked to be one."""
    return value if type(value) is str and len(value) <= longest and "\0" not in value else ""


def _identifier(value: object, longest: int = LONGEST_ID) -> str:
    text = text_of(value, longest)
    return text if text.isprintable() else ""


def _colab_cell(metadata: Mapping[str, Any]) -> str:
    return _identifier(mapping(metadata, "colab").get("cell_id"))


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def resolved(path: str, *, windows: bool = os.name == "nt") -> str:
    """The absolute ``path`` without links; as it stands if it is of another kind of machine; "" if it is neither."""
    if not windows and WINDOWS_PATH.match(path):
        return path[0].upper() + path[1:]  # VS Code writes the drive's letter small, Jupyter does not
    if windows and path.startswith("/"):
        return path
    try:
        return os.path.realpath(path) if os.path.isabs(path) else ""
    except ValueError:  # letters that no file name can have
        return ""


def _key(path: str) -> str:
    """``path`` as a text that any database takes: a file's name may be bytes that are no text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"file:{quote(path.encode(errors='surrogatepass'))}"
    return path


def _file(key: str) -> str:
    """The file that a key names, "" where it names something else."""
    path = unquote_to_bytes(key[5:]).decode(errors="surrogatepass") if key.startswith("file:") else key
    return path if os.path.isabs(path) else ""


def cell_ids(path: str) -> frozenset[str]:
    """The ids of the cells saved in a notebook; none where the file cannot be read or is no notebook.

    They are part of the format since 4.5; Colab keeps its own in a cell's metadata.
    """
    notebook = read_json(path, BIGGEST_NOTEBOOK)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    found = (
        _identifier(named.get("id"))
        for cell in (cells if isinstance(cells, list) else ())
        if isinstance(cell, dict)
        for named in (cell, mapping(cell, "metadata"))
    )
    return frozenset(found) - {""}


def _has_no_cells(path: str) -> bool:
    """Is this a notebook as Jupyter Server makes new ones? A file that is none, or names no cells, says nothing."""
    notebook = read_json(path, BIGGEST_NOTEBOOK)
    return isinstance(notebook, dict) and "nbformat" in notebook and notebook.get("cells") == []


def likely_origin(path: str, candidates: Mapping[str, Collection[str]]) -> Origin | None:
    """Which notebook of ``candidates`` the one at ``path`` was before, or was copied from; None if none is likely.

    ``candidates`` gives for the key of a place the ids of the cells that are known of it, best those that hold a turn:
    notebooks made from one template share all the others.
    """
    here = resolved(path)
    others = {key: ids for key, ids in candidates.items() if ELSEWHERE.match(key) or _file(key) not in ("", here)}
    gone = {key for key in others if ELSEWHERE.match(key) or not _is_another(_file(key), here)}
    return closest_origin(cell_ids(here), others, gone) if others else None


def elsewhere(key: str, notebook_id: str) -> str:
    """The key of a notebook that is not at the place of ``key`` any more, nobody knows where."""
    return f"elsewhere:{notebook_id}:{key}"


def is_stranger(path: str, cell: Cell, known: Collection[str], last_asked: float) -> bool:
    """Is the notebook at ``path`` another one than that whose cells are ``known`` from there?

    Their names are given again: the next new notebook is ``Untitled.ipynb`` too. Only a file tells that was saved after
    the last of the cells was run (``last_asked``, in Unix seconds) and has none of them; before that the cells may just
    not be saved yet.
    """
    asked, saved = _random(known), cell_ids(path)
    if not asked or asked & {*saved, cell.cell_id} or not (saved or _has_no_cells(path)):
        return False
    try:
        return os.stat(path).st_mtime > last_asked
    except OSError:
        return False


def closest_origin(
    cells: Collection[str], candidates: Mapping[str, Collection[str]], gone: Collection[str]
) -> Origin | None:
    """The one of ``candidates`` that shares the most cells with ``cells``, and at least half of its own.

    Only ids drawn at random count. Where two share equally many, one of those that are ``gone`` comes first, then the
    earlier one: a notebook that moved is adopted before one is copied.
    """
    here = _random(cells)
    best: tuple[int, bool] = (0, False)
    origin = None
    for key, ids in candidates.items():
        known = _random(ids)
        shared, moved = len(known & here), key in gone
        if 2 * shared >= len(known) and shared and (shared, moved) > best:
            best, origin = (shared, moved), Origin(key, "moved" if moved else "copied")
    return origin


def _random(ids: Collection[str]) -> set[str]:
    return {each for each in ids if RANDOM_ID.fullmatch(each)}


def _is_another(path: str, here: str) -> bool:
    """Is there a file at ``path`` that is not the one at ``here``? A disk may take a name in other letters for it."""
    try:
        return not os.path.samefile(path, here)
    except (FileNotFoundError, NotADirectoryError):
        return os.path.lexists(path)
    except (OSError, ValueError):  # it cannot be seen, which does not mean that it is gone
        return True


def read_json(path: str, biggest: int, *, own: bool = False) -> object:
    """What is in the file; None if it is too big, broken, no plain file or, where asked, not the user's ``own``."""
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

"""Turn the code blocks of a reply into the cells of a notebook, one cell for each block.

Python becomes a cell as it is. A shell block becomes a ``%%bash`` cell, or ``%pip install`` if it only installs
packages. From a pasted session the prompts are removed, and what it printed. Other languages become no cell.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from flowgpt_magic.notebook.ipython import as_python

PYTHON = {"python", "python3", "py", "py3", "ipython", "ipython3", "pycon", "python-repl", "code-cell", "jupyter"}
SHELL = {"bash", "sh", "shell", "zsh", "console", "terminal", "shell-session", "shellsession", "bash-session"}
TEXT = {"text", "txt", "plaintext", "plain", "output", "out", "log", "traceback", "pytb", "none"}  # no code at all

# The first line of a command in a pasted session, and its further lines.
_PYTHON_SESSIONS = (
    (re.compile(r">>>(?: (.*))?"), re.compile(r"\.\.\.(?: (.*))?")),
    (re.compile(r"In ?\[\d*\]:(?: (.*))?"), re.compile(r" *\.\.\.+:(?: (.*))?")),
)
_SHELL_SESSION = (re.compile(r"(?:\([\w.-]+\) )?(?:[\w.-]+@[\w.-]+:\S*)?\$ (.*)"), re.compile(r"> (.*)"))
_PIP = re.compile(r"[!%]?\s*(?:(?:python|py)[\d.]* +-m +)?pip[\d.]* +install\s+(\S.*)")
_OPERATOR = re.compile(r"&&|\|\||[;|&`]|\$\(|(?<!\S)\d*[<>]|[<>](?![\w=])")
_RANGE = re.compile(r"[\w.\[\],-]+[<>][\w.=<>,*!]*")  # such as pandas>=2: a shell reads the sign as a redirection
# Of these nodes a printed value consists.
_VALUES = (ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.unaryop, ast.expr_context)


@dataclass(frozen=True)
class CodeCells:
    """The cells of a reply.

    Attributes:
        sources: the source of each cell, in the order of the blocks.
        left_out: the languages of the blocks that become no cell, each once; empty text for an unknown language.
    """

    sources: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """A line about the blocks that become no cell; empty if there is none."""
        names = ", ".join(language or "code of an unknown language" for language in self.left_out)
        return names and f"not put into a cell: {names}; only Python and shell code is"


def code_cells(blocks: Iterable[tuple[str, str]]) -> CodeCells:
    """The cells of ``blocks``, pairs of a language and its code. A repeated block becomes one cell."""
    sources: dict[str, None] = {}
    left_out: dict[str, None] = {}
    for word, code in blocks:
        language = word.strip("{}.").lower()
        source = cell_source(language, code)
        if source:
            sources[source] = None
        elif code.strip() and language not in TEXT and (language or not _is_value(code)):
            left_out[language] = None
    return CodeCells(tuple(sources), tuple(left_out))


def cell_source(language: str, code: str) -> str:
    """The source of the cell for one block; empty if it becomes none.

    A block without a language becomes a cell if it is Python. A printed value, such as ``[1, 2]``, is none.
    """
    lines = _lines(code)
    is_python, is_shell = language in PYTHON, language in SHELL
    if not lines or (language and not is_python and not is_shell):
        return ""
    if not is_shell:
        for session in _PYTHON_SESSIONS:
            if typed := _typed(lines, *session):
                return "\n".join(_lines("\n".join(typed)))
    if typed := _typed(lines, *_SHELL_SESSION):
        lines, is_shell = typed, True
    if installs := _installs(lines):
        return "\n".join(installs)
    source = "\n".join(lines)
    if is_shell:
        return source if lines[0][0] in "!%" else f"%%bash\n{source}"
    return source if is_python or (compiles(source) and not _is_value(source)) else ""


def compiles(source: str) -> bool:
    """Is ``source`` valid in a cell, where magics and ``await`` outside of functions are allowed?"""
    return _parsed(source) is not None


def _parsed(source: str) -> ast.Module | None:
    import warnings

    try:
        with warnings.catch_warnings():  # about the code of the reply, such as an invalid escape
            warnings.simplefilter("ignore")
            tree = compile(as_python(source), "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # not Python, a null character, too deep
        return None
    return tree if isinstance(tree, ast.Module) else None


def _is_value(source: str) -> bool:
    """Is ``source`` nothing but printed values, such as ``[1, 2]``, or comments?"""
    tree = _parsed(source)
    if tree is None:
        return False
    values = (node for line in tree.body if isinstance(line, ast.Expr) for node in ast.walk(line.value))
    return all(isinstance(line, ast.Expr) for line in tree.body) and all(isinstance(node, _VALUES) for node in values)


def _lines(code: str) -> list[str]:
    """The lines of ``code`` without empty ones at its beginning and end."""
    lines = code.split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    while lines and not lines[-1].strip():
        del lines[-1]
    return lines


def _typed(lines: list[str], first: re.Pattern[str], more: re.Pattern[str]) -> list[str]:
    """What was typed in a pasted session, without its prompts and output; empty if the lines are no session."""
    beginning = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if not first.fullmatch(beginning):
        return []
    typed: list[str] = []
    for line in lines:
        match = first.fullmatch(line) or (more.fullmatch(line) if typed else None)
        if match:
            typed.append(match[1] or "")
        elif typed and typed[-1].endswith("\\"):
            typed.append(line)
    return typed


def _installs(lines: list[str]) -> list[str]:
    """The lines as ``%pip install``; empty if they do anything else."""
    commands = [line.strip() for line in "\n".join(lines).replace("\\\n", " ").split("\n")]
    matches = [(command, _PIP.fullmatch(command)) for command in commands]
    installs = []
    for command, match in matches:
        if match is not None and not _OPERATOR.search(_unquoted(match[1])):
            installs.append(f"%pip install {' '.join(map(_quoted, match[1].split()))}")
        elif command and not command.startswith("#"):
            return []
        elif command:
            installs.append(command)
    return installs if any(match for _command, match in matches) else []


def _unquoted(words: str) -> str:
    return re.sub(r"\"[^\"]*\"|'[^']*'|(?<=\s)#.*", "", words)


def _quoted(word: str) -> str:
    """A requirement such as ``pandas>=2`` in quotes, as a shell needs it; any other word unchanged."""
    return shlex.quote(word) if _RANGE.fullmatch(word) else word

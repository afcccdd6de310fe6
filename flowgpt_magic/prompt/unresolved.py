"""Name the braces that were sent as typed although they look meant as a reference, such as ``{nosuch}``.

Braces of code, formulas, style sheets and templates are not meant. What belongs to them is decided by the text around
the braces: a few wrong names are worse than none.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from flowgpt_magic.errors import closest
from flowgpt_magic.prompt.looks import LOOKS
from flowgpt_magic.prompt.references import LeftBraces, fences, leading, look_up, steps
from flowgpt_magic.text import cut

MOST_NAMED = 3  # braces; the others are counted
MOST_COMPARED = 2_000  # names that a wrong one is compared with
CONTEXT = 400  # characters before and after braces that decide whether they belong to code
LONGEST_SHOWN = 60  # characters of what is between braces

_CODE_BEFORE = re.compile(r"[A-Za-z0-9_/$=@.)\]>&|<~`\\]$|://\S*$")
_CODE_OPENING = re.compile(  # what ends at the braces: the beginning of a block, an argument, or a text in code
    r"(?:\)|\w\((?:[^()\"']*,)?|=>?|::)\s*$"
    r"|\b(?:else|finally|try|(?:enum|interface|namespace|struct)\s+\w+)\s*$"
    r"|(?:[\w!]\((?:[^()\"']*,)?\s*|[$@]|[\"']\s*:\s*|=\s*)(?:\"[^\"]*|'[^']*)$"
)
_CODE_AFTER = re.compile(r"[/<(=\[@`\\]|\.[A-Za-z0-9]|\s*=(?!=)|\s+from\b")
_CODE_LINE = re.compile(
    r"^(?: {4}|\t)|\\[A-Za-z]|\.format(?:_map)?\(|[;{]\s*$"
    r"|^\s*(?:(?:const|var|def|class) |(?:print\w*|console\.\w+) ?\()"
)
_SPECIFIED = re.compile(r"(.+?)(?:![rsa])?(?::(?!\s)[^:;]*|=)?")
_COMPUTED = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Subscript, ast.Call)


def clauses(
    text: str, left: Sequence[LeftBraces], names: Mapping[str, object], failures: Mapping[str, str]
) -> list[str]:
    """A clause for each of the braces ``left`` in ``text`` that look meant; of many, the last one counts the rest.

    ``failures`` says why ``looks.look`` failed, by the expression.
    """
    found: list[str] = []
    more = 0
    places = None
    for braces in left:
        places = fences(text) if places is None else places
        if bisect_right(places, braces.start) % 2 or _is_code(text, braces):
            continue
        reason = _reason(braces.inside, names, failures, suggests=len(found) < MOST_NAMED)
        if reason and len(found) < MOST_NAMED:
            found.append(f"{_shown(braces.inside)} sent as typed: {reason}")
        elif reason:
            more += 1
    return [*found, f"{more} more in braces sent as typed"] if more else found


def _is_code(text: str, braces: LeftBraces) -> bool:
    """Do the braces stand in code, a formula, a path or a template? Decided by the line around them."""
    start = max(text.rfind("\n", 0, braces.start) + 1, braces.start - CONTEXT)
    before, after = text[start : braces.start], text[braces.end : braces.end + CONTEXT].partition("\n")[0]
    line = f"{before}{{}}{after}"
    return bool(
        _CODE_BEFORE.search(before)
        or _CODE_OPENING.search(before)
        or before.count("{") > before.count("}")
        or _CODE_AFTER.match(after)
        or _CODE_LINE.search(line)
        or any(before.count(mark) % 2 and mark in after for mark in "`$")
    )


def _shown(inside: str) -> str:
    begin, end = (" " if inside[place].isspace() else "" for place in (0, -1))
    return f"{{{begin}{cut(inside, LONGEST_SHOWN).strip()}{end}}}"


def _reason(inside: str, names: Mapping[str, object], failures: Mapping[str, str], *, suggests: bool) -> str:
    """Why ``inside`` was not filled in; empty if it is hardly meant as a reference."""
    expression = inside.strip()
    spaces = "" if expression == inside else "spaces are not allowed there"
    base = leading(expression)
    rest = expression[len(base) :]
    if rest.startswith("(") and steps(base.rpartition(".")[0]):
        base, _dot, method = base.rpartition(".")
        is_meant = steps(base)[0].value in names or method in LOOKS
        wrong = _why_unread(base, names, suggests=suggests)
        return (wrong or failures.get(inside, spaces)) if is_meant else ""
    if not rest and steps(expression):
        if spaces and steps(expression)[0].value not in names:  # a block of code, as in items.map { it }
            return ""
        return _why_unread(expression, names, suggests=suggests) or spaces
    name = re.match(r"\w+", expression)
    if name is None or name[0] not in names:
        return _reason_of_expression(expression, names)
    if re.match(r"[\w.]+\._", expression):
        return "private names are not read"
    specified = _SPECIFIED.fullmatch(expression)
    if specified and specified[1] != expression and steps(specified[1]):
        return f"formats are not applied; {{{specified[1]}}} is filled in"
    return _reason_of_expression(expression, names)


def _reason_of_expression(expression: str, names: Mapping[str, object]) -> str:
    """Why something computed was not filled in; empty unless it is computed from the user's variables."""
    if "|" in expression or "\\" in expression:
        return ""
    try:
        tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    unknown = [name for name in used if name not in names and not hasattr(builtins, name)]
    is_meant = isinstance(tree, _COMPUTED) and not unknown and any(name in names for name in used)
    return "nothing is computed in braces; put the result into a variable" if is_meant else ""


def _why_unread(reference: str, names: Mapping[str, object], *, suggests: bool) -> str:
    """Why a reference cannot be read; empty if it can, or if it is a word of Python."""
    value: object = names
    path = ""
    for step in steps(reference):
        name = str(step.value)
        part = {"name": name, "attribute": f".{name}", "index": f"[{step.value!r}]"}[step.kind]
        try:
            inner = value if not path else look_up(path, names)
            look_up(path + part, names)
        except LookupError:
            if step.kind == "name":
                others = islice((name for name in list(names) if not name.startswith("_")), MOST_COMPARED)
                meant = _meant(name, others if suggests else ())
                return "" if keyword.iskeyword(name) else f"no variable has this name{meant}"
            if step.kind == "attribute" and any(name in vars(base) for base in _bases(inner)):
                return f"{cut(path + part, LONGEST_SHOWN)} cannot be read"
            meant = _meant(name, _names_in(inner, step.kind) if suggests else ())
            kind = "key " if isinstance(step.value, str) else "item "
            missing = name if step.kind == "attribute" else f"{kind}{step.value!r}"
            return f"{cut(path, LONGEST_SHOWN)} has no {missing}{meant}"
        path += part
    return ""


def _meant(name: str, names: Iterable[str]) -> str:
    hint = closest(name, names)
    return f" ({hint[2:]})" if hint.startswith(";") else ""


def _bases(value: object) -> tuple[type, ...]:
    return type.__dict__["__mro__"].__get__(type(value))  # type: ignore[no-any-return]


def _names_in(value: Any, kind: str) -> Iterator[str]:
    """The attributes or the keys of ``value`` that a wrong one is compared with. Runs no code of the user's."""
    pandas: Any = sys.modules.get("pandas")
    bases = _bases(value)
    columns = value.columns if type(value) is getattr(pandas, "DataFrame", None) else ()
    keys = dict.keys(value) if dict in bases else columns
    attributes = [name for base in bases for name in vars(base)]
    names = keys if kind == "index" else [*columns, *attributes]
    return islice((name for name in list(names) if type(name) is str and not name.startswith("_")), MOST_COMPARED)

"""Evaluate calls in braces that only look at a table, such as ``{frame.head(3)}``.

They are the methods in ``LOOKS`` of the real classes of pandas and polars, with literal arguments. No other function,
and no method that a subclass overrides, is ever called. A call has a time limit.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from contextlib import suppress
from io import StringIO
from typing import Any

from flowgpt_magic.prompt.describe.budget import CallFailure, Inspection, call_with_timeout
from flowgpt_magic.prompt.describe.recognize import TABLE_CLASSES
from flowgpt_magic.prompt.describe.tables import secret_label
from flowgpt_magic.prompt.references import look_up
from flowgpt_magic.redaction import is_secret_name, redact_environment
from flowgpt_magic.text import cut

# The methods, and the arguments that they take by name. Each takes at most one without a name, and ``info`` none.
LOOKS = {
    "head": {"n"},
    "tail": {"n"},
    "describe": {"percentiles", "include", "exclude"},
    "info": {"verbose", "show_counts", "max_cols"},
    "sample": {"n", "frac", "fraction", "random_state", "seed"},
    "value_counts": {"normalize", "sort", "ascending", "dropna", "subset", "name"},
}
SEEDS = {"pandas": "random_state", "polars": "seed"}  # without one, ``sample`` would change the user's random numbers
OWN_CODE = ("describe", "value_counts")  # these compare the values, which may be objects of the user's
NUMBERS = "biufc"  # kinds of types whose values are no secrets
ONLY_LOOKS = f"only {', '.join(f'{name}()' for name in LOOKS)} of a pandas or polars table are called"
ONLY_LITERALS = "its arguments are not literal"
SAFE_MODULES = {"builtins", "datetime", "decimal", "numpy", "pandas", "uuid"}  # of values that can be compared
CONTAINERS = (tuple, list, dict, set, frozenset)  # which may hold objects of the user's
LONGEST_EXPRESSION = 500  # characters
LONGEST_REASON = 120  # characters
NAME_LENGTH = 40  # characters of the name of a column


class LookError(LookupError):
    """The expression is not evaluated, or its evaluation failed; the message says why, without a full stop."""


def look(expression: str, names: Mapping[str, object]) -> object:
    """The value of an expression that is a reference with calls. Raises ``LookError``."""
    if len(expression) > LONGEST_EXPRESSION:
        raise LookError("it is too long")
    try:
        tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise LookError(ONLY_LOOKS) from None
    return _value(tree, names)


def calls_of(value: object) -> list[str]:
    """The names of the methods that ``look`` calls of ``value``; empty unless it is a table. Runs no code."""
    names = []
    for name in LOOKS:
        with suppress(LookError):
            _library(value, name)
            names.append(name)
    return names


def names_secret_argument(expression: str) -> bool:
    """Does a name, a key or an argument in ``expression``, which ``look`` has evaluated, look like that of a secret?"""
    texts = [
        getattr(node, field)
        for node in ast.walk(ast.parse(expression, mode="eval"))
        for field in ("id", "attr", "value")
        if isinstance(getattr(node, field, None), str)
    ]
    return any(map(is_secret_name, texts))


def _value(node: ast.expr, names: Mapping[str, object]) -> object:
    if isinstance(node, ast.Call):
        return _call(node, names)
    if not any(isinstance(part, ast.Call) for part in ast.walk(node)):
        return _read(ast.unparse(node), names)
    if isinstance(node, (ast.Attribute, ast.Subscript)):  # of the result of a call
        result = "result"
        step = f".{node.attr}" if isinstance(node, ast.Attribute) else f"[{ast.unparse(node.slice)}]"
        return _read(f"{result}{step}", {result: _value(node.value, names)}, shown=step)
    raise LookError(ONLY_LOOKS)


def _read(reference: str, names: Mapping[str, object], shown: str = "") -> object:
    try:
        return look_up(reference, names)
    except LookupError:
        raise LookError(f"{shown or reference} cannot be read") from None


def _call(node: ast.Call, names: Mapping[str, object]) -> object:
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if method not in LOOKS or not isinstance(node.func, ast.Attribute):
        raise LookError(ONLY_LOOKS)
    arguments = [_literal(argument) for argument in node.args]
    options = {option.arg or "": _literal(option.value) for option in node.keywords}
    if len(arguments) > (method != "info") or not options.keys() <= LOOKS[method]:
        taken = ", ".join(sorted(LOOKS[method]))
        raise LookError(f"{method} is called with {taken} only" if options else f"{method} has too many arguments")
    value: Any = _value(node.func.value, names)
    library, table = _library(value, method)
    value = value if type(value) is table else table(value)  # a subclass may have code of its own
    _check_values(value, method, library, is_whole=bool(arguments or options))
    if method == "sample" and not options.keys() & set(SEEDS.values()):
        options[SEEDS[library]] = 0
    return _looked(value, method, arguments, options)


def _literal(node: ast.expr) -> object:
    """The value of a number, a text, True, False, None, or a list of them."""
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    operand = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    if not isinstance(operand, ast.Constant) or isinstance(operand.value, (bytes, complex, type(...))):
        raise LookError(ONLY_LITERALS)
    try:
        return ast.literal_eval(node)
    except ValueError:  # such as -"text"
        raise LookError(ONLY_LITERALS) from None


def _library(value: object, method: str) -> tuple[str, Any]:
    """The library and the class of a table whose ``method`` that library defines.

    Raises ``LookError`` if it has another ``method``, or is no table.
    """
    bases = type.__dict__["__mro__"].__get__(type(value))
    for library, kinds in TABLE_CLASSES.items():
        module: Any = sys.modules.get(library)
        if module is not None and getattr(module, "LazyFrame", None) in bases:
            raise LookError("a LazyFrame has no rows before collect(), which is not called here")
        for kind in kinds:
            table = getattr(module, kind, None)
            if table is None or table not in bases:
                continue
            if not hasattr(table, method):
                raise LookError(f"a {kind} of {library} has no {method}")
            owner = next(base for base in bases if method in vars(base))
            if bases.index(owner) < bases.index(table):
                raise LookError(f"{type(value).__name__} has a {method} of its own, which is not called")
            return library, table
    raise LookError(ONLY_LOOKS)


def _check_values(table: Any, method: str, library: str, *, is_whole: bool) -> None:
    """Raise ``LookError`` if the call would compare objects of the user's, or show the values of a secret.

    ``is_whole`` is true if the call has arguments: without them, pandas describes only the numbers of a table that has
    some.
    """
    if method not in OWN_CODE:
        return
    label = secret_label(table.index) if library == "pandas" else ""
    for column in _columns(table, library, of_numbers=method == "describe" and not is_whole):
        name = cut(str(column.name), NAME_LENGTH)
        if label and column.dtype.kind not in NUMBERS:  # the result has the values without their labels
            raise LookError(f"{cut(label, NAME_LENGTH)} looks like a secret")
        if method == "value_counts" and is_secret_name(str(column.name)):
            raise LookError(f"{name} looks like a secret")
        if _has_objects(column, library):
            raise LookError(f"{method} would run the code of the objects in {name}")


def _columns(table: Any, library: str, *, of_numbers: bool) -> list[Any]:
    """The columns of a table; none if ``of_numbers`` and some are numbers."""
    if len(table.shape) == 1:
        return [table]
    if library == "polars":
        return list(table.get_columns())
    if of_numbers and table.select_dtypes("number").shape[1]:
        return []
    return [table.iloc[:, place] for place in range(table.shape[1])]


def _has_objects(column: Any, library: str) -> bool:
    """May comparing the values of ``column`` run code of the user's?"""
    if library == "polars":
        return "Object" in str(column.dtype)
    values = getattr(column.dtype, "categories", None)
    values = column if values is None else values
    if values.dtype != object:
        return False
    kinds = set(map(type, values))
    return any(issubclass(kind, CONTAINERS) or kind.__module__ not in SAFE_MODULES for kind in kinds)


def _looked(value: Any, method: str, arguments: list[object], options: dict[str, object]) -> object:
    """The result of the call, for ``info`` its text. Raises ``LookError`` if it fails or takes too long."""
    text = StringIO()
    if method == "info":
        options = {**options, "buf": text}
    inspection = Inspection(0)
    result = call_with_timeout(
        value, lambda: getattr(type(value), method)(value, *arguments, **options), method, inspection
    )
    if isinstance(result, CallFailure):
        reason = redact_environment(str(result).strip("<>").partition("; its ")[2])
        raise LookError(cut(reason, LONGEST_REASON).rstrip("."))
    return text.getvalue().rstrip("\n") if method == "info" else result

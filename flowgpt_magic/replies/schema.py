"""What an answer has to look like: a schema, given as a type or as JSON Schema, and the value found in a reply.

pydantic makes a schema of a type, jsonschema checks a value by JSON Schema; both are the extra ``schema`` and are
imported when a schema is used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from flowgpt_magic import installing
from flowgpt_magic.errors import FileError, MismatchError, NotInstalledError, SchemaError
from flowgpt_magic.markdown.json_text import container_in, values_in
from flowgpt_magic.messages.reasoning import answer_of
from flowgpt_magic.regular_files import read_file

SCHEMA_KINDS = "a pydantic model, a dataclass, a TypedDict or a JSON Schema"
# One of these stands in every JSON Schema that says anything.
KEYWORDS = ("$ref", "allOf", "anyOf", "const", "enum", "items", "not", "oneOf", "prefixItems", "properties", "type")
LONGEST_WORD = 200  # characters of a text that may be meant as a string
LARGEST_FILE = 16 * 2**20  # bytes of a file with a schema
MOST_ERRORS = 5  # that are told about one value


@dataclass(frozen=True)
class Schema:
    """What a reply is checked by.

    ``json_schema`` is what a model is told. ``accept`` returns a JSON value as the type that was asked for, or raises
    ``MismatchError`` that says what does not fit.
    """

    name: str
    json_schema: Mapping[str, Any]
    accept: Callable[[Any], Any]

    @property
    def composite(self) -> bool:
        """Is what fits it an object or a list, rather than a word or a number?"""
        if "type" in self.json_schema:
            return self.json_schema["type"] in ("object", "array")
        const = self.json_schema.get("const", {})  # older pydantic gives it no type
        return isinstance(const, (dict, list))

    def read(self, text: str) -> Any:
        """The value in the reply ``text``: all of it, a block that stands alone, or what stands in a sentence.

        Where several stand there, the last that fits; reasoning at the start is left out. Raises ``MismatchError``.
        """
        wrong: MismatchError | None = None
        for value in values_in(text):
            try:
                return self.accept(value)
            except MismatchError as error:
                wrong = wrong or error
        for word in _words(answer_of(text)):
            with suppress(MismatchError):
                return self.accept(word)
        raise wrong or MismatchError("there is no JSON in it")


def _words(text: str) -> list[str]:
    """A short text itself: one word of a list of words is seldom written in quotes."""
    whole = text.strip()
    return [whole, whole.strip("\"'`*").rstrip(".")] if len(whole) < LONGEST_WORD else []


ANYTHING = Schema("JSON", {}, lambda value: value)


def json_of(text: str) -> Any:
    """The JSON value of a reply that was asked without a schema.

    That is all of the reply, or the last object or list that stands alone, or else the last in a sentence. Raises
    ``MismatchError`` where there is none; a footnote such as ``[1]`` is none.
    """
    with suppress(ValueError, RecursionError):
        return json.loads(answer_of(text).strip())
    if (found := container_in(text)) is None:
        raise MismatchError("there is no JSON in the reply; schema= asks for some")
    return found


def schema_of(given: Any) -> Schema:
    """The schema that ``given`` is: a ``Schema``, JSON Schema as a mapping, or a type.

    A type is a pydantic model, a dataclass, a TypedDict, or what else pydantic knows, such as ``list[Person]``. Raises
    ``SchemaError`` for anything else, and ``NotInstalledError``.
    """
    if isinstance(given, Schema):
        return given
    if isinstance(given, Mapping):
        return _by_json_schema(given)
    if isinstance(given, type) or get_origin(given) is not None:
        return _by_type(given)
    hint = f"; give the class {type(given).__name__} itself" if _is_instance(given) else ""
    raise SchemaError(f"a schema is {SCHEMA_KINDS}, not {type(given).__name__}{hint}")


def read_schema_file(name: str) -> Schema:
    """The JSON Schema in a file. Raises ``SchemaError``."""
    try:
        content = json.loads(read_file(Path(name).expanduser(), LARGEST_FILE).decode("utf-8-sig"))
    except FileError as error:
        raise SchemaError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{name} is no JSON: {error}") from None
    return schema_of(content)


def _is_instance(given: Any) -> bool:
    return is_dataclass(given) or hasattr(type(given), "model_json_schema")


# JSON Schema


def _by_json_schema(given: Mapping[str, Any]) -> Schema:
    try:
        import jsonschema
        from jsonschema.validators import validator_for
        from referencing import Registry
    except ImportError:
        raise NotInstalledError(
            f"answers are checked with jsonschema: {installing.command('schema')} installs it"
        ) from None
    if given and not any(word in given for word in KEYWORDS):
        raise SchemaError(f"this is no JSON Schema: it has none of {', '.join(KEYWORDS)}")
    try:
        schema = json.loads(json.dumps(given, allow_nan=False))
        kind = validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise SchemaError(f"this is no JSON Schema: at {_path(error.path)}: {_short(error.message)}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError(f"this is no JSON Schema: {error}") from None
    _check_references(schema)
    # With a registry of its own it looks for nothing elsewhere.
    validator = kind(schema, registry=Registry())
    return Schema(str(schema.get("title") or "the schema"), schema, lambda value: _accepted(validator, value))


def _check_references(schema: Any) -> None:
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    itself = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = Registry().with_resource("", itself).resolver()
    for each in _references(schema):
        try:
            resolver.lookup(each)
        except Unresolvable:
            told = "which is not in it" if each.startswith("#") else "which is not fetched: put that into its $defs"
            raise SchemaError(f"the schema points to {each}, {told}") from None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _references(each)


def _accepted(validator: Any, value: Any) -> Any:
    try:
        errors = list(islice(validator.iter_errors(value), MOST_ERRORS))
    except RecursionError:
        raise MismatchError("it is nested too deeply") from None
    if errors:
        raise MismatchError("; ".join(f"at {_path(error.path)}: {_short(error.message)}" for error in errors))
    return value


def _path(path: Any) -> str:
    return ".".join(map(str, path)) or "the top"


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:120]} … {message[-60:]}"


# Types


def _by_type(given: Any) -> Schema:
    try:
        import pydantic
    except ImportError:
        raise NotInstalledError(
            f"a type is made a schema by pydantic: {installing.command('schema')} installs it"
        ) from None
    try:
        adapter = pydantic.TypeAdapter(_modern(given))
        schema = adapter.json_schema()
    except (pydantic.PydanticUserError, NameError, TypeError, RecursionError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SchemaError(f"{_name(given)} cannot be a schema ({first}): it is {SCHEMA_KINDS}") from None

    def accept(value: Any) -> Any:
        try:
            return adapter.validate_json(json.dumps(value))
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[:MOST_ERRORS]
            told = "; ".join(f"at {_path(each['loc'])}: {_short(each['msg'])}" for each in found)
            raise MismatchError(told) from None

    return Schema(_name(given), schema, accept)


def _name(given: Any) -> str:
    return getattr(given, "__name__", None) or str(given)


def _modern(hint: Any) -> Any:
    """``hint`` with each TypedDict as typing_extensions has it, which is what pydantic asks for before Python 3.12."""
    if sys.version_info >= (3, 12):
        return hint
    if is_typeddict(hint):
        return _modern_typeddict(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None or not any(map(_has_typeddict, arguments)):
        return hint
    return origin[tuple(map(_modern, arguments))]


def _has_typeddict(hint: Any) -> bool:
    return is_typeddict(hint) or any(map(_has_typeddict, get_args(hint)))


def _modern_typeddict(kind: Any) -> Any:
    import typing_extensions

    if type(kind).__module__ == "typing_extensions":
        return kind
    required = kind.__required_keys__
    fields = {
        name: (typing_extensions.Required if name in required else typing_extensions.NotRequired)[_modern(hint)]
        for name, hint in get_type_hints(kind, include_extras=False).items()
    }
    return typing_extensions.TypedDict(kind.__name__, fields)  # type: ignore[operator]  # a class made while running

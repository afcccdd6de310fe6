"""Schemas, given as a type or as JSON Schema, and the value in a reply that fits one.

Types are converted and checked with pydantic, JSON Schema with jsonschema. Both belong to the extra ``schema`` and are
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
# Every JSON Schema that is not trivial contains one of these.
KEYWORDS = ("$ref", "allOf", "anyOf", "const", "enum", "items", "not", "oneOf", "prefixItems", "properties", "type")
LONGEST_WORD = 200  # characters of a reply that is tried as a JSON string without quotes
LARGEST_FILE = 16 * 2**20  # bytes of a file with a schema
MOST_ERRORS = 5  # reported for one value


@dataclass(frozen=True)
class Schema:
    """What a reply has to fit.

    ``json_schema`` is sent to the model. ``accept`` converts a JSON value to the requested type, or raises
    ``MismatchError``.
    """

    name: str
    json_schema: Mapping[str, Any]
    accept: Callable[[Any], Any]

    @property
    def composite(self) -> bool:
        """Are its values objects or lists?"""
        if "type" in self.json_schema:
            return self.json_schema["type"] in ("object", "array")
        const = self.json_schema.get("const", {})  # older releases of pydantic add no type to it
        return isinstance(const, (dict, list))

    def read(self, text: str) -> Any:
        """The value in the reply ``text``: the whole text, a block of its own, or a part of a sentence.

        Reasoning at the start is ignored. If there are several values, the last one that fits. Raises
        ``MismatchError`` if none does.
        """
        first_error: MismatchError | None = None
        for value in values_in(text):
            try:
                return self.accept(value)
            except MismatchError as error:
                first_error = first_error or error
        for word in _words(answer_of(text)):
            with suppress(MismatchError):
                return self.accept(word)
        raise first_error or MismatchError("there is no JSON in it")


def _words(text: str) -> list[str]:
    """A short reply as a string, with and without quotes: models often omit those of an enum value."""
    whole = text.strip()
    return [whole, whole.strip("\"'`*").rstrip(".")] if len(whole) < LONGEST_WORD else []


ANYTHING = Schema("JSON", {}, lambda value: value)


def json_of(text: str) -> Any:
    """The JSON value in the reply ``text``, without a schema.

    That is the whole reply, or else its last object or list: one in a block of its own, or else one in a sentence. A
    footnote such as ``[1]`` does not count. Raises ``MismatchError`` if there is none.
    """
    with suppress(ValueError, RecursionError):
        return json.loads(answer_of(text).strip())
    if (value := container_in(text)) is None:
        raise MismatchError("there is no JSON in the reply; schema= asks for some")
    return value


def schema_of(definition: Any) -> Schema:
    """``definition`` as a schema. It may be a ``Schema``, JSON Schema as a mapping, or a type.

    A type is a pydantic model, a dataclass, a TypedDict, or another type that pydantic supports, such as
    ``list[Person]``. Raises ``SchemaError`` for anything else, and ``NotInstalledError``.
    """
    if isinstance(definition, Schema):
        return definition
    if isinstance(definition, Mapping):
        return _by_json_schema(definition)
    if isinstance(definition, type) or get_origin(definition) is not None:
        return _by_type(definition)
    hint = f"; give the class {type(definition).__name__} itself" if _is_instance(definition) else ""
    raise SchemaError(f"a schema is {SCHEMA_KINDS}, not {type(definition).__name__}{hint}")


def read_schema_file(name: str) -> Schema:
    """The JSON Schema in the file ``name``. Raises ``SchemaError``."""
    try:
        content = json.loads(read_file(Path(name).expanduser(), LARGEST_FILE).decode("utf-8-sig"))
    except FileError as error:
        raise SchemaError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{name} is not JSON: {error}") from None
    return schema_of(content)


def _is_instance(definition: Any) -> bool:
    return is_dataclass(definition) or hasattr(type(definition), "model_json_schema")


# JSON Schema


def _by_json_schema(definition: Mapping[str, Any]) -> Schema:
    try:
        import jsonschema
        from jsonschema.validators import validator_for
        from referencing import Registry
    except ImportError:
        raise NotInstalledError(
            f"replies are checked with jsonschema: {installing.command('schema')} installs it"
        ) from None
    if definition and not any(word in definition for word in KEYWORDS):
        raise SchemaError(f"this is not a JSON Schema: it has none of {', '.join(KEYWORDS)}")
    try:
        schema = json.loads(json.dumps(definition, allow_nan=False))
        kind = validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise SchemaError(f"this is not a JSON Schema: at {_path(error.path)}: {_short(error.message)}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError(f"this is not a JSON Schema: {error}") from None
    _check_references(schema)
    # An empty registry of its own, so that no reference is fetched.
    validator = kind(schema, registry=Registry())
    return Schema(str(schema.get("title") or "the schema"), schema, lambda value: _accepted(validator, value))


def _check_references(schema: Any) -> None:
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    itself = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = Registry().with_resource("", itself).resolver()
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            reason = (
                "which it does not contain" if reference.startswith("#") else "which is not fetched: put it in $defs"
            )
            raise SchemaError(f"the schema refers to {reference}, {reason}") from None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _references(part)


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


def _by_type(definition: Any) -> Schema:
    try:
        import pydantic
    except ImportError:
        raise NotInstalledError(
            f"types are converted to schemas by pydantic: {installing.command('schema')} installs it"
        ) from None
    try:
        adapter = pydantic.TypeAdapter(_modern(definition))
        schema = adapter.json_schema()
    except (pydantic.PydanticUserError, NameError, TypeError, RecursionError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SchemaError(f"{_name(definition)} cannot be a schema ({first}): it is {SCHEMA_KINDS}") from None

    def accept(value: Any) -> Any:
        try:
            return adapter.validate_json(json.dumps(value))
        except pydantic.ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)[:MOST_ERRORS]
            text = "; ".join(f"at {_path(part['loc'])}: {_short(part['msg'])}" for part in errors)
            raise MismatchError(text) from None

    return Schema(_name(definition), schema, accept)


def _name(definition: Any) -> str:
    return getattr(definition, "__name__", None) or str(definition)


def _modern(hint: Any) -> Any:
    """``hint`` with each TypedDict replaced by one of typing_extensions, which pydantic requires before Python 3.12."""
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
    return typing_extensions.TypedDict(kind.__name__, fields)  # type: ignore[operator]  # a class created at run time

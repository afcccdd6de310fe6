"""Read the header of a GGUF file: the architecture of the model, from which its memory can be computed.

The format is specified in the repository of ggml, docs/gguf.md. The tokenizer, which follows the architecture and may
be megabytes long, is not read.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from flowgpt_magic.errors import FileError, ModelNotSupportedError
from flowgpt_magic.regular_files import read_beginning

MAGIC = b"GGUF"
PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
"""The name of a part of a split model. The first part is loaded, and finds the others beside it."""
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MAX_ENTRIES = 2000  # of a header or of an array in it; files with more are damaged
MAX_STRING = 2**20  # bytes
CACHED_BYTES = 2  # of each number in the cache of the context
OVERHEAD = 150 * 10**6  # bytes for the runtime's buffers
UNKNOWN_CACHE = 200_000  # bytes per token for a file whose header says nothing; most models take less


def starts_like_gguf(file: Path) -> bool:
    """Does ``file`` begin like a GGUF file? Raises ``FileError`` if it cannot be read."""
    return read_beginning(file, len(MAGIC))[0] == MAGIC


def check_gguf(file: Path) -> Path:
    """``file``, if it is readable and begins like a GGUF file. Raises ``ModelNotSupportedError``."""
    try:
        is_gguf = starts_like_gguf(file)
    except FileError as error:
        raise ModelNotSupportedError(str(error)) from None
    if not is_gguf:
        raise ModelNotSupportedError(f"{file} is not a GGUF file, the only supported format")
    return file


def read_header(file: Path) -> dict[str, Any]:
    """The entries of the header before those of the tokenizer; as far as they can be read if it is damaged."""
    header: dict[str, Any] = {}
    try:
        with file.open("rb") as opened:
            if opened.read(len(MAGIC)) != MAGIC:
                return {}
            _version, _tensors, count = _unpack(opened, "IQQ")
            for _ in range(min(count, MAX_ENTRIES)):
                name = _string(opened)
                if name.startswith("tokenizer."):
                    break
                header[name] = _value(opened, _unpack(opened, "I")[0])
    except (OSError, ValueError, struct.error):
        pass
    return header


def size_of(file: Path) -> int:
    """Bytes of a model on disk, with the parts of a split one that are there."""
    part = PART.fullmatch(file.name)
    pattern = (
        re.compile(rf"{re.escape(part['stem'])}-\d{{5}}-of-{part['count']}\.gguf", re.IGNORECASE) if part else None
    )
    names = [name for name in os.listdir(file.parent) if pattern.fullmatch(name)] if pattern else [file.name]
    return sum((file.parent / name).stat().st_size for name in names)


def memory_needed(size: int, context_size: int, header: Mapping[str, Any] | None = None) -> int:
    """About how many bytes a model takes with a context of this many tokens.

    ``size`` is that of its files; a file that is not downloaded yet has no ``header``.
    """
    header = header or {}
    limit = _number(header, "context_length") or context_size
    return size + OVERHEAD + min(context_size, limit) * (_cache_per_token(header) or UNKNOWN_CACHE)


def _cache_per_token(header: Mapping[str, Any]) -> int:
    """Bytes of the cache per token: keys and values of all layers; 0 if the header does not say."""
    layers, heads = _number(header, "block_count"), _number(header, "attention.head_count")
    width = _number(header, "embedding_length")
    if not (layers and heads and width):
        return 0
    shared = _entry(header, "attention.head_count_kv")
    cached_heads = sum(shared) if isinstance(shared, list) else layers * (shared or heads)
    key = _number(header, "attention.key_length") or width // heads
    value = _number(header, "attention.value_length") or width // heads
    return int(cached_heads * (key + value) * CACHED_BYTES)


def _entry(header: Mapping[str, Any], name: str) -> Any:
    return header.get(f"{header.get('general.architecture')}.{name}")


def _number(header: Mapping[str, Any], name: str) -> int:
    """A number of the architecture, the largest of several; 0 if there is none."""
    value = _entry(header, name)
    value = max(value, default=0) if isinstance(value, list) else value
    return value if isinstance(value, int) else 0


def _unpack(file: BinaryIO, form: str) -> Sequence[Any]:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    if length > MAX_STRING:
        raise ValueError("too long")
    return file.read(length).decode("utf-8")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _string(file)
    if kind == ARRAY:
        item_kind, count = _unpack(file, "IQ")
        if count > MAX_ENTRIES or item_kind == ARRAY:
            raise ValueError("too long")
        return [_value(file, item_kind) for _ in range(count)]
    if kind not in NUMBERS:
        raise ValueError("an unknown type")
    return _unpack(file, NUMBERS[kind])[0]

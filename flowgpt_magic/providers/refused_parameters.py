"""Parameters that models have refused: later requests leave them out if they come from the settings.

A setting such as ``temperature`` applies to many models, and some of them do not accept it. A parameter that the user
gives for one prompt is always sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any

# The error names a limit, so another value may be accepted. Any other error refuses the parameter itself.
VALUE_ERROR = re.compile(
    r"must be|should be|out of range|too (?:large|small|high|low)|at (?:most|least)|less than|greater than|"
    r"maximum|minimum|between",
    re.IGNORECASE,
)
ANY_VALUE = "any value"
ModelKey = tuple[str, str, str]
"""The server's address, the provider and the model."""


class RefusedParameters:
    """Refused parameters by server and model, each with all values or with one. Thread-safe."""

    def __init__(self) -> None:
        self._refused: dict[ModelKey, dict[str, set[str]]] = {}
        self._reported: set[tuple[str, ...]] = set()
        self._lock = Lock()

    def learn(self, model: ModelKey, name: str, value: Any, message: str) -> bool:
        """Record that the model refused the parameter with this error ``message``. True if that is new."""
        refused = _as_json(value) if VALUE_ERROR.search(message) else ANY_VALUE
        with self._lock:
            values = self._refused.setdefault(model, {}).setdefault(name, set())
            is_new = refused not in values
            values.add(refused)
        return is_new

    def known(self, model: ModelKey, fields: Mapping[str, Any], typed: Collection[str] = ()) -> list[str]:
        """The ``fields`` that the model refuses, except for the ``typed`` ones, which the user gave for this prompt."""
        if model not in self._refused:
            return []
        with self._lock:
            refused = {name: set(values) for name, values in self._refused[model].items()}
        return [
            name
            for name, value in fields.items()
            if name in refused and name not in typed and refused[name] & {ANY_VALUE, _as_json(value)}
        ]

    def first_time(self, *key: str) -> bool:
        """Is ``key`` reported for the first time in this process?"""
        with self._lock:
            is_new = key not in self._reported
            self._reported.add(key)
        return is_new


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)

"""What models have refused: parameters that come from the settings are left out of later requests.

A setting such as ``temperature`` serves many models, and some of them take no temperature. What was given for one
prompt is another matter: it is never left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any

# Another value would do: a limit is named. In all other words the parameter itself is refused.
ABOUT_THE_VALUE = re.compile(
    r"must be|should be|out of range|too (?:large|small|high|low)|at (?:most|least)|less than|greater than|"
    r"maximum|minimum|between",
    re.IGNORECASE,
)
ANY = "any value"
Place = tuple[str, str, str]
"""Who refuses: the server's address, the provider and the model."""


class RefusedParameters:
    """By server and model the parameters that were refused, each as a whole or with one value."""

    def __init__(self) -> None:
        self._refused: dict[Place, dict[str, set[str]]] = {}
        self._told: set[tuple[str, ...]] = set()
        self._lock = Lock()

    def learn(self, place: Place, name: str, value: Any, words: str) -> bool:
        """The model refuses this, in these words. Is that new?"""
        about = _written(value) if ABOUT_THE_VALUE.search(words) else ANY
        with self._lock:
            known = self._refused.setdefault(place, {}).setdefault(name, set())
            new = about not in known
            known.add(about)
        return new

    def known(self, place: Place, fields: Mapping[str, Any], typed: Collection[str] = ()) -> list[str]:
        """Those of ``fields`` that the model refuses, without the ``typed`` ones."""
        if place not in self._refused:
            return []
        with self._lock:
            refused = {name: set(values) for name, values in self._refused[place].items()}
        return [
            name
            for name, value in fields.items()
            if name in refused and name not in typed and refused[name] & {ANY, _written(value)}
        ]

    def first_time(self, *what: str) -> bool:
        """Is this told for the first time in this process?"""
        with self._lock:
            new = what not in self._told
            self._told.add(what)
        return new


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)

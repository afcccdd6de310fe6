"""What comes with a reply and is not its text: sources, reasoning, log probabilities, images, audio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flowgpt_magic.text import cut

MOST_SOURCES = 10  # that a notice lists
LONGEST_SOURCE = 200  # characters of one of them


@dataclass(frozen=True)
class Citation:
    """A source that a reply is based on; the first one of a reply is what its text calls ``[1]``."""

    url: str
    title: str = ""

    def __str__(self) -> str:
        return f"{self.title} <{self.url}>" if self.title and self.url else self.title or self.url


@dataclass(frozen=True)
class Extras:
    """What came with one reply and is not its text.

    A provider may yield one of these after its last chunk and before its ``Usage``. All values are plain JSON.

    - ``reasoning`` is what the model wrote before its answer.
    - ``citations`` are its sources, in the order in which the text numbers them.
    - ``logprobs`` has an object for each token, as the OpenAI protocol defines it: ``token``, ``logprob``,
      ``top_logprobs``.
    - ``images`` are URLs, ``data:`` URLs among them.
    - ``audio`` has an object for each recording: ``id``, ``data`` in base64, ``transcript``.
    - ``tool_calls`` has an object for each tool that the model asked for: ``id``, ``function``.
    - ``others`` are further fields that a server is known to send, such as ``search_results``.
    """

    reasoning: str = ""
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[Mapping[str, Any], ...] = ()
    images: tuple[str, ...] = ()
    audio: tuple[Mapping[str, Any], ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    others: tuple[tuple[str, Any], ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    @property
    def notices(self) -> list[str]:
        """What a person should know of it: where the text comes from, and what else came that is not shown."""
        told = []
        if self.citations:
            numbered = [f"[{number}] {cut(str(each), LONGEST_SOURCE)}" for number, each in enumerate(self.citations, 1)]
            further = len(numbered) - MOST_SOURCES
            more = [f"and {further} more in reply.citations"] if further > 0 else []
            told.append(f"sources: {', '.join([*numbered[:MOST_SOURCES], *more])}")
        for name in ("images", "audio"):
            if count := len(getattr(self, name)):
                told.append(f"the model also made {name}: {count} in reply.{name}")
        if self.others:
            names = ", ".join(name for name, _value in self.others)
            told.append(f"the server also sent what is not shown: {names} in reply.extras.others")
        return told

    def as_json(self) -> dict[str, Any]:
        """Its values as JSON has them, without empty ones."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["citations"] = [{"url": each.url, "title": each.title} for each in self.citations]
        values["others"] = dict(self.others)
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {name: value for name, value in lists.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Extras:
        """What ``as_json`` was made of; whatever does not fit is left out."""
        objects = {name: _of_kind(values, name, Mapping) for name in ("logprobs", "audio", "tool_calls")}
        sources = (
            Citation(str(each.get("url", "")), str(each.get("title", "")))
            for each in _of_kind(values, "citations", Mapping)
        )
        others = values.get("others")
        return cls(
            reasoning=str(values.get("reasoning", "")),
            citations=tuple(sources),
            images=_of_kind(values, "images", str),
            others=tuple(others.items()) if isinstance(others, Mapping) else (),
            **objects,
        )


class HasExtras(ABC):
    """What came with the text of a reply, by name. Derived classes say in ``_whole_extras`` how they get it."""

    @abstractmethod
    def _whole_extras(self) -> Extras:
        """All that came beside the text; waits for the end of the reply."""

    @property
    def reasoning(self) -> str:
        """What the model wrote before its answer; empty where it wrote nothing, or the server keeps it."""
        return self._whole_extras().reasoning

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The sources of the text; the first one is what the text calls ``[1]``."""
        return self._whole_extras().citations

    @property
    def logprobs(self) -> tuple[Mapping[str, Any], ...]:
        """The log probabilities, an object for each token; there are some only where they were asked for."""
        return self._whole_extras().logprobs

    @property
    def images(self) -> tuple[str, ...]:
        """The images that the model made, as URLs."""
        return self._whole_extras().images

    @property
    def audio(self) -> tuple[Mapping[str, Any], ...]:
        """The recordings that the model made: objects with ``data`` in base64 and ``transcript``."""
        return self._whole_extras().audio

    @property
    def tool_calls(self) -> tuple[Mapping[str, Any], ...]:
        """The tools that the model asked for; none is called here."""
        return self._whole_extras().tool_calls


def _of_kind(values: Mapping[str, Any], name: str, kind: type) -> tuple[Any, ...]:
    listed = values.get(name)
    return tuple(each for each in listed if isinstance(each, kind)) if isinstance(listed, list) else ()

"""Additional data of a reply: citations, reasoning, log probabilities, images, audio, tool calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flowgpt_magic.text import cut

SOURCES = "sources: "  # begins the notice about the sources
MAX_SOURCES = 10  # in a notice
MAX_SOURCE_LENGTH = 200  # characters
OBJECTS = ("logprobs", "audio", "tool_calls", "reasoning_parts")  # fields that are lists of objects


@dataclass(frozen=True)
class Citation:
    """A source of a reply. The text refers to the first source as ``[1]``; ``quotes`` are the words it is cited for."""

    url: str
    title: str = ""
    quotes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.title} <{self.url}>" if self.title and self.url else self.title or self.url

    def as_json(self) -> dict[str, Any]:
        """The values as JSON, without quotes if there are none."""
        quotes = {"quotes": list(self.quotes)} if self.quotes else {}
        return {"url": self.url, "title": self.title, **quotes}


@dataclass(frozen=True)
class Extras:
    """Additional data of one reply.

    A provider may yield one of these after its last chunk and before its ``Usage``. All values are plain JSON and empty
    by default.

    Args:
        reasoning: the model's reasoning before its answer.
        citations: the sources, in the order of their numbers in the text.
        logprobs: an object for each token, as in the OpenAI protocol: ``token``, ``logprob``, ``top_logprobs``.
        images: URLs, which may be ``data:`` URLs.
        audio: an object for each recording: ``id``, ``data`` in base64, ``transcript``.
        tool_calls: an object for each tool call of the model: ``id``, ``function``.
        others: further known fields of a server, such as ``search_results``.
        request_id: how the server names the request, for its support and its logs.
        reasoning_parts: parts of the reasoning that only the same provider and model can read, such as signatures and
            encrypted content, as the server sent them; they are sent back to it with later requests.
    """

    reasoning: str = ""
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[Mapping[str, Any], ...] = ()
    images: tuple[str, ...] = ()
    audio: tuple[Mapping[str, Any], ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    others: tuple[tuple[str, Any], ...] = ()
    request_id: str = ""
    reasoning_parts: tuple[Mapping[str, Any], ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    @property
    def notices(self) -> list[str]:
        """What the user is told: the sources of the text, and the data that is not shown."""
        notices = []
        if self.citations:
            numbered = [
                f"[{number}] {cut(str(source), MAX_SOURCE_LENGTH)}" for number, source in enumerate(self.citations, 1)
            ]
            further = len(numbered) - MAX_SOURCES
            more = [f"and {further} more in reply.citations"] if further > 0 else []
            notices.append(f"{SOURCES}{', '.join([*numbered[:MAX_SOURCES], *more])}")
        for name in ("images", "audio"):
            if count := len(getattr(self, name)):
                notices.append(f"the model also generated {name}: {count} in reply.{name}")
        if self.others:
            names = ", ".join(name for name, _value in self.others)
            notices.append(f"the server also sent data that is not shown: {names} in reply.extras.others")
        return notices

    def as_json(self) -> dict[str, Any]:
        """The values that are not empty, as JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["citations"] = [source.as_json() for source in self.citations]
        values["others"] = dict(self.others)
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {name: value for name, value in lists.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Extras:
        """The opposite of ``as_json``; invalid values are left out."""
        objects = {name: _of_kind(values, name, Mapping) for name in OBJECTS}
        sources = (
            Citation(str(source.get("url", "")), str(source.get("title", "")), _of_kind(source, "quotes", str))
            for source in _of_kind(values, "citations", Mapping)
        )
        others = values.get("others")
        return cls(
            reasoning=str(values.get("reasoning", "")),
            citations=tuple(sources),
            images=_of_kind(values, "images", str),
            others=tuple(others.items()) if isinstance(others, Mapping) else (),
            request_id=str(values.get("request_id", "")),
            **objects,
        )


class HasExtras(ABC):
    """Properties for the additional data of a reply. Subclasses implement ``_whole_extras``."""

    @abstractmethod
    def _whole_extras(self) -> Extras:
        """The additional data; waits for the end of the reply."""

    @property
    def reasoning(self) -> str:
        """The model's reasoning before its answer; empty if there is none or the server does not send it."""
        return self._whole_extras().reasoning

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The sources of the text, which refers to the first one as ``[1]``."""
        return self._whole_extras().citations

    @property
    def logprobs(self) -> tuple[Mapping[str, Any], ...]:
        """The log probabilities, an object for each token; empty unless requested."""
        return self._whole_extras().logprobs

    @property
    def images(self) -> tuple[str, ...]:
        """The URLs of the images that the model generated."""
        return self._whole_extras().images

    @property
    def audio(self) -> tuple[Mapping[str, Any], ...]:
        """The recordings that the model generated: objects with ``data`` in base64 and ``transcript``."""
        return self._whole_extras().audio

    @property
    def tool_calls(self) -> tuple[Mapping[str, Any], ...]:
        """The tool calls of the model, which are not executed."""
        return self._whole_extras().tool_calls


def _of_kind(values: Mapping[str, Any], name: str, kind: type) -> tuple[Any, ...]:
    listed = values.get(name)
    return tuple(item for item in listed if isinstance(item, kind)) if isinstance(listed, list) else ()

"""The requests of a comparison: the same prompt for several models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowgpt_magic.errors import FlowGptError, OptionError
from flowgpt_magic.providers.aliases import Alias, merged
from flowgpt_magic.providers.registry import Target, find_target
from flowgpt_magic.replies.comparison import Column
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.request import Request

if TYPE_CHECKING:
    from flowgpt_magic.replies.received import CheckedChunks


@dataclass(frozen=True)
class PreparedColumn:
    """One model of a comparison: its name as it was given, its target, and the request or why there is none."""

    name: str
    target: Target
    request: Request | None = None
    error: FlowGptError | None = None

    def refused(self) -> Column:
        """A column whose reply fails with ``error`` when it is read."""

        async def refuse() -> AsyncGenerator[str, None]:
            if self.error is not None:
                raise self.error
            yield ""

        def source() -> CheckedChunks:
            return refuse()

        reply: Reply[Any] = Reply(source, provider=self.target.provider, model=self.target.model, messages=[])
        return Column(self.name, reply)


def find_target_of(name: str, load_aliases: Callable[[], Mapping[str, Alias]]) -> Target:
    """The target of a model that was named. Raises the same errors as ``models.find_model``."""
    aliases = load_aliases()
    return find_target(merged(aliases[name]).target.strip() if name in aliases else name, lambda: aliases)


def checked_columns(columns: Sequence[PreparedColumn]) -> list[PreparedColumn]:
    """The ``columns``.

    Raises ``OptionError`` if two of them would send the same request, and the first error if the prompt can be sent to
    none of the models.
    """
    for place, column in enumerate(columns):
        for other in columns[:place]:
            if _are_same(other, column):
                same = (
                    f"{column.name} is named twice"
                    if other.name == column.name
                    else f"{other.name} and {column.name} are the same model"
                )
                raise OptionError(f"{same}: name each model once; an alias can have other settings")
    if all(column.request is None for column in columns):
        raise next(column.error for column in columns if column.error is not None)
    return list(columns)


def _are_same(one: PreparedColumn, other: PreparedColumn) -> bool:
    if one.name == other.name or one.request is None or other.request is None:
        return one.name == other.name
    first, second = one.request, other.request
    return (first.target, first.parameters, first.settings.system) == (
        second.target,
        second.parameters,
        second.settings.system,
    )

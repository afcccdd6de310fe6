"""Talk to a language model from a notebook.

``%load_ext flowgpt_magic`` adds ``%%flowgpt``; ``ask``, ``Conversation`` and ``Reply`` are the same in Python.
Importing this package prints nothing and starts nothing; modules are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flowgpt_magic.clusters.partitions import map_partition
    from flowgpt_magic.conversation import Conversation, ask, compare, map_prompts
    from flowgpt_magic.errors import FlowGptError
    from flowgpt_magic.history.merge import merge_history
    from flowgpt_magic.messages import NewAttempt, NewSplit, Reasoning, Usage
    from flowgpt_magic.messages.extras import Citation, Extras
    from flowgpt_magic.panel.panel import ChatPanel
    from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
    from flowgpt_magic.providers.flowgpt import FlowGpt
    from flowgpt_magic.replies.events import NoticeEvent, ReasoningEvent, TextEvent
    from flowgpt_magic.replies.reply import Reply

__all__ = [
    "AsyncGeneratorProvider",
    "ChatPanel",
    "Citation",
    "Conversation",
    "Extras",
    "FlowGpt",
    "FlowGptError",
    "NewAttempt",
    "NewSplit",
    "NoticeEvent",
    "ProviderModelMixin",
    "Reasoning",
    "ReasoningEvent",
    "Reply",
    "TextEvent",
    "Usage",
    "ask",
    "compare",
    "load_ipython_extension",
    "map_partition",
    "map_prompts",
    "merge_history",
    "unload_ipython_extension",
]

_MODULES = {
    "AsyncGeneratorProvider": "providers.base",
    "ChatPanel": "panel.panel",
    "Citation": "messages.extras",
    "Conversation": "conversation",
    "Extras": "messages.extras",
    "FlowGpt": "providers.flowgpt",
    "FlowGptError": "errors",
    "NewAttempt": "messages",
    "NewSplit": "messages",
    "NoticeEvent": "replies.events",
    "ProviderModelMixin": "providers.base",
    "Reasoning": "messages",
    "ReasoningEvent": "replies.events",
    "Reply": "replies.reply",
    "TextEvent": "replies.events",
    "Usage": "messages",
    "ask": "conversation",
    "compare": "conversation",
    "map_partition": "clusters.partitions",
    "map_prompts": "conversation",
    "merge_history": "history.merge",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("flowgpt_magic")
    if name in _MODULES:
        return getattr(import_module(f"flowgpt_magic.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'flowgpt_magic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext flowgpt_magic``."""
    from flowgpt_magic.lab import target
    from flowgpt_magic.magics import magic

    magic.load(shell)
    target.register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext flowgpt_magic``."""
    from flowgpt_magic.lab import target
    from flowgpt_magic.magics import magic

    target.unregister(shell)
    magic.unload(shell)

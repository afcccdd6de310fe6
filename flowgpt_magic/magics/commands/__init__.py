"""The subcommands of ``%flowgpt``, one module for each group."""

__all__ = ["comparing", "table", "topics"]

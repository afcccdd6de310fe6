"""The subcommands of ``%flowgpt``, one module a group."""

__all__ = ["table"]

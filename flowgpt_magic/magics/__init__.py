"""``%%flowgpt`` and ``%flowgpt``: from what is typed in a cell to a reply that is shown."""

__all__ = ["magic"]

"""``%%flowgpt`` and ``%flowgpt``: from the text of a cell to the reply below it."""

__all__ = ["correction", "failed_cells", "failure", "magic", "state"]

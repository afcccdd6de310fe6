"""Show a reply in a cell or a terminal, while it arrives and at its end."""

__all__ = ["columns", "show"]

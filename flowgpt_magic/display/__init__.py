"""Show a reply in a cell or a terminal, as it arrives and when it has ended."""

__all__ = ["show"]

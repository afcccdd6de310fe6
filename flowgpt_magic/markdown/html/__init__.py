"""Markdown as HTML, for the panel and for exported pages."""

__all__ = ["changes"]

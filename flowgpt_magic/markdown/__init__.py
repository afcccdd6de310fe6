"""Markdown from a model: one scanner of its blocks, and writers for cells, pages and terminals."""

__all__ = ["addresses", "growing", "html", "json_text", "terminal"]

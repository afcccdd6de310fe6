"""Markdown from a model: where its blocks are, what of it is harmless, and what can be shown of it while it grows."""

__all__ = ["growing", "html", "json_text", "terminal"]

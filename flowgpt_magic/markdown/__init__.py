"""Markdown of a growing reply: one scanner of blocks, and harmless Markdown, HTML and terminal text from it."""

__all__ = ["growing", "html", "json_text", "terminal"]

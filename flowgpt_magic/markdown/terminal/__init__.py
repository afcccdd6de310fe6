"""Markdown as text for a terminal."""

__all__ = ["blocks", "markdown"]

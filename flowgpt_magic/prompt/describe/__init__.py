"""Describe values and files as text for a model: one module for each kind of value."""

__all__ = ["budget", "code", "containers", "figures", "files", "recognize", "tables", "tracebacks"]

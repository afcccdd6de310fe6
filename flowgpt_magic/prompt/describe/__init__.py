"""Describe values and files as text for a model: one module for each kind of value."""

__all__ = [
    "budget",
    "code",
    "containers",
    "figures",
    "file_sets",
    "files",
    "look",
    "problems",
    "recognize",
    "tables",
    "tracebacks",
]

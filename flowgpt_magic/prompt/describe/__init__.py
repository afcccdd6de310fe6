"""Values and files in words for a model, one module a kind of value."""

__all__ = ["budget", "code", "containers", "figures", "files", "tables", "tracebacks"]

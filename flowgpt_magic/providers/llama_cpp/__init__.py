"""Local models: their weights and where they come from, their runtime, and the detection of repeated text."""

__all__ = ["catalogue", "downloads", "gguf", "install", "installed", "machine", "runtime", "weights"]

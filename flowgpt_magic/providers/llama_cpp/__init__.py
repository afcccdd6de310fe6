"""The embedded model: its weights, its runtime, and replies that repeat themselves."""

__all__ = ["runtime", "weights"]

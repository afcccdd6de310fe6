"""The embedded model: its weights, its runtime, and the detection of repeated text."""

__all__ = ["runtime", "weights"]

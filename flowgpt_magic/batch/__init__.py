"""Many prompts at once, with a result for each."""

__all__ = ["batch", "comparison", "items", "rate_limit", "results"]

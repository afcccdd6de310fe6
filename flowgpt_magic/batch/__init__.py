"""Ask many prompts at once, and keep what becomes of each."""

__all__ = ["batch", "items", "rate_limit", "results"]

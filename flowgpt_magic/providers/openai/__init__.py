"""OpenAI's protocol: what is asked, what is answered, and how servers differ."""

__all__ = ["errors", "models", "replies", "requests", "servers"]

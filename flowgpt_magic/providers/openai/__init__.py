"""The protocol of OpenAI-compatible servers: requests, replies, errors and model lists."""

__all__ = ["errors", "models", "replies", "requests", "servers"]

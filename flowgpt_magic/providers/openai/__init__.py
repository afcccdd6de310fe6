"""The protocol of OpenAI-compatible servers: requests, replies, errors and model lists."""

__all__ = ["apis", "chunk_template", "errors", "exchange", "models", "replies", "requests", "servers", "usage"]

"""One request and its reply: resolving, sending, retrying, caching, checking, tracing."""

__all__ = [
    "cache",
    "code_blocks",
    "dry_run",
    "log",
    "reader",
    "received",
    "reply",
    "request",
    "resolved",
    "retry",
    "schema",
    "send",
    "structured_output",
    "supported_parameters",
    "task",
    "tracing",
]

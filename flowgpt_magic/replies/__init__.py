"""One request and its reply: sending, retrying, caching, checking, and watching it."""

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

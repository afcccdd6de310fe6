"""One request and its reply: resolve, send, retry, cache, check, log and trace it."""

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

"""One request and its reply: resolve, send, retry, cache, check, log and trace it."""

__all__ = [
    "cache",
    "code_blocks",
    "comparison",
    "dry_run",
    "events",
    "log",
    "prepared_columns",
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
    "think_tags",
    "tracing",
]

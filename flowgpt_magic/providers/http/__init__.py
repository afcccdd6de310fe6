"""One HTTP request: its connection, the body of its response, and its failures as our errors."""

__all__ = ["body", "client", "connection", "errors", "lenient_events", "server_sent_events"]

"""HTTP requests: connections, response bodies, event streams, and errors as our own."""

__all__ = ["body", "client", "connection", "errors", "lenient_events", "server_sent_events"]

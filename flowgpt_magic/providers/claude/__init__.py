"""Claude's Messages API: the body of a request, the events of a reply, and the errors."""

__all__ = ["errors", "replies", "requests"]

"""Which notebook and which cell is running."""

__all__ = ["jupyter_servers", "place"]

"""Which notebook and which cell runs, and the access to IPython."""

__all__ = ["ipython", "place"]

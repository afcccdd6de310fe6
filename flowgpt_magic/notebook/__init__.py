"""Which notebook and which cell is running, and the access to IPython."""

__all__ = ["attached_pictures", "code_cells", "comms", "ipython", "place"]

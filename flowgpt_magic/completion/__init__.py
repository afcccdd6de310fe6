"""Tab completion for the magics and the panel."""

__all__ = ["complete", "names", "shell", "values"]

"""Tab completion: what is typed, and what could stand there."""

__all__ = ["complete", "names", "shell", "values"]

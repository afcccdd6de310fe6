"""The rows of a large table as prompts, on the workers of Ray, Dask or Spark."""

__all__ = ["partitions"]

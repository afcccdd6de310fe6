"""Ask the rows of a large table on the workers of Ray, Dask or Spark."""

__all__ = ["partitions"]

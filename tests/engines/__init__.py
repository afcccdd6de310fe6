"""Real engines and servers: Ray Data, Dask and Spark workers, Ray Serve, LiteLLM, llama.cpp.

They are no part of a usual run: ``pytest -m clusters`` runs them. The first time it makes an environment of its own,
``.venv-clusters`` in the checkout (2 GB, all from PyPI; Spark needs a Java runtime, and is left out without one).
``CLUSTERS_PYTHON`` can be the path of an interpreter that has all of that. Everything listens on 127.0.0.1, sends no
statistics, and is stopped at the end, also after a failure.
"""

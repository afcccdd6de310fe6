"""What installing the package leaves of the releases that Colab has."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.kernel.conftest import COLAB_RELEASES, FIRST_TIME

VERSIONS = (
    "import json, sys; from importlib.metadata import version as v; print(json.dumps([v(n) for n in sys.argv[1:]]))"
)


@FIRST_TIME
@pytest.mark.colab
def test_installing_the_package_changes_none_of_colabs_releases(colab_python: Path):
    command = [str(colab_python), "-c", VERSIONS, *COLAB_RELEASES]

    installed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert installed == list(COLAB_RELEASES.values())

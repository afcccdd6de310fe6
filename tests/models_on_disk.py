"""Where the embedded model's weights are on this machine, whatever folder the tests use for everything else."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from flowgpt_magic import settings
from flowgpt_magic.providers import weights


def weights_on_disk() -> Path:
    """The folder with the weights: ``FLOWGPT_TEST_MODEL_DIR``, or the user's own data folder."""
    named = os.environ.get("FLOWGPT_TEST_MODEL_DIR")
    folder = Path(named).expanduser() if named else platformdirs.user_data_path(settings.APP)
    file = folder / weights.SMOLLM2.filename
    assert file.is_file(), f"the tests need the weights of the embedded model; to fetch them: {weights.INSTALL}"
    return folder

"""Where the embedded model's weights are on this machine, whatever folder the tests use for everything else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import platformdirs

from flowgpt_magic import installing, settings
from flowgpt_magic.providers.llama_cpp import weights


def weights_on_disk() -> Path:
    """The folder with the weights: ``FLOWGPT_TEST_MODEL_DIR``, or the user's own data folder."""
    named = os.environ.get("FLOWGPT_TEST_MODEL_DIR")
    folder = Path(named).expanduser() if named else platformdirs.user_data_path(settings.settings.APP)
    file = folder / weights.SMOLLM2.filename
    hint = installing.module("install-model")
    assert file.is_file(), f"the tests need the weights of the embedded model; to fetch them: {hint}"
    return folder


def run_script(body: str, model_folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What became of a process that runs ``body`` and finds the weights in ``model_folder``."""
    environment = {**os.environ, "FLOWGPT_DATA_DIR": str(model_folder), **variables}
    script = "from flowgpt_magic.providers.local import Local\n" + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )

"""What is in the packages that are published, and the extension that a wheel brings to JupyterLab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import jupyterlab
import pytest

REPOSITORY = Path(__file__).parent.parent
SOURCE = REPOSITORY / "flowgpt_magic" / "labextension"
SHARED = "share/jupyter/labextensions/flowgpt_magic/"
BUILDER = ("hatchling>=1.26", "hatch-fancy-pypi-readme>=24.1")
LABEXTENSION = """
import site, sys
site.addsitedir(sys.argv.pop(1))
from jupyterlab.labextensions import main
main()
"""
ENDS = ("/node_modules/", "/lib/", ".ts", ".tsbuildinfo", ".map")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("built")
    quietly = ["--quiet", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *quietly, "--target", str(folder / "builder"), *BUILDER]
    subprocess.run(install, check=True, timeout=280)
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(folder / "builder")}
    subprocess.run(build, cwd=REPOSITORY, env=environment, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def shared_files(wheel: Path) -> dict[str, bytes]:
    """The files that the wheel puts where JupyterLab looks for extensions."""
    with zipfile.ZipFile(wheel) as file:
        return {name.partition(SHARED)[2]: file.read(name) for name in file.namelist() if SHARED in name}


def test_the_extension_has_the_version_of_the_package():
    versions = {json.loads((SOURCE / name / "package.json").read_text("utf-8"))["version"] for name in (".", "built")}
    project = (REPOSITORY / "pyproject.toml").read_text("utf-8")

    assert [f'version = "{version}"' in project.splitlines() for version in versions] == [True]


def test_the_wheel_is_small_and_has_the_built_extension(wheel):
    files = shared_files(wheel)
    page = json.loads(files["package.json"])["jupyterlab"]["_build"]

    assert wheel.stat().st_size < 1_000_000
    assert page["load"] in files
    assert json.loads(files["install.json"])["packageName"] == "flowgpt_magic"
    assert set(files) - {"install.json"} == {
        path.relative_to(SOURCE / "built").as_posix() for path in (SOURCE / "built").rglob("*") if path.is_file()
    }


def test_the_wheel_has_nothing_that_pages_are_made_of(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert [name for name in names if name.startswith(("flowgpt_magic/labextension", "flowgpt_magic/panel/src"))] == []
    assert [name for name in names if any(end in name for end in ENDS)] == []


def test_the_source_distribution_has_what_pages_are_made_of(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    sources = {path.relative_to(REPOSITORY).as_posix() for path in (SOURCE / "src").rglob("*.ts")}

    assert names > sources
    assert names > {f"flowgpt_magic/labextension/{name}" for name in ("package-lock.json", "core/package.json")}
    assert "flowgpt_magic/panel/src/package-lock.json" in names
    assert [name for name in names if "/node_modules/" in name or "/labextension/lib/" in name] == []


@pytest.fixture(scope="module")
def labextension(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs ``jupyter labextension`` in a new environment with the wheel; JupyterLab itself is that of this one."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=120)
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER"))}
    command = [str(python), "-c", LABEXTENSION, str(Path(jupyterlab.__file__).parents[1])]
    how = {"env": {**inherited, **own}, "capture_output": True, "text": True, "check": True, "timeout": 120}

    def run(*arguments: str) -> str:
        ended = subprocess.run([*command, *arguments], **how)
        return ended.stdout + ended.stderr

    return run


def test_jupyterlab_lists_the_extension_of_an_installed_wheel_and_switches_it_off(labextension):
    def state() -> str:
        return next(line for line in labextension("list").splitlines() if "flowgpt_magic v" in line)

    assert "enabled" in state()
    assert "OK" in state()
    labextension("disable", "flowgpt_magic")
    assert "disabled" in state()

"""Plug-ins as their users have them: installed into an environment of their own, good ones and broken ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowgpt_magic import Conversation
from flowgpt_magic.errors import FlowGptWarning, ProviderNotFoundError
from flowgpt_magic.providers import models, registry

REPOSITORY = Path(__file__).parent.parent
EXAMPLE = Path(__file__).parent / "plugin_example"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "flowgpt-broken"
version = "1.0"

[project.entry-points."flowgpt_magic.providers"]
broken = "flowgpt_broken:Broken"

[tool.hatch.build.targets.wheel]
only-include = ["flowgpt_broken.py"]
"""
CELL = """
import warnings
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

warnings.simplefilter("ignore")
quiet = Config()
quiet.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=quiet)
for cell in ("%load_ext flowgpt_magic", "%%flowgpt shout:louder -f text\\nbe quiet"):
    shell.run_cell(cell).raise_error()
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment, in which this package, the example and a broken plug-in are installed.

    Nothing in it comes from here: the packages are built, and what they need is installed by pip.
    """
    folder = tmp_path_factory.mktemp("fresh")
    shutil.copytree(EXAMPLE, folder / "example")
    (folder / "broken").mkdir()
    (folder / "broken" / "pyproject.toml").write_text(PROJECT)
    (folder / "broken" / "flowgpt_broken.py").write_text("import a_library_that_is_not_there\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    packages = [str(REPOSITORY), str(folder / "example"), str(folder / "broken"), "pytest"]
    subprocess.run([sys.executable, *install, *packages], check=True, timeout=280)
    return python


@pytest.fixture
def run(fresh: Path) -> Callable[..., str]:
    """Run the new environment's interpreter in the example's folder; returns what it prints."""

    def run_one(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
        ended = subprocess.run(
            [str(fresh), *arguments],
            cwd=fresh.parents[2] / "example",
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return run_one


def test_the_example_is_a_dozen_lines():
    code = (EXAMPLE / "flowgpt_shout.py").read_text("utf-8").splitlines()
    lines = [line for line in code if line.strip() and not line.startswith('"""')]

    assert len(lines) <= 12


def test_its_readme_names_what_is_there():
    text = (EXAMPLE / "README.md").read_text("utf-8")

    assert {path.name for path in EXAMPLE.iterdir() if path.is_file()} >= {"pyproject.toml", "flowgpt_shout.py"}
    for name in ("pyproject.toml", "flowgpt_shout.py", "test_flowgpt_shout.py"):
        assert name in text
        assert (EXAMPLE / name).is_file()


def test_in_a_fresh_environment_it_passes_its_own_tests(run):
    assert "2 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_in_a_fresh_environment_it_is_found_and_nothing_comes_from_here(run, fresh):
    code = (
        "import flowgpt_magic, flowgpt_shout; from flowgpt_magic.providers.models import find_model; "
        "print(find_model('shout:louder'), find_model('loud'), flowgpt_magic.__file__, flowgpt_shout.__file__)"
    )
    shout, loud, *files = run("-I", "-W", "ignore", "-c", code).split()

    assert (shout, loud) == ("shout:louder", "shout:loud")
    assert all(Path(file).is_relative_to(fresh.parents[1]) for file in files)


def test_in_a_fresh_environment_a_cell_asks_it(run):
    assert "BE! QUIET!" in run("-c", CELL)


def test_in_a_fresh_environment_a_broken_one_is_named_and_stops_nobody(run):
    code = "from flowgpt_magic.providers.models import find_model; print(find_model('loud'))"
    printed = run("-c", code)

    assert "FlowGptWarning: provider 'broken' cannot be loaded: ModuleNotFoundError: No module named" in printed
    assert "a_library_that_is_not_there" in printed
    assert "shout:loud" in printed


# Broken in other ways

HEAD = """
from flowgpt_magic import AsyncGeneratorProvider, ProviderModelMixin

class Broken(AsyncGeneratorProvider, ProviderModelMixin):
    default_model = "m"
"""
ANSWERS = """
    @classmethod
    async def create_async_generator(cls, model, messages, **kwargs):
        yield "x"
"""


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Callable[[str], None]]:
    """Install a provider named ``broken`` with this code, and an other one named ``fine``."""
    monkeypatch.syspath_prepend(tmp_path)

    def install_one(code: str) -> None:
        (tmp_path / "flowgpt_broken.py").write_text(code)
        (tmp_path / "flowgpt_fine.py").write_text(HEAD.replace('"m"', '"finest"') + ANSWERS)
        metadata = tmp_path / "flowgpt_broken-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: flowgpt_broken\nVersion: 1.0\n")
        points = "[flowgpt_magic.providers]\nbroken = flowgpt_broken:Broken\nfine = flowgpt_fine:Broken\n"
        (metadata / "entry_points.txt").write_text(points)
        registry._entry_points.cache_clear()

    yield install_one
    registry._entry_points.cache_clear()
    for name in ("flowgpt_broken", "flowgpt_fine"):
        sys.modules.pop(name, None)


NOT_CONTAINED = pytest.mark.xfail(strict=True, reason="models.py lets it through")
BROKEN = {
    "a library is missing": "import a_library_that_is_not_there",
    "its name is wrong": "Borken = 3",
    "it is no class": "Broken = 3",
    "it ends the process": "raise SystemExit(3)",
    "its models raise": HEAD
    + "    @classmethod\n    def get_models(cls):\n        raise RuntimeError('no')\n"
    + ANSWERS,
    "its aliases are none": HEAD + "    model_aliases = None\n" + ANSWERS,
}
LET_THROUGH: set[str] = set()


@pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning")
@pytest.mark.parametrize("how", [pytest.param(h, marks=NOT_CONTAINED if h in LET_THROUGH else ()) for h in BROKEN])
def test_a_broken_plug_in_is_named_in_a_warning_and_does_not_stop_the_others(install, how):
    install(BROKEN[how])

    try:
        with pytest.warns(FlowGptWarning, match="'broken'"):
            assert str(models.find_model("finest")) == "fine:finest"
        assert models.is_model_name("finest")
        assert Conversation().ask("hi", model="fine", history=False).text == "x"
    except SystemExit:
        pytest.fail("it ended the process")


def test_one_that_is_asked_for_by_its_name_says_what_is_wrong_with_it(install):
    install("raise RuntimeError('no display')")

    with pytest.raises(ProviderNotFoundError, match=r"provider .broken. cannot be loaded: .*no display"):
        Conversation().ask("hi", model="broken")


def test_listing_and_choosing_by_name_import_no_plug_in(install):
    install("raise RuntimeError('imported')")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {"broken", "fine"} <= set(registry.provider_names())
        assert str(models.find_model("fine:finest")) == "fine:finest"
        assert models.is_model_name("broken:anything")

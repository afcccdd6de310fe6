"""Which process is this, and does another one still run?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.history import processes as kernels
from flowgpt_magic.history.processes import is_alive, this_kernel
from tests import processes

LINUX = sys.platform == "linux"
NAME_AND_WAIT = "from flowgpt_magic.history.processes import this_kernel; print(this_kernel(), flush=True); input()"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process that tells its name and waits."""
    with processes.running([sys.executable, "-c", NAME_AND_WAIT], **processes.TEXT) as process:
        yield process


def test_this_process_lives():
    assert is_alive(this_kernel()) is True


def test_another_process_lives_until_it_ends(other):
    name = other.stdout.readline().strip()

    assert name != this_kernel()
    assert is_alive(name) is True
    other.communicate("\n", timeout=60)
    assert is_alive(name) is False


@pytest.mark.skipif(not LINUX, reason="a dead child that nobody asked for is a matter of Unix")
def test_a_process_that_was_killed_is_dead_before_its_parent_asks_for_it(other):
    name = other.stdout.readline().strip()

    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)

    assert is_alive(name) is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_a_name_of_its_own():
    name = this_kernel()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, kernels.this_kernel().encode())
        os._exit(0)
    os.close(write)
    with open(read) as end:
        told = end.read()
    os.waitpid(child, 0)

    assert told.split()[0] == str(child)
    assert told != name


def test_a_number_that_was_given_again_is_another_process():
    pid, start, place = this_kernel().split(" ", 2)

    assert is_alive(f"{pid} {int(start) - 1} {place}") is False


def test_a_process_of_another_machine_or_container_cannot_be_told():
    pid, start, _place = this_kernel().split(" ", 2)

    assert is_alive(f"{pid} {start} elsewhere") is None


def test_without_its_start_a_number_that_runs_says_nothing_and_one_that_does_not_is_dead(other):
    pid, _start, place = other.stdout.readline().strip().split(" ", 2)

    assert is_alive(f"{pid} ? {place}") is None
    other.communicate("\n", timeout=60)
    assert is_alive(f"{pid} ? {place}") is False


@settings(deadline=None)
@given(st.text() | st.lists(st.text(max_size=3), max_size=4).map(" ".join))
def test_whatever_stands_there_it_is_only_not_known(name):
    assert is_alive(name) is None


@settings(deadline=None)
@given(st.sampled_from(["-1", "0", "x", "", "1.5", "²", "9" * 30]), st.text(max_size=4))
def test_a_number_that_no_process_can_have_is_not_a_living_one(pid, start):
    place = this_kernel().split(" ", 2)[2]

    assert not is_alive(f"{pid} {start.replace(' ', '')} {place}")


class TestElsewhere:
    """macOS and Windows, which have no /proc."""

    @pytest.fixture(autouse=True)
    def no_proc(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        monkeypatch.setattr(kernels, "PROC", tmp_path / "none")
        monkeypatch.setattr(kernels, "sys", SimpleNamespace(platform="darwin"))
        kernels._kernel_name.cache_clear()
        yield
        kernels._kernel_name.cache_clear()

    def test_this_process_lives_and_its_place_is_the_host(self):
        pid, start, place = this_kernel().split(" ", 2)

        assert is_alive(this_kernel()) is True
        assert (pid, "/" in place) == (str(os.getpid()), False)
        assert start.isdecimal()

    def test_another_process_lives_until_it_ends(self, other):
        other.stdout.readline()
        start, place = kernels._start(other.pid), this_kernel().split(" ", 2)[2]

        assert is_alive(f"{other.pid} {start} {place}") is True
        other.communicate("\n", timeout=60)
        assert is_alive(f"{other.pid} {start} {place}") is False

    @pytest.mark.skipif(not LINUX, reason="a dead child that nobody asked for is a matter of Unix")
    def test_a_process_that_was_killed_is_dead_before_its_parent_asks_for_it(self, other):
        other.stdout.readline()

        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)

        assert kernels._start(other.pid) is None

    def test_without_psutil_it_is_not_known(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "psutil", None)

        assert this_kernel().split(" ")[1] == "?"
        assert is_alive(this_kernel()) is None

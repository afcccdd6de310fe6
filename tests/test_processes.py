"""A process that a test leaves behind is found."""

from __future__ import annotations

import sys

import psutil
import pytest

from tests import processes

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin, start_new_session=True)
print(child.pid, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there every process is a parent's until its end")
def test_one_whose_parent_has_ended_is_found_and_named(request: pytest.FixtureRequest) -> None:
    with processes.running([sys.executable, "-c", PARENT], **processes.TEXT) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.wait()
        (found,) = [process for process in processes.left_over(0) if process.pid == child.pid]
        assert request.node.name in processes.described(found)
        parent.stdin.close()
        child.wait(30)
        assert child not in processes.left_over(0)


def test_all_that_a_process_has_started_ends_with_it() -> None:
    code = PARENT.replace(", start_new_session=True", "") + "child.wait()"
    with processes.running([sys.executable, "-c", code], **processes.TEXT) as parent:
        child = psutil.Process(int(parent.stdout.readline()))

    child.wait(30)
    assert parent.returncode is not None

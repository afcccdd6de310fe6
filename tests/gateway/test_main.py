"""The program ``python -m flowgpt_magic.gateway``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from flowgpt_magic.providers.flowgpt import PATH, FlowGpt, request_body, request_headers
from tests.gateways import HELLO, PROMPT, SECRET
from tests.servers import closed_port


def run(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flowgpt_magic.gateway", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_its_address_and_ends_when_told_to(number: int) -> None:
    program = run("--model", "echo:words", "--port", "0", FLOWGPT_GATEWAY_TOKEN=SECRET)
    assert program.stdout is not None
    name, _, url = program.stdout.readline().strip().partition("=")
    assert name == "FLOWGPT_BASE_URL"
    assert list(FlowGpt.create_completion("", HELLO, base_url=url, token=SECRET)) == ["hello ", "big ", "world"]
    program.send_signal(number)
    _, log = program.communicate(timeout=PROMPT)
    assert program.returncode == 0
    assert "200 echo:words 3 chunks" in log
    assert "Traceback" not in log
    assert "hello" not in log
    assert SECRET not in log


@pytest.mark.parametrize("words", [["--model", "echo:wrods"], ["--host", "0.0.0.0", "--model", "echo"]])
def test_the_program_says_in_one_line_why_it_cannot_run(words: list[str]) -> None:
    program = run("--port", str(closed_port()), *words)
    shown, problem = program.communicate(timeout=4 * PROMPT)
    assert program.returncode == 1
    assert shown == ""
    assert len(problem.splitlines()) == 1
    assert problem.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("grace", "twice"), [("0", False), ("600", True)])
def test_the_grace_is_as_long_as_told_and_a_second_signal_ends_it(grace: str, twice: bool) -> None:
    program = run("--model", "echo:words", "--port", "0", "--grace", grace, FLOWGPT_PACE="0.05")
    assert program.stdout is not None
    url = program.stdout.readline().strip().partition("=")[2]
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        body = json.dumps(request_body("m", [{"role": "user", "content": "word " * 5000}], 0.5))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request_headers("").items())
        client.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{lines}\r\n{body}".encode()
        )
        assert client.recv(1)  # the reply has begun
        program.send_signal(signal.SIGINT)
        if twice:
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(0.5)
            program.send_signal(signal.SIGINT)
        _, log = program.communicate(timeout=PROMPT)
    assert program.returncode == (130 if twice else 0)
    assert "Traceback" not in log

"""Clusters of servers behind one address, while what stands behind it dies: LiteLLM's proxy, and llama.cpp's server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flowgpt_magic import map_prompts
from flowgpt_magic.providers.llama_cpp import weights
from tests.engines.conftest import Record, environment, serving_process
from tests.engines.recipes import recipe
from tests.models_on_disk import weights_on_disk
from tests.providers.openai.test_llama_cpp_server import KEY, SERVE
from tests.servers import closed_port

PROXY_KEY = f"sk-{uuid4().hex}"


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 180
    while not ready():
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server has not started"
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def proxy(python: str, folder: Path, backends: list[int]) -> Iterator[str]:
    """LiteLLM's proxy in front of these ports, set up as the notebook says."""
    config, port = recipe("model_list:", "yaml"), closed_port()
    for number, backend in enumerate(backends, 1):
        assert f"http://gpu{number}:8000/v1" in config
        config = config.replace(f"http://gpu{number}:8000/v1", f"http://127.0.0.1:{backend}/v1")
    (folder / "litellm.yaml").write_text(config)
    command = [str(Path(python).with_name("litellm")), "--config", "litellm.yaml", "--port", str(port)]
    with open(folder / "litellm.log", "wb") as log:
        how: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT, "cwd": folder}
        env = environment(folder / "data", NO_PROXY="*", LITELLM_MASTER_KEY=PROXY_KEY)
        with ended(subprocess.Popen([*command, "--host", "127.0.0.1"], env=env, **how)) as process:
            wait_until(lambda: listens(port), process)
            yield f"http://127.0.0.1:{port}/v1"


def test_one_of_two_backends_behind_litellm_is_killed(python, tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSTER_KEY", PROXY_KEY)
    record, prompts = Record(tmp_path / "record.jsonl"), [f"prompt {n}" for n in range(300)]
    how = f'{{"record": "{record.path}", "seconds": 0.05}}'
    command, env = [sys.executable, "-m", "tests.engines.backend", how], environment(tmp_path / "data")
    with ExitStack() as stack:
        first, second = (stack.enter_context(serving_process(command, env)) for _ in range(2))
        base_url = stack.enter_context(proxy(python, tmp_path, [first["port"], second["port"]]))
        begun = time.monotonic()
        given = {"openai_base_url": base_url, "openai_key": "CLUSTER_KEY"}
        batch = map_prompts(prompts, model="openai_compatible:qwen", concurrency=16, progress=False, **given)
        for number, _result in enumerate(batch.as_completed()):
            if number == 100:
                os.kill(first["process"].pid, signal.SIGKILL)
        seconds = time.monotonic() - begun

    asked, answered = record.count("asked"), record.count("answered")
    print(f"300 prompts through LiteLLM, one of two backends killed: {seconds:.1f} s, ", end="")
    print(f"{sum(asked.values()) - 300} of those in flight were asked again")
    assert [result.error for result in batch.failed] == []
    assert batch.texts == prompts
    assert answered == dict.fromkeys(prompts, 1)
    assert len(record.processes("prompt ")) == 2


@contextmanager
def llama_server(port: int) -> Iterator[subprocess.Popen[Any]]:
    """llama.cpp's own server with the embedded model."""
    model = str(weights_on_disk() / weights.SMOLLM2.filename)
    serve = SERVE.replace('["127.0.0.1"], 0', f'["127.0.0.1"], {port}')
    command = [sys.executable, "-c", serve, model, KEY]
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.filterwarnings("ignore:the reply was cut off")
def test_a_server_of_llama_cpp_is_killed_and_started_again(monkeypatch):
    monkeypatch.setenv("RUNTIME_KEY", KEY)
    port, prompts = closed_port(), [f"Say {n}." for n in range(300)]
    given = {"openai_base_url": f"http://127.0.0.1:{port}/v1", "openai_key": "RUNTIME_KEY"}
    with llama_server(port):
        batch = map_prompts(
            prompts,
            model="openai_compatible:m",
            params={"max_tokens": 2},
            concurrency=8,
            progress=False,
            **given,
        )
        results = batch.as_completed().__iter__()
        first = [next(results) for _ in range(100)]
    with llama_server(port):
        rest = list(results)

    seen = sorted(result.index for result in [*first, *rest])
    assert [result.error for result in batch.failed] == []
    assert seen == list(range(300))
    assert {result.status for result in batch.results} == {"complete"}

"""A Ray cluster on this machine with a real Ray Serve in front of replicas that speak the OpenAI protocol.

It is run in a process of its own, ``python -m tests.engines.ray_server``, with its settings as JSON in the first
argument, prints one line of JSON, and ends when its standard input is closed. A replica takes ``seconds`` for an
answer, which is the prompt, and writes two lines into ``record`` for each: when it is asked and when all is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse


def note(record: str, what: str, prompt: str) -> None:
    """One line, in one step, whoever else writes."""
    line = json.dumps([what, prompt, os.getpid()]) + "\n"
    with open(record, "ab", buffering=0) as file:
        file.write(line.encode())


class Replica:
    """Answers with the prompt."""

    def __init__(self, record: str, seconds: float) -> None:
        self._record, self._seconds = record, seconds

    async def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model"}]})
        prompt = (await request.json())["messages"][-1]["content"]
        note(self._record, "asked", prompt)
        await asyncio.sleep(self._seconds)
        return StreamingResponse(self._events(prompt), media_type="text/event-stream")

    async def _events(self, prompt: str) -> AsyncIterator[bytes]:
        for delta, reason in (({"role": "assistant", "content": prompt}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            yield b"data: %s\n\n" % json.dumps(event).encode()
        yield b"data: [DONE]\n\n"
        note(self._record, "answered", prompt)


def start(how: dict[str, Any]) -> str:
    """Start the cluster, and one application for each entry of ``apps``; returns the cluster's address."""
    context = ray.init(
        num_cpus=how.get("cpus", 4),
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    serve.start(http_options={"host": "127.0.0.1", "port": how["port"]}, proxy_location="HeadOnly")
    for name, app in how["apps"].items():
        deployment = serve.deployment(
            Replica,
            name=name,
            num_replicas=app["replicas"],
            ray_actor_options={"num_cpus": 0},
            max_ongoing_requests=app.get("at_once", 8),
            max_queued_requests=app.get("queued", -1),
            graceful_shutdown_timeout_s=0.1,
            health_check_period_s=1,
        )
        serve.run(deployment.bind(how["record"], app.get("seconds", 0.2)), name=name, route_prefix=f"/{name}")
    return str(context.address_info["address"])


if __name__ == "__main__":
    address = start(json.loads(sys.argv[1]))
    print(json.dumps({"address": address}), flush=True)
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()

"""A small server of the OpenAI protocol in a process of its own, to stand behind a proxy and to be killed.

``python -m tests.engines.backend '{"record": …, "seconds": …}'`` prints its port as JSON, answers each prompt with
itself, and writes down what it was asked and what it has answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from tests.openai_servers import reply, streaming
from tests.servers import Connection, Request, serving, whole


def note(record: str, what: str, prompt: str) -> None:
    """One line, in one step, whoever else writes."""
    line = json.dumps([what, prompt, os.getpid()]) + "\n"
    with open(record, "ab", buffering=0) as file:
        file.write(line.encode())


async def run(how: dict[str, Any]) -> None:
    """Serve until the standard input is closed."""

    async def answer(request: Request, connection: Connection) -> None:
        if not request.line.startswith("POST "):
            return await connection.send(whole(b'{"object": "list", "data": [{"id": "m"}]}'))
        prompt = request.json["messages"][-1]["content"]
        note(how["record"], "asked", prompt)
        await asyncio.sleep(how["seconds"])
        await streaming(reply(prompt))(request, connection)
        return note(how["record"], "answered", prompt)

    async with serving(answer) as server:
        print(json.dumps({"port": server.port}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))

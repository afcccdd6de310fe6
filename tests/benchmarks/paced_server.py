"""A server of the FlowGPT protocol that sends what its question asks for, at that pace. Run as a process of its own.

It speaks the protocol of OpenAI's chat completions too, for the packages that are compared with this one.

The question is JSON: ``chunks``, ``gap`` (seconds), ``text`` (what to cut into chunks of ``size`` characters, as many
``times`` as it says) or, without it, chunks that hold the moment they were sent. Prints its port, and the moment each
client goes away.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable

from aiohttp import web


async def answer(request: web.Request) -> web.StreamResponse:
    return await send(request, (await request.json())["question"], lambda data: {"event": "text", "data": data})


async def complete(request: web.Request) -> web.StreamResponse:
    message = (await request.json())["messages"][-1]["content"]
    question = message if isinstance(message, str) else message[0]["text"]
    facts = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "paced"}

    def event(data: str) -> dict[str, object]:
        return {**facts, "choices": [{"index": 0, "delta": {"content": data}, "finish_reason": None}]}

    return await send(request, question, event, "data: ", "\n\n", "data: [DONE]\n\n")


async def send(
    request: web.Request,
    question: str,
    event: Callable[[str], dict[str, object]],
    begin: str = "",
    end: str = "\n",
    last: str = "",
) -> web.StreamResponse:
    plan = json.loads(question)
    text, size = plan.get("text", "") * plan.get("times", 1), plan.get("size", 8)
    chunks = [text[n : n + size] for n in range(0, len(text), size)] if text else [None] * plan["chunks"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    begun = time.monotonic()
    try:
        for number, chunk in enumerate(chunks):
            pause = begun + number * plan["gap"] - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            data = f"t={time.monotonic():.6f} \n\n" if chunk is None else chunk
            await response.write(f"{begin}{json.dumps(event(data))}{end}".encode())
        await response.write(last.encode())
    except (ConnectionError, asyncio.CancelledError):
        print(f"gone {time.monotonic():.6f}", flush=True)
        raise
    return response


async def main() -> None:
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v3/chat-anonymous", answer)
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until its parent goes away
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())

"""A server of the FlowGPT protocol that sends what its question asks for, at that pace. Run as a process of its own.

The question is JSON: ``chunks``, ``gap`` (seconds), ``text`` (what to cut into chunks of ``size`` characters) or,
without it, chunks that hold the moment they were sent. Prints its port, and the moment each client goes away.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiohttp import web


async def answer(request: web.Request) -> web.StreamResponse:
    plan = json.loads((await request.json())["question"])
    text, size = plan.get("text"), plan.get("size", 8)
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
            await response.write(json.dumps({"event": "text", "data": data}).encode() + b"\n")
    except (ConnectionError, asyncio.CancelledError):
        print(f"gone {time.monotonic():.6f}", flush=True)
        raise
    return response


async def main() -> None:
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v3/chat-anonymous", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until its parent goes away
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())

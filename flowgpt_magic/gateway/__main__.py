"""``python -m flowgpt_magic.gateway``: a gateway that runs until it is interrupted."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.gateway.options import Options, read_options
from flowgpt_magic.gateway.server import Gateway
from flowgpt_magic.printing import write_line


async def serve(options: Options) -> None:
    """Run a gateway until SIGINT or SIGTERM; a second signal ends the replies in flight at once."""
    server = Gateway(options)
    stopped = asyncio.Event()
    loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        # Not supported on Windows, where Ctrl-C cancels this coroutine.
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    await server.open()
    try:
        write_line(f"FLOWGPT_BASE_URL={server.url}")
        await stopped.wait()
    finally:
        for number in signals:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
        await server.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, by default those of the command line; return its exit status."""
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        asyncio.run(serve(options))
    except FlowGptError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

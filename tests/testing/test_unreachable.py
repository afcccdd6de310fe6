"""Two addresses where nobody answers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from yarl import URL

from flowgpt_magic.testing.unreachable import closed_address, silent_server


async def test_at_a_closed_address_nobody_listens():
    url = URL(closed_address())

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(url.host, url.port)


async def test_a_silent_server_takes_what_it_is_sent_and_says_nothing():
    with silent_server() as address:
        url = URL(address)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"POST / HTTP/1.1\r\n\r\n")
        await writer.drain()
        reading = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0.05)

        assert not reading.done()
        reading.cancel()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(url.host, url.port)

"""``asyncio.run`` inside a running loop: switched on, and taken back. Each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SETUP = """
import asyncio
import asyncio.events, asyncio.futures, asyncio.tasks
from flowgpt_magic import bridge
from flowgpt_magic.magics import nested_asyncio as nested

async def inner():
    await asyncio.sleep(0)
    return "inner"

async def words():
    for word in ("one ", "two ", "three"):
        await asyncio.sleep(0)
        yield word

def read():
    return "".join(bridge.iterate(words))

def refused():
    coroutine = inner()
    try:
        asyncio.run(coroutine)
    except RuntimeError as error:
        coroutine.close()
        return "cannot be called from a running event loop" in str(error)
    return False

def state():
    places = [asyncio, asyncio.tasks, asyncio.futures, asyncio.events, type(nested._policy())]
    return [(place.__name__, dict(vars(place))) for place in places]

asyncio.new_event_loop().close()  # the first loop leaves a policy behind, nested or not
nesting = nested.Nesting()
"""


def run(body: str, *, inside: bool = True) -> None:
    """Run ``body`` in a fresh process, inside a running loop or outside of one; it must print nothing."""
    code = textwrap.dedent(body)
    if inside:
        code = "async def main():\n" + textwrap.indent(code, "    ") + "\nasyncio.run(main())"
    ended = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_without_being_asked_for_it_is_off():
    run("assert refused()")


def test_on_lets_a_run_inside_a_run():
    run("""
        nesting.switch(on=True)
        assert asyncio.run(inner()) == "inner"
        assert await inner() == "inner"
    """)


def test_off_gives_asyncio_back_as_it_was():
    run("""
        before = state()
        nesting.switch(on=True)
        assert state() != before
        asyncio.run(inner())
        nesting.switch(on=False)
        assert state() == before
        assert refused()
        assert await asyncio.create_task(inner()) == "inner"
    """)


def test_on_and_off_again_and_again():
    run("""
        before = state()
        for _ in range(3):
            nesting.switch(on=True)
            nesting.switch(on=True)
            assert asyncio.run(inner()) == "inner"
            nesting.switch(on=False)
            nesting.switch(on=False)
            assert refused()
        assert state() == before
    """)


def test_off_without_on_changes_nothing():
    run("""
        before = state()
        nesting.switch(on=False)
        assert state() == before
    """)


@pytest.mark.parametrize("inside", [True, False])
def test_replies_are_read_before_during_and_after(inside):
    run(
        """
        assert read() == "one two three"
        nesting.switch(on=True)
        assert read() == "one two three"
        assert asyncio.run(inner()) == "inner"
        assert read() == "one two three"
        nesting.switch(on=False)
        assert read() == "one two three"
        """,
        inside=inside,
    )


def test_a_worker_that_starts_while_it_is_on_goes_on_after_it_is_off():
    run("""
        nesting.switch(on=True)
        assert read() == "one two three"
        nesting.switch(on=False)
        assert read() == "one two three"
        bridge.close_worker()
        assert read() == "one two three"
    """)


def test_outside_of_a_loop_it_can_be_switched_too():
    run(
        """
        before = state()
        nesting.switch(on=True)
        assert asyncio.run(inner()) == "inner"
        nesting.switch(on=False)
        assert state() == before
        assert asyncio.run(inner()) == "inner"
        """,
        inside=False,
    )


def test_what_the_users_program_has_patched_stays_patched():
    run("""
        import nest_asyncio2
        nest_asyncio2.apply()
        patched = state()
        nesting.switch(on=True)
        nesting.switch(on=False)
        assert state() == patched
        assert asyncio.run(inner()) == "inner"
    """)

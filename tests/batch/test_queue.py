"""Who is asked next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flowgpt_magic.batch.queue import PromptQueue


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def flight(index: int, failures: int = 0) -> Any:
    return SimpleNamespace(item=SimpleNamespace(index=index), failures=failures, due=0.0, begun=5.0)


def test_those_that_are_due_come_first_in_their_order_and_then_new_ones():
    line = PromptQueue(Clock())
    line.new.extend([flight(7), flight(8)])
    for index, pause in ((3, 0.0), (1, 0.0), (2, 9.0)):
        line.put_back(flight(index), pause)

    taken = [line.next(with_new=True) for _ in range(5)]

    assert [None if each is None else each.item.index for each in taken] == [1, 3, 7, 8, None]
    assert (len(line), line.due_in) == (1, 9.0)


def test_new_ones_can_be_held_up_and_those_that_are_due_cannot():
    line = PromptQueue(Clock())
    line.new.append(flight(7))
    line.put_back(flight(1), 0.0)

    assert [line.next(with_new=False).item.index, line.next(with_new=False)] == [1, None]


def test_one_that_is_put_back_counts_as_not_sent():
    line = PromptQueue(Clock())
    line.put_back(flight(1), 0.0)

    assert line.again[1].begun == 0


def test_nobody_waits_any_more():
    line = PromptQueue(Clock())
    line.put_back(flight(1), 60.0)
    line.hurry()

    assert line.due_in == 0
    assert line.next(with_new=False).item.index == 1


def test_the_server_is_probed_with_the_prompt_that_failed_least():
    line = PromptQueue(Clock())
    line.put_back(flight(1, failures=3), 60.0)
    line.put_back(flight(2, failures=1), 60.0)
    line.new.append(flight(9))

    assert [line.probe().item.index for _ in range(3)] == [2, 9, 1]
    assert line.probe() is None

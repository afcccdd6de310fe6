"""What the embedded model answers: ``python -m tests.benchmarks.embedded_answers [cell] [class] [gateway]``.

Asks simple questions with nothing set, in each of the three ways or in those that are named, and counts the right
answers, those that were stopped because they repeat themselves, their length and the time they take. Needs the
weights; takes about two minutes a way on a quiet machine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowgpt_magic import gateway
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.llama_cpp import weights
from flowgpt_magic.providers.local import Local
from tests.kernel.conftest import start

FRANCE = "What is the capital of France?"
TIMES = 6  # how often the first question is asked
BEGINNING = 80  # characters of a wrong answer that are shown
QUESTIONS = {  # what an answer must match to count as right, in any case
    FRANCE: r"\bparis\b",
    "What is the capital of Italy?": r"\brome\b",
    "What is the capital of Germany?": r"\bberlin\b",
    "What is the capital of Spain?": r"\bmadrid\b",
    "What is the capital of Japan?": r"\btokyo\b",
    "What is the capital of England?": r"\blondon\b",
    "What is the capital of Egypt?": r"\bcairo\b",
    "What is the capital of Russia?": r"\bmoscow\b",
    "What is 2 + 2?": r"(= |is |equals |equal to |^)\**(4|four)\b",
    "What is 3 + 5?": r"(= |is |equals |^)\**8\b",
    "What is 10 - 3?": r"(= |is |equals |^)\**7\b",
    "What is 2 times 3?": r"(= |is |equals |^)\**6\b",
    "What is half of 10?": r"\b(5|five)\b",
    "What is a dog?": r"animal|mammal|canine|pet",
    "What is a river?": r"water",
    "What is gravity?": r"force",
    "What is photosynthesis?": r"light|sun",
    "What is a computer?": r"machine|device|electronic|system",
    "What is the Sun?": r"star",
    "What is a triangle?": r"three|3",
    "What colour is the sky?": r"\bblue\b",
    "How many days are in a week?": r"\b(7|seven)\b",
    "Which planet do we live on?": r"\bearth\b",
    "What is the opposite of hot?": r"\bcold\b",
    "What is frozen water called?": r"\bice\b",
    "Who wrote Romeo and Juliet?": r"shakespeare",
    "Write a Python function that adds two numbers.": r"return \(?\w+ \+ \w+",
    "Write a Python function reverse_string.": r"\[::-1\]|reversed\(|range\(len",
    "How do I print hello in Python?": r"print\(",
    "Write a for loop in Python that prints 0 to 9.": r"for \w+ in range\((0, )?10(, 1)?\)",
}


Ask = Callable[[str], tuple[str, list[str]]]
"""Asks a question; returns the text of the answer and the notices that came with it."""


@dataclass(frozen=True)
class Answer:
    """What came back for ``question``; ``seconds`` from asking to its end."""

    question: str
    text: str
    notices: list[str]
    seconds: float

    @property
    def right(self) -> bool:
        """Does it say what it must?"""
        return bool(re.search(QUESTIONS[self.question], self.text, re.IGNORECASE | re.MULTILINE))

    @property
    def stopped(self) -> bool:
        """Was it stopped because it repeats itself?"""
        return any("repeated itself" in notice for notice in self.notices)


@contextmanager
def in_a_cell() -> Iterator[Ask]:
    """What asks in a cell of a real kernel, each question in a conversation of its own."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = start(Path(folder), FLOWGPT_MODEL="local", FLOWGPT_DATA_DIR=str(weights.path().parent))

        def ask(question: str) -> tuple[str, list[str]]:
            kernel.good("%flowgpt new")
            [output] = kernel.good(f"%%flowgpt\n{question}").outputs
            text = output["data"]["text/plain"]
            return text, [output["data"]["text/markdown"].rpartition("\n\n")[2]]  # the caption

        try:
            yield ask
        finally:
            kernel.close()


@contextmanager
def by_the_class() -> Iterator[Ask]:
    """What asks the provider's class, where notices are warnings."""

    def ask(question: str) -> tuple[str, list[str]]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            text = asyncio.run(Local.create_async("", [{"role": "user", "content": question}]))
        return text, [str(each.message) for each in found]

    yield ask


@contextmanager
def by_the_gateway() -> Iterator[Ask]:
    """What asks a gateway by the protocol's own client; the gateway logs notices."""
    found: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("flowgpt_magic")
    with gateway.start("local", port=0) as server:
        asked: dict[str, Any] = {"base_url": server.url, "proxy": ""}

        def ask(question: str) -> tuple[str, list[str]]:
            found.clear()
            text = asyncio.run(FlowGpt.create_async("", [{"role": "user", "content": question}], **asked))
            return text, found.copy()

        log.addHandler(listener)
        try:
            yield ask
        finally:
            log.removeHandler(listener)


WAYS = {"cell": in_a_cell, "class": by_the_class, "gateway": by_the_gateway}


def answered(ask: Ask, questions: Iterable[str]) -> list[Answer]:
    """The answers to ``questions``, one after the other."""
    found = []
    for question in questions:
        begun = time.perf_counter()
        text, notices = ask(question)
        found.append(Answer(question, text, notices, time.perf_counter() - begun))
    return found


def show(name: str, answers: list[Answer]) -> None:
    """One line of figures, and the beginning of each wrong answer."""
    lengths = [len(each.text) for each in answers]
    seconds = [each.seconds for each in answers]
    print(
        f"{name}: {sum(each.right for each in answers)} of {len(answers)} right, "
        f"{sum(each.stopped for each in answers)} stopped; characters: median "
        f"{statistics.median(lengths):.0f}, most {max(lengths)}; seconds: median {statistics.median(seconds):.1f}, "
        f"most {max(seconds):.1f}, all {sum(seconds):.0f}; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    for each in answers:
        if not each.right:
            print(f"    {each.question} {each.text[:BEGINNING]!r} ({len(each.text)} characters)", flush=True)


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FLOWGPT_HISTORY"] = os.path.join(folder, "history.sqlite3")
        for name in sys.argv[1:] or WAYS:
            with WAYS[name]() as ask:
                ask("Hello")  # the model is loaded
                show(f"{name}, {FRANCE}", answered(ask, [FRANCE] * TIMES))
                show(f"{name}, {len(QUESTIONS)} questions", answered(ask, QUESTIONS))


if __name__ == "__main__":
    main()

"""What a long reply costs on its way into the panel: bytes sent, messages, and CPU time of this process.

    python -m tests.benchmarks.markup [--kilobytes 100] [--chunks 20000] [--every 40]

A mixed reply (text, lists, tables, code, formulas) comes in chunks; 1,000 chunks a second and 25 looks a second are 40
chunks a look. Beside it the naive way in the same run: at each look the whole text made into HTML and sent again (of
its looks only one in ten is done, and counted ten times). Then what replies cost that were made to be costly.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise

from flowgpt_magic.markdown.html.changes import Change, GrowingMarkup, blocks_of

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "for",
    "as",
    "with",
    "was",
    "on",
    "are",
    "this",
    "be",
    "at",
    "by",
    "an",
    "which",
    "from",
    "or",
    "have",
    "one",
    "not",
    "what",
    "all",
    "were",
    "when",
    "there",
    "can",
    "more",
    "if",
    "some",
    "these",
    "would",
    "other",
    "into",
    "has",
    "her",
    "than",
    "its",
    "who",
    "now",
    "people",
    "my",
    "over",
    "did",
    "down",
    "only",
    "way",
    "find",
    "use",
    "may",
    "water",
    "long",
    "little",
    "very",
    "after",
    "called",
    "just",
    "where",
    "most",
    "know",
    "model",
    "data",
    "function",
    "value",
    "reply",
    "stream",
]
CODE = '''\
import asyncio
from collections import deque


class Reader:
    """Reads chunks, and keeps the last ones."""

    def __init__(self, size: int = 10) -> None:
        self.last = deque(maxlen=size)  # newest at the right

    async def read(self, chunks):
        total = 0
        async for chunk in chunks:
            if not chunk or chunk == "\\n":
                continue
            total += len(chunk)
            self.last.append(chunk)
            print(f"{total:>8,} characters, the last was {chunk!r}")
        return {"total": total, "last": list(self.last)}
'''
FORMULAS = (
    r"$e^{i\pi} + 1 = 0$",
    r"\(\sum_{k=1}^n k = \frac{n(n+1)}{2}\)",
    r"$\hat{y} = \sigma(w^\top x + b)$",
)


def mixed_reply(size: int, seed: int = 1) -> str:
    """A reply of ``size`` characters like those of a model that explains something at length."""
    chance = random.Random(seed)

    def words(count: int) -> str:
        picked = [chance.choice(WORDS) for _ in range(count)]
        for _ in range(count // 12):
            place = chance.randrange(count)
            picked[place] = chance.choice(("**{}**", "*{}*", "`{}`", "[{}](https://example.org/{})")).replace(
                "{}", picked[place]
            )
        return " ".join(picked).capitalize() + "."

    def section() -> list[str]:
        yield_code = "\n".join(CODE.splitlines()[: chance.randint(8, 20)])
        table = "\n".join(
            f"| {words(2)} | {chance.randint(1, 999)} | {words(4)} |" for _ in range(chance.randint(3, 8))
        )
        return [
            f"## {words(5)}",
            words(60),
            f"{words(25)} {chance.choice(FORMULAS)} {words(20)}",
            "\n".join(f"- **{words(2)}** {words(14)}" for _ in range(chance.randint(3, 7))),
            f"```python\n{yield_code}\n```",
            words(70),
            "\n".join(f"{n}. {words(12)}\n   - {words(6)}\n   - {words(7)}" for n in range(1, chance.randint(3, 6))),
            f"| {words(1)} | {words(1)} | {words(2)} |\n|---|---:|---|\n{table}",
            f"> {words(30)}",
            "\\[\n\\int_0^1 x^2\\,dx = \\frac{1}{3}\n\\]",
            f"```bash\npip install package\npython -m package --size {chance.randint(1, 99)}\n```",
            words(50),
        ]

    parts: list[str] = []
    length = 0
    while length < size:
        parts += section()
        length = len("\n\n".join(parts))
    return "\n\n".join(parts)[:size]


@dataclass(frozen=True)
class Figures:
    """What one way cost: bytes a byte of text, messages, CPU seconds, and of one look the median and the longest."""

    ratio: float
    messages: int
    seconds: float
    median: float
    longest: float


def sent(change: Change) -> int:
    """The bytes of a message that tells of a change."""
    message = {"keep": change.keep, "cut": change.cut, "add": change.add, "blocks": change.blocks}
    return len(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())


def chunks_of(text: str, count: int) -> list[str]:
    """The text in so many pieces of almost the same length."""
    bounds = [len(text) * number // count for number in range(count + 1)]
    return [text[start:end] for start, end in pairwise(bounds)]


def growing(chunks: list[str], every: int) -> Figures:
    """New text only."""
    markup = GrowingMarkup()
    costs, size, messages = [], 0, 0
    for start in range(0, len(chunks), every):
        begun = time.process_time()
        for chunk in chunks[start : start + every]:
            markup.feed(chunk)
        if start + every >= len(chunks):
            markup.finish()
        change = markup.change()
        costs.append(time.process_time() - begun)
        messages += change is not None
        size += sent(change) if change else 0
    return _figures(size, "".join(chunks), messages, costs)


def naive(chunks: list[str], every: int, one_in: int = 10) -> Figures:
    """The whole text each time."""
    import nh3
    from markdown_it import MarkdownIt

    parser = MarkdownIt("gfm-like", {"linkify": False, "html": False})
    costs, size, text = [], 0, ""
    for number, start in enumerate(range(0, len(chunks), every)):
        text += "".join(chunks[start : start + every])
        if number % one_in == one_in // 2:
            begun = time.process_time()
            shown = nh3.clean(parser.render(text))
            costs.append(time.process_time() - begun)
            size += one_in * len(json.dumps({"html": shown}, ensure_ascii=False).encode())
    figures = _figures(size, "".join(chunks), len(costs) * one_in, costs)
    return Figures(figures.ratio, figures.messages, figures.seconds * one_in, figures.median, figures.longest)


def _figures(size: int, text: str, messages: int, costs: list[float]) -> Figures:
    return Figures(
        size / len(text.encode("utf-8", "surrogatepass")), messages, sum(costs), statistics.median(costs), max(costs)
    )


COSTLY = {
    "5 MB of a mixed reply": lambda: mixed_reply(100_000) * 50,
    "1 MB on one line": lambda: "word " * 200_000,
    "1 MB without a space": lambda: "x" * 1_000_000,
    "1 MB of code on one line": lambda: "```js\n" + "x=1;" * 250_000 + "\n```",
    "10,000 code fences": lambda: "```python\nx = 1\n```\n" * 10_000,
    "100,000 NUL characters": lambda: "\0" * 100_000,
    "100,000 escape sequences": lambda: "\x1b[31mred\x1b[0m " * 50_000,
    "100,000 halves of surrogates": lambda: "\ud83d" * 100_000,
    "200 KB of table rows": lambda: "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 20_000,
    "200 KB of list items": lambda: "- a\n" * 50_000,
    "200 KB of brackets": lambda: "[" * 200_000,
    "200 KB of asterisks": lambda: "*a " * 66_000,
    "200 KB of backticks": lambda: "".join("`" * n + " " for n in range(1, 630)),
    "200 KB of quotes": lambda: "> " * 100_000,
    "200 KB of dollars": lambda: "$a " * 66_000,
    "200 KB of formulas": lambda: "".join(f"$x_{{{n}}}$ " for n in range(22_000)),
    "200 KB of links": lambda: "[a](https://a.b/c) " * 10_500,
}


def costly(text: str) -> tuple[float, float]:
    """CPU seconds at once, and of the longest look while it comes in 500 pieces."""
    begun = time.process_time()
    blocks_of(text)
    at_once = time.process_time() - begun
    return at_once, growing(chunks_of(text, 500), 1).longest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kilobytes", type=int, default=100)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=40, help="chunks between two looks")
    parser.add_argument("--costly", action="store_true", help="also replies that were made to be costly")
    options = parser.parse_args()
    chunks = chunks_of(mixed_reply(options.kilobytes * 1000), options.chunks)
    for name, way in (("new text only", growing), ("whole text", naive)):
        found = way(chunks, options.every)
        print(
            f"{name:<14} {found.ratio:>8.2f} bytes a byte {found.messages:>5} messages {found.seconds:>7.2f} s CPU, "
            f"a look {found.median * 1000:.2f} ms, the longest {found.longest * 1000:.1f} ms"
        )
    for name, make in COSTLY.items() if options.costly else ():
        at_once, longest = costly(make())
        print(f"{name:<30} {at_once:>7.2f} s at once, the longest of 500 looks {longest * 1000:>8.1f} ms")


if __name__ == "__main__":
    main()

"""What a prompt costs before it is sent: references in a long text, big values as text, and Tab while it is typed.

    python -m tests.benchmarks.prompts [references] [frame] [values] [completion]

Every figure is the median of several runs, in milliseconds of this process.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.references import resolve

ROWS = 10_000_000
NAMES = {"name": "Ada", "a": [1, 2], "x": 1.5}
LINE = 'The {name} of {a[0]} in {"b": 1} is {{x}}, \\frac{a}{b}, {undefined} and f"{x}". '


def milliseconds(call: Callable[[], object], times: int = 7) -> str:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1000)
    return f"median {statistics.median(taken):.1f} ms, first {taken[0]:.1f} ms, worst {max(taken):.1f} ms"


def filled(part: str, words: str, length: int = 1_000_000, braces: int = 10_000) -> str:
    """``length`` characters with ``braces`` opening braces in them, those of ``part``, between ``words``."""
    parts = braces // part.count("{")
    gap = (words * (length // (parts * len(words)) + 2))[: length // parts - len(part)]
    return (part + gap) * parts


def measure_references() -> None:
    prose, code = "and it's some more of the text, ", 'x["key"] = f(y)  # "quoted"\n'
    for name, text in (
        ("prose", filled(LINE, prose)),
        ("code", filled(LINE, code)),
        ("nothing but references", filled("{name} ", prose)),
        ("prose without braces", (prose * 40_000)[:1_000_000]),
        ("nothing but opening braces", "{" * 1_000_000),
    ):
        taken = milliseconds(lambda text=text: resolve(text, NAMES, lambda _reference, value: str(value)))
        print(f"{len(text):,} characters, {text.count('{'):,} opening braces, {name}: {taken}")


def measure_frame() -> None:
    import numpy
    import pandas

    random = numpy.random.default_rng(0)
    cities = numpy.array(["Rome", "Paris", "Oslo", None], dtype=object)
    frame = pandas.DataFrame(
        {
            "number": random.normal(size=ROWS),
            "count": random.integers(0, 100, ROWS),
            "when": pandas.Timestamp("2024-01-01") + pandas.to_timedelta(numpy.arange(ROWS), unit="s"),
            "good": random.random(ROWS) > 0.5,
            "text": pandas.Series(random.choice(cities, ROWS), dtype="str"),
            "object": pandas.Series(random.choice(cities, ROWS), dtype=object),
            "kind": pandas.Categorical.from_codes(random.integers(0, 3, ROWS), ["a", "b", "c"]),
        }
    )
    print(f"pandas frame of {ROWS:,} rows and 7 columns: {milliseconds(lambda: describe('frame', frame, 1_000))}")
    wide = pandas.DataFrame(random.normal(size=(ROWS // 40, 40)))
    print(f"pandas frame of {len(wide):,} rows and 40 columns: {milliseconds(lambda: describe('wide', wide, 4_000))}")
    series = frame["text"]
    print(f"pandas series of {ROWS:,} texts: {milliseconds(lambda: describe('series', series, 1_000))}")


def measure_values() -> None:
    import numpy

    array = numpy.zeros((ROWS, 8))
    numbers = list(range(ROWS))
    table = {str(number): [number] for number in range(1_000_000)}
    for name, value in (("array of 80,000,000", array), ("list of 10,000,000", numbers), ("dict of 1,000,000", table)):
        print(f"{name}: {milliseconds(lambda value=value: describe('value', value, 1_000))}")
    print(f"text of 100 MB: {milliseconds(lambda text='x' * 100_000_000: describe('text', text, 1_000))}")


def measure_completion() -> None:
    from flowgpt_magic.magics.completer import matcher
    from flowgpt_magic.magics.state import ShellState

    shell = SimpleNamespace(user_ns={f"variable_{number}": number for number in range(10_000)}, user_ns_hidden={})
    with tempfile.TemporaryDirectory() as folder:
        state = ShellState(lambda: {"model": "echo", "history": f"{folder}/history.sqlite3"}, {})
        for number in range(1_000):
            state.conversation(f"conversation {number}").begin_anew()
        state.notebook_history.flush()
        for text in (
            "%flowgpt un",
            "%%flowgpt -m ",
            "%%flowgpt -c conv",
            "%flowgpt use ",
            "%%flowgpt -a v",
            "%flowgpt {",
        ):
            context = SimpleNamespace(full_text=text, cursor_line=0, cursor_position=len(text))
            taken = milliseconds(lambda context=context: matcher(context, shell, state), 30)
            print(f"Tab behind {text!r}: {taken}")
        state.notebook_history.close()


def main() -> None:
    wanted = sys.argv[1:] or ["references", "frame", "values", "completion"]
    if "references" in wanted:
        measure_references()
    if "frame" in wanted:
        measure_frame()
    if "values" in wanted:
        measure_values()
    if "completion" in wanted:
        measure_completion()


if __name__ == "__main__":
    main()

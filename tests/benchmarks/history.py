"""What the history costs: opening, appending, searching, as it grows; chunks delayed by saving; kernels killed.

    python -m tests.benchmarks.history [growth] [length] [stream] [kill]

``growth`` fills a file with 1,000, 10,000 and 100,000 turns of about 200 characters of prompt and 1,500 of reply, in
words as frequent as those of a language, 100 turns to a conversation and 5 conversations to a notebook. ``length`` asks
the echo provider 5,000 times in one conversation, by ``Conversation.ask`` and in cells, with room for some 20 turns in
what is sent; cells of a magic that does nothing are beside it, since IPython keeps every input.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from flowgpt_magic.history.background_writer import BackgroundWriter
from flowgpt_magic.history.database import History
from flowgpt_magic.history.records import ConversationRecord, NotebookRecord, Record
from flowgpt_magic.messages import Turn, Usage
from tests.records import conversation_record, notebook_record, turn_record

SIZES = (1_000, 10_000, 100_000)
TURNS, CONVERSATIONS = 100, 5  # to a conversation, to a notebook
TARGETS = {"open": 10.0, "append": 1.0, "search": 20.0, "hits": 1.5, "usage": 50.0}  # milliseconds, with 100,000 turns
random.seed(7)

SYLLABLES = [a + b for a in ("b", "ch", "d", "f", "gr", "k", "l", "m", "n", "p", "r", "st", "t", "v") for b in "aeiou"]
WORDS = [
    *("the", "of", "and", "to", "a", "in", "is", "that", "for", "it", "with", "as", "on", "be", "this", "by", "are"),
    *("or", "from", "at", "an", "can", "which", "you", "not", "have", "we", "they", "one", "all", "more", "will"),
    *dict.fromkeys("".join(random.choices(SYLLABLES, k=random.choice((1, 2, 2, 3, 3, 4)))) for _ in range(40_000)),
]
WEIGHTS = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(WORDS))))


def text(length: int) -> str:
    """About ``length`` characters of words, the frequent ones first in ``WORDS``."""
    words = [WORDS[bisect.bisect(WEIGHTS, random.random() * WEIGHTS[-1]) % len(WORDS)] for _ in range(length // 5)]
    return " ".join(words)[:length]


def filling() -> Iterator[Record]:
    """Notebooks without end."""
    now = time.time() - 365 * 86_400
    for number in itertools.count():
        notebook = notebook_record(key=f"/home/someone/notebook-{number}.ipynb")
        yield notebook
        for name in ("main", "second", "third", "fourth", "fifth")[:CONVERSATIONS]:
            conversation = conversation_record(notebook, name=name)
            yield conversation
            for place in range(TURNS):
                now += 300
                yield ended_turn(conversation, place, now)


def ended_turn(conversation: ConversationRecord, place: int, now: float) -> Turn:
    return turn_record(
        conversation,
        place=place,
        cell_id=str(uuid4()),
        prompt=text(200),
        text=text(1500),
        status="complete",
        request_key=uuid4().hex,
        usage=Usage(50, 400, "stop", 0.4, 6.0, 380),
        started=now,
        ended=now + 6,
    )


def milliseconds(action: Callable[[], object], times: int) -> list[float]:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def show(what: str, taken: list[float], target: str = "") -> None:
    ordered = sorted(taken)
    goal = f"   (at most {TARGETS[target]:g} ms: {statistics.median(taken) <= TARGETS[target]})" if target else ""
    tail = ordered[int(len(ordered) * 0.99)]
    print(f"  {what:<46} median {statistics.median(taken):8.3f} ms   99 % {tail:8.3f} ms{goal}")


def growth() -> None:
    """The figures at each size, one file that grows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite3"
        records, turns, history = filling(), 0, History(path)
        for size in SIZES:
            begun = time.perf_counter()
            while turns < size:
                some = list(itertools.islice(records, 500))
                history.save(*some)
                turns += sum(isinstance(record, Turn) for record in some)
            while history.index_ended_turns():
                pass
            filled = time.perf_counter() - begun
            history.close()
            print(f"{size:,} turns, {path.stat().st_size / 2**20:.0f} MiB (filled in {filled:.0f} s)")
            measure(path)
            history = History(path)


def measure(path: Path) -> None:
    history = History(path)
    notebooks = random.sample(history.notebooks(), min(50, len(history.notebooks())))

    def open_conversation() -> None:
        opened = History(path)
        notebook = opened.notebook(random.choice(notebooks).key)
        conversation = opened.conversation(notebook.notebook_id, "main")
        assert len(opened.turns(conversation.conversation_id)) >= TURNS
        opened.changes(conversation.conversation_id)
        opened.close()

    show("open the file and a conversation of 100 turns", milliseconds(open_conversation, 50), "open")
    append(history, notebooks)
    search(history, notebooks)
    notebook = notebooks[0].notebook_id
    show("list a notebook's conversations", milliseconds(lambda: history.conversations(notebook), 50))
    show("find a replay", milliseconds(lambda: history.find_replay("0"), 50))
    cell = history.turns(history.conversations(notebook)[0].conversation.conversation_id)[0].cell_id
    show("the cells of notebooks with one of 30 cells", milliseconds(lambda: history.cells([cell, *"x" * 29]), 50))
    everywhere = [turn.cell_id for each in notebooks[:20] for turn in turns_of(history, each)[:1]]
    show("the cells of 20 notebooks with one of 20 cells", milliseconds(lambda: history.cells(everywhere), 20))
    show("usage of all time, of turns that changed", milliseconds(history.usage_rows, 1))
    show("usage of all time", milliseconds(history.usage_rows, 10), "usage")
    show("usage of all time in one notebook", milliseconds(lambda: history.usage_rows(0.0, notebook), 10), "usage")
    history.close()


def turns_of(history: History, notebook: NotebookRecord) -> tuple[Turn, ...]:
    (conversation, *_others) = history.conversations(notebook.notebook_id)
    return history.turns(conversation.conversation.conversation_id)


def append(history: History, notebooks: list[NotebookRecord]) -> None:
    conversation = history.conversations(notebooks[0].notebook_id)[0].conversation
    turns = iter([ended_turn(conversation, TURNS + place, time.time()) for place in range(1500)])
    begins, grows, ends = [], [], []
    for turn in itertools.islice(turns, 500):
        begun = replace(turn, status="streaming", text="", ended=None)
        begins += milliseconds(lambda begun=begun: history.save(begun), 1)
        grows += milliseconds(lambda turn=turn: history.grow_turn(turn.turn_id, turn.text[:700]), 1)
        ends += milliseconds(lambda turn=turn: history.save(turn), 1)
    show("append a turn: begin", begins, "append")
    show("append a turn: grow", grows, "append")
    show("append a turn: end", ends, "append")
    show("append a turn that ended, in one go", milliseconds(lambda: history.save(next(turns)), 500), "append")
    taken = []
    for turn in itertools.islice(turns, 300):
        history.save(turn)
        taken += milliseconds(history.index_ended_turns, 1)
    show("enter the index, after that", taken)


def search(history: History, notebooks: list[NotebookRecord]) -> None:
    while history.index_ended_turns():
        pass
    inside = notebooks[0].notebook_id
    rare = WORDS[-2000:]
    searches: dict[str, Callable[[], str]] = {
        "one frequent word": lambda: random.choice(WORDS[:30]),
        "two frequent words": lambda: " ".join(random.sample(WORDS[:30], 2)),
        "one word": lambda: random.choice(WORDS[100:5000]),
        "two words": lambda: " ".join(random.sample(WORDS[100:2000], 2)),
        "one rare word": lambda: random.choice(rare),
        "a frequent and a rare word": lambda: f"{random.choice(WORDS[:30])} {random.choice(rare)}",
        "the beginning of a word": lambda: random.choice(WORDS[1000:5000])[:3],
        "words, and the beginning of one": lambda: f"{random.choice(rare)} {random.choice(WORDS[1000:5000])[:3]}",
        "no such word": lambda: "zzyzx",
    }
    for what, words in searches.items():
        show(f"search: {what}", milliseconds(lambda words=words: history.search(words()), 100), "search")
    plain = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT 20"
    for word in WORDS[:2]:
        taken = milliseconds(lambda word=word: history.search(word), 100)
        show(f"search: 20 hits for {word}", taken, "hits")
        fts5 = milliseconds(lambda word=word: history._run(plain, (word,)).fetchall(), 100)
        show(f"their numbers alone, from FTS5: {word}", fts5)
    for what in ("one frequent word", "two words"):
        words = searches[what]
        taken = milliseconds(lambda words=words: history.search(words(), notebook_id=inside), 50)
        show(f"search in one notebook: {what}", taken, "search")


# A conversation that grows

LENGTHS = (500, 1_000, 2_000, 5_000)
LONG = """
import contextlib, gc, io, os, sys, time
from IPython.core.interactiveshell import InteractiveShell
way, lengths = sys.argv[1], list(map(int, sys.argv[2:]))
prompt = "what is the answer to question {0}, in a few words that take about as long as a line of text does " * 2
shell = InteractiveShell.instance()
shell.history_manager.enabled = False
shell.run_cell("%load_ext flowgpt_magic")
shell.register_magic_function(lambda line, cell: None, "cell", "nothing")
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.current import close_all, flush_all
conversation = Conversation()

def ask(number):
    text = prompt.format(number)
    if way == "ask":
        return conversation.ask(text).text
    code = f"%%{'flowgpt' if way == 'cell' else 'nothing'}\\n{text}"
    with contextlib.redirect_stdout(io.StringIO()):
        assert shell.run_cell(code, store_history=True, cell_id=f"cell-{number}").success

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

for number in range(1, lengths[-1] + 1):
    if number + 100 in lengths:
        gc.collect()
        begun = time.process_time()
    ask(number)
    if number + 1 in lengths:
        spent = (time.process_time() - begun) * 10
        gc.collect()
        print(spent, resident(), flush=True)
if way == "ask":
    flush_all()
    begun = time.process_time()
    count = len(conversation.turns)
    print((time.process_time() - begun) * 1000, count)
    close_all()
    begun = time.process_time()
    count = Conversation()._timeline.count
    print((time.process_time() - begun) * 1000, count)
"""


def length() -> None:
    """CPU and memory of the hundred turns before each length, and how they compare with the first."""
    for way in ("ask", "cell", "nothing"):
        with tempfile.TemporaryDirectory() as folder:
            places = dict.fromkeys(("FLOWGPT_DATA_DIR", "FLOWGPT_CONFIG_DIR", "IPYTHONDIR"), folder)
            environment = os.environ | places | {"FLOWGPT_MODEL": "echo", "FLOWGPT_HISTORY_TOKENS": "2000"}
            command = [sys.executable, "-c", LONG, way, *map(str, LENGTHS)]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        found = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
        for turns, (spent, memory) in zip(LENGTHS, found, strict=False):
            ratios = f"{spent / found[0][0]:5.2f} and {memory / found[0][1]:5.3f} times those at {LENGTHS[0]}"
            print(f"  {way}, turn {turns:>5,}: {spent:6.2f} ms of CPU, {memory:6.1f} MiB   {ratios}")
        for what, (spent, count) in zip(("all turns are read", "opened again"), found[len(LENGTHS) :], strict=False):
            print(f"  {what}: {spent:.0f} ms of CPU for {count:,.0f} turns")


# Chunks that wait


def stream() -> None:
    """How late the chunks of a stream are, with and without saving: 100,000 turns are not needed for that."""
    with tempfile.TemporaryDirectory() as folder:
        for name, writer in (
            ("nothing saved", BackgroundWriter("off")),
            ("saved", BackgroundWriter(Path(folder) / "history.sqlite3")),
        ):
            late, handed = asyncio.run(listen(writer))
            writer.close()
            show(f"{name}: a chunk is late by", late)
            print(f"  {'':<46} worst  {max(late):8.3f} ms   over 2 ms: {sum(each > 2 for each in late)} of {len(late)}")
            show(f"{name}: begin, grow or end takes", handed)


async def listen(writer: BackgroundWriter) -> tuple[list[float], list[float]]:
    """30 seconds of ten streams at once, each 30 chunks a second, a turn of 2 seconds after the other."""
    notebook = notebook_record()
    conversation = conversation_record(notebook)
    writer.save(notebook)
    writer.save(conversation)
    writer.read(lambda history: history.turns(conversation.conversation_id))
    late: list[float] = []
    handed: list[float] = []

    def timed(action: Callable[..., object], *values: object) -> None:
        begun = time.perf_counter()
        action(*values)
        handed.append((time.perf_counter() - begun) * 1000)

    async def one() -> None:
        for place in range(15):
            turn = ended_turn(conversation, place, time.time())
            timed(writer.begin, replace(turn, status="streaming", text="", ended=None))
            chunks: list[str] = []
            for number in range(60):
                due = time.perf_counter() + 0.033
                await asyncio.sleep(0.033)
                late.append((time.perf_counter() - due) * 1000)
                chunks.append(turn.text[number * 25 : number * 25 + 25])
                timed(writer.grow, turn.turn_id, lambda chunks=chunks: "".join(chunks))
            timed(writer.end, turn)

    await asyncio.gather(*(one() for _ in range(10)))
    return late, handed


# Kernels that are killed

KERNEL = """
import itertools, sys, time
from flowgpt_magic.history.background_writer import BackgroundWriter
from tests.records import conversation_record, notebook_record, turn_record
writer = BackgroundWriter(sys.argv[1])
notebook = notebook_record(notebook_id="notebook", key="key")
conversation = conversation_record(notebook, conversation_id="conversation")
writer.save(notebook)
writer.save(conversation)
writer.begin(turn_record(conversation, turn_id=sys.argv[2], prompt="what is said " + sys.argv[2]))
writer.flush()
for number in itertools.count(1):
    text = "".join(f"{each} " for each in range(number))
    writer.grow(sys.argv[2], text)
    print(number, time.time(), flush=True)
    time.sleep(0.02)
"""


def kill() -> None:
    """50 kernels, each killed somewhere within 3 seconds of a stream."""
    missing = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite3"
        for number in range(50):
            turn_id = f"turn-{number}"
            kernel = subprocess.Popen([sys.executable, "-c", KERNEL, str(path), turn_id], stdout=subprocess.PIPE)
            kernel.stdout.readline()
            time.sleep(random.uniform(0, 3))
            kernel.kill()
            handed = [line.split() for line in kernel.stdout.read().decode().splitlines() if line.count(" ") == 1]
            kernel.wait()
            died = float(handed[-1][1]) if handed else 0.0
            history = History(path)
            turn = history.turn(turn_id)
            history.close()
            assert (turn.prompt, turn.status) == (f"what is said {turn_id}", "cancelled")
            saved = turn.text.count(" ")
            next_one = next((float(moment) for chunk, moment in handed if int(chunk) == saved + 1), died)
            missing.append((died - next_one) * 1000)
    print(f"killed {len(missing)} times: the file opened, the prompt was there each time")
    show("what is missing of the reply is as long as", missing)
    print(f"  {'':<46} worst  {max(missing):8.3f} ms   over 1 s: {sum(each > 1000 for each in missing)}")


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    chosen = {"growth": growth, "length": length, "stream": stream, "kill": kill}
    for each in sys.argv[1:] or chosen:
        chosen[each]()

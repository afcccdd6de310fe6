"""Turns and texts that every kind of transcript must hold."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from flowgpt_magic.messages import Sent, Turn, Usage
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.transcripts.transcript import TranscriptTurn
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())
ENDINGS = (".md", ".json", ".ipynb")

AWKWARD = [
    *("", " ", "\n", "\n\nafter blank lines\n", "  spaces  \n  and\ttabs\t", "\r\nwindows\r\nlines\r\n", "old\rmac\r"),
    *("# heading\n\n## 1\n\n> quote\n>\n>lazy", "```python\nx = 1", "~~~\n````\n```\n~~~~", "`````\n```\n`````\n"),
    *(
        "<!-- open",
        "a --> b",
        "<!-- flowgpt_magic end {} -->",
        "```\n<!-- flowgpt_magic end {} -->\n```",
        "<b>&amp;</b>",
    ),
    *(
        "---\ntitle: x\n---\n\ntext",
        "NUL \0 and \x1b[31mred\x1b[0m",
        "\ufeffmark",
        "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    ),
    *(
        "-m echo",
        "--system x",
        "-- dashes",
        "%%flowgpt\nhi",
        "%flowgpt undo",
        "!ls",
        "what?",
        "help??",
        "x << y",
        "a \\",
    ),
    *(
        ">>> 1 + 1\n2",
        "say\n    >>> 1 + 1\n    2",
        "... and so on",
        "In [3]: x\nOut[3]: 1",
        "   ...: y",
        "first\n>>> x",
    ),
    *(
        "{x} and {In[1]} $5 ${y}",
        "\"quoted\" it's 'so'",
        '"""',
        "'''\n\"\"\"",
        "[a]: http://x.org\n\n[a]",
        "- a\n- b",
        "|a|",
    ),
    *("echo: hi", "echo:words hi", "local", "# a comment", "@file", "none", "\\u0000", "é 漢字 🎉", "$x^2$ \\(y\\)"),
]
TEXT = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from([*AWKWARD, "\n", "\n\n", ">", "word", " "]), max_size=5).map("".join),
)
WHEN = st.floats(0, 2**36)


def turn_of(prompt: str = "what is it?", text: str = "a list", **values: Any) -> Turn:
    return turn_record(CONVERSATION, **{"prompt": prompt, "text": text, "status": "complete", "ended": 9.5} | values)


def facts_of(turn: Turn | TranscriptTurn) -> dict[str, Any]:
    """What a transcript has of a turn."""
    facts = {each.name: getattr(turn, each.name) for each in fields(TranscriptTurn)}
    return facts | {"extras": turn.extras.as_json() if isinstance(turn, Turn) else turn.extras}


FIXED = turn_of(text="<b>", turn_id="turn", started=1.0, kernel="")

TURNS = st.builds(
    turn_of,
    TEXT,
    TEXT,
    status=st.sampled_from(["complete", "cancelled", "failed", "streaming"]),
    provider=st.sampled_from(["echo", "", "my provider"]),
    model=TEXT.filter(lambda text: len(text) < 30),
    system=TEXT,
    parameters=st.dictionaries(st.sampled_from(["temperature", "seed", "x"]), st.none() | st.floats(0, 3) | TEXT),
    notices=st.lists(TEXT, max_size=2).map(tuple),
    error=TEXT,
    started=WHEN,
    ended=st.none() | WHEN,
    usage=st.builds(Usage, st.none() | st.integers(0, 9**9), finish_reason=st.none() | TEXT, seconds=st.none() | WHEN),
    cell_id=st.text("abc-", max_size=5),
    left_out=st.integers(0, 10),
    sent=st.builds(Sent, st.lists(TEXT, max_size=2).map(tuple), st.integers(0, 9), st.just(()), st.integers(0, 999)),
    replayed=st.booleans(),
    images=st.lists(st.sampled_from(["data:image/png;base64,AA==", "data:image/gif;base64,AB=="])).map(tuple),
    extras=st.builds(
        Extras,
        reasoning=TEXT,
        citations=st.lists(st.builds(Citation, TEXT, TEXT), max_size=2).map(tuple),
        logprobs=st.just(()) | st.just(({"token": "a", "logprob": -0.5, "top_logprobs": []},)),
    ),
)

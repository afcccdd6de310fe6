"""A provider whose replies nobody wishes for, for the notebooks of the browser tests: a prompt is the name of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, ClassVar

from flowgpt_magic import AsyncGeneratorProvider, ProviderModelMixin

MB = 1_000_000  # characters
CHUNK = 20_000
PART = """\
## Part {n}

It costs $5 and $7, **bold {n}**, `code <b>`, <b>raw</b> &amp; \\(e^{{i\\pi}} + 1 = 0\\). Then there are more words,
which make it a paragraph, [a link {n}](https://example.org/{n}) and ![a picture](https://pictures.example/{n}.png).

- [x] one {n}
- [ ] two

| a | b |
|---|---|
| {n} | 2 |

```python
def reverse_string(text):
    return text[::-1]  # {n}
```

> quoted {n}

"""


def mixed(size: int) -> str:
    """All kinds of Markdown, at least this long."""
    return "".join(PART.format(n=number) for number in range(1, size // len(PART) + 2))


TEXTS = {
    "mixed": f"first\n\n{mixed(5 * MB)}last",
    "fences": "```\nfirst\n```\n\n" + "```\nx\n```\n\n" * 9_998 + "```\nlast\n```",
    "words": "first " + "word " * (MB // 5) + "last",
    "letters": "first" + "w" * MB + "last",
    "controls": "first a\0b \a\b\x7f\x85 \x1b[31mred\x1b[0m \u202eback\u202c half " + chr(0xD800) + " last",
}


class Hostile(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers with the text that the prompt names, in big chunks, or else with the prompt."""

    default_model = "texts"
    models: ClassVar = ["texts"]

    @classmethod
    async def create_async_generator(
        cls, model: str, messages: list[dict[str, str]], proxy: str | None = None, temperature: float = 0.7, **_: Any
    ) -> AsyncGenerator[str, None]:
        text = TEXTS.get(messages[-1]["content"], messages[-1]["content"])
        for start in range(0, len(text), CHUNK):
            await asyncio.sleep(0.01)
            yield text[start : start + CHUNK]

"""What would be sent, shown instead of sent."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass

from flowgpt_magic.messages import Message
from flowgpt_magic.messages.token_estimate import tokens_in
from flowgpt_magic.redaction import without_secrets
from flowgpt_magic.replies.request import Request
from flowgpt_magic.replies.structured_output import instructed
from flowgpt_magic.settings import TABLE
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted


@dataclass(frozen=True)
class DryRun:
    """A request as a table of its facts and the messages one by one, each exactly as it would be sent."""

    request: Request

    @property
    def messages(self) -> list[Message]:
        """What would be sent; a schema that the provider does not take stands in the last one."""
        request = self.request
        if request.schema is None or request.native:
            return request.messages
        return instructed(request.messages, request.schema)

    def facts(self) -> list[tuple[str, str]]:
        """Who would be asked, how, and how much that is."""
        request = self.request
        given = request.parameters
        shown = without_secrets(given)
        hidden = dict.fromkeys((n for n in given if n in TABLE and TABLE[n].metadata["secret"] and given[n]), "***")
        if request.native and request.schema:
            shown["schema"] = request.schema.json_schema
        images = sum(len(message.get("images", ())) for message in self.messages)
        texts = [message["content"] for message in self.messages]
        characters, tokens = sum(map(len, texts)), sum(map(tokens_in, texts))
        left_out = f"{counted(request.left_out, 'older message')} left out" if request.left_out else "nothing"
        return [
            ("provider", request.target.provider),
            ("model", request.target.model),
            ("parameters", json.dumps({**shown, **hidden}, ensure_ascii=False)),
            ("messages", str(len(self.messages))),
            *([("images", str(images))] if images else []),
            ("tokens", f"about {tokens:,} ({characters:,} characters)"),
            ("trimmed", left_out),
        ]

    def html(self) -> str:
        """A table of the facts, and each message in a box of its own."""
        facts = Table(("", "would be sent"), tuple(self.facts())).html()
        messages = "".join(
            f"<details open><summary><b>{html.escape(str(message['role']))}</b></summary>"
            f'<pre style="white-space: pre-wrap">{html.escape(message["content"])}</pre></details>'
            for message in self.messages
        )
        return f"{facts}{messages}<small>nothing was sent</small>"

    def text(self) -> str:
        """The same, one below the other."""
        facts = [f"{name:<12}{value}" for name, value in self.facts()]
        messages = [f"--- {message['role']}\n{message['content']}" for message in self.messages]
        return "\n".join([*facts, *messages, "--- nothing was sent"])

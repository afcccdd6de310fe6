"""Show a request instead of sending it."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass

from flowgpt_magic.messages import Message
from flowgpt_magic.messages.token_estimate import tokens_in
from flowgpt_magic.redaction import without_secrets
from flowgpt_magic.replies.cost import Tokens, charges, price_of
from flowgpt_magic.replies.request import Request
from flowgpt_magic.replies.structured_output import with_schema_instruction
from flowgpt_magic.settings import TABLE
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted
from flowgpt_magic.transcripts.caption import dollars

NO_PRICE_TEXT = "not known: the setting prices takes one, and the extra flowgpt_magic[prices] brings a list"


@dataclass(frozen=True)
class DryRun:
    """A request as a table of facts and its messages, exactly as they would be sent."""

    request: Request

    @property
    def messages(self) -> list[Message]:
        """The messages. If the provider does not support schemas, the last one contains the schema."""
        request = self.request
        if request.schema is None or request.native:
            return request.messages
        return with_schema_instruction(request.messages, request.schema)

    def facts(self) -> list[tuple[str, str]]:
        """Provider, model, parameters (secrets are masked) and size of the request, as pairs of label and value."""
        request = self.request
        parameters = request.parameters
        visible = without_secrets(parameters)
        secret = (name for name in parameters if name in TABLE and TABLE[name].metadata["secret"] and parameters[name])
        masked = dict.fromkeys(secret, "***")
        if request.native and request.schema:
            visible["schema"] = request.schema.json_schema
        images = sum(len(message.get("images", ())) for message in self.messages)
        texts = [message["content"] for message in self.messages]
        characters, tokens = sum(map(len, texts)), sum(map(tokens_in, texts))
        left_out = f"{counted(request.left_out // 2, 'older turn')} left out" if request.left_out else "nothing"
        return [
            ("provider", request.target.provider),
            ("model", request.target.model),
            ("parameters", json.dumps({**visible, **masked}, ensure_ascii=False)),
            ("messages", str(len(self.messages))),
            *([("images", str(images))] if images else []),
            ("tokens", f"about {tokens:,} ({characters:,} characters)"),
            *([("cost", cost)] if (cost := self._cost()) else []),
            ("trimmed", left_out),
        ]

    def _cost(self) -> str:
        """What the request would cost without its reply, and what the reply costs; empty if nothing is charged."""
        request = self.request
        price = price_of(request)
        if price is None:
            return NO_PRICE_TEXT if charges(request) else ""
        before = dollars(price.of(Tokens(sum(tokens_in(message["content"]) for message in self.messages), 0)))
        return f"about {before} for the prompt, and {dollars(price.of(Tokens(0, 1000)))} for 1,000 tokens of the reply"

    def html(self) -> str:
        """The facts as a table, and each message as a collapsible section."""
        facts = Table(("", "would be sent"), tuple(self.facts())).html()
        messages = "".join(
            f"<details open><summary><b>{html.escape(str(message['role']))}</b></summary>"
            f'<pre style="white-space: pre-wrap">{html.escape(message["content"])}</pre></details>'
            for message in self.messages
        )
        return f"{facts}{messages}<small>nothing was sent</small>"

    def text(self) -> str:
        """The facts and messages as plain text."""
        facts = [f"{name:<12}{value}" for name, value in self.facts()]
        messages = [f"--- {message['role']}\n{message['content']}" for message in self.messages]
        return "\n".join([*facts, *messages, "--- nothing was sent"])

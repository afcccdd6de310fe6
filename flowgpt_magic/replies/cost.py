"""What a request costs: as its server says, or computed from its tokens and a price.

A price is the user's own (setting ``prices``), or that of the package genai-prices (extra ``prices``), which is never
updated over the network. A price belongs to a server: a model of the same name elsewhere has another one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from yarl import URL

from flowgpt_magic.errors import CostLimitError
from flowgpt_magic.messages import Usage
from flowgpt_magic.messages.token_estimate import tokens_in_all
from flowgpt_magic.replies.request import Request
from flowgpt_magic.transcripts.caption import dollars

SERVER, COMPUTED, UNKNOWN = "server", "computed", "unknown"  # where a cost is from, see ``Usage.cost_source``
MILLION = 1_000_000
REPLY_TOKENS = 500  # expected of a reply without a limit
RAISE = "%flowgpt set max_cost AMOUNT allows more"


@dataclass(frozen=True)
class Tokens:
    """The tokens of a request. Those that the cache read and wrote are among those of the ``prompt``."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0


@dataclass(frozen=True)
class OwnPrice:
    """A price that the user has set, in dollars for a million tokens."""

    kinds: Mapping[str, float]

    def of(self, tokens: Tokens) -> float:
        """The dollars for ``tokens``."""
        whole = self.kinds["input"]
        plain = max(0, tokens.prompt - tokens.cached - tokens.written)
        cache = tokens.cached * self.kinds.get("cached", whole) + tokens.written * self.kinds.get("cache_write", whole)
        return (plain * whole + cache + tokens.completion * self.kinds["output"]) / MILLION


@dataclass(frozen=True)
class ListPrice:
    """The price of a model in genai-prices."""

    model: str
    provider: str  # empty: the one with this address
    address: str

    def of(self, tokens: Tokens) -> float:
        """The dollars for ``tokens``. Raises ``LookupError`` for a model without a price."""
        from genai_prices import Usage as PricedUsage
        from genai_prices import calc_price

        counts = PricedUsage(
            input_tokens=tokens.prompt,
            output_tokens=tokens.completion,
            cache_read_tokens=tokens.cached,
            cache_write_tokens=tokens.written,
        )
        server: dict[str, Any] = {"provider_id": self.provider} if self.provider else {"provider_api_url": self.address}
        return float(calc_price(counts, self.model, **server).total_price)


def price_of(request: Request, answered_by: str = "") -> OwnPrice | ListPrice | None:
    """The price of the model that is asked; None if there is none, or if it costs nothing.

    ``answered_by`` is the model that answered, if the server names one.
    """
    target, own = request.target, request.settings.prices or {}
    names = (f"{target.provider}:{target.model}", target.model, answered_by)
    if (name := next((name for name in names if name in own), None)) is not None:
        return OwnPrice(own[name])
    address = _address(request)
    if not address or not _has_list():
        return None
    maker = "anthropic" if target.provider == "anthropic" and URL(address).host == "api.anthropic.com" else ""
    for model in filter(None, (answered_by, target.model)):
        price = ListPrice(model, maker, address)
        if _is_listed(price):
            return price
    return None


def charges(request: Request) -> bool:
    """May the server charge for the request? Servers of this machine and of private networks do not."""
    return bool(_address(request))


def with_cost(request: Request, usage: Usage, text: str) -> Usage:
    """``usage`` with what the request cost, of which ``text`` has arrived.

    Counts that the server did not tell, as of a reply that was stopped, are estimated from the texts.
    """
    if usage.cost is not None:
        return replace(usage, cost_source=SERVER)
    if usage.prompt_tokens is None and usage.completion_tokens is None and not text:
        return usage
    price = price_of(request, usage.answered_by)
    if price is None:
        return replace(usage, cost_source=UNKNOWN) if charges(request) else usage
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    tokens = Tokens(
        prompt_tokens(request) if prompt is None else prompt,
        tokens_in_all([text]) if completion is None else completion,
        usage.cached_tokens or 0,
        usage.cache_write_tokens or 0,
    )
    return replace(usage, cost=price.of(tokens), cost_source=COMPUTED)


def expected_cost(request: Request) -> float | None:
    """About what the request will cost with a reply as long as its limit allows, or of ``REPLY_TOKENS``.

    None if the server may charge and there is no price.
    """
    price = price_of(request)
    if price is None:
        return None if charges(request) else 0.0
    return price.of(Tokens(prompt_tokens(request), expected_reply_tokens(request)))


def expected_reply_tokens(request: Request) -> int:
    """As many tokens as the limit of the request allows, or ``REPLY_TOKENS``."""
    limits = [request.parameters.get(name) for name in ("max_tokens", "max_completion_tokens")]
    return next((limit for limit in limits if isinstance(limit, int)), REPLY_TOKENS)


def check_cost(requests: Sequence[Request], spent: float) -> None:
    """Raise ``CostLimitError`` if ``requests``, which are sent together, may exceed the ``max_cost`` of the first.

    ``spent`` is what the conversation has cost so far.
    """
    limit = requests[0].settings.max_cost
    if limit is None:
        return
    total = 0.0
    for request in requests:
        cost = expected_cost(request)
        if cost is None:
            raise CostLimitError(
                f"the prompt was not sent: max_cost is {dollars(limit)}, and what {request.target} costs is not known. "
                "The setting prices takes its price, the extra flowgpt_magic[prices] brings a list of prices, and "
                "%flowgpt unset max_cost takes the limit away"
            )
        total += cost
    if spent + total > limit:
        raise CostLimitError(
            f"the prompt was not sent: it may cost {dollars(total)}, this conversation has cost {dollars(spent)} so "
            f"far, and max_cost is {dollars(limit)}. {RAISE}"
        )


def prompt_tokens(request: Request) -> int:
    """The approximate number of tokens of the messages."""
    return tokens_in_all(message["content"] for message in request.messages)


def _address(request: Request) -> str:
    """The address of the server, if it may charge; otherwise empty."""
    setting = request.target.provider_class.address_setting
    text = str(request.parameters.get(setting) or "") if setting in request.parameters else ""
    if not text or setting == "base_url":  # the FlowGPT protocol has no prices
        return ""
    try:
        host = URL(text).host or ""
    except ValueError:  # the request will be refused, with the reason
        return ""
    try:
        is_near = ipaddress.ip_address(host).is_private
    except ValueError:
        is_near = host == "localhost" or host.endswith((".local", ".localhost", ".internal", ".lan"))
    return "" if is_near else text


def _has_list() -> bool:
    try:
        import genai_prices  # noqa: F401 - is it installed?
    except ImportError:
        return False
    return True


@lru_cache(maxsize=256)
def _is_listed(price: ListPrice) -> bool:
    try:
        price.of(Tokens(1, 1))
    except LookupError:
        return False
    return True

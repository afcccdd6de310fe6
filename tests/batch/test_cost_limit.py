"""A batch stops before the request that would exceed what it may cost, and goes on later where it stopped."""

from __future__ import annotations

from collections import Counter

import pytest

from flowgpt_magic import map_prompts
from flowgpt_magic.errors import BatchError, ComparisonError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from tests.hostile_servers import Good, Refusal, batch_at, hostile, words

# A reply is counted as 9 and 12 tokens: 0.000114 dollars. Before it is sent, it may take 500 tokens: 0.004 dollars.
PRICES = {"m": {"input": 2.0, "output": 8.0}}
ONE = (9 * 2 + 12 * 8) / 1_000_000

pytestmark = pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning")


@pytest.mark.parametrize("concurrency", [1, 16])
def test_it_stops_before_it_would_cost_more_and_goes_on_where_it_stopped(concurrency):
    prompts = words(20)
    with hostile(lambda _prompt, _number: Good()) as server:
        batch = batch_at(server, prompts, prices=PRICES, max_cost=0.005, concurrency=concurrency)
        with pytest.raises(BatchError, match=r"more than max_cost: it has cost \$0\.00\d+ of \$0\.0050") as stopped:
            list(batch)
        asked = sum(server.asked.values())
        assert asked * ONE + 0.004 <= 0.0051
        assert (asked + 1) * ONE + 0.004 > 0.005
        assert "the same batch with a higher max_cost asks for the rest" in str(stopped.value)

        again = batch_at(server, prompts, prices=PRICES, max_cost=1.0, concurrency=concurrency)

        assert again.texts == [f"answer to {prompt}" for prompt in prompts]
        assert server.asked == Counter(prompts)


def test_requests_at_once_do_not_exceed_it_together():
    most = 0

    def decide(_prompt: str, _number: int) -> Good:
        nonlocal most
        most = max(most, server.open + 1)
        return Good(0.05)

    with hostile(decide) as server:
        batch = batch_at(server, words(6), prices=PRICES, max_cost=0.0085, concurrency=16)

        assert len(batch.texts) == 6

    assert most == 2


def test_models_share_it():
    for name, temperature in (("one", 0.1), ("two", 0.2)):
        aliases.save(Alias(name, "openai_compatible:m", temperature=temperature))
    with hostile(lambda _prompt, _number: Good()) as server:
        how = {"models": ["one", "two"], "progress": False, "openai_base_url": server.url, "prices": PRICES}
        batch = map_prompts(words(12), max_cost=0.005, **how)
        with pytest.raises(ComparisonError, match="more than max_cost"):
            batch.read()

    assert sum(server.asked.values()) * ONE <= 0.0011


def test_refused_requests_cost_nothing():
    def decide(_prompt: str, number: int) -> Good | Refusal:
        return Good() if number > 3 else Refusal(503, {"retry-after-ms": "10"})

    with hostile(decide) as server:
        assert len(batch_at(server, words(3), prices=PRICES, max_cost=0.0043, concurrency=1).texts) == 3


def test_a_price_that_is_not_known_is_said_before_anything_is_sent(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-nobody")
    batch = map_prompts(
        ["hello"], model="openai_compatible:m", openai_base_url="https://llm.example.org/v1", max_cost=1, progress=False
    )

    with pytest.raises(BatchError, match="nothing was sent: max_cost is"):
        list(batch)


def test_a_model_that_charges_nothing_has_no_limit():
    assert map_prompts(["a", "b"], model="echo", max_cost=0.00001, progress=False).texts == ["a", "b"]

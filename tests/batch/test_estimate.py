"""What a batch would send and cost, before anything is sent."""

from __future__ import annotations

import pytest

from flowgpt_magic import map_prompts
from flowgpt_magic.errors import BatchError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from tests.hostile_servers import Good, batch_at, hostile, words
from tests.servers import closed_port

PRICES = {"m": {"input": 2.0, "output": 8.0}}

pytestmark = pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning")


def test_nothing_is_sent_and_tokens_and_dollars_are_told():
    batch = map_prompts(
        words(300),
        model="openai_compatible:m",
        openai_base_url=f"http://127.0.0.1:{closed_port()}/v1",
        prices=PRICES,
        max_tokens=100,
        progress=False,
    )

    estimate = batch.estimate()

    assert (estimate.requests, estimate.replayed) == (300, 0)
    assert 600 <= estimate.prompt_tokens <= 2400
    assert estimate.completion_tokens == 30_000
    assert estimate.cost == pytest.approx((2 * estimate.prompt_tokens + 8 * 30_000) / 1_000_000)
    assert batch.status is None
    assert repr(estimate).startswith("<Estimate for openai_compatible:m: 300 requests, ")
    assert "nothing was sent" in estimate._repr_html_()


def test_what_the_history_has_costs_nothing_and_the_batch_runs_as_it_would():
    prompts = [*words(3), *words(2)]
    with hostile(lambda _prompt, _number: Good()) as server:
        assert len(batch_at(server, words(3), prices=PRICES).texts) == 3
        batch = batch_at(server, prompts, prices=PRICES)

        estimate = batch.estimate()

        assert (estimate.requests, estimate.replayed) == (2, 3)
        assert estimate == batch.estimate()
        assert batch.texts == [f"answer to {prompt}" for prompt in prompts]
        assert sum(server.asked.values()) == 5


def test_a_model_that_charges_nothing_costs_nothing():
    assert map_prompts(["a", "b"], model="echo", progress=False).estimate().cost == 0


def test_a_price_that_is_not_known_is_no_number(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-nobody")
    how = {"model": "openai_compatible:m", "openai_base_url": "https://llm.example.org/v1", "progress": False}

    estimate = map_prompts(["hello"], **how).estimate()

    assert estimate.cost is None
    assert "at an unknown price" in repr(estimate)


def test_each_model_has_its_own():
    aliases.save(Alias("other", "echo:messages"))

    estimates = map_prompts(["hello", "you"], models=["echo", "other"], progress=False).estimate()

    assert {name: estimate.requests for name, estimate in estimates.items()} == {"echo": 2, "other": 2}


def test_a_generator_is_left_alone():
    batch = map_prompts((word for word in ["a", "b"]), model="echo", progress=False)

    with pytest.raises(BatchError, match="pass a list"):
        batch.estimate()
    assert batch.texts == ["a", "b"]

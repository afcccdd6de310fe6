"""What a request costs: as its server says, computed from its tokens and a price, or not known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ComparisonError, CostLimitError, SettingError
from flowgpt_magic.messages import Usage
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.replies.cost import OwnPrice, Tokens, charges, expected_cost, price_of, with_cost
from flowgpt_magic.replies.request import Request
from flowgpt_magic.settings import load
from flowgpt_magic.settings.prices import checked
from flowgpt_magic.transcripts.caption import caption, cost_of, dollars
from tests import openai_servers
from tests.openai_servers import background, chunk, event, speaking, streaming
from tests.servers import stalling

OWN = {"input": 2.0, "output": 8.0, "cached": 0.5, "cache_write": 2.5}
OPENAI, LOCAL = "https://api.openai.com/v1", "http://127.0.0.1:11434/v1"

pytestmark = pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning")


def request(model: str = "openai_compatible:gpt-4o", prompt: str = "hello", **settings: Any) -> Request:
    """A request that is not sent."""
    return Conversation(configured=lambda: {"model": model, **settings}).prepare(prompt, {})


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-nobody")


# Prices


def test_each_kind_of_token_has_its_price():
    tokens = Tokens(prompt=1_000_000, completion=500_000, cached=600_000, written=100_000)

    assert OwnPrice(OWN).of(tokens) == pytest.approx(0.3 * 2 + 0.6 * 0.5 + 0.1 * 2.5 + 0.5 * 8)


def test_cached_tokens_cost_what_others_do_where_the_price_does_not_say():
    assert OwnPrice({"input": 2.0, "output": 8.0}).of(Tokens(1_000_000, 0, 500_000, 500_000)) == pytest.approx(2)


@given(*[st.integers(0, 10**9)] * 4)
def test_more_of_the_cache_than_of_the_prompt_is_never_a_negative_price(prompt, completion, cached, written):
    assert OwnPrice(OWN).of(Tokens(prompt, completion, cached, written)) >= 0


def test_the_price_list_knows_the_servers_of_the_makers(key):
    counted = Usage(1200, 300, cached_tokens=200)

    known = with_cost(request(openai_base_url=OPENAI), counted, "x")
    claude = with_cost(
        request("anthropic:claude-sonnet-4-5", anthropic_base_url="https://api.anthropic.com"), counted, "x"
    )

    assert known.cost_source == claude.cost_source == "computed"
    assert 0 < known.cost < claude.cost < 0.1


def test_the_model_that_answered_is_the_one_that_is_paid_for(key):
    own = {"gpt-4o-mini-2026": {"input": 1.0, "output": 1.0}}
    usage = Usage(1_000_000, 0, answered_by="gpt-4o-mini-2026")

    assert with_cost(request("openai_compatible:auto", openai_base_url=OPENAI, prices=own), usage, "x").cost == 1


@pytest.mark.parametrize("url", [LOCAL, "http://192.168.1.7:8000/v1", "http://localhost:1/v1", "http://box.local/v1"])
def test_a_server_of_this_machine_or_network_charges_nothing(url):
    asked = request("openai_compatible:gpt-4o", openai_base_url=url)

    assert not charges(asked)
    assert with_cost(asked, Usage(9, 9), "x") == Usage(9, 9)


@pytest.mark.parametrize("url", ["", "h", "http://[", "http://:1"])
def test_an_address_that_is_none_has_no_price_and_no_error(url):
    asked = request("openai_compatible:gpt-4o", openai_base_url=url)

    assert with_cost(asked, Usage(9, 9), "x").cost is None
    assert expected_cost(asked) in (None, 0.0)


@pytest.mark.parametrize("model", ["echo", "echo:words"])
def test_a_model_of_this_process_charges_nothing(model):
    assert with_cost(request(model), Usage(9, 9), "x") == Usage(9, 9)


def test_a_server_that_is_in_no_list_has_an_unknown_price_though_its_model_has_a_famous_name():
    asked = request(openai_base_url="https://llm.example.org/v1")

    assert price_of(asked) is None
    assert with_cost(asked, Usage(9, 9), "x").cost_source == "unknown"


def test_an_own_price_counts_for_any_server_and_by_either_name():
    for name in ("gpt-4o", "openai_compatible:gpt-4o"):
        asked = request(openai_base_url=LOCAL, prices={name: OWN})

        assert with_cost(asked, Usage(1_000_000, 0), "x") == Usage(1_000_000, 0, cost=2.0, cost_source="computed")


def test_what_the_server_says_is_believed():
    asked = request(openai_base_url=LOCAL, prices={"gpt-4o": OWN})

    assert with_cost(asked, Usage(9, 9, cost=0.5), "x") == Usage(9, 9, cost=0.5, cost_source="server")


def test_a_request_of_which_nothing_came_costs_nothing():
    asked = request(openai_base_url=LOCAL, prices={"gpt-4o": OWN})

    assert with_cost(asked, Usage(), "") == Usage()


def test_without_the_list_only_own_prices_are_known():
    code = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from flowgpt_magic.conversation import Conversation\n"
        "from flowgpt_magic.replies.cost import price_of\n"
        f"settings = {{'model': 'openai_compatible:gpt-4o', 'openai_base_url': {OPENAI!r}}}\n"
        "print(price_of(Conversation(configured=lambda: settings).prepare('hi', {})))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "None\n"


# The setting


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[1", "must be a JSON object"),
        ([1], "must be a table of models"),
        ({"m": 3}, "has no table of prices for m"),
        ({"m": {"input": 1}}, "has no output for m"),
        (
            {"m": {"input": 1, "output": 2, "cahced": 1}},
            "has cahced for m; there are input, output, cached, cache_write",
        ),
        ({"m": {"input": -1, "output": 2}}, "has -1 as input for m"),
        ({"m": {"input": "1", "output": 2}}, "has '1' as input for m"),
        ({"m": {"input": float("nan"), "output": 2}}, "has nan as input for m"),
        ({"m": {"input": True, "output": 2}}, "has True as input for m"),
    ],
)
def test_a_table_of_prices_that_is_none_says_what_to_write(value, said):
    with pytest.raises(SettingError, match="prices") as refused:
        load({"prices": value})

    assert said in str(refused.value)


def test_prices_are_read_from_json_and_none_are_none():
    assert checked(json.dumps({"m": OWN})) == {"m": OWN}
    assert checked("") is checked(None) is None


# The line below a reply


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0"),
        (0.00001, "< $0.0001"),
        (0.00042, "$0.00042"),
        (0.0041, "$0.0041"),
        (0.05, "$0.050"),
        (0.123, "$0.12"),
        (1, "$1.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_an_amount_has_two_digits_that_count(amount, text):
    assert dollars(amount) == text


def test_it_says_where_a_cost_is_from():
    assert cost_of(Usage(cost=0.5, cost_source="server")) == "$0.50"
    assert cost_of(Usage(cost=0.5, cost_source="computed")) == "\N{ALMOST EQUAL TO} $0.50"
    assert cost_of(Usage(cost_source="unknown")) == "\N{EN DASH}"
    assert cost_of(Usage()) == ""


@pytest.fixture
def chat() -> Iterator[Conversation]:
    """A conversation with a server on loopback whose model has a price."""
    with background(speaking("Paris.")) as server:
        settings = {"model": "openai_compatible:m", "openai_base_url": f"{server.url}/v1", "prices": {"m": OWN}}
        yield Conversation(configured=lambda: settings)


def test_a_reply_and_its_turn_have_the_cost_and_one_from_the_history_has_none(chat):
    reply = chat.ask("hello", cache=True)
    assert reply.text == "Paris."

    cost = (9 * 2 + 12 * 8) / 1_000_000
    assert reply.usage.cost == pytest.approx(cost)
    assert chat.turn(-1).usage == reply.usage
    assert " tokens · \N{ALMOST EQUAL TO} $0.00011 · " in caption(reply)
    chat.undo()
    again = chat.ask("hello", cache=True)
    assert (again.text, again.replayed) == ("Paris.", True)
    assert "$" not in caption(again)


def test_a_server_that_tells_its_cost_is_quoted():
    told = {**openai_servers.USAGE, "cost": 0.004}
    stream = chunk("x") + chunk(reason="stop") + event(choices=[], usage=told) + openai_servers.DONE
    with background(streaming(stream)) as server:
        settings = {"model": "openai_compatible:m", "openai_base_url": f"{server.url}/v1"}
        reply = Conversation(configured=lambda: settings).ask("hello")
        assert reply.text == "x"

    assert " · $0.0040 · " in caption(reply)


def test_a_reply_that_was_stopped_has_an_estimated_cost():
    with background(stalling(openai_servers.STREAM, b"%x\r\n%s\r\n" % (len(chunk("Paris")), chunk("Paris")))) as server:
        settings = {"model": "openai_compatible:m", "openai_base_url": f"{server.url}/v1", "prices": {"m": OWN}}
        reply = Conversation(configured=lambda: settings).ask("hello")
        for _chunk in reply:
            break

    assert reply.status == "cancelled"
    assert (reply.usage.prompt_tokens, reply.usage.cost_source) == (None, "computed")
    assert 0 < reply.usage.cost < 0.0001


# The limit of a conversation


def limited(url: str, limit: float, **more: Any) -> Conversation:
    settings = {"model": "openai_compatible:m", "openai_base_url": f"{url}/v1", "prices": {"m": OWN}, "max_cost": limit}
    return Conversation(configured=lambda: {**settings, **more})


def test_a_prompt_that_would_exceed_the_limit_is_not_sent_and_is_kept():
    with background(speaking("Paris.")) as server:
        chat = limited(server.url, 0.0041)
        assert chat.ask("hello").text == "Paris."
        reply = chat.ask("and now?")
        with pytest.raises(CostLimitError) as refused:
            list(reply)

    assert len(server.requests) == 1
    assert re.fullmatch(
        r"the prompt was not sent: it may cost \$0\.00\d+, this conversation has cost \$0\.00011 so far, "
        r"and max_cost is \$0\.0041\. %flowgpt set max_cost AMOUNT allows more\.",
        str(refused.value),
    )
    assert [(turn.prompt, turn.status) for turn in chat.turns] == [("hello", "complete"), ("and now?", "failed")]
    assert [row.requests for row in chat._notebook_history.read(lambda history: history.usage_rows(), ())] == [1]


def test_replies_from_the_history_are_shown_whatever_the_limit():
    with background(speaking("Paris.")) as server:
        chat = limited(server.url, 0.0041, cache=True)
        assert chat.ask("hello").text == "Paris."
        chat.undo()

        assert limited(server.url, 0.00001, cache=True).ask("hello").text == "Paris."


def test_several_models_are_asked_together_or_not_at_all():
    for name in ("one", "two"):
        aliases.save(Alias(name, "openai_compatible:m", temperature=0.1 if name == "one" else 0.2))
    with background(speaking("Paris.")) as server:
        comparison = limited(server.url, 0.006).compare("hello", ["one", "two"])
        with pytest.raises(ComparisonError, match="it may cost"):
            comparison.read()
        assert limited(server.url, 0.02).compare("hello", ["one", "two"]).texts == {"one": "Paris.", "two": "Paris."}

    assert len(server.requests) == 2


def test_a_limit_needs_a_price_and_the_error_says_how_to_give_one(key):
    chat = limited("https://llm.example.org", 1.0, prices=None)

    with pytest.raises(CostLimitError, match=r"what openai_compatible:m costs is not known\. The setting prices takes"):
        list(chat.ask("hello"))


def test_a_model_that_charges_nothing_has_no_limit():
    assert Conversation(configured=lambda: {"model": "echo", "max_cost": 0.0001}).ask("hello").text == "hello"


@pytest.mark.parametrize("value", [0, -1, "much", float("inf"), float("nan"), True])
def test_a_limit_is_an_amount(value):
    with pytest.raises(SettingError, match="max_cost"):
        load({"max_cost": value})

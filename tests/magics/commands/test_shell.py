"""``%flowgpt stop``, ``nested``, ``ai-alias`` and ``version``."""

from __future__ import annotations

import pytest

from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.ai_alias import AiAlias
from flowgpt_magic.magics.state import ShellState
from tests.ai_magics import Magics, of, ours


def test_stop_says_how_many_it_stopped(run):
    assert run("stop") == "no reply is in flight"


def test_ai_alias_says_what_it_did(monkeypatch, run):
    magics = Magics(cell=of("jupyter_ai.magics"))
    alias = AiAlias(ours, magics.registered.get, magics.put)
    monkeypatch.setattr(ShellState, "ai_alias", lambda _state, *, on: alias.switch(on=on), raising=False)

    assert run("ai-alias on") == (
        "%ai and %%ai work like %flowgpt and %%flowgpt; they replace those of jupyter_ai until %flowgpt ai-alias off"
    )
    assert run("ai-alias off") == "%ai and %%ai are those of jupyter_ai again"
    magics.put("cell", None)
    assert run("ai-alias on") == "%ai and %%ai work like %flowgpt and %%flowgpt"
    assert run("ai-alias off") == "%ai and %%ai are off"
    with pytest.raises(OptionError, match="takes on or off"):
        run("ai-alias maybe")

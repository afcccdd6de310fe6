"""``%flowgpt panel``."""

from __future__ import annotations

import pytest

from flowgpt_magic.errors import ConversationNotFoundError


def test_where_there_is_no_notebook_it_says_what_to_do_instead(run):
    assert "use %flowgpt WORDS to ask" in run("panel")


def test_a_conversation_that_is_not_there_is_an_error(run):
    with pytest.raises(ConversationNotFoundError, match="there is no conversation 'mian'; did you mean main"):
        run("panel mian")

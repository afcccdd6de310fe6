"""What the author of a plug-in tests."""

from flowgpt_shout import Shout

from flowgpt_magic import Conversation
from flowgpt_magic.testing import check_provider


def test_it_keeps_the_contract():
    check_provider(Shout, name="shout", failing=())


def test_it_shouts():
    assert Conversation().ask("be quiet", model="shout:louder", history=False).text == "BE! QUIET! "

"""The panel in the sidebar as a real kernel serves it."""

from __future__ import annotations

from tests.kernel.conftest import SETUP, Kernel
from tests.kernel.pages import Page


def opened(kernel: Kernel) -> tuple[Page, dict]:
    """A page that shows the panel, and the traits that it got first."""
    page = Page(kernel, purpose="panel")
    return page, page.hear()["values"]


def hear(page: Page, kind: str, /, **values) -> dict:
    """The next message of this kind, also one that arrived before the last answer."""
    while True:
        message = page.messages.pop(0) if page.messages else page.hear()
        if message["kind"] == kind and values.items() <= message.items():
            return message


def test_the_page_gets_the_traits_first_and_the_outline_on_request(kernel: Kernel):
    kernel.good("%%flowgpt\nof a cell")
    page, values = opened(kernel)

    page.tell("open", page="p")

    assert values["model"] == "echo:words"
    assert values["status"] == ""
    assert hear(page, "state")["values"] == values
    assert hear(page, "outline", page="p")["rows"]
    page.close()


def test_a_turn_asked_in_a_cell_arrives_and_one_asked_in_the_panel_is_in_the_history(kernel: Kernel):
    page, _values = opened(kernel)
    page.tell("open", page="p")
    hear(page, "outline")

    page.ask("ask", page="p", text="asked in the sidebar")
    hear(page, "ended")
    kernel.client.execute("%%flowgpt\nasked in a cell")

    assert len(hear(page, "splice")["rows"]) == 1
    assert "asked in the sidebar" in str(kernel.good("%flowgpt history").outputs)
    page.close()


def test_an_f_string_in_quoted_code_sends_no_value(kernel: Kernel):
    kernel.good("token = 'OF A VARIABLE'")
    page, _values = opened(kernel)
    page.tell("open", page="p")
    hear(page, "outline")

    page.ask("ask", page="p", text="what is it?\n\n```python\nprint(f'{1}', '{token}')\n{token}\n```", quotes=True)
    hear(page, "ended")

    history = str(kernel.good("%flowgpt history").outputs)
    assert "{token}" in history
    assert "OF A VARIABLE" not in history
    page.close()


def test_the_panel_follows_the_conversation_that_the_cells_use(kernel: Kernel):
    page, values = opened(kernel)

    kernel.client.execute("%flowgpt new of-the-sidebar")

    state = hear(page, "state")
    while "name" not in state["values"]:  # another trait may change first
        state = hear(page, "state")
    assert state["values"]["name"] == "of-the-sidebar"
    kernel.good(f"%flowgpt use {values['name']}")
    page.close()


def test_two_pages_of_one_kernel_each_have_their_panel(kernel: Kernel):
    (one, _), (other, _) = opened(kernel), opened(kernel)
    other.tell("open", page="q")
    hear(other, "outline")

    one.tell("ask", page="p", id=1, text="asked in one of two pages")

    assert hear(other, "splice")["rows"]
    one.close()
    other.close()


def test_unloading_the_extension_closes_the_panel(kernel: Kernel):
    page, _values = opened(kernel)
    try:
        kernel.client.execute("%unload_ext flowgpt_magic", silent=True)

        assert hear(page, "closed")
    finally:
        kernel.good(SETUP)


def test_the_panel_of_a_page_that_crashed_is_closed_when_others_connect(kernel: Kernel):
    crashed, _values = opened(kernel)
    there, _values = opened(kernel)
    for _ in range(2):
        assert Page(kernel).hear()["kind"] == "hello"
        there.tell("pong")

    panels = kernel.good(f"print(*get_ipython().kernel.comm_manager.comms.keys() & {[crashed.comm_id, there.comm_id]})")

    assert panels.printed.split() == [there.comm_id]
    there.close()

"""What a page of JupyterLab asks of a real kernel."""

from __future__ import annotations

from tests.kernel.conftest import SETUP, Kernel
from tests.kernel.pages import Page


def test_a_page_is_greeted_with_the_version_and_the_magics(kernel: Kernel):
    hello = Page(kernel).hear()

    assert hello["kind"] == "hello"
    assert hello["protocol"] == 1
    assert "flowgpt" in hello["magics"]


def test_a_page_learns_which_names_a_prompt_can_refer_to_and_which_words_are_models(kernel: Kernel):
    kernel.good("frame, api_key = 1, 2")
    page = Page(kernel)

    names = ["frame", "nothing_of_the_kind", "print", "api_key", "In", 3]
    answer = page.ask("names", names=names, models=["echo", "hello", None])

    assert answer["known"] == ["frame", "In"]
    assert answer["missing"] == ["nothing_of_the_kind"]
    assert answer["models"] == ["echo"]
    assert answer["magics"] == ["flowgpt"]


def test_an_unknown_request_is_answered_with_what_to_do(kernel: Kernel):
    assert "reload the page" in Page(kernel).ask("of_tomorrow")["error"]


def test_unloading_the_extension_closes_the_connections(kernel: Kernel):
    page = Page(kernel)
    page.hear()
    try:
        kernel.client.execute("%unload_ext flowgpt_magic", silent=True)

        assert page.hear() == {"kind": "closed"}
        assert comms(kernel) == []
    finally:
        kernel.good(SETUP)


def test_an_unknown_purpose_closes_the_connection(kernel: Kernel):
    page = Page(kernel, purpose="of tomorrow")
    page.hear()

    assert page.closed


def test_a_page_brings_the_settings_and_the_next_one_is_told_of_them(kernel: Kernel):
    page = Page(kernel)
    try:
        assert "no model, provider or alias" in page.ask("preferences", settings={"model": "ecko"})["notice"]
        assert page.ask("preferences", settings={"temperature": 0.7})["notice"] == ""

        assert "0.7 (JupyterLab's settings)" in kernel.good("%flowgpt set temperature").printed
        assert Page(kernel).hear()["preferences"] == {"temperature": 0.7}
    finally:
        page.ask("preferences", settings={})


def test_a_page_of_another_version_is_greeted_and_its_requests_say_what_to_upgrade(kernel: Kernel):
    older, newer = Page(kernel, protocol=0, version="0.0.9"), Page(kernel, protocol=9, version="9.9")

    assert newer.hear()["kind"] == "hello"
    assert "too old for the extension of JupyterLab (9.9): upgrade it with %pip" in newer.ask("names")["error"]
    assert "(0.0.9) is too old for the kernel" in older.ask("names")["error"]
    assert "upgrade flowgpt_magic in JupyterLab's environment" in older.ask("names")["error"]


def test_a_page_that_has_gone_without_a_word_is_dismissed_when_others_connect(kernel: Kernel):
    gone, there = Page(kernel), Page(kernel)
    assert there.hear()["kind"] == "hello"
    there.tell("pong")
    third = Page(kernel)
    assert third.hear()["kind"] == "hello"
    there.tell("pong")  # it was asked again

    fourth = Page(kernel)
    assert fourth.hear()["kind"] == "hello"

    assert comms(kernel) == sorted([there.comm_id, third.comm_id, fourth.comm_id])
    assert gone.comm_id not in comms(kernel)


def test_a_connection_that_a_page_has_closed_sends_nothing_any_more(kernel: Kernel):
    page = Page(kernel)
    page.hear()
    page.close()

    run = kernel.good("import gc; gc.collect(); None")

    assert comms(kernel) == []
    assert run.of_type("comm_close") == []


def comms(kernel: Kernel) -> list[str]:
    """The ids of the connections that this kernel keeps."""
    comms = "c.comm_id for c in get_ipython().kernel.comm_manager.comms.values() if c.target_name == 'flowgpt_magic'"
    return sorted(kernel.good(f"print(*({comms}))").printed.split())

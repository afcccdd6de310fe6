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
        page.hear()

        assert page.closed
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

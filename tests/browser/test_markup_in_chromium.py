"""What a page gets of a reply runs nothing and fetches nothing in Chromium, whole, while it streams, and exported."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route

from flowgpt_magic.markdown.harmless import harmless
from flowgpt_magic.markdown.html.changes import GrowingMarkup, blocks_of, static_blocks_of
from flowgpt_magic.transcripts.html_page import transcript_html
from tests.markdown.test_harmless import CARELESS
from tests.payloads import PAYLOADS
from tests.records import conversation_record, notebook_record, turn_record
from tests.xss_payloads import NAMED

pytestmark = pytest.mark.own_page

ALL = [*NAMED.values(), *PAYLOADS]
ORIGIN = "http://127.0.0.1:9"  # nobody listens there: every request is answered here
HOST = """<!DOCTYPE html><html><head><title>host</title><script>
window.ran = [];
window.pwned = window.alert = window.confirm = window.prompt = (...given) => window.ran.push(given);
const badName = /^on|^(style|id|name|srcset|ping|is)$/i, badValue = /^\\s*(javascript|data|vbscript):/i;
window.violations = () => [...document.querySelectorAll("*")].flatMap((element) => element.getAttributeNames()
  .filter((name) => badName.test(name) || badValue.test(element.getAttribute(name)))
  .map((name) => `${element.tagName} ${name}`));
window.show = (all) => {
  for (const html of all) {
    const block = document.createElement("div");
    block.innerHTML = html;
    document.querySelector("main").append(block);
  }
};
window.settled = () => new Promise((done) => {
  const image = new Image();
  image.onerror = () => requestAnimationFrame(() => setTimeout(done));
  image.src = "/last.png";
});
window.stream = (steps) => {
  let page = [];
  const block = document.createElement("div");
  document.querySelector("main").replaceChildren(block);
  for (const [keep, cut, add, blocks] of steps) {
    const next = (page[keep] ?? "").slice(0, cut) + add;
    page = [...page.slice(0, keep), ...(next ? [next] : []), ...blocks];
    block.innerHTML = page.join("");
    if (violations().length) return "violated";
  }
  return page;
};
window.coloured = (pre) => {
  const text = pre.querySelector("code").textContent, found = [];
  let place = 0;
  for (const [, kind, length] of pre.querySelector("[data-runs]").dataset.runs.matchAll(/([A-Z])([0-9a-z]*)/g)) {
    const end = place + (length ? parseInt(length, 36) : 1);
    found.push([kind, text.slice(place, end)]);
    place = end;
  }
  return found;
};
</script></head><body><main></main></body></html>"""
_FORBIDDEN = """
    script style link meta base iframe frame object embed form input select textarea svg template video audio picture
    source track portal annotation-xml semantics maction mglyph dialog title noscript img
"""
FORBIDDEN = f"main :is({', '.join(_FORBIDDEN.split())})"


class Watched:
    """A page at a loopback address that notes whatever it asks for, and where it is led."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pages = {f"{ORIGIN}/": HOST}
        self.asked: list[str] = []
        self.led: list[str] = []
        page.route("**/*", self._answer)
        page.on("dialog", lambda dialog: (self.led.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("popup", lambda popup: self.led.append(f"popup {popup.url}"))
        page.on("framenavigated", lambda frame: self.led.append(frame.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))

    def _answer(self, route: Route) -> None:
        url = route.request.url
        if url in self.pages:
            route.fulfill(body=self.pages[url], content_type="text/html; charset=utf-8")
        else:
            self.asked.append(url)
            route.fulfill(status=404, body="")

    def open(self, path: str = "/") -> None:
        self.page.goto(ORIGIN + path)
        self.asked.clear()
        self.led.clear()

    def show(self, html: list[str]) -> None:
        """Put each into a page of its own content, all of it in turn."""
        self.page.evaluate("(all) => show(all)", html)

    def settle(self) -> None:
        """Wait until an image of our own, asked for after all else, has failed to load."""
        self.page.evaluate("() => settled()")

    def seen(self) -> dict[str, object]:
        """What of it all should not be."""
        return {
            "ran": self.page.evaluate("() => window.ran ?? []"),
            "asked": [url for url in self.asked if not url.endswith("/last.png")],
            "led": self.led,
            "attributes": self.page.evaluate("() => window.violations ? window.violations() : []"),
            "elements": self.page.locator(FORBIDDEN).count(),
            "title": self.page.title(),
        }


NOTHING = {"ran": [], "asked": [], "led": [], "attributes": [], "elements": 0, "title": "host"}


@pytest.fixture
def watched(page: Page) -> Watched:
    """A page that notes what runs in it and what it fetches."""
    return Watched(page)


def test_the_page_would_see_what_runs_and_what_is_fetched(watched: Watched):
    watched.open()

    watched.show(["<img src=x onerror=pwned()>", "<img src=https://evil.example/x.png>", "<p onclick=x>y</p>"])
    watched.settle()

    seen = watched.seen()
    assert seen["ran"] == [[]]
    assert sorted(watched.asked)[-1] == "https://evil.example/x.png"
    assert {"IMG onerror", "P onclick"} <= set(seen["attributes"])
    assert seen["elements"] == 2


def test_no_payload_runs_or_fetches_anything(watched: Watched):
    watched.open()

    watched.show(["".join(blocks_of(payload)) for payload in ALL])
    watched.show(["".join(static_blocks_of(payload)) for payload in ALL])
    watched.settle()

    assert watched.seen() == NOTHING
    assert watched.page.locator("main > div").count() == 2 * len(ALL)


def test_no_payload_is_active_after_the_page_has_read_it_again(watched: Watched):
    """What a page has read, written down and read again may be something else: mutation."""
    watched.open()

    watched.show(["".join(blocks_of(payload)) for payload in ALL])
    for _ in range(3):
        watched.page.evaluate("() => { const main = document.querySelector('main'); main.innerHTML = main.innerHTML; }")
    watched.settle()

    assert watched.seen() == NOTHING


def test_no_payload_is_active_while_it_streams(watched: Watched):
    watched.open()

    for payload in NAMED.values():
        markup, steps = GrowingMarkup(), []
        for char in payload[:300]:
            markup.feed(char)
            change = markup.change()
            if change:
                steps.append([change.keep, change.cut, change.add, list(change.blocks)])
        shown = watched.page.evaluate("(steps) => stream(steps)", steps)
        assert shown == markup.blocks
    watched.settle()

    assert watched.seen() == NOTHING


def test_no_click_on_a_link_runs_anything(watched: Watched):
    watched.open()
    watched.show(["".join(blocks_of(payload)) for payload in ALL])

    links = watched.page.locator("main a").evaluate_all("(all) => all.map((a) => [a.protocol, a.target, a.rel])")

    assert len(links) > 20
    assert {tuple(link) for link in links} <= {
        ("https:", "_blank", "noopener noreferrer"),
        ("http:", "_blank", "noopener noreferrer"),
        ("mailto:", "_blank", "noopener noreferrer"),
    }


def test_an_exported_page_runs_and_fetches_nothing(watched: Watched):
    conversation = conversation_record(notebook_record())
    turns = [turn_record(conversation, prompt=payload, text=payload, status="failed", error=payload) for payload in ALL]
    watched.pages[f"{ORIGIN}/transcript.html"] = transcript_html(turns, name="host", system=ALL[0])
    console: list[str] = []
    watched.page.on("console", lambda message: console.append(message.text))

    watched.page.goto(f"{ORIGIN}/transcript.html")
    watched.led.clear()

    assert watched.seen() | {"title": "host"} == NOTHING
    assert watched.asked == []
    assert watched.page.locator("section").count() == len(ALL)
    assert console == []  # where the policy had to forbid something, it says so


def test_the_policy_of_an_exported_page_forbids_what_the_page_does_not_have(watched: Watched):
    page = transcript_html([]).replace("</main>", "<img src=https://evil.example/x.png onerror=alert(1)></main>")
    watched.pages[f"{ORIGIN}/transcript.html"] = page

    watched.page.goto(f"{ORIGIN}/transcript.html")

    assert watched.asked == []


def test_markdown_for_outputs_is_harmless_in_a_careless_renderer(watched: Watched):
    watched.open()

    watched.show([CARELESS.render(harmless(payload)) for payload in ALL])
    watched.settle()

    assert watched.seen() | {"attributes": []} == NOTHING  # the side of a table's column is a style


def test_formulas_and_code_are_shown(watched: Watched):
    watched.open()
    text = "$\\frac{1}{2}$\n\n\\[\n\\sum_{i=1}^n i\n\\]\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n```"

    watched.show(["".join(blocks_of(text))])

    page = watched.page
    assert page.locator("math mfrac").evaluate("(m) => m.getBoundingClientRect().height") > 10
    assert page.locator("math[display=block] munderover").count() == 1
    assert page.locator("td").all_inner_texts() == ["1", "2"]
    assert page.locator("pre code").text_content() == "x = 1"
    coloured = page.evaluate("() => coloured(document.querySelector('pre[data-language]'))")
    assert coloured == [["X", "x "], ["O", "= "], ["N", "1"]]

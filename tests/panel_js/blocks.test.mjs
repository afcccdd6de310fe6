/** Blocks of a reply in the page: what is the same stays while they grow, and nothing in them acts by itself. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { load, loadTurn, openPage, openPanel } from "./page.mjs";

const { morph, parsed } = await load("morph.js");

/** A place in a page, and how it is made like something else. */
function place() {
  const { document, window } = openPage();
  const element = document.createElement("div");
  const copied = [];
  const inserted = [];
  const panel = { copied: (text) => copied.push(text), notebook: { insert: (...code) => inserted.push(code) } };
  document.body.append(element);
  return { document, window, element, copied, inserted, become: (html) => morph(panel, element, parsed(html)) };
}

test("a text that grows is the same node, so that what is selected stays so", () => {
  const { document, element, become } = place();
  become("<p>one <em>tw</em></p>");
  const [text, emphasised] = [element.querySelector("p").firstChild, element.querySelector("em").firstChild];
  document.getSelection().setBaseAndExtent(text, 0, emphasised, 2);

  become("<p>one <em>two</em> three</p>");

  assert.equal(element.innerHTML, "<p>one <em>two</em> three</p>");
  assert.equal(element.querySelector("em").firstChild, emphasised);
  assert.equal(document.getSelection().toString(), "one tw");
});

test("an element with other attributes is another element", () => {
  const { element, become } = place();
  become('<ol start="2"><li>a</li></ol>');
  const list = element.firstChild;
  become("<ol><li>a</li></ol>");
  assert.notEqual(element.firstChild, list);
  assert.equal(element.innerHTML, "<ol><li>a</li></ol>");
});

test("nodes that are not there any more leave", () => {
  const { element, become } = place();
  become("<p>a</p><p>b</p><hr>");
  become("<p>a</p>");

  assert.equal(element.innerHTML, "<p>a</p>");
});

test("a link opens in a window of its own, and stays the same while the text grows", () => {
  const { element, become } = place();
  become('<p><a href="https://a.b">x</a></p>');
  const link = element.querySelector("a");
  become('<p><a href="https://a.b">x</a> y</p>');

  assert.equal(element.querySelector("a"), link);
  assert.deepEqual([link.target, link.rel], ["_blank", "noopener noreferrer"]);
});

test("a wide table can be scrolled with the keyboard", () => {
  const { element, become } = place();
  become('<div class="fg-scroll"><table></table></div>');

  assert.deepEqual(["tabindex", "role", "aria-label"].map((name) => element.firstChild.getAttribute(name)), ["0", "group", "Table"]);
});

test("an image is fetched when it is clicked, and not again when the text grows", () => {
  const { element, become } = place();
  become('<p><button class="fg-image" data-src="https://a.b/c.png">a cat</button></p>');
  assert.equal(element.querySelector("img"), null);
  assert.equal(element.querySelector("button").title, "Load the image from https://a.b/c.png");

  element.querySelector("button").click();
  const image = element.querySelector("img");
  become('<p><button class="fg-image" data-src="https://a.b/c.png">a cat</button> more</p>');

  assert.equal(element.querySelector("img"), image);
  assert.deepEqual([image.src, image.alt, image.getAttribute("referrerpolicy")], ["https://a.b/c.png", "a cat", "no-referrer"]);
});

test("an address that is not of the web is never fetched", () => {
  for (const address of ["javascript:alert(1)", "data:image/png,x", "file:///etc/passwd", "//a.b/c.png", " https://a.b"]) {
    const { element, become } = place();
    become(`<p><button class="fg-image" data-src="${address}">x</button></p>`);
    element.querySelector("button").click();

    assert.equal(element.querySelector("img"), null, address);
  }
});

/** A block of code as the kernel sends it. */
const block = (code, runs = "", more = "") => `<pre dir="ltr" data-language="python"${more}><code>${code}</code>${runs && `<span data-runs="${runs}"></span>`}</pre>`;

/** The pieces of a code block in the page. */
const pieces = (element) => [...element.querySelector("code").childNodes].map((node) => [node.className ?? "", node.textContent]);

test("code that grows keeps its coloured words, and only the end is made again", () => {
  const { element, become } = place();
  become(block("def f", "K4F"));
  const [keyword, name] = element.querySelector("code").childNodes;
  become(block("def fun(x)", "K4F3"));

  assert.deepEqual(pieces(element), [["fg-keyword", "def "], ["fg-def", "fun"], ["", "(x)"]]);
  assert.deepEqual([...element.querySelector("code").childNodes].slice(0, 2), [keyword, name]);
});

test("code that comes letter by letter is what came", () => {
  const { element, become } = place();
  const code = "def fun(x): return 1";
  for (let end = 1; end <= code.length; end += 1) {
    become(block(code.slice(0, end), end > 4 ? "K4X" : "K4"));
    assert.equal(element.querySelector("code").textContent, code.slice(0, end));
  }
  assert.deepEqual(pieces(element), [["fg-keyword", "def "], ["", "f"], ["", "un(x): return 1"]]);
});

test("code that becomes another one is made again", () => {
  const { element, become } = place();
  become(block("def f", "K4F"));
  become(block("let x", "K4X"));

  assert.deepEqual(pieces(element), [["fg-keyword", "let "], ["", "x"]]);
});

test("code is text, whatever is in it", () => {
  const { element, become } = place();
  become(block("&lt;script&gt;alert(1)&lt;/script&gt;", "Kz"));

  assert.equal(element.querySelector("script"), null);
  assert.deepEqual(pieces(element), [["fg-keyword", "<script>alert(1)</script>"]]);
});

test("the buttons of a code block copy and insert the code", () => {
  const { element, copied, inserted, become } = place();
  become(block("x = 1\n"));
  element.querySelector("[aria-label='Copy the code']").click();
  element.querySelector("[aria-label='Insert a cell below with the code']").click();

  assert.deepEqual([copied, inserted], [["x = 1\n"], [["x = 1\n", "python"]]]);
});

test("a long code that comes in several blocks is copied as one", async (t) => {
  const { page, model, panel } = await openPanel({ rows: [["a", 0, 5, "complete 1/1"]] });
  t.after(() => panel.close());
  loadTurn(model, "a", [block("one\n"), block("two\n", "", ' data-part="2"'), block("three\n", "", ' data-part="3"'), "<p>end</p>", block("four\n")]);
  page.paint();
  const copied = t.mock.method(panel, "copied", () => {});
  page.document.querySelector("[aria-label='Copy the code']").click();

  assert.deepEqual(copied.mock.calls[0].arguments, ["one\ntwo\nthree\n"]);
});

test("of a long reply only the blocks near what is seen are in the page", async (t) => {
  const { page, model, panel } = await openPanel({ rows: [["a", 0, 50_000, "complete 1/1"]] });
  t.after(() => panel.close());
  loadTurn(model, "a", Array.from({ length: 1000 }, (_, number) => `<p>${number}</p>`));
  page.paint();
  page.measure(page.document.querySelector(".fg-turn"), 35_000);
  page.paint();
  const numbers = [...page.document.querySelectorAll(".fg-block")].map((element) => Number(element.textContent));

  assert.equal(numbers.at(-1), 999); // the end is in view
  assert.ok(numbers.length < 60, `${numbers.length}`);
  assert.ok(parseFloat(panel.log.turns[0].body.above.style.height) > 30_000);
});

/* The page of a chat panel.
 *
 * The kernel says what is true in the model's traits, and what happens in messages: an outline of the turns, what is in
 * those that this page asks for, and of a reply that arrives the new text only. HTML comes from the kernel as blocks that
 * were made harmless there; every other text is put in as text.
 */

const MARGIN = 500; // pixels around what is seen in which turns are in the page
const NEAR = 32; // pixels from the end at which the view follows it
const BUDGET = 8; // milliseconds of work in one go
const SLOW = 400; // milliseconds after which one is told what the kernel is waiting for
const WORD = 4; // messages after which the kernel is told that they were shown

/* ---------- small things ---------- */

const ICONS = {
  plus: "M12 5v14M5 12h14",
  pencil: "M4 20h4L19 9l-4-4L4 16v4M13 7l4 4",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5L20 20",
  sliders: "M4 7h9M17 7h3M15 4.5v5M4 17h3M11 17h9M9 14.5v5",
  more: "M5 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M17 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0",
  send: "M4 12l16-8-5 16-3.5-6.5L4 12M11.500 13.500L20 4",
  stop: "M7 7h10v10H7z",
  clip: "M19 11l-7.500 7.500a4.500 4.500 0 0 1-6.400-6.400L13 4.200a3 3 0 0 1 4.300 4.300l-7.800 7.800a1.500 1.500 0 0 1-2.100-2.100L14.500 7",
  copy: "M9 9h10v11H9zM6 15H5V4h10v2",
  retry: "M19 12a7 7 0 1 1-2.200-5.100M19 4v4h-4",
  go: "M6 5l9 7-9 7zM19 5v14",
  branch: "M7 4v16M7 14c0-4 10-2 10-8M17 6V4M15 6l2-3 2 3",
  back: "M14 6l-6 6 6 6",
  forth: "M10 6l6 6-6 6",
  down: "M12 5v13M6 12l6 6 6-6",
  insert: "M5 5h14v6H5zM12 14v6M9 17h6",
  close: "M6 6l12 12M18 6L6 18",
};

function make(tag, about = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inside.filter(Boolean));
  return node;
}

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "fg-icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function button(name, label, onclick, more = {}) {
  return make("button", { type: "button", class: "fg-tool", title: label, "aria-label": label, onclick, ...more }, icon(name));
}

function clock(seconds) {
  const then = new Date(seconds * 1000);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString()} ${time}`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(await text);
    return true;
  } catch {
    const field = make("textarea", { style: "position:fixed;opacity:0" });
    field.value = await text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus?.();
    return done;
  }
}

/* ---------- blocks of a reply ---------- */

const WORDS = {
  K: "keyword", S: "string", C: "comment", N: "number", F: "def", B: "builtin", O: "operator", M: "meta", T: "tag",
  A: "attribute", V: "variable-2", L: "atom", E: "error",
};

/** What stands in a code block, run by run, so that of a growing one only the end is made again. */
class Code {
  constructor(view, pre) {
    this.parts = [];
    this.code = make("code");
    this.label = make("span", { class: "fg-language" });
    const name = (verb) => `${verb} the code`;
    this.element = make("div", { class: "fg-code" },
      make("div", { class: "fg-codebar" }, this.label,
        button("copy", name("Copy"), () => view.copied(this.whole)),
        button("insert", name("Insert a cell below with"), () => view.insert(this.whole))),
      make("pre", { dir: "ltr", tabindex: "0", role: "region", "aria-label": "code" }, this.code));
    this.element.code = this;
    this.update(pre);
  }

  update(pre) {
    const text = pre.querySelector("code")?.textContent ?? pre.textContent;
    const runs = pre.querySelector("[data-runs]")?.getAttribute("data-runs") ?? "";
    this.label.textContent = pre.getAttribute("data-language") || "text";
    this.element.classList.toggle("fg-part", pre.hasAttribute("data-part"));
    const grown = this.text === undefined || text.startsWith(this.text);
    const parts = this.read(text, runs);
    let same = 0;
    while (grown && same < parts.length && same < this.parts.length && this.equal(parts[same], this.parts[same])) same += 1;
    const [next, last] = [parts[same], this.parts[same]];
    if (grown && next && last && next.kind === last.kind && next.start === last.start && next.end >= last.end) {
      (last.node.firstChild ?? last.node).appendData(text.slice(last.end, next.end));
      last.end = next.end;
      same += 1;
    }
    for (const part of this.parts.splice(same)) part.node.remove();
    for (const part of parts.slice(same)) {
      const piece = text.slice(part.start, part.end);
      part.node = part.kind ? make("span", { class: `fg-${part.kind}`, text: piece }) : document.createTextNode(piece);
      this.code.append(part.node);
      this.parts.push(part);
    }
    this.text = text;
  }

  get whole() {
    const block = this.element.closest(".fg-block");
    return block ? block.body.code(block.number, this.text) : this.text;
  }

  equal(one, other) {
    return one.kind === other.kind && one.start === other.start && one.end === other.end;
  }

  read(text, runs) {
    const parts = [];
    let place = 0;
    for (const [, letter, length] of runs.matchAll(/([A-Z])([0-9a-z]*)/g)) {
      const end = Math.min(text.length, place + (length ? parseInt(length, 36) : 1));
      const kind = WORDS[letter] ?? "";
      if (end > place) parts.push({ kind, start: place, end });
      place = end;
    }
    if (place < text.length || !parts.length) parts.push({ kind: "", start: place, end: text.length });
    return parts;
  }
}

function isCode(node) {
  return node.nodeName === "PRE" && node.hasAttribute("data-language");
}

function isImage(node) {
  return node.nodeName === "BUTTON" && node.hasAttribute("data-src");
}

/** A remote image as its address, until somebody wants to see it. */
function image(node) {
  const address = node.getAttribute("data-src");
  const words = node.textContent.trim() || address;
  const show = make("button", { type: "button", class: "fg-image", title: `Load the image from ${address}`, text: words });
  show.addEventListener("click", () => {
    if (!/^https?:\/\//i.test(address)) return;
    show.replaceWith(make("img", { src: address, alt: words, referrerpolicy: "no-referrer", class: "fg-loaded" }));
  });
  show.address = `${address} ${words}`;
  return show;
}

/** A node as it stands in the page: code with its buttons, remote images as what they are. */
function dressed(view, node) {
  if (isCode(node)) return new Code(view, node).element;
  if (isImage(node)) return image(node);
  if (node.nodeType === 1) {
    for (const pre of [...node.querySelectorAll("pre[data-language]")]) pre.replaceWith(new Code(view, pre).element);
    for (const each of [...node.querySelectorAll("button[data-src]")]) each.replaceWith(image(each));
    for (const each of [node, ...node.querySelectorAll("a[href], .fg-scroll")]) reachable(each);
  }
  return node;
}

/** A link opens in a window of its own; what is wide scrolls by itself, also with the keyboard. */
function reachable(node) {
  const more = node.nodeName === "A" ? { target: "_blank", rel: "noopener noreferrer" }
    : node.classList.contains("fg-scroll") ? { tabindex: "0", role: "region", "aria-label": "table" } : {};
  for (const [name, value] of Object.entries(more)) node.setAttribute(name, value);
}

/** Make what is inside `there` like what is inside `fresh`; what is the same stays, and with it what is selected. */
function morph(view, there, fresh) {
  let old = there.firstChild;
  let next = fresh.firstChild;
  while (next) {
    const node = next;
    next = node.nextSibling;
    const after = old?.nextSibling;
    if (!old) there.append(dressed(view, node));
    else if (old.code && isCode(node)) old.code.update(node);
    else if (old.address && isImage(node)) {
      const made = image(node);
      if (made.address !== old.address) old.replaceWith(made);
    } else if (old.nodeName === "IMG" && isImage(node)) { /* loaded by a click: it stays */ }
    else if (old.nodeType === 3 && node.nodeType === 3) {
      if (node.data.startsWith(old.data)) { if (node.data.length > old.data.length) old.appendData(node.data.slice(old.data.length)); }
      else old.data = node.data;
    } else if (old.nodeType === 1 && node.nodeType === 1 && old.nodeName === node.nodeName && sameAttributes(old, node)) morph(view, old, node);
    else old.replaceWith(dressed(view, node));
    old = after;
  }
  while (old) {
    const after = old.nextSibling;
    old.remove();
    old = after;
  }
}

/** Nothing the one has is missing in the other; what `reachable` adds is the page's own. */
function sameAttributes(one, other) {
  const own = [...one.attributes].filter(({ name }) => !["target", "rel", "tabindex", "role", "aria-label"].includes(name));
  return own.every(({ name }) => other.hasAttribute(name)) && [...other.attributes].every((each) => one.getAttribute(each.name) === each.value);
}

/** The nodes of one block. Its HTML was made harmless by the kernel. */
function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** The blocks of one reply. Only those near what is seen are in the page; the others are a gap as high as they are. */
class Body {
  constructor(view) {
    this.view = view;
    this.blocks = []; // their HTML
    this.heights = []; // in pixels, of those that were in the page
    this.guesses = [];
    this.shown = new Map(); // by the number of a block: its element, and the HTML that is in it
    this.from = this.to = 0; // what is wanted in the page
    this.above = make("div");
    this.below = make("div");
    this.element = make("div", { class: "fg-blocks jp-RenderedHTMLCommon" }, this.above, this.below);
  }

  /** Other blocks from number `from` on. */
  change(from, blocks) {
    this.blocks.length = from;
    for (const block of blocks) this.blocks.push(block);
    this.heights.length = Math.min(this.heights.length, from + 1);
    this.guesses.length = Math.min(this.guesses.length, from);
  }

  resized() {
    this.guesses = [];
    this.heights = this.heights.map((height, number) => (this.shown.has(number) ? height : undefined));
  }

  height(number) {
    return this.heights[number] ?? (this.guesses[number] ??= this.guess(this.blocks[number]));
  }

  guess(html) {
    if (html.startsWith("<pre")) return Math.min(530, 62 + 17 * (html.split("\n").length - 1));
    return 14 + 21 * Math.ceil(html.length / Math.max(20, this.view.log.width / 7.5));
  }

  /** Where a block begins; behind the last one it is where all end. */
  top(number) {
    let top = 0;
    for (let each = 0; each < number; each += 1) top += this.height(each);
    return top;
  }

  /** The block at a place. */
  at(place) {
    let number = 0;
    for (let top = this.height(0); top <= place && number < this.blocks.length - 1; top += this.height(number)) number += 1;
    return number;
  }

  /** What is between two places is wanted in the page; is anything to be painted then? */
  look(top, bottom) {
    const last = this.blocks.length;
    let [from, to] = [0, last];
    if (last > 8) {
      from = this.at(Math.max(0, top));
      to = Math.min(last, this.at(Math.max(0, bottom)) + 1);
    }
    [this.from, this.to] = this.hold(from, to);
    if (this.shown.size !== this.to - this.from) return true;
    for (let number = this.from; number < this.to; number += 1) if (this.shown.get(number)?.html !== this.blocks[number]) return true;
    return false;
  }

  /** Somebody is at work in a block, or has selected it: it stays. */
  hold(from, to) {
    const selected = document.getSelection();
    const nodes = selected && !selected.isCollapsed ? [selected.anchorNode, selected.focusNode] : [];
    for (const node of [...nodes, document.activeElement]) {
      if (!node || !this.element.contains(node)) continue;
      const block = (node.nodeType === 1 ? node : node.parentNode).closest(".fg-block");
      if (!block || block.number >= this.blocks.length) continue;
      from = Math.min(from, block.number);
      to = Math.max(to, block.number + 1);
    }
    return [from, to];
  }

  /** Bring the page up to date; false where the time was over before. */
  paint(deadline) {
    for (const [number, { element }] of this.shown) if (number < this.from || number >= this.to) this.remove(number, element);
    let before = this.above;
    let number = this.from;
    for (let done = 0; number < this.to; number += 1) {
      const html = this.blocks[number];
      let each = this.shown.get(number);
      if (each?.html !== html) {
        if (done && performance.now() > deadline) break;
        each = this.show(number, html, each);
        done += 1;
      }
      if (before.nextSibling !== each.element) before.after(each.element);
      before = each.element;
    }
    this.above.style.height = `${this.top(this.from)}px`;
    this.below.style.height = `${this.top(this.blocks.length) - this.top(number)}px`;
    return number === this.to;
  }

  show(number, html, each) {
    const element = each?.element ?? make("div", { class: "fg-block", dir: "auto" });
    if (!each) {
      Object.assign(element, { number, body: this });
      this.view.log.sizes.observe(element);
    }
    morph(this.view, element, parsed(html));
    const shown = { element, html };
    this.shown.set(number, shown);
    return shown;
  }

  remove(number, element) {
    this.view.log.sizes.unobserve(element);
    element.remove();
    this.shown.delete(number);
  }

  clear() {
    for (const [number, { element }] of this.shown) this.remove(number, element);
  }

  /** A long code comes in several blocks: all of it, from this one on. */
  code(number, text) {
    for (let next = number + 1; next < this.blocks.length && /^<pre[^>]* data-part="/.test(this.blocks[next]); next += 1) {
      text += parsed(this.blocks[next]).querySelector("code").textContent;
    }
    return text;
  }
}

/* ---------- one turn ---------- */

class Turn {
  constructor(view, row) {
    this.view = view;
    this.body = new Body(view);
    this.facts = null;
    this.number = -1; // of the last change to a reply that arrives
    this.height = 0;
    this.into = 110; // pixels from the top to the reply
    this.take(row);
  }

  take([id, place, size, mark]) {
    this.stale = this.mark !== undefined && this.mark !== mark;
    Object.assign(this, { id, place, size, mark });
  }

  get arriving() {
    return this.mark.startsWith("streaming");
  }

  /** Has the page all of it? A long one comes in parts. */
  get loaded() {
    return Boolean(this.facts) && this.body.blocks.length >= this.facts.total;
  }

  guess(width) {
    return this.height || Math.min(20000, 96 + Math.ceil(this.size / Math.max(20, width / 7.5)) * 21);
  }

  /** The element, made when the turn comes into view. */
  mount() {
    if (this.element) return this.element;
    const view = this.view;
    this.who = make("div", { class: "fg-who" });
    this.prompt = make("div", { class: "fg-prompt", dir: "auto" });
    this.rest = make("button", { type: "button", class: "fg-rest", text: "Show all of it", hidden: true, onclick: () => this.unfold() });
    this.chips = make("div", { class: "fg-chips" });
    this.promptTools = make("div", { class: "fg-tools" },
      button("pencil", "Edit and ask again", () => this.edit()),
      button("copy", "Copy the prompt", () => view.copied(this.whole("prompt"))));
    this.question = make("div", { class: "fg-question" }, this.who, this.prompt, this.rest, this.chips, this.promptTools);
    this.model = make("div", { class: "fg-who" });
    this.pausing = make("span", { class: "fg-who" });
    this.waiting = make("div", { class: "fg-waiting", "aria-hidden": "true" }, make("i"), make("i"), make("i"), this.pausing);
    this.trouble = make("div", { class: "fg-trouble" });
    this.older = button("back", "Earlier version", () => this.choose(-1));
    this.newer = button("forth", "Later version", () => this.choose(1));
    this.count = make("span", { class: "fg-count" });
    this.versions = make("span", { class: "fg-versions", role: "group", "aria-label": "Versions" }, this.older, this.count, this.newer);
    this.ending = make("span", { class: "fg-who" }); // said above too, which may be far away
    this.goOn = button("go", "Let the reply go on", () => view.arrives() || view.act("continue", {}));
    this.tools = make("div", { class: "fg-tools" }, this.versions,
      button("retry", "Ask again", () => view.arrives() || view.act("retry", { place: this.place })), this.goOn,
      button("copy", "Copy the reply", () => view.copied(this.whole("text"))),
      button("branch", "Branch from here", () => view.act("branch", { place: this.place })), this.ending);
    this.element = make("article", { class: "fg-turn" }, this.question,
      make("div", { class: "fg-answer" }, this.model, this.body.element, this.waiting, this.trouble, this.tools));
    this.element.turn = this;
    this.tell();
    if (view.edits.has(this.place) && !view.edits.get(this.place).sent) this.edit();
    return this.element;
  }

  async whole(what) {
    return (await this.view.link.ask("whole", { turn: this.id }))[what];
  }

  async unfold() {
    try {
      this.full = await this.whole("prompt");
      this.tell();
    } catch (error) {
      this.view.note(error.message);
    }
  }

  /** Two clicks are two steps, though the first has not been answered yet. */
  async choose(step) {
    const version = Math.min(this.facts.versions, Math.max(1, (this.chosen ?? this.facts.version) + step));
    this.chosen = version;
    if (!(await this.view.act("choose", { place: this.place, version }))) this.chosen = undefined;
  }

  /** The words around prompt and reply. */
  tell() {
    const facts = this.facts;
    this.element?.classList.toggle("fg-loading", !facts);
    if (!facts || !this.element) return;
    this.who.textContent = ["You", clock(facts.started), facts.cell ? "in a cell" : ""].filter(Boolean).join(" · ");
    this.prompt.textContent = this.full ?? facts.typed ?? facts.prompt;
    this.rest.hidden = Boolean(this.full) || facts.typed !== undefined || !facts.prompt_more;
    this.chips.replaceChildren(...(facts.attached ?? []).map((each) => make("span", { class: "fg-chip", text: each })));
    this.ending.textContent = facts.status === "cancelled" ? "stopped here" : "";
    this.trouble.textContent = facts.status === "failed" ? facts.error : "";
    this.trouble.hidden = facts.status !== "failed" || !facts.error;
    this.filled();
    this.tick();
    this.versions.hidden = facts.versions < 2;
    this.count.textContent = `${facts.version}/${facts.versions}`;
    this.count.setAttribute("aria-label", `version ${facts.version} of ${facts.versions}`);
    this.older.disabled = facts.version < 2 || this.arriving;
    this.newer.disabled = facts.version >= facts.versions || this.arriving;
    this.tools.classList.toggle("fg-quiet", this.arriving);
    this.goOn.hidden = !this.last || facts.empty;
    this.view.log.refocus(this);
  }

  filled() {
    const { length } = this.body.blocks;
    const waited = !this.waiting.hidden;
    this.waiting.hidden = !this.arriving || length > 0;
    this.body.element.hidden = !length;
    if (waited !== !this.waiting.hidden) this.tick();
  }

  /** Who answers, how long it takes or took, and what else one should know. */
  get answerer() {
    const { facts } = this;
    const ended = { cancelled: "stopped", failed: "failed", elsewhere: "asked in another kernel" }[facts.status] ?? "";
    const seconds = facts.seconds === null || this.arriving ? this.waited() : `${facts.seconds.toFixed(1)} s`;
    const doing = this.waits && this.doing;
    return [facts.model, seconds, doing, facts.replayed ? "replayed" : "", ended, ...facts.notices].filter(Boolean).join(" · ");
  }

  /** For how many seconds nothing has come; empty in a pause before another try, and in the first moment. */
  waited() {
    const seconds = (performance.now() - this.begun) / 1000;
    return this.waits && !this.paused && seconds >= 0.5 ? `${Math.max(1, Math.round(seconds))} s` : "";
  }

  /** Does it arrive here, and nothing has come yet? */
  get waits() {
    return this.arriving && this.begun !== undefined && !this.body.blocks.length;
  }

  /** Seconds that are left of a pause before another try. */
  get paused() {
    return this.pause && Math.max(0, Math.ceil((this.pause.until - performance.now()) / 1000));
  }

  /** When the reply was asked for, by the clock of this page. */
  asked({ elapsed, pause, doing }) {
    this.begun = elapsed === undefined ? undefined : performance.now() - 1000 * elapsed;
    this.doing = doing;
    this.pauses(pause);
  }

  /** What the provider does until the first text comes; empty when that is over. */
  does(doing) {
    this.doing = doing;
    this.tick();
  }

  /** It is asked again after a pause. */
  pauses(pause) {
    this.pause = pause && { why: pause.why, until: performance.now() + 1000 * pause.left };
    this.tick();
  }

  /** Show how long nothing has come, or when it is asked again; once a second, while the turn is in the page. */
  tick() {
    clearTimeout(this.ticking);
    if (!this.element || !this.facts) return;
    this.model.textContent = this.answerer;
    this.pausing.textContent = this.waits && this.paused ? `${this.pause.why}; asking again in ${this.paused} s` : "";
    if (!this.waits) return;
    const next = this.paused ? this.pause.until : this.begun + 500; // the seconds change at a half
    this.ticking = setTimeout(() => this.tick(), 10 + ((((next - performance.now()) % 1000) + 1000) % 1000));
  }

  /** A change to the reply: of the block at `keep` the first `cut` letters stay, then it goes on. */
  grow(number, keep, cut, add, blocks = []) {
    const open = (cut ? this.body.blocks[keep].slice(0, cut) : "") + add;
    this.body.change(keep, open ? [open, ...blocks] : blocks);
    this.number = number;
  }

  /** Bring the page up to date; false where the time was over before. */
  paint(deadline) {
    if (!this.element) return true;
    this.filled();
    return this.body.paint(deadline);
  }

  unmount() {
    clearTimeout(this.ticking);
    this.body.clear();
    this.element?.remove();
    this.element = this.editor = null;
  }

  /** Is it kept in the page though it is out of view, because somebody is at work in it? */
  get held() {
    if (!this.element) return false;
    if (this.view.sending === this.place) return true;
    if (this.element.contains(document.activeElement)) return true;
    const selected = document.getSelection();
    return Boolean(selected && !selected.isCollapsed && (this.element.contains(selected.anchorNode) || this.element.contains(selected.focusNode)));
  }

  /** The prompt as a field, in which what was typed stays though somebody else changes the turn. */
  async edit() {
    const view = this.view;
    const fresh = !view.edits.has(this.place);
    if (fresh) {
      let text = this.full ?? this.facts.typed ?? this.facts.prompt;
      if (this.facts.prompt_more && this.facts.typed === undefined && !this.full) {
        try { text = await this.whole("prompt"); } catch (error) { view.note(error.message); return; }
      }
      view.edits.set(this.place, { text, id: this.id });
    }
    const edit = view.edits.get(this.place);
    const field = make("textarea", { class: "fg-field", "aria-label": "The prompt of this turn", dir: "auto", rows: "3" });
    field.value = edit.text;
    const fit = () => {
      field.style.height = "auto";
      field.style.height = `${Math.min(320, field.scrollHeight + 2)}px`;
    };
    field.addEventListener("input", () => { edit.text = field.value; view.edits.remember(); fit(); });
    const leave = () => {
      view.edits.delete(this.place);
      this.editor?.replaceWith(this.prompt);
      this.editor = null;
      this.promptTools.hidden = false;
      this.promptTools.firstChild.focus();
    };
    const send = async () => {
      if (view.sending === this.place || view.arrives()) return;
      const { edits } = view;
      edit.sent = true; // the new turn is not edited
      view.sending = this.place;
      field.readOnly = true;
      const done = await view.act("edit", { place: this.place, text: field.value });
      field.readOnly = edit.sent = false;
      view.sending = null;
      if (done) {
        edits.delete(this.place);
        if (this.element?.contains(document.activeElement)) leave();
        view.composer.field.focus({ preventScroll: true });
      } else if (!view.log.byId.has(this.id)) {
        edits.delete(this.place);
        view.give(field.value);
      }
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
      else if (event.key === "Escape") { event.preventDefault(); if (!field.readOnly) leave(); }
    });
    const changed = edit.id !== this.id && make("div", { class: "fg-hint", text: "This turn was changed meanwhile; asking again makes another version of it." });
    const editor = make("div", { class: "fg-editor" }, field, changed,
      make("div", { class: "fg-row" },
        make("button", { type: "button", class: "fg-button fg-main", text: "Ask", onclick: send }),
        make("button", { type: "button", class: "fg-button", text: "Cancel", onclick: leave })));
    (this.editor ?? this.prompt).replaceWith(editor);
    this.editor = editor;
    this.promptTools.hidden = true;
    if (fresh) { field.focus(); fit(); } else requestAnimationFrame(fit);
  }
}

/* ---------- the turns that are in view ---------- */

class Log {
  constructor(view) {
    this.view = view;
    this.turns = [];
    this.byId = new Map();
    this.asked = new Map(); // by the id of a turn when it was asked for
    this.pinned = true;
    this.seen = this.total = this.put = 0; // pixels
    this.width = 600;
    this.sheet = make("div", { class: "fg-sheet" });
    this.empty = make("div", { class: "fg-empty" });
    this.box = make("div", { class: "fg-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" }, this.empty, this.sheet);
    this.toEnd = make("button", { type: "button", class: "fg-down", title: "To the end", "aria-label": "To the end", hidden: true, onclick: () => this.follow() }, icon("down"));
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver((entries) => this.measured(entries)); // of the box, the turns and their blocks
    this.sizes.observe(this.box);
  }

  /**
   * The keys that scroll, at one go: what comes into view is measured and arranged, and that would end the front end's
   * smooth way to a place which lies elsewhere by then.
   */
  key(event) {
    const { box } = this;
    if (event.target !== box) return;
    this.focused = null; // who reads on is not taken back to a button
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const page = 0.9 * box.clientHeight;
    const by = { PageUp: -page, PageDown: page, ArrowUp: -40, ArrowDown: 40, " ": page }[event.key];
    if (event.key === "Home") box.scrollTop = 0;
    else if (event.key === "End") this.follow();
    else if (by) box.scrollTop += by;
    else return;
    event.preventDefault();
  }

  set(rows) {
    const reading = this.pinned ? null : this.anchored();
    for (const turn of this.turns) this.drop(turn);
    this.turns = rows.map((row) => new Turn(this.view, row));
    this.byId = new Map(this.turns.map((turn) => [turn.id, turn]));
    this.asked.clear();
    const read = reading && this.byId.get(reading.turn.id);
    this.pinned = !read;
    this.anchor = read ? { ...reading, turn: read, block: -1 } : null;
    this.counted();
  }

  splice(at, gone, rows) {
    const out = this.turns.slice(at, at + gone);
    const known = new Map(out.map((turn) => [turn.id, turn]));
    const fresh = rows.map((row) => {
      const turn = known.get(row[0]);
      if (!turn) {
        this.asked.delete(row[0]);
        return new Turn(this.view, row);
      }
      const arrived = turn.arriving;
      turn.take(row);
      known.delete(turn.id);
      if (turn.stale && arrived && turn.number >= 0) setTimeout(() => { if (turn.stale) this.lookAgain(turn); }, 3000); // its end is told of next
      else if (turn.stale) this.lookAgain(turn);
      return turn;
    });
    for (const turn of known.values()) {
      this.byId.delete(turn.id);
      this.drop(turn);
    }
    this.turns.splice(at, gone, ...fresh);
    for (const turn of fresh) this.byId.set(turn.id, turn);
    if (at + rows.length >= this.turns.length && rows.length > gone && this.view.sent) { this.pinned = true; this.view.sent = false; }
    this.counted();
  }

  /** Put the focus back to where it was before a turn was changed, or as near to it as can be, when it is there. */
  refocus(turn) {
    const focused = this.focused;
    if (focused?.place !== turn.place || !turn.element?.isConnected) return;
    const found = [...turn.element.querySelectorAll("button[aria-label], textarea")];
    const same = found.filter((each) => each.getAttribute("aria-label") === focused.label);
    const near = found.filter((each) => each.closest(".fg-answer .fg-tools"));
    for (const each of [...same, ...near]) {
      if (document.activeElement !== this.box) break; // it is done, or somebody has gone on
      each.focus({ preventScroll: true });
    }
    const { activeElement: at } = document;
    if (at === this.box) return;
    this.focused = null;
    if (found.includes(at) && at.matches("textarea")) at.setSelectionRange(focused.caret, focused.caret);
  }

  lookAgain(turn) {
    turn.stale = false;
    this.asked.delete(turn.id);
    turn.reload = true;
    this.view.later();
  }

  drop(turn) {
    if (turn.element?.contains(document.activeElement)) {
      const { activeElement: at } = document;
      this.focused = { place: turn.place, label: at.getAttribute("aria-label"), caret: at.selectionStart };
      this.box.focus({ preventScroll: true }); // until its next version is here
    }
    if (turn.element) this.sizes.unobserve(turn.element);
    turn.unmount();
  }

  counted() {
    this.turns.forEach((turn, number) => {
      const last = number === this.turns.length - 1;
      if (turn.last !== last) { turn.last = last; turn.tell(); }
      turn.position = number;
    });
    this.empty.hidden = this.turns.length > 0;
    this.view.rescue(new Set(this.turns.map((turn) => turn.place)));
    this.view.later();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const moved = scrollTop - this.put;
    if (!moved) return; // this was done here
    this.put = scrollTop;
    this.upwards = moved < 0;
    if (Math.abs(clientHeight - this.seen) > 1) return; // its place has changed, and all is arranged again
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.pinned = true;
    else if (moved < 0) this.pinned = false; // by the reader: all that grows, grows below
    this.anchor = null;
    this.view.later();
  }

  follow() {
    this.pinned = true;
    this.anchor = null;
    this.view.later();
    this.box.focus({ preventScroll: true });
  }

  measured(entries) {
    let changed = false;
    for (const { target, borderBoxSize, contentRect } of entries) {
      const height = borderBoxSize[0].blockSize;
      if (target === this.box) {
        changed = true;
        this.seen = height;
        if (this.width !== contentRect.width) this.resized(contentRect.width);
      } else if (target.body) {
        if (height && target.body.heights[target.number] !== height) { target.body.heights[target.number] = height; changed = true; }
      } else if (height && (target.turn.height !== height || !target.turn.placed)) {
        target.turn.height = height;
        target.turn.into = target.turn.body.element.offsetTop || target.turn.into; // the turn is the offset parent
        target.turn.placed = true;
        changed = true;
      }
    }
    if (changed) this.arrange();
  }

  /** At another width, what is not in the page has another height than it had. */
  resized(width) {
    this.width = width;
    for (const turn of this.turns) {
      if (!turn.element) turn.height = 0;
      turn.body.resized();
    }
  }

  tops() {
    let top = 0;
    for (const turn of this.turns) {
      turn.top = top;
      top += turn.guess(this.width);
    }
    return top;
  }

  /** Put everything at its place, and into the page what is in view. */
  arrange() {
    const { box, seen } = this;
    if (!seen) return;
    if (!this.pinned && !this.anchor) this.anchor = this.anchored();
    const total = this.tops();
    if (total !== this.total) this.sheet.style.height = `${total}px`;
    this.total = total;
    const top = this.pinned ? Math.max(0, total - seen) : Math.max(0, Math.min(this.anchorTop(), total - seen));
    this.mountAround(top, top + seen);
    if (Math.abs(box.scrollTop - top) >= 1) box.scrollTop = top;
    this.put = box.scrollTop; // also where the page moved it, because there is less to scroll: that was not the reader
    const away = total - top - seen > NEAR && !this.pinned;
    if (this.toEnd.hidden === away) this.toEnd.hidden = !away;
  }

  /** What the reader sees at the top, so that it stays there whatever becomes of the turns before it. */
  anchored() {
    const top = this.box.scrollTop;
    if (top <= 0) return null; // the top stays the top
    const turn = this.turns.find((each) => each.top !== undefined && each.top + each.guess(this.width) > top);
    if (!turn) return null;
    const next = this.turns[turn.position + 1];
    if (this.upwards && next?.top !== undefined && !turn.loaded) return { turn: next, block: -1, rest: top - next.top }; // whose height is a guess
    const inside = top - turn.top - turn.into;
    if (inside <= 0 || !turn.body.blocks.length) return { turn, block: -1, rest: top - turn.top };
    const block = turn.body.at(inside);
    return { turn, block, rest: inside - turn.body.top(block) };
  }

  anchorTop() {
    const { turn, block, rest } = this.anchor ?? {};
    if (!turn || this.byId.get(turn.id) !== turn) return this.box.scrollTop;
    return turn.top + rest + (block < 0 ? 0 : turn.into + turn.body.top(Math.min(block, turn.body.blocks.length)));
  }

  mountAround(top, bottom) {
    const wanted = [];
    let before = null;
    for (const turn of this.turns) {
      const near = turn.top + turn.guess(this.width) > top - MARGIN && turn.top < bottom + MARGIN;
      if (!near && turn.element && !turn.held) this.drop(turn);
      if (!near && !turn.element) continue;
      if (!turn.element) this.mount(turn, before);
      const { element } = turn;
      if (turn.put !== turn.top) { turn.put = turn.top; element.style.top = `${turn.top}px`; }
      const name = `Turn ${turn.position + 1} of ${this.turns.length}`;
      if (turn.name !== name) { turn.name = name; element.setAttribute("aria-label", name); }
      if (!turn.facts) element.style.minHeight = `${turn.guess(this.width)}px`;
      const inside = turn.top + turn.into;
      if (turn.body.look(top - inside - MARGIN, bottom - inside + MARGIN)) this.view.soon(turn);
      if (near && (!turn.facts || turn.reload)) wanted.push(turn);
      before = element;
    }
    this.load(wanted);
  }

  mount(turn, before) {
    const element = turn.mount();
    if (before) before.after(element);
    else this.sheet.prepend(element);
    turn.put = turn.name = null;
    turn.placed = false;
    this.sizes.observe(element);
    this.refocus(turn);
  }

  load(turns) {
    const now = performance.now();
    const ids = turns.filter((turn) => now - (this.asked.get(turn.id) ?? -Infinity) > 5000).map((turn) => turn.id);
    for (const id of ids) this.asked.set(id, now);
    if (!ids.length) return;
    this.view.link.tell("need", { turns: ids });
    setTimeout(() => this.view.later(), 5500); // a message may be lost
  }

  /** What is in a turn, or a part of it. */
  loaded({ from, blocks, turn: facts }) {
    const turn = this.byId.get(facts.id);
    if (!turn) return;
    if (!from) {
      turn.facts = facts;
      turn.asked(facts);
      turn.chosen = undefined;
      turn.number = facts.n;
      turn.reload = turn.stale = false;
      if (turn.element) turn.element.style.minHeight = "";
    }
    turn.body.change(from, blocks);
    turn.tell();
    this.view.soon(turn);
  }

  grow(told) {
    for (const [id, number, ...change] of told.turns) {
      const turn = this.turns.findLast((each) => each.id.startsWith(id));
      if (!turn || !turn.facts || number <= turn.number) continue; // not in this page: it gets the whole when it is
      if (number !== turn.number + 1) { if (!turn.reload) this.lookAgain(turn); continue; }
      turn.grow(number, ...change);
      this.view.soon(turn);
    }
    if (told.end) {
      const turn = this.byId.get(told.end.id);
      if (turn?.facts) {
        turn.stale = false;
        turn.facts = { ...turn.facts, ...told.end };
        turn.tell();
      }
      this.view.ended(told.end);
    }
  }

  show(id) {
    const turn = this.byId.get(id);
    if (!turn) return;
    this.tops();
    this.pinned = false;
    this.anchor = { turn, block: -1, rest: -8 };
    this.arrange();
    turn.element?.classList.add("fg-found");
    setTimeout(() => turn.element?.classList.remove("fg-found"), 1600);
  }
}

/* ---------- between the page and the kernel ---------- */

class Link {
  constructor(model, hear) {
    this.model = model;
    this.page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (each) => each.toString(36)).join("");
    this.waiting = new Map();
    this.next = 1;
    this.asked = 0; // what was asked before this number, and then the connection was lost
    this.alive = true;
    this.heard = (message) => {
      if (message.page && message.page !== this.page) return;
      if (message.kind !== "answer") { hear(message); return; }
      const asked = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (asked && message.error !== undefined) asked.no(new Error(message.error));
      else asked?.yes(message);
    };
    model.on("msg:custom", this.heard);
  }

  tell(kind, more = {}) {
    if (this.alive) this.model.send({ kind, page: this.page, ...more });
  }

  /** The kernel's answer. Rejects with what went wrong, in words for the person. */
  ask(kind, more = {}) {
    if (!this.alive) return Promise.reject(new Error("The kernel cannot be reached."));
    const id = this.next++;
    return new Promise((yes, no) => {
      this.waiting.set(id, { yes, no });
      this.model.send({ kind, id, page: this.page, ...more });
    });
  }

  /** What was asked before the connection was lost is not answered any more. */
  giveUp() {
    for (const [id, { no }] of [...this.waiting]) {
      if (id >= this.asked) continue;
      this.waiting.delete(id);
      no(new Error("The connection to the kernel was lost before it could answer: look whether this was done, or do it again."));
    }
    this.asked = 0;
  }

  lost(why) {
    this.alive = false;
    for (const { no } of this.waiting.values()) no(new Error(why));
    this.waiting.clear();
  }

  close() {
    this.tell("gone");
    this.model.off("msg:custom", this.heard);
  }
}

/** What the front end knows of the kernel, where it lets a widget see that. */
class Kernel {
  constructor(model, changed) {
    this.manager = model.widget_manager;
    this.undo = [];
    this.gone = false;
    const context = this.manager?.context?.sessionContext;
    const connect = (signal, slot) => {
      if (!signal?.connect) return;
      signal.connect(slot);
      this.undo.push(() => signal.disconnect(slot));
    };
    connect(context?.statusChanged, (_sender, status) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) this.gone = true;
      changed();
    });
    connect(context?.connectionStatusChanged, () => changed());
    connect(context?.kernelChanged, (_sender, { oldValue, newValue }) => {
      if (oldValue && oldValue.id !== newValue?.id) this.gone = true;
      changed();
    });
    const live = () => {
      if (this.kernel && ["restarting", "autorestarting", "dead"].includes(this.kernel.status)) this.gone = true;
      changed();
    };
    model.on("comm_live_update", live);
    this.undo.push(() => model.off("comm_live_update", live));
  }

  get kernel() {
    return this.manager?.kernel ?? this.manager?.context?.sessionContext?.session?.kernel ?? null;
  }

  get reachable() {
    return !this.gone && !["connecting", "disconnected"].includes(this.kernel?.connectionStatus);
  }

  get busy() {
    return this.kernel?.status === "busy";
  }

  close() {
    for (const each of this.undo) each();
  }
}

/* ---------- what is typed ---------- */

/** Text of the person's that is not sent yet, by name; it outlives the page's widgets, and a reload. */
const drafts = {
  read(name) {
    try { return JSON.parse(sessionStorage.getItem(name) ?? "null"); } catch { return null; }
  },

  write(name, draft) {
    try {
      if (draft) sessionStorage.setItem(name, JSON.stringify(draft));
      else sessionStorage.removeItem(name);
    } catch { /* no storage here: then it lives as long as the panel */ }
  },
};

/** What is typed in the turns of a conversation: by the place of a turn the text, and which turn it was there. */
class Edits extends Map {
  constructor(name) {
    super();
    this.name = name;
    for (const [place, { text, id }] of drafts.read(name) ?? []) super.set(place, { text, id });
  }

  set(place, edit) {
    super.set(place, edit);
    this.remember();
    return this;
  }

  delete(place) {
    const was = super.delete(place);
    this.remember();
    return was;
  }

  remember() {
    drafts.write(this.name, this.size ? [...this] : null);
  }

  /** The conversation is called something else. */
  move(name) {
    drafts.write(this.name, null);
    this.name = name;
    this.remember();
  }
}

class Composer {
  constructor(view) {
    this.view = view;
    this.attached = [];
    this.back = 0; // turns that ↑ has gone back
    this.typing = 0; // counts what makes an answer late: something was typed, or another draft is here
    this.recalls = Promise.resolve();
    this.list = make("div", { class: "fg-list", role: "listbox", id: view.id("list"), "aria-label": "Completions", hidden: true });
    this.chips = make("div", { class: "fg-chips", role: "group", "aria-label": "Attached", hidden: true });
    this.field = make("textarea", {
      class: "fg-field", rows: "1", dir: "auto", "aria-label": "Prompt", placeholder: "Ask; / for commands, {name} for a variable",
      "aria-autocomplete": "list", "aria-controls": view.id("list"), "aria-describedby": view.id("hint"),
    });
    this.attach = make("input", { class: "fg-field", type: "text", "aria-label": "What to attach: a variable, a file, cell:3, out:3 or err",
      placeholder: "variable, file, cell:3, out:3 or err", "aria-autocomplete": "list", "aria-controls": view.id("list"), spellcheck: "false" });
    this.attachRow = make("div", { class: "fg-row fg-attach", hidden: true }, this.attach,
      make("button", { type: "button", class: "fg-button", text: "Attach", onclick: () => this.addAttached() }));
    this.clip = button("clip", "Attach a value or a file", () => this.toggleAttach(), { "aria-expanded": "false" });
    this.send = make("button", { type: "button", class: "fg-send", "aria-label": "Send", title: "Send (Enter)", onclick: () => this.pressed() }, icon("send"));
    this.hint = make("div", { class: "fg-hint", id: view.id("hint") });
    this.element = make("div", { class: "fg-composer" }, this.list, this.attachRow, this.chips,
      make("div", { class: "fg-input" }, this.clip, this.field, this.send), this.hint);
    this.field.addEventListener("input", () => { this.typing += 1; this.back = 0; this.fit(); this.remember(); this.complete(this.field); view.passed(); });
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.field.addEventListener("focus", () => view.link.tell("look"));
    this.field.addEventListener("blur", () => this.offer(null));
    this.attach.addEventListener("input", () => this.complete(this.attach));
    this.attach.addEventListener("keydown", (event) => this.key(event));
    this.attach.addEventListener("blur", () => this.offer(null));
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const option = event.target.closest("[role=option]");
      if (option) this.take(Number(option.dataset.number));
    });
    this.restore();
  }

  get draft() {
    return this.draftOf(this.view.model.get("name"));
  }

  draftOf(name, kind = "prompt") {
    return `flowgpt-${kind}:${this.view.kernel.manager?.context?.path ?? location.pathname}:${name}`;
  }

  remember(draft = this.draft, text = this.field.value, attached = this.attached) {
    drafts.write(draft, text || attached.length ? { text, attached } : null);
  }

  /** The other conversations of the notebook that have a draft. */
  elsewhere() {
    const names = this.view.model.get("names");
    return names.filter((name) => name !== this.view.model.get("name") && drafts.read(this.draftOf(name))?.text);
  }

  /** The draft of the conversation. Is there one? */
  restore() {
    const typed = drafts.read(this.draft);
    if (typed) this.put(String(typed.text), typed.attached.map(String));
    return Boolean(typed);
  }

  /** Another conversation is here: its draft, or what is typed comes along, as it does where it is the `same` one. */
  change(before, same) {
    if (!same && this.restore()) return;
    this.remember(this.draftOf(before), "", []);
    this.remember();
  }

  put(text, attached) {
    this.typing += 1;
    this.field.value = text;
    this.attached = attached;
    this.back = 0;
    this.showChips();
    this.fit();
    this.offer(null);
  }

  /** As high as what is typed; what is around stays as it is meanwhile, or else the transcript would be moved. */
  fit() {
    const { element, field } = this;
    element.style.minHeight = `${element.offsetHeight}px`;
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight + 2, 220)}px`;
    element.style.minHeight = "";
  }

  /** Stop while something arrives, else send. */
  show() {
    const stop = this.view.stoppable;
    if (this.isStop !== stop) {
      this.isStop = stop;
      this.send.replaceChildren(icon(stop ? "stop" : "send"));
      this.send.classList.toggle("fg-stop", stop);
      this.send.setAttribute("aria-label", stop ? "Stop" : "Send");
      this.send.title = stop ? "Stop the reply" : "Send (Enter)";
    }
  }

  pressed() {
    if (this.view.stoppable) this.view.stop();
    else this.submit();
  }

  async submit() {
    const view = this.view;
    const text = this.field.value;
    if (!text.trim() || this.field.readOnly) return;
    if (text.trim().startsWith("/search ")) { view.search.open(text.trim().slice(8)); this.sent(this.draft, text, this.attached); return; }
    const command = text.startsWith("/") && !text.startsWith("//");
    if (!command && view.arrives()) return;
    const { draft, attached } = this;
    view.pending = !command;
    this.field.readOnly = true;
    this.show();
    view.sent = true;
    const done = await view.act("ask", { text, attached });
    view.pending = false;
    this.field.readOnly = false;
    if (done) this.sent(draft, text, command ? this.attached : this.attached.filter((each) => !attached.includes(each)));
    else view.sent = false;
    this.show();
  }

  /** What was sent is no draft any more; a command leaves what is attached, and may have brought another draft. */
  sent(draft, text, attached) {
    const here = this.field.value === text;
    if (draft !== this.draft) this.remember(draft, "", here ? [] : attached);
    if (!here) return;
    this.put("", attached);
    this.remember();
  }

  key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (this.offered && this.keyInList(event)) { event.preventDefault(); return; }
    if (event.target === this.attach) {
      if (event.key === "Enter") { event.preventDefault(); this.addAttached(); }
      if (event.key === "Escape") { event.preventDefault(); this.toggleAttach(); }
      return;
    }
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) { event.preventDefault(); this.submit(); }
    else if (event.key === "ArrowUp" && this.field.selectionEnd === 0) { event.preventDefault(); this.recall(1); }
    else if (event.key === "ArrowDown" && this.back && this.field.selectionStart === this.field.value.length) { event.preventDefault(); this.recall(-1); }
  }

  keyInList({ key, shiftKey, altKey, ctrlKey, metaKey }) {
    if (shiftKey || altKey || ctrlKey || metaKey || this.offered.field.selectionEnd < this.offered.start) { this.offer(null); return false; }
    const last = this.offered.items.length - 1;
    if (key === "ArrowDown") this.mark(this.marked === last ? 0 : this.marked + 1);
    else if (key === "ArrowUp") this.mark(this.marked ? this.marked - 1 : last);
    else if (key === "Escape") this.offer(null);
    else if (key === "Tab") this.take(this.marked);
    else if (key === "Enter") {
      const { field, start, items } = this.offered;
      if (field.value.slice(start, field.selectionEnd) === items[this.marked][0]) { this.offer(null); return false; }
      this.take(this.marked);
    } else return false;
    return true;
  }

  /** ↑: the prompt before, one step after the other, until something is typed. */
  recall(step) {
    const { typing } = this;
    this.recalls = this.recalls.then(() => this.typing === typing && this.recalled(step, typing));
  }

  async recalled(step, typing) {
    const back = Math.max(0, this.back + step);
    if (!this.back) this.kept = this.field.value;
    let text = back ? undefined : this.kept;
    if (back) {
      try { text = (await this.view.link.ask("recall", { back })).text; } catch (error) { this.view.note(error.message); }
    }
    if (text === undefined || this.typing !== typing || this.field.readOnly) return;
    this.field.value = text;
    this.back = back;
    this.fit();
    this.remember();
    const place = step > 0 ? 0 : text.length;
    this.field.setSelectionRange(place, place);
  }

  toggleAttach() {
    const open = this.attachRow.hidden;
    this.attachRow.hidden = !open;
    this.clip.setAttribute("aria-expanded", String(open));
    (open ? this.attach : this.field).focus();
  }

  addAttached() {
    const name = this.attach.value.trim();
    if (name && !this.attached.includes(name)) this.attached.push(name);
    this.attach.value = "";
    this.showChips();
    this.remember();
    this.toggleAttach();
  }

  showChips() {
    this.chips.hidden = !this.attached.length;
    this.chips.replaceChildren(...this.attached.map((name) => make("span", { class: "fg-chip" }, make("span", { text: name }),
      button("close", `Do not attach ${name}`, () => {
        this.attached = this.attached.filter((each) => each !== name);
        this.showChips();
        this.remember();
        this.field.focus();
      }))));
  }

  async complete(field) {
    const text = field.value.slice(0, field.selectionEnd);
    const line = text.slice(text.lastIndexOf("\n") + 1);
    const command = text.startsWith("/") && !text.startsWith("//") && line === text;
    const name = line.lastIndexOf("{") > line.lastIndexOf("}");
    const wanted = (this.wanted = {});
    if (field === this.field && !command && !name) { this.offer(null); return; }
    let found;
    try { found = await this.view.link.ask("complete", { text, attach: field === this.attach }); } catch { return; }
    if (wanted !== this.wanted || document.activeElement !== field) return;
    const typed = text.slice(found.start);
    const only = found.items.length === 1 && found.items[0][0] === typed;
    this.offer(found.items.length && !only ? { field, start: found.start, items: found.items, close: name && !command && field === this.field } : null);
  }

  offer(offered) {
    this.offered = offered;
    this.list.hidden = !offered;
    if (!offered) { this.wanted = null; this.field.removeAttribute("aria-activedescendant"); this.attach.removeAttribute("aria-activedescendant"); return; }
    this.list.replaceChildren(...offered.items.map(([text, about], number) => make("div", { role: "option", id: this.view.id(`option${number}`), "data-number": number, class: "fg-option" },
      make("span", { text }), make("span", { class: "fg-about", text: about }))));
    this.mark(0);
  }

  mark(number) {
    this.marked = number;
    [...this.list.children].forEach((each, place) => each.setAttribute("aria-selected", String(place === number)));
    this.list.children[number]?.scrollIntoView({ block: "nearest" });
    this.offered.field.setAttribute("aria-activedescendant", this.view.id(`option${number}`));
  }

  take(number) {
    const { field, start, items, close } = this.offered;
    const end = Math.max(start, field.selectionEnd);
    const closing = close && field.value[end] !== "}" ? "}" : "";
    field.setRangeText(items[number][0] + closing, start, end, "end");
    const place = field.selectionEnd - closing.length;
    field.setSelectionRange(place, place);
    this.offer(null);
    this.fit();
    this.remember();
  }
}

/* ---------- the head ---------- */

class Head {
  constructor(view) {
    this.view = view;
    const { model } = view;
    this.chats = make("select", { class: "fg-select", "aria-label": "Conversation", onchange: () => this.use() });
    this.name = make("input", { class: "fg-field fg-name", type: "text", "aria-label": "New name of the conversation", hidden: true });
    this.name.addEventListener("keydown", (event) => {
      if (!["Enter", "Escape"].includes(event.key) || event.isComposing) return;
      event.preventDefault();
      this.rename(event.key === "Enter");
      this.pencil.focus();
    });
    this.name.addEventListener("blur", () => { if (!this.name.hidden) this.rename(this.name.value.trim() !== model.get("name")); });
    this.models = make("select", { class: "fg-select", "aria-label": "Model", onchange: () => view.act("set", { setting: "model", value: this.models.value }).then((done) => done || this.told()) });
    this.models.addEventListener("focus", () => this.look(true));
    this.models.addEventListener("pointerenter", () => { if (!this.looked) this.look(false); }); // to be there in time
    this.pencil = button("pencil", "Rename the conversation", () => this.beginRename());
    this.looking = button("search", "Search", () => view.search.toggle(), { "aria-expanded": "false" });
    this.tuning = button("sliders", "System prompt and temperature", () => view.tuning.toggle(), { "aria-expanded": "false" });
    this.menu = new Menu(view, "More", [
      ["Undo the last change", () => view.act("undo", {})],
      ["Redo", () => view.act("redo", {})],
      ["Clear the conversation", () => view.act("clear", {})],
      ["Export as Markdown", () => view.save("md")],
      ["Export as JSON", () => view.save("json")],
      ["Export as a notebook", () => view.save("ipynb")],
      ["Export as a page", () => view.save("html")],
      ["Close the panel", () => view.link.tell("close")],
    ]);
    this.element = make("div", { class: "fg-head" },
      make("div", { class: "fg-group" }, this.chats, this.name, this.pencil, button("plus", "New conversation", ({ detail }) => detail > 1 || view.act("new", {}))),
      make("div", { class: "fg-group fg-right" }, this.models, this.looking, this.tuning, this.menu.element));
    this.told();
  }

  told() {
    const { model } = this.view;
    const [name, names] = [model.get("name"), model.get("names")];
    this.chats.replaceChildren(...names.map((each) => make("option", { value: each, text: each, selected: each === name })));
    this.chats.value = name;
    this.fill();
  }

  use() {
    this.view.act("use", { name: this.chats.value }).then((done) => done || this.told());
  }

  beginRename() {
    this.name.value = this.view.model.get("name");
    this.name.hidden = false;
    this.chats.hidden = true;
    this.name.focus();
    this.name.select();
  }

  async rename(really) {
    const name = this.name.value;
    this.name.hidden = true;
    this.chats.hidden = false;
    if (really) await this.view.act("rename", { name });
  }

  async look(anew) {
    this.looked = true;
    try {
      const { models } = await this.view.link.ask("models", { anew });
      const told = JSON.stringify(models);
      if (told !== this.known) { this.known = told; this.list = models; this.fill(); }
    } catch { /* the model that is asked is there all the same */ }
  }

  fill() {
    const { model } = this.view;
    const [chosen, asked] = [model.get("chosen"), model.get("model")];
    const own = chosen ? "as in the settings" : asked || "no model";
    const options = [make("option", { value: "", text: own })];
    const groups = new Map();
    for (const { name, group, note, able } of this.list ?? []) {
      if (!groups.has(group)) groups.set(group, make("optgroup", { label: group }));
      const shown = group === "aliases" ? `${name} → ${note}` : note ? `${name} (${note})` : name;
      groups.get(group).append(make("option", { value: name, text: shown || note, disabled: !able }));
    }
    const nodes = [...options, ...groups.values()];
    if (chosen && !(this.list ?? []).some((each) => each.name === chosen)) nodes.splice(1, 0, make("option", { value: chosen, text: chosen }));
    this.models.replaceChildren(...nodes);
    this.models.value = chosen;
    this.models.title = asked ? `Asked: ${asked}` : model.get("trouble");
  }
}

/** A button with a menu. */
class Menu {
  constructor(view, label, items) {
    this.list = make("div", { class: "fg-menu", role: "menu", "aria-label": label, hidden: true },
      ...items.map(([text, run]) => make("button", { type: "button", role: "menuitem", tabindex: "-1", text, onclick: () => { this.toggle(false); run(); } })));
    this.button = button("more", label, () => this.toggle(this.list.hidden), { "aria-haspopup": "menu", "aria-expanded": "false" });
    this.element = make("div", { class: "fg-menubox" }, this.button, this.list);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusout", (event) => { if (!this.element.contains(event.relatedTarget)) this.toggle(false, false); });
  }

  toggle(open, focus = true) {
    this.list.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (focus) (open ? this.list.firstChild : this.button).focus();
  }

  key(event) {
    const items = [...this.list.children];
    const at = items.indexOf(document.activeElement);
    if (event.key === "Escape" && !this.list.hidden) this.toggle(false);
    else if (event.key === "ArrowDown") { if (this.list.hidden) this.toggle(true); else items[(at + 1) % items.length].focus(); }
    else if (event.key === "ArrowUp" && !this.list.hidden) items[(at + items.length - 1) % items.length].focus();
    else if (event.key === "Home" && at >= 0) items[0].focus();
    else if (event.key === "End" && at >= 0) items[items.length - 1].focus();
    else return;
    event.preventDefault();
  }
}

/** Something below the head that a button opens. */
class Drawer {
  constructor(opener, inside, first) {
    this.opener = opener;
    this.first = first;
    this.element = make("div", { class: "fg-drawer", hidden: true }, ...inside);
    this.element.addEventListener("fg-leave", () => this.toggle());
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); this.toggle(); } });
  }

  toggle() {
    const open = this.element.hidden;
    for (const other of open ? this.element.parentNode.querySelectorAll(":scope > .fg-drawer:not([hidden])") : []) {
      other.dispatchEvent(new CustomEvent("fg-leave")); // there is room for one
    }
    const within = this.element.contains(document.activeElement); // else somebody has gone on
    this.element.hidden = !open;
    const opener = this.opener();
    opener.setAttribute("aria-expanded", String(open));
    if (open) this.first.focus();
    else if (within) opener.focus();
    return open;
  }
}

class Tuning {
  constructor(view) {
    this.view = view;
    this.system = make("textarea", { class: "fg-field", id: view.id("system"), rows: "3", dir: "auto" });
    this.temperature = make("input", { class: "fg-field fg-narrow", id: view.id("temperature"), type: "number", min: "0", max: "2", step: "0.1", placeholder: "own" });
    this.drawer = new Drawer(() => view.head.tuning, [
      make("label", { for: view.id("system"), text: "System prompt" }), this.system,
      make("div", { class: "fg-row" }, make("label", { for: view.id("temperature"), text: "Temperature" }), this.temperature,
        make("div", { class: "fg-row fg-last" },
          make("button", { type: "button", class: "fg-button fg-main", text: "Save", onclick: () => this.save() }),
          make("button", { type: "button", class: "fg-button", text: "Cancel", onclick: () => { this.typed = false; this.toggle(); } }))),
    ], this.system);
    this.typed = false; // something that was not saved
    this.element = this.drawer.element;
    this.element.addEventListener("input", () => { this.typed = true; });
  }

  toggle() {
    if (!this.drawer.toggle()) return;
    const { model } = this.view;
    if (this.typed && this.name === model.get("name")) return; // it was left, and not given up
    this.typed = false;
    this.name = model.get("name");
    this.system.value = this.shown = model.get("system");
    this.temperature.value = this.degrees = String(model.get("temperature") ?? "");
  }

  /** Only what was changed here: somebody else may have set the rest meanwhile. */
  async save() {
    const { view, system, temperature } = this;
    const name = view.model.get("name");
    if (name !== this.name) {
      view.note(`This is another conversation now: Save again sets it for ${name}, or Cancel.`);
      this.name = name;
      return;
    }
    if (system.value !== this.shown && !(await view.act("set", { setting: "system", value: system.value }))) return;
    if (temperature.value !== this.degrees && !(await view.act("set", { setting: "temperature", value: temperature.value }))) return;
    this.typed = false;
    this.toggle();
  }
}

class Search {
  constructor(view) {
    this.view = view;
    this.words = make("input", { class: "fg-field", type: "search", "aria-label": "Words to look for", placeholder: "Search the conversations" });
    this.found = make("div", { class: "fg-finds", role: "group", "aria-label": "Found" });
    this.drawer = new Drawer(() => view.head.looking, [this.words, this.found], this.words);
    this.element = this.drawer.element;
    this.words.addEventListener("input", () => this.look());
    this.words.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.found.querySelector("button")?.click(); } });
  }

  toggle() {
    if (this.drawer.toggle()) this.look();
  }

  open(words) {
    if (this.element.hidden) this.drawer.toggle();
    this.words.value = words;
    this.look();
  }

  async look() {
    const words = this.words.value;
    const asked = (this.asked = {});
    let told = { found: [], elsewhere: [] };
    try { if (words.trim()) told = await this.view.link.ask("search", { words }); } catch (error) { this.view.note(error.message); return; }
    if (asked !== this.asked) return;
    const here = told.found.map(({ turn, number, text }) => this.line(`turn ${number}`, text, () => this.view.log.show(turn)));
    const others = told.elsewhere.map(({ name, notebook, text, short }) => (notebook
      ? make("div", { class: "fg-find" }, make("span", { class: "fg-about", text: `${notebook} · ${name} · %flowgpt show #${short}` }), make("span", { text }))
      : this.line(name, text, () => this.view.act("use", { name }))));
    const nothing = words.trim() && !here.length && !others.length && make("div", { class: "fg-hint", text: "Nothing found." });
    this.found.replaceChildren(...[nothing, ...here, ...others].filter(Boolean));
  }

  line(where, text, onclick) {
    return make("button", { type: "button", class: "fg-find", onclick }, where && make("span", { class: "fg-about", text: where }), make("span", { text }));
  }
}

/* ---------- the whole ---------- */

let panels = 0;
const ARRIVES = "A reply is still arriving: stop it first, or wait for its end.";

class Panel {
  constructor(model, element) {
    this.model = model;
    this.number = ++panels;
    this.editsOf = new Map(); // by conversation what is typed in its turns
    this.doing = new Set(); // what the kernel has not answered yet
    this.work = new Set(); // turns that are not painted as they are
    this.revision = 0;
    this.toShow = this.shown = 0;
    this.pending = false;
    this.undo = [];
    this.link = new Link(model, (message) => this.hear(message));
    this.kernel = new Kernel(model, () => this.reach());
    this.log = new Log(this);
    this.composer = new Composer(this);
    this.head = new Head(this);
    this.tuning = new Tuning(this);
    this.search = new Search(this);
    this.banner = make("div", { class: "fg-banner", role: "alert", hidden: true });
    this.state = make("div", { class: "fg-status", role: "status" });
    this.root = make("section", { class: "flowgpt-panel", "aria-label": "Chat panel", "data-lm-suppress-shortcuts": "true" },
      this.head.element, this.search.element, this.tuning.element, make("div", { class: "fg-middle" }, this.log.box, this.log.toEnd),
      this.banner, this.composer.element, this.state);
    element.append(this.root);
    this.root.addEventListener("keydown", (event) => this.key(event));
    // JupyterLab looks for the attribute from the focused element upwards, and for its own shortcuts at each of them.
    this.root.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", "true"));
    this.listen();
    this.told();
    this.open();
    this.reach();
    const elsewhere = this.composer.field.value ? [] : this.composer.elsewhere();
    if (elsewhere.length) this.note(`What you typed is kept in ${elsewhere.join(", ")}.`);
  }

  id(name) {
    return `flowgpt-${this.link.page}-${this.number}-${name}`;
  }

  listen() {
    const on = (name, run) => {
      this.model.on(name, run);
      this.undo.push(() => this.model.off(name, run));
    };
    on("change", () => this.told());
    on("change:name", () => this.renamed());
    const seen = () => { if (!document.hidden) this.later(); };
    document.addEventListener("visibilitychange", seen);
    this.undo.push(() => document.removeEventListener("visibilitychange", seen));
    this.attached = new ResizeObserver(() => this.cover());
    this.attached.observe(this.root);
    this.undo.push(() => this.attached.disconnect());
  }

  /** Tell the kernel, once, that this page hides the transcript that stands before the panel. */
  cover() {
    const before = this.root.closest(".jp-OutputArea-child")?.previousElementSibling;
    if (this.covers || !before?.querySelector(".flowgpt-transcript")) return;
    if (getComputedStyle(before).display === "none") { this.covers = true; this.link.tell("covers"); }
  }

  key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") { // the front end's shortcuts stay out of here, but for this
      event.preventDefault();
      this.kernel.manager?.context?.save?.();
    }
    event.stopPropagation();
  }

  /** What is typed in the turns of the conversation. */
  get edits() {
    const name = this.model.get("name");
    if (!this.editsOf.has(name)) this.editsOf.set(name, new Edits(this.composer.draftOf(name, "turns")));
    return this.editsOf.get(name);
  }

  /** Another conversation is shown, or this one is called something else. */
  renamed() {
    const name = this.model.get("name");
    const { name: before, id } = this.was;
    const same = id === this.model.get("conversation_id"); // it is called something else
    this.composer.change(before, same);
    if (!this.model.get("names").includes(before)) {
      const typed = this.editsOf.get(before);
      this.editsOf.delete(before);
      if (typed && same) {
        typed.move(this.composer.draftOf(name, "turns"));
        this.editsOf.set(name, typed);
      } else for (const [place, { text }] of [...(typed ?? [])]) { typed.delete(place); this.give(text); }
    }
  }

  get stoppable() {
    return this.pending || this.model.get("status") === "streaming";
  }

  /** What the traits say. */
  told() {
    const trouble = this.model.get("trouble");
    this.was = { name: this.model.get("name"), id: this.model.get("conversation_id") };
    const status = this.model.get("status");
    if (status && !this.before) this.say("The reply begins.");
    this.before = status;
    this.root.classList.toggle("fg-arriving", status === "streaming");
    this.head.told();
    this.composer.show();
    if (trouble !== this.trouble) this.composer.hint.textContent = this.trouble = trouble;
    if (!this.stoppable && this.banner.textContent === ARRIVES) this.note("");
    this.log.empty.textContent = trouble ? "" : `Nothing was asked in ${this.model.get("name")} yet.`;
    if (this.model.get("closed")) this.leave("This panel was closed: run its cell to open it again.");
  }

  /** Ask for everything, and again where that was lost on the way; a kernel that runs a cell may only be late. */
  open() {
    if (!this.link.alive || this.over) return;
    const lost = this.opening && this.kernel.kernel && this.kernel.reachable && !this.kernel.busy;
    if (!this.opening || lost) this.link.tell("open");
    clearTimeout(this.opening);
    this.opening = setTimeout(() => this.open(), 3000);
  }

  opened() {
    clearTimeout(this.opening);
    this.opening = 0;
    this.link.giveUp();
  }

  hear(message) {
    if (message.kind === "outline") {
      this.opened();
      this.revision = message.revision;
      this.toShow = this.shown = message.sent;
      this.log.set(message.rows);
    } else if (message.kind === "splice") {
      if (message.revision === this.revision + 1) {
        this.revision = message.revision;
        this.log.splice(message.at, message.gone, message.rows);
      } else this.missed(message.revision);
    } else if (message.kind === "turn") this.log.loaded(message);
    else if (message.kind === "pause") {
      this.log.byId.get(message.turn)?.pauses(message.pause);
      this.say(`${message.pause.why}; asking again in ${Math.ceil(message.pause.left)} s.`);
    } else if (message.kind === "doing") this.log.byId.get(message.turn)?.does(message.doing);
    else if (message.kind === "ended") this.ended(message.turn); // also where no turn is left of it
    else if (message.kind === "kept") this.keep(message);
    else if (message.kind === "models" && this.head.looked) this.head.look(false);
    else if (message.kind === "grow") {
      this.toShow = message.number;
      this.missed(message.revision);
      this.log.grow(message);
      if (message.end) this.said(message.end);
      if (document.hidden) this.word();
      this.later();
    }
  }

  /** A message that the list of turns was changed was lost on the way, if it was changed more often than is known here. */
  missed(revision) {
    if (revision > this.revision && !this.opening) this.open();
  }

  /** The end of a reply, whoever asked. */
  said({ id, status }) {
    if (id === this.lastEnded) return;
    this.lastEnded = id;
    this.say({ complete: "The reply is complete.", cancelled: "The reply was stopped.", failed: "The reply failed." }[status] ?? "");
  }

  ended(facts) {
    this.said(facts);
    if (facts.status === "failed" && facts.gone) this.note(facts.error);
  }

  /** Tell the kernel how far this page has come. */
  word() {
    if (this.toShow === this.shown) return;
    this.shown = this.toShow;
    this.link.tell("shown", { number: this.shown });
  }

  soon(turn) {
    this.work.add(turn);
    this.later();
  }

  /** Paint before the next frame; where there are no frames, because the page is hidden, when it is seen again. */
  later() {
    if (this.waiting || this.over) return;
    this.waiting = requestAnimationFrame(() => this.frame());
  }

  frame() {
    this.waiting = 0;
    const deadline = performance.now() + BUDGET;
    this.log.arrange();
    for (const turn of [...this.work]) {
      this.work.delete(turn);
      if (turn.paint(deadline)) continue;
      this.work.add(turn); // behind the others: one that is long does not hold them up
      if (performance.now() > deadline) break;
    }
    if (this.work.size) this.later();
    else if (this.toShow - this.shown >= WORD || !this.model.get("status")) this.word();
  }

  /** Does a reply arrive, so that nothing can be asked? Then it says so. */
  arrives() {
    const arrives = this.stoppable && this.kernel.reachable;
    if (arrives) this.note(ARRIVES);
    return arrives;
  }

  /** Ask the kernel to do something, once; says what went wrong. Was it done? */
  async act(kind, request) {
    const doing = kind + JSON.stringify(request);
    if (this.doing.has(doing)) return false;
    this.doing.add(doing);
    this.note("");
    const slow = setTimeout(() => this.explain(kind), SLOW);
    try {
      if (!this.kernel.reachable || !this.link.alive) throw new Error(`${this.unreachable()} Nothing was sent.`);
      const { said } = await this.link.ask(kind, request);
      this.composer.hint.textContent = this.model.get("trouble") || said || "";
      return true;
    } catch (error) {
      this.note(error.message);
      this.passing = this.kernel.reachable && this.link.alive && error.message;
      return false;
    } finally {
      this.doing.delete(doing);
      clearTimeout(slow);
      this.explained?.remove();
    }
  }

  stop() {
    this.act("stop", {});
  }

  /** Why nothing happens. */
  explain(kind) {
    const what = kind === "stop" ? "Stop gets there when it has ended" : "this is done when it has ended";
    const interrupt = kind === "stop" && this.kernel.kernel?.interrupt
      && make("button", { type: "button", class: "fg-button", text: "Interrupt the cell", onclick: () => this.kernel.kernel.interrupt() });
    const text = this.kernel.busy || !this.kernel.kernel ? `The kernel runs a cell; ${what}.` : "The kernel has not answered yet.";
    this.explained = make("div", { class: "fg-row" }, make("span", { text }), interrupt);
    this.banner.replaceChildren(this.explained);
    this.banner.hidden = false;
    const shown = this.explained;
    const remove = shown.remove.bind(shown);
    shown.remove = () => { remove(); if (!this.banner.childNodes.length) this.banner.hidden = true; };
  }

  unreachable() {
    return this.kernel.gone ? "The kernel was restarted or has ended: load the extension and run this panel's cell again. What is typed here is kept." : "The connection to the kernel is lost. What is typed here is kept.";
  }

  /** The kernel comes and goes. */
  reach() {
    if (!this.root) return;
    const { reachable } = this.kernel;
    if (!reachable && this.wasReachable !== false) {
      this.note(this.unreachable());
      if (this.kernel.gone) this.leave(this.unreachable());
    } else if (this.kernel.gone && this.link.alive) this.leave(this.unreachable());
    if (reachable && this.wasReachable === false && this.link.alive) {
      this.note("");
      this.link.asked = this.link.next; // what is not answered before the outline comes was lost with the connection
      this.opening = 0;
      this.open(); // what came meanwhile is lost
    }
    this.wasReachable = reachable;
  }

  leave(why) {
    this.link.lost(why);
    this.note(why);
    this.root.classList.add("fg-gone");
    this.root.classList.remove("fg-arriving");
  }

  /** What could not be done is read by now. */
  passed() {
    if (this.passing && this.banner.textContent === this.passing) this.note("");
    this.passing = "";
  }

  /** A line above the composer; an empty one goes away. */
  note(text) {
    this.banner.textContent = text;
    this.banner.hidden = !text;
  }

  /** For those who hear the page instead of seeing it: the start and the end of a reply, nothing else. */
  say(text) {
    this.state.textContent = text;
  }

  /** What was typed in the place of a turn that is gone goes into the composer. */
  rescue(places) {
    for (const [place, { text }] of [...this.edits]) {
      if (places.has(place) || this.sending === place) continue;
      this.edits.delete(place);
      this.give(text);
    }
  }

  give(text) {
    const { composer } = this;
    composer.put([composer.field.value, text].filter(Boolean).join("\n\n"), composer.attached);
    composer.remember();
    this.note("The turn you were editing was taken out of the conversation; what you typed is below.");
  }

  async copied(text) {
    try {
      const done = await copy(text);
      this.composer.hint.textContent = done ? "Copied." : "This page may not copy: select the text, and copy it by hand.";
    } catch (error) {
      this.note(error.message);
    }
  }

  async save(format) {
    try {
      const { file, content } = await this.link.ask("export", { format });
      const address = URL.createObjectURL(new Blob([content]));
      make("a", { href: address, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
    } catch (error) {
      this.note(error.message);
    }
  }

  /** A new cell below this one with `code`; where the front end does not let a widget do that, it is copied. */
  insert(code) {
    try {
      const notebook = this.kernel.manager.context.model;
      const cells = notebook.sharedModel.cells;
      let at = this.inserted ? cells.findIndex((each) => each.id === this.inserted) : -1;
      if (at < 0) at = this.cellNumber(notebook);
      if (at < 0) throw new Error("this panel is in no cell of the notebook");
      const cell = notebook.sharedModel.insertCell(at + 1, { cell_type: "code", source: code, metadata: {} });
      this.inserted = cell?.id ?? cell?.getId?.();
      this.composer.hint.textContent = "There is a new cell below.";
    } catch {
      copy(code).then(() => { this.composer.hint.textContent = "No cell can be inserted here: the code was copied."; });
    }
  }

  cellNumber(notebook) {
    const mine = this.root.closest(".jp-Cell");
    const shown = [...(mine?.parentNode?.querySelectorAll(":scope > .jp-Cell") ?? [])];
    for (let number = 0; number < notebook.cells.length; number += 1) if (this.outputIn(notebook.cells.get(number)) >= 0) return number;
    return shown.length === notebook.cells.length ? shown.indexOf(mine) : -1;
  }

  /** Which output of a cell this panel is; -1 for none. */
  outputIn(cell) {
    for (let number = 0; number < (cell.outputs?.length ?? 0); number += 1) {
      const view = cell.outputs.get(number).data?.["application/vnd.jupyter.widget-view+json"];
      if (view && view.model_id === this.model.get("_flowgpt_id")) return number;
    }
    return -1;
  }

  /**
   * The kernel has brought the outputs up to date that stand for the panel in a saved notebook. A front end that was
   * loaded again does not know them for the kernel's any more: here they are written. With `data` the panel is closed.
   */
  async keep({ data, metadata }) {
    if (!data && !this.stale(metadata)) return;
    const kept = data ? { data, metadata } : await this.link.ask("kept").catch(() => null);
    const found = kept && (data ? this.standing : this.stale(kept.metadata));
    if (!found) return;
    found.outputs.set(found.at - 1, { output_type: "display_data", data: kept.data, metadata: kept.metadata });
    if (data) found.outputs.set(found.at, { output_type: "display_data", data: { "text/plain": "" }, metadata: {} });
  }

  /** Where this panel and its transcript stand, if that is another transcript than this. */
  stale(metadata) {
    const found = this.standing;
    return found && found.outputs.get(found.at - 1).metadata?.flowgpt?.stamp !== metadata.flowgpt.stamp ? found : null;
  }

  /** The outputs of the panel's cell and its number among them, behind a transcript; null where a widget may not see that. */
  get standing() {
    const cells = this.kernel.manager?.context?.model?.cells;
    for (let number = 0; number < (cells?.length ?? 0); number += 1) {
      const { outputs } = cells.get(number);
      const at = this.outputIn(cells.get(number));
      if (at > 0 && String(outputs.get(at - 1).data["text/html"]).includes("flowgpt-transcript")) return { outputs, at };
    }
    return null;
  }

  close() {
    this.over = true;
    clearTimeout(this.opening);
    cancelAnimationFrame(this.waiting);
    for (const each of this.undo) each();
    this.kernel.close();
    this.link.close();
    this.log.sizes.disconnect();
    this.root.remove();
  }
}

export default {
  render({ model, el }) {
    const panel = new Panel(model, el);
    return () => panel.close();
  },
};

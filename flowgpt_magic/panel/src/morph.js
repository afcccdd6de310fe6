/** Makes the HTML blocks of the page equal to those of the kernel, keeping the nodes that are equal already. */

import { Code } from "./code.js";
import { make } from "./dom.js";

/** @import { Panel } from "./panel.js" */

/**
 * @param {Node} node
 * @returns {node is HTMLPreElement}
 */
function isCode(node) {
  return node.nodeName === "PRE" && /** @type {Element} */ (node).hasAttribute("data-language");
}

/**
 * @param {Node} node
 * @returns {node is HTMLButtonElement}
 */
function isImage(node) {
  return node.nodeName === "BUTTON" && /** @type {Element} */ (node).hasAttribute("data-src");
}

/**
 * @param {Node} node
 * @returns {node is HTMLElement}
 */
function isElement(node) {
  return node.nodeType === 1;
}

/**
 * @param {Node} node
 * @returns {node is Text}
 */
function isText(node) {
  return node.nodeType === 3;
}

/**
 * Show a remote image as its address, until a click loads it.
 * @param {Element} node
 */
function image(node) {
  const address = node.getAttribute("data-src") ?? "";
  const words = node.textContent?.trim() || address;
  const show = make("button", { type: "button", class: "fg-image", title: `Load the image from ${address}`, text: words });
  show.addEventListener("click", () => {
    if (!/^https?:\/\//i.test(address)) return;
    show.replaceWith(make("img", { src: address, alt: words, referrerpolicy: "no-referrer", class: "fg-loaded" }));
  });
  show.address = `${address} ${words}`;
  return show;
}

/**
 * Prepare a node for the page: code gets its buttons, remote images become addresses.
 * @param {Panel} panel
 * @param {Node} node
 */
function dressed(panel, node) {
  if (isCode(node)) return new Code(panel, node).element;
  if (isImage(node)) return image(node);
  if (isElement(node)) {
    for (const pre of [...node.querySelectorAll("pre[data-language]")]) pre.replaceWith(new Code(panel, pre).element);
    for (const stand of [...node.querySelectorAll("button[data-src]")]) stand.replaceWith(image(stand));
    for (const inner of [node, ...node.querySelectorAll("a[href], .fg-scroll")]) reachable(inner);
  }
  return node;
}

/**
 * Links open in a new window; wide content scrolls by itself, also with the keyboard.
 * @param {Element} node
 */
function reachable(node) {
  const more = node.nodeName === "A" ? { target: "_blank", rel: "noopener noreferrer" }
    : node.classList.contains("fg-scroll") ? { tabindex: "0", role: "group", "aria-label": "Table" } : {};
  for (const [name, value] of Object.entries(more)) node.setAttribute(name, value);
}

/**
 * Make the content of `there` equal to that of `fresh`. Equal nodes stay, and a selection in them too.
 * @param {Panel} panel
 * @param {Node} there
 * @param {Node} fresh loses its nodes
 */
export function morph(panel, there, fresh) {
  let old = there.firstChild;
  let next = fresh.firstChild;
  while (next) {
    const node = next;
    next = node.nextSibling;
    const after = old?.nextSibling ?? null;
    if (!old) there.appendChild(dressed(panel, node));
    else morphNode(panel, old, node);
    old = after;
  }
  while (old) {
    const after = old.nextSibling;
    old.remove();
    old = after;
  }
}

/**
 * @param {Panel} panel
 * @param {ChildNode} old
 * @param {ChildNode} node
 */
function morphNode(panel, old, node) {
  const { codeBlock, address } = /** @type {Partial<Element>} */ (old);
  if (codeBlock && isCode(node)) codeBlock.update(node);
  else if (address && isImage(node)) {
    const made = image(node);
    if (made.address !== address) old.replaceWith(made);
  } else if (old.nodeName === "IMG" && isImage(node)) return; // loaded by a click: it stays
  else if (isText(old) && isText(node)) morphText(old, node.data);
  else if (isElement(old) && isElement(node) && old.nodeName === node.nodeName && sameAttributes(old, node)) morph(panel, old, node);
  else old.replaceWith(dressed(panel, node));
}

/**
 * @param {Text} old
 * @param {string} text
 */
function morphText(old, text) {
  if (!text.startsWith(old.data)) old.data = text;
  else if (text.length > old.data.length) old.appendData(text.slice(old.data.length)); // a selection in it stays
}

/**
 * All attributes of one are in the other; those that `reachable` adds belong to the page.
 * @param {Element} one
 * @param {Element} other
 */
function sameAttributes(one, other) {
  const own = [...one.attributes].filter(({ name }) => !["target", "rel", "tabindex", "role", "aria-label"].includes(name));
  return own.every(({ name }) => other.hasAttribute(name))
    && [...other.attributes].every(({ name, value }) => one.getAttribute(name) === value);
}

/**
 * Parse the HTML of one block, which the kernel has sanitized.
 * @param {string} html
 */
export function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

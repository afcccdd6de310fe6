/** Makes elements of the page, each in one line. */

const ICONS = {
  plus: "M12 5v14M5 12h14",
  pencil: "M4 20h4L19 9l-4-4L4 16v4M13 7l4 4",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5L20 20",
  sliders: "M4 7h9M17 7h3M15 4.5v5M4 17h3M11 17h9M9 14.5v5",
  more: "M5 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M17 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0",
  send: "M4 12l16-8-5 16-3.5-6.5L4 12M11.500 13.500L20 4",
  stop: "M7 7h10v10H7z",
  clip: "M19 11l-7.500 7.500a4.500 4.500 0 0 1-6.400-6.400L13 4.200a3 3 0 0 1 4.300 4.300l-7.800 7.800a1.500 1.500 0 0 1-2.100-2.100L14.500 7",
  braces: "M9 4c-2.500 0-3 1-3 3v2.500c0 1.500-1 2.500-2 2.500 1 0 2 1 2 2.500V17c0 2 .5 3 3 3M15 4c2.500 0 3 1 3 3v2.500c0 1.500 1 2.500 2 2.500-1 0-2 1-2 2.500V17c0 2-.5 3-3 3",
  copy: "M9 9h10v11H9zM6 15H5V4h10v2",
  retry: "M19 12a7 7 0 1 1-2.200-5.100M19 4v4h-4",
  go: "M6 5l9 7-9 7zM19 5v14",
  branch: "M7 4v16M7 14c0-4 10-2 10-8M17 6V4M15 6l2-3 2 3",
  back: "M14 6l-6 6 6 6",
  forth: "M10 6l6 6-6 6",
  below: "M7 10l5 5 5-5",
  down: "M12 5v13M6 12l6 6 6-6",
  insert: "M5 5h14v6H5zM12 14v6M9 17h6",
  close: "M6 6l12 12M18 6L6 18",
  code: "M9 7l-5 5 5 5M15 7l5 5-5 5",
  info: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 11v5M12 8v.1",
};

/**
 * A new element. In the properties, `text` is its text, `on…` are event listeners, and the others are attributes;
 * attributes that are undefined, null or false are left out.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {{[name: string]: any}} [about]
 * @param {...(Node | string | false | null | undefined)} inside
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, about = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const each of inside) if (each) node.append(each);
  return node;
}

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "fg-icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button with an icon.
 *
 * @param {keyof typeof ICONS} name
 * @param {string} label
 * @param {(event: MouseEvent) => unknown} onclick
 * @param {{[name: string]: any}} [more] about the button
 */
export function button(name, label, onclick, more = {}) {
  return make("button", { type: "button", class: "fg-tool", title: label, "aria-label": label, onclick, ...more }, icon(name));
}

/** The focused element, if it is an ordinary element of the document. */
export function focused() {
  return /** @type {HTMLElement | null} */ (document.activeElement);
}

/**
 * Applies the kernel's changes to a list in the page. The Python half is `Change` in `markdown/html/changes.py`;
 * `tests/panel_changes.json` tests both.
 */

/**
 * A change to a reply from block `keep` on: the first `cut` UTF-16 code units of that block stay, followed by `added`
 * (if both are empty, the block is gone). The new blocks follow, and nothing else.
 *
 * @param {string[]} blocks the HTML of the blocks before the change
 * @param {number} keep how many of them stay as they are
 * @param {number} cut
 * @param {string} added
 * @param {string[]} [more] the new blocks
 * @returns {string[]}
 */
export function changedFrom(blocks, keep, cut, added, more = []) {
  const open = (cut ? blocks[keep].slice(0, cut) : "") + added;
  return open ? [open, ...more] : more;
}

/**
 * Replace the items of a list from number `from` on.
 *
 * @template T
 * @param {T[]} list changed in place
 * @param {number} from
 * @param {readonly T[]} items
 */
export function replaceFrom(list, from, items) {
  list.length = from;
  for (const item of items) list.push(item); // one by one, because a call takes a limited number of arguments
}

/**
 * How a list in the page follows the kernel's list. The Python half is `markup.Change`; `tests/panel_changes.json` holds
 * the two together.
 */

/**
 * What stands in a reply from block `keep` on, after a change: of the block there the first `cut` UTF-16 code units stay,
 * and it goes on with `added`; where that is empty there is no such block. Then come the new blocks, and nothing else.
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
 * Let a list go on with other items from number `from` on.
 *
 * @template T
 * @param {T[]} list changed in place
 * @param {number} from
 * @param {readonly T[]} items
 */
export function replaceFrom(list, from, items) {
  list.length = from;
  for (const item of items) list.push(item); // there may be more of them than a call has arguments
}

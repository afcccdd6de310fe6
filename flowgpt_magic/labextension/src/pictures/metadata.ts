/** The pictures in the metadata of a cell, so that copied cells and notebooks have them. */

import type { ICellModel } from "@jupyterlab/cells";
import type { JSONObject } from "@lumino/coreutils";

import type { Bundle } from "./store";

const KEY = "flowgpt_magic";

function own(model: ICellModel): JSONObject {
  const value = model.sharedModel.getMetadata(KEY);
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JSONObject) : {};
}

/** The attachments of a cell by their names. */
export function attachmentsOf(model: ICellModel): Map<string, Bundle> {
  const { attachments } = own(model);
  const bundles = new Map<string, Bundle>();
  if (typeof attachments !== "object" || attachments === null) return bundles;
  for (const [name, bundle] of Object.entries(attachments as { [name: string]: unknown })) {
    const [type, data] = Object.entries(bundle ?? {})[0] ?? [];
    if (type?.startsWith("image/") && typeof data === "string") bundles.set(name, { [type]: data });
  }
  return bundles;
}

/** Has the cell any? This reads no content. */
export function hasAttachments(model: ICellModel): boolean {
  return own(model).attachments !== undefined;
}

/** Replace the attachments of a cell; without any, nothing is left of them. */
export function setAttachments(model: ICellModel, attachments: ReadonlyMap<string, Bundle>): void {
  const { attachments: _before, ...others } = own(model);
  const value = attachments.size ? { ...others, attachments: Object.fromEntries(attachments) } : others;
  if (Object.keys(value).length) model.sharedModel.setMetadata(KEY, value);
  else if (model.sharedModel.getMetadata(KEY) !== undefined) model.sharedModel.deleteMetadata(KEY);
}

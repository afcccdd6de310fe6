/** The settings that a person chose for all notebooks, and what is to be sent of them. */

import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { JSONObject } from "@lumino/coreutils";

const NAMES = ["model", "temperature", "format"];

/** What is set, by name. A setting that is left empty says nothing, and is not among them. */
export function chosen(settings: ISettingRegistry.ISettings): JSONObject {
  const values: JSONObject = {};
  for (const name of NAMES) {
    const value = settings.composite[name];
    if (typeof value === "number") values[name] = value;
    else if (typeof value === "string" && value.trim()) values[name] = value.trim();
  }
  return values;
}

const OURS = /flowgpt|^\s*%%?ai\b/;

/** May the cell with this source ask a model, or load what does? */
export function mayAsk(source: string): boolean {
  return OURS.test(source);
}

/** Python that gives the settings to the kernel, if the package is there, before anybody can connect. */
export function early(values: JSONObject): string {
  const text = JSON.stringify(JSON.stringify(values)); // a text in Python, too
  return `__import__('flowgpt_magic.lab.preferences', fromlist=['preferences']).take_early(${text})`;
}

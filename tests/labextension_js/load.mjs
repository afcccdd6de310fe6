/** Modules of the extension's source that need no page, as node runs them. */

import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const EXTENSION = resolve(dirname(fileURLToPath(import.meta.url)), "../../flowgpt_magic/labextension");
const typescript = createRequire(join(EXTENSION, "package.json"))("typescript");

/** The module `src/<name>.ts`, and with it the modules beside it that it imports. */
export async function load(name) {
  const folder = mkdtempSync(join(tmpdir(), "labextension-"));
  try {
    const file = compile(join(EXTENSION, "src", `${name}.ts`), folder, new Set());
    return await import(pathToFileURL(file));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compile(source, folder, compiled) {
  const target = join(folder, basename(source).replace(/\.ts$/, ".mjs"));
  if (compiled.has(source)) return target;
  compiled.add(source);
  const options = { module: typescript.ModuleKind.ESNext, target: typescript.ScriptTarget.ES2022 };
  const { outputText } = typescript.transpileModule(readFileSync(source, "utf8"), { compilerOptions: options });
  const code = outputText.replace(/(from\s+"\.\/)([\w-]+)"/g, (_whole, before, name) => {
    compile(join(dirname(source), `${name}.ts`), folder, compiled);
    return `${before}${name}.mjs"`;
  });
  writeFileSync(target, code);
  return target;
}

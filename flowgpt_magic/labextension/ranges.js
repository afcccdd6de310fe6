// The types that are checked are exactly those of JupyterLab 4.2, so package.json names that release. JupyterLab
// compares the built one with itself: there, later releases fit too.
const { readFileSync, writeFileSync } = require("fs");

const file = "built/package.json";
const data = JSON.parse(readFileSync(file, "utf-8"));
for (const [name, version] of Object.entries(data.dependencies)) data.dependencies[name] = version.replace(/^(?=\d)/, "^");
writeFileSync(file, JSON.stringify(data, null, 2));

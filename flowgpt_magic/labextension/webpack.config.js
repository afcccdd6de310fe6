// What the builder of JupyterLab does not set by itself.
const { DefinePlugin } = require("webpack");
const { version } = require("./package.json");

module.exports = {
  plugins: [new DefinePlugin({ __VERSION__: JSON.stringify(version) })],
  // The default ids depend on the folder of the checkout, and the committed build has to be the same in each.
  optimization: { moduleIds: "natural", chunkIds: "natural" },
};

/** The plugins of the extension: each can be switched off by its own name. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";

import { commandsPlugin } from "./commands/plugin";
import { connectionsPlugin } from "./kernel/plugin";
import { picturesPlugin } from "./pictures/plugin";
import { promptCellsPlugin } from "./prompt_cells/plugin";
import { replyLinePlugin } from "./reply_line/plugin";
import { settingsPlugin } from "./settings/plugin";
import { sidebarPlugin } from "./sidebar/plugin";

const plugins: JupyterFrontEndPlugin<any>[] = [
  connectionsPlugin,
  commandsPlugin,
  picturesPlugin,
  promptCellsPlugin,
  replyLinePlugin,
  settingsPlugin,
  sidebarPlugin,
];

export default plugins;

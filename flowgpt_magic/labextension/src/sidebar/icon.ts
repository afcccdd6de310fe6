/** The icon of the panel: a bubble with two lines, in the colours of the theme. */

import { LabIcon } from "@jupyterlab/ui-components";

export const chatIcon = new LabIcon({
  name: "flowgpt_magic:chat",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M5 3h14a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2h-7.2L7 21.2V17H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2Zm2 4v1.8h10V7H7Zm0 4v1.8h6.5V11H7Z"/>
</svg>`,
});

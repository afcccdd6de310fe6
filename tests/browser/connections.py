"""The extension's connection of the notebook that a page shows, as its other parts use it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

CONNECTION = """
async () => {
  const { pluginRegistry, _services, shell } = window.jupyterapp; // JupyterLab 4.2 has no registry
  const tokens = [...(pluginRegistry?._services ?? _services).keys()];
  const token = tokens.find(({ name }) => name === "flowgpt_magic:connections");
  const connections = await window.jupyterapp.resolveRequiredService(token);
  window.flowgpt = connections.of([...shell.widgets("main")].find(({ sessionContext }) => sessionContext));
}
"""


class Connected:
    """The connection of the notebook in front; it asks the kernel once ``connect`` is called."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(CONNECTION)

    def connect(self) -> None:
        self.page.evaluate("() => window.flowgpt.connect()")

    @property
    def status(self) -> str:
        return str(self.page.evaluate("() => window.flowgpt.status"))

    def until(self, status: str) -> None:
        self.page.wait_for_function("status => window.flowgpt.status === status", arg=status)

    def ask(self, kind: str = "names", **more: Any) -> Any:
        """The kernel's answer, or the sentence that says why there is none."""
        code = "([kind, more]) => window.flowgpt.ask(kind, more).catch((error) => error.message)"
        return self.page.evaluate(code, [kind, more])

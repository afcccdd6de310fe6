"""The recipes of the notebook, to be run as they stand there."""

from __future__ import annotations

import json
import re

from tests.engines.conftest import CHECKOUT

NOTEBOOK = "notebooks/07-clusters.ipynb"


def code_blocks(language: str = "python") -> list[str]:
    """The blocks of code in the notebook's Markdown cells."""
    cells = json.loads((CHECKOUT / NOTEBOOK).read_text("utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def recipe(word: str, language: str = "python") -> str:
    """The one block that has this word."""
    (found,) = [block for block in code_blocks(language) if word in block]
    return found

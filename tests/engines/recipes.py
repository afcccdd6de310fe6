"""The recipes of the README and of the notebook, to be run as they stand there."""

from __future__ import annotations

import json
import re

from tests.engines.conftest import CHECKOUT

README, NOTEBOOK = "README.md", "notebooks/07-clusters.ipynb"


def code_blocks(document: str, language: str = "python") -> list[str]:
    """The blocks of code in a page of Markdown, or in the Markdown cells of a notebook."""
    text = (CHECKOUT / document).read_text("utf-8")
    if document.endswith(".ipynb"):
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def recipe(document: str, word: str, language: str = "python") -> str:
    """The one block that has this word."""
    (found,) = [block for block in code_blocks(document, language) if word in block]
    return found

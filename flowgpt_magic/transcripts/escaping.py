"""Text as HTML that stands in Markdown."""

from __future__ import annotations

import html
import re

from flowgpt_magic.control_characters import clean

NO_FORMULAS = " mathjax_ignore tex2jax_ignore"  # MathJax would take two dollar signs for a formula
# JupyterLab looks for formulas before it looks for tags, and pandoc reads Markdown inside of tags.
_MARKDOWN_SIGNS = re.compile(r"[$\\`*_\[\]!~^{|}@]")


def as_html(line: str) -> str:
    """``line`` as text in HTML, which is text in Markdown with HTML in it too."""
    return _MARKDOWN_SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", html.escape(clean(line), quote=False))

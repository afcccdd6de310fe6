"""The names that may be typeset are those of the MathJax that JupyterLab ships."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from flowgpt_magic.markdown.tex_names import SYMBOLS, TEX_COMMANDS, TEX_ENVIRONMENTS

STATIC = Path(sys.prefix) / "share" / "jupyter" / "lab" / "static"
LOADED = re.compile(r'(?:Command|Character|Delimiter|Environment)Map\("([^"]*)",')
NEVER_LOADED = ("Physics-", "require", "setoptions", "text-special")
KEY = re.compile(r'(?:^|,)(?:"((?:[^"\\]|\\.)*)"|([A-Za-z]\w*)):')

LINKING = "href class style cssId mmlToken unicode"
DEFINING = """
    def let newcommand renewcommand newenvironment renewenvironment DeclareMathOperator DeclarePairedDelimiter
    DeclarePairedDelimiterX DeclarePairedDelimiterXPP DeclarePairedDelimiters DeclarePairedDelimitersX
    DeclarePairedDelimitersXPP Newextarrow newtagform renewtagform usetagform mathtoolsset definecolor
"""
LISTENING = "toggle mathtip texttip"
WITH_AN_ARGUMENT = """
    color textcolor colorbox fcolorbox cellcolor rowcolor columncolor bbox enclose label ref eqref refeq verb
"""


def maps(source: str) -> dict[str, set[str]]:
    """The names in each map of MathJax that a script makes."""
    found: dict[str, set[str]] = {}
    for each in LOADED.finditer(source):
        start = source.find("},{" if source.startswith("function", each.end()) else "{", each.end())
        start += 2 if source[start] == "}" else 0
        found[each[1]] = {
            (quoted or bare).lstrip("\\") for quoted, bare in KEY.findall(_first_level(source, start + 1))
        }
    return found


def _first_level(source: str, start: int) -> str:
    """What is in an object literal, without what is in brackets of its own."""
    depth, parts = 1, []
    for piece in re.finditer(r'"(?:[^"\\]|\\.)*"|[^"]', source[start : start + 60_000]):
        depth += {"{": 1, "[": 1, "(": 1, "}": -1, "]": -1, ")": -1}.get(piece[0], 0)
        if depth == 0:
            break
        if depth == 1:
            parts.append(piece[0])
    return "".join(parts)


def test_every_command_of_the_mathjax_in_jupyterlab_may_be_typeset_but_what_links_defines_or_listens():
    sources = [path.read_text("utf-8", "replace") for path in STATIC.glob("*.js")]
    sources = [source for source in sources if 'Map("' in source]
    if not sources:
        pytest.skip("no JupyterLab here")
    found: dict[str, set[str]] = {}
    for source in sources:
        found |= maps(source)

    names = {
        name
        for where, names in found.items()
        if not where.startswith(NEVER_LOADED)
        for name in names
        if re.fullmatch(r"[A-Za-z]+\*?", name) and name not in ("n", "r", "Math")
    }
    left_out = set((LINKING + DEFINING + LISTENING + WITH_AN_ARGUMENT).split())

    assert len(names) > 1000
    assert names - TEX_COMMANDS - TEX_ENVIRONMENTS == left_out


def test_a_symbol_is_one_character_of_a_command():
    assert set(SYMBOLS) <= TEX_COMMANDS
    assert all(len(character) == 1 and ord(character) > 127 for character in SYMBOLS.values())

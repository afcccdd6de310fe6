r"""Find TeX formulas in untrusted text, and decide whether they may be typeset.

MathJax and KaTeX have commands that make links, set styles and classes, load extensions or define further commands.
These depend on the release and its settings. So `tex_names` lists the allowed commands, and a formula with any other
command is not typeset.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flowgpt_magic.markdown.tex_names import TEX_COMMANDS, TEX_ENVIRONMENTS

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

LONGEST_FORMULA = 10_000  # characters of a formula; a longer one is text
MOST_FORMULA_LINES = 300  # lines of a displayed formula

_COMMAND = re.compile(r"\\([A-Za-z]+|[\s\S]|$)")
_SINGLE = frozenset(" \n,;:!>{}|%$&#_\\/'.-^~=")  # what may follow a backslash and is no letter
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([^{}]*)\}")

# Commands whose argument MathJax copies into a style, an attribute or the page. These arguments are harmless.
_HUE = r"(?:[A-Za-z]{1,20}|#[0-9A-Fa-f]{3,6}|[0-9A-Fa-f]{6}|[\d., ]{1,40})"
_PADDED = r" ?(?:[A-Za-z]{1,20}|#[0-9A-Fa-f]{3,6}|\d{0,3}\.?\d{1,3}(?:pt|em|ex|mu|px|in|cm|mm)) ?"
_HARMLESS_USES = (
    rf"(?:text|cell|row|column)?color\s*(?:\[(?:rgb|RGB|gray|HTML|named)\])?\s*\{{{_HUE}\}}",
    rf"colorbox\s*\{{{_HUE}\}}",
    rf"fcolorbox\s*\{{{_HUE}\}}\s*\{{{_HUE}\}}",
    rf"bbox\s*(?:\[{_PADDED}(?:,{_PADDED}){{0,3}}\])?(?=\s*\{{)",
    r"enclose\s*\{[a-z ,]{1,80}\}",
    r"(?:label|eqref|refeq|ref)\s*\{[\w:.-]{1,60}\}",
    r"verb([|!+/])[\w .,:;=()-]{0,100}\1",
)
_HARMLESS_USE = re.compile(rf"\\(?:{'|'.join(_HARMLESS_USES)})")
# Excessive lengths would move parts of a formula out of the output, over other content.
_FAR = re.compile(r"\d{3,}(?:\.\d*)?\s*(?:em|ex|mu|cm|mm|in|pc)(?![a-z])|\d{4,}(?:\.\d*)?\s*(?:px|pt)(?![a-z])")
_NEVER = re.compile(r"@@|://|www\.", re.IGNORECASE)  # JupyterLab's placeholders, and bare links
_UNESCAPED = re.compile(r"(\\[\s\S])|([%$`#])")


def harmless_formula(tex: str) -> str | None:
    r"""The formula on one line, without ``<``, comments and Markdown marks.

    None if it may not be typeset: it has a command or environment that is not allowed, unbalanced braces, a backtick or
    a dollar sign. JupyterLab's parser ends a formula only at balanced braces.
    """
    tex = _with_arrow_signs(_CHEMISTRY.sub(_chemistry, " ".join(tex.split())))
    while tex.endswith("\\\\"):  # a line break at the end would escape the dollar sign after it
        tex = tex[:-2].rstrip()
    if not tex or len(tex) > LONGEST_FORMULA or _NEVER.search(tex) or _FAR.search(tex):
        return None
    if not _balanced(tex) or not _known(tex):
        return None
    tex = _UNESCAPED.sub(lambda match: match[1] or ("\\%" if match[2] == "%" else match[2]), tex)
    tex = tex.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    # JupyterLab does not encode quotes in formulas; inside an attribute one would end it.
    tex = tex.replace('"', "\u201d")
    tex = tex.replace("<", r"\lt ").replace(">", r"\gt ").replace("](", "] (").replace("![", "! [").replace("]:", "] :")
    tex = re.sub(r"&(?=#|\w+;)", "& ", tex)
    return re.sub(r"\\\\(?=[{}$(])", r"\\\\ ", tex).replace(_ARROW_SIGN, ">")


def _known(tex: str) -> bool:
    rest = _HARMLESS_USE.sub(" ", tex)
    if any(match[2] in ("$", "`", "#") for match in _UNESCAPED.finditer(rest) if match[2]):
        return False
    return all(
        name in TEX_COMMANDS if name[:1].isalpha() else name in _SINGLE and name != ""
        for name in _COMMAND.findall(rest)
    )


# Chemical arrows, spelled without ``<`` and ``>``.
_CHEMISTRY = re.compile(r"\\ce\s*\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}")
_REACTION = re.compile(r"<-->|<->|<=>>|<<=>|<=>|->|<-|(?<=[A-Za-z0-9)])#(?=[A-Za-z])")
_REACTIONS = {
    "->": "\u27f6",
    "<=>": "\u21cc",
    "<-": r"\longleftarrow ",
    "<->": r"\longleftrightarrow ",
    "<-->": r"\longleftrightarrows ",
    "<=>>": r"\longRightleftharpoons ",
    "<<=>": r"\longLeftrightharpoons ",
    "#": r"\bond{3}",
}
# The arrows of a diagram, ``@>f>>``, have no other spelling. A ``>`` alone is harmless in HTML.
_DIAGRAM_ARROW = re.compile(r"@>([^<>@]*)>([^<>@]*)>")
_ARROW_SIGN = "\x06"  # placeholder for such a ``>`` until all others are replaced; clean text does not have it


def _chemistry(match: re.Match[str]) -> str:
    return _REACTION.sub(lambda sign: _REACTIONS[sign[0]], match[0].replace("&lt;", "<").replace("&gt;", ">"))


def _with_arrow_signs(tex: str) -> str:
    if r"\begin{CD}" not in tex:
        return tex
    return _DIAGRAM_ARROW.sub(rf"@{_ARROW_SIGN}\1{_ARROW_SIGN}\2{_ARROW_SIGN}", tex)


def _balanced(tex: str) -> bool:
    depth = 0
    for brace in re.findall(r"\\[\s\S]|[{}]", tex):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0 and _environments_close(tex)


def _environments_close(tex: str) -> bool:
    opened: list[str] = []
    ends = _ENVIRONMENT.findall(tex)
    if len(ends) != len(re.findall(r"\\(?:begin|end)(?![A-Za-z])", tex)):
        return False
    for what, name in ends:
        if name not in TEX_ENVIRONMENTS:
            return False
        if what == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    return not opened


# A formula cannot contain a backtick, a dollar sign or its own opening delimiter. So each search ends at the next
# delimiter, and all searches together cost no more than reading the text once.
_INLINE = {
    "$": re.compile(r"\$(?!\$)((?:[^$`\\]|\\[^`]){1,2000})\$(?![\d$])"),
    "$$": re.compile(r"\$\$((?:[^$`\\]|\\[^`]){1,10000})\$\$"),
    r"\(": re.compile(r"\\\(((?:[^$`\\]|\\[^`()]){1,2000})\\\)"),
    r"\[": re.compile(r"\\\[((?:[^$`\\]|\\[^`\[\]]){1,10000})\\\]"),
}
_BEGIN = re.compile(r"\\begin\{([A-Za-z]{1,16}\*?)\}")
_PLAIN_WORD = re.compile(r"(?<![A-Za-z\\{])[A-Za-z]{2,}(?![A-Za-z}])")
_PROSE = re.compile(r"\b(?:and|or|to|the|is|are|was|of|for|per|with|but|than|from|costs?|each)\b", re.IGNORECASE)
_SIGNS = frozenset("\\^_=")
_CLOSERS = {"$$": "$$", r"\[": r"\]"}


def _is_money(tex: str, before: str, after: str) -> bool:
    """Whether a text between two dollar signs is more likely prose with prices or shell variables."""
    if before.isalnum() or before == "$" or "](" in tex:
        return True
    spaced = tex[0].isspace() + tex[-1].isspace()
    if spaced and not _is_spaced_formula(tex, after, spaced == 2):
        return True
    tex = tex.strip()
    if tex[-1] in "/:,;-(\u2013\u2014" or (tex[0] == "{" and after[:1] == "{"):
        return True
    if not _SIGNS.isdisjoint(tex):
        return False
    words = _PLAIN_WORD.findall(tex)
    return bool(words) and (tex[0].isdigit() or len(words) > 1 or " " in tex or bool(spaced))


def _is_spaced_formula(tex: str, after: str, both: bool) -> bool:
    """Whether ``$ x $`` with inner white space may be a formula; ``both`` means white space at both ends."""
    edges = tex[: len(tex) - len(tex.lstrip())] + tex[len(tex.rstrip()) :]
    if "\n" in edges or after[:1].isalnum() or after[:1] in ("{", "(", "_"):
        return False
    if _PROSE.search(tex) and "\\" not in tex:
        return False
    if tex.strip()[0].isdigit() and after.strip()[:1].isdigit():
        return False
    return both or not {"\\", "^", "_"}.isdisjoint(tex)


def find_formula(src: str, pos: int, end: int) -> tuple[str, bool, int] | None:
    """The formula that begins at `pos` and ends by `end`: its TeX, whether it is displayed, and its end; or None."""
    opener = src[pos : pos + 2]
    if opener[:1] == "$" and opener != "$$":
        opener = "$"
    if opener in _INLINE:
        match = _INLINE[opener].match(src, pos, end)
        if match is None or not match[1].strip():
            return None
        if opener == "$" and _is_money(match[1], src[pos - 1 : pos] if pos else "", src[match.end() : match.end() + 3]):
            return None
        return match[1], opener in _CLOSERS, match.end()
    return _find_environment(src, pos, end)


def _find_environment(src: str, pos: int, end: int) -> tuple[str, bool, int] | None:
    match = _BEGIN.match(src, pos, end)
    if match is None or match[1] not in TEX_ENVIRONMENTS:
        return None
    closer = f"\\end{{{match[1]}}}"
    place = src.find(closer, match.end(), min(end, pos + LONGEST_FORMULA))
    if place < 0 or src.find("`", pos, place) >= 0:
        return None
    return src[pos : place + len(closer)], True, place + len(closer)


def _inline_rule(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    formula = find_formula(state.src, state.pos, state.posMax)
    if formula is None:
        return False
    tex, displayed, end = formula
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.meta = tex, {"displayed": displayed, "source": state.src[state.pos : end]}
    state.pos = end
    return True


# -- formulas on lines of their own ----------------------------------------------------------------------------------

_OPENS = re.compile(r"(?:(\$\$)|(\\\[)|\\begin\{([A-Za-z]{1,16}\*?)\})")
_WORDED = re.compile(r"\\(?:text\w*|mbox|operatorname|math[a-z]+|label|tag)\s*\{[^{}]*\}")
_DOLLAR = re.compile(r"(?<!\\)\$")


def reads_as_text(line: str) -> bool:
    """Whether a line after a blank line is more likely text than part of a formula."""
    if line.startswith(("#", "|")) or _DOLLAR.search(line):
        return True
    words = _PLAIN_WORD.findall(_WORDED.sub(" ", line))
    return len(words) > (2 if _SIGNS.isdisjoint(line) else 5)


class OpenFormula:
    """A displayed formula that is read line by line until it is certain whether it is one.

    TeX allows no blank lines in a formula, but models write them. So a blank line ends it only if the lines after it
    read as text.
    """

    def __init__(self, line: str) -> None:
        """Read the first line; if it begins no formula, ``is_open`` is false."""
        line = line.strip()
        opens = _OPENS.match(line)
        self.is_open = opens is not None and (not opens[3] or opens[3] in TEX_ENVIRONMENTS)
        self.is_formula = False
        self.lines: list[str] = []
        self._opener = opens[0] if opens else ""
        self._closer = _CLOSERS.get(self._opener, self._opener.replace("begin", "end", 1))
        self._has_gap = self._has_text = False
        if self.is_open:
            self._add(line, line[len(self._opener) :])

    def add(self, line: str) -> None:
        """Read the next line."""
        line = line.strip()
        self._has_gap = self._has_gap or not line
        self._add(line, line)

    def _add(self, line: str, new: str) -> None:
        self.lines.append(line)
        closing = new.find(self._closer)
        self._has_text = self._has_text or reads_as_text(new if closing < 0 else new[:closing])
        if self._has_gap and self._has_text:
            self.is_open = False
        elif closing >= 0:
            self.is_open, self.is_formula = False, closing == len(new) - len(self._closer)
        elif "`" in new or self._opener in new or len(self.lines) >= MOST_FORMULA_LINES:
            self.is_open = False

    @property
    def source(self) -> str:
        """The lines as typed."""
        return "\n".join(self.lines)

    @property
    def tex(self) -> str:
        """The TeX: an environment with its name, otherwise the text between the delimiters."""
        if self._opener.startswith(r"\begin"):
            return self.source
        return self.source[len(self._opener) :].removesuffix(self._closer if self.is_formula else "")


def _block_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    formula = OpenFormula(state.getLines(start, start + 1, state.blkIndent, False))
    number, indent = start + 1, min(state.blkIndent, state.sCount[start])
    while formula.is_open and number < end and (state.isEmpty(number) or state.sCount[number] >= indent):
        formula.add(state.getLines(number, number + 1, state.blkIndent, False))
        number += 1
    if not formula.is_formula:
        return False
    if silent:
        return True
    token = state.push("formula_block", "", 0)
    token.content = formula.tex
    token.meta = {"displayed": True, "source": formula.source}
    token.map = [start, number]
    state.line = number
    return True


def find_formulas(parser: MarkdownIt) -> None:
    """Make a Markdown parser recognize formulas before it looks for Markdown inside them."""
    parser.inline.ruler.before("escape", "formula", _inline_rule)
    parser.block.ruler.before(
        "fence", "formula_block", _block_rule, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )

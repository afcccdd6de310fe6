r"""Convert TeX formulas to MathML, which browsers show without a script.

latex2mathml parses the formula. It does not escape text, so its elements are written again here: only known elements,
with their text escaped. A formula it does not understand completely is shown as code.
"""

from __future__ import annotations

import functools
import html
import re
from typing import TYPE_CHECKING

from flowgpt_magic.markdown.formulas import harmless_formula
from flowgpt_magic.markdown.html.sanitize import MATH_TAGS
from flowgpt_magic.markdown.tex_names import SYMBOLS

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LONGEST_TYPESET = 2_000  # characters of a formula that is typeset
DEEPEST_FORMULA = 60  # nested braces and environments

# Replacements for what latex2mathml does not know.
_NUMBERED = re.compile(
    r"\\(begin|end)\s*\{(?:aligned|align|eqnarray|flalign|split|multlined|multline|[lr]?gathered|gather)\*?\}"
)
_COUNTED = re.compile(
    r"\\begin\s*\{(?:alignedat|x{0,2}alignat)\*?\}\s*\{\d{1,2}\}|\\(end)\s*\{(?:alignedat|x{0,2}alignat)\*?\}"
)
_EQUATION = re.compile(r"\\(?:begin|end)\s*\{equation\*?\}")
_CASES = re.compile(r"\\(begin|end)\s*\{d?(r?cases)\*?\}")
_MATRIX = re.compile(r"\\(begin|end)\s*\{([pbBvV])smallmatrix\*?\}(?:\[[lcr]\])?")
_SUBARRAY = re.compile(r"\\begin\s*\{(?:cramped)?subarray\}\s*\{[lcr]\}|\\(end)\s*\{(?:cramped)?subarray\}")
_TAG = re.compile(r"\\tag\s*\{([^{}\\]{1,20})\}")
_NAMES = {
    **{name: f"{character} " for name, character in SYMBOLS.items()},
    "Aboxed": r"\boxed ",
    "adjustlimits": "",
    "And": r"\& ",
    "arg": r"\operatorname{arg}",
    "bbFont": r"\mathbb ",
    "centercolon": ":",
    "Colonapprox": r"::\approx ",
    "colonapprox": r":\approx ",
    "Colonsim": r"::\sim ",
    "colonsim": r":\sim ",
    "copyright": r"\text{©}",
    "cr": r"\\",
    "cramped": "",
    "dag": r"\dagger ",
    "dblcolon": "::",
    "ddag": r"\ddagger ",
    "degree": r"{}^\circ ",
    "emph": r"\textit ",
    "Eqcolon": "-::",
    "Eqqcolon": "=::",
    "framebox": r"\fbox ",
    "hfil": r"\quad ",
    "hfill": r"\quad ",
    "hfilll": r"\quad ",
    "longleftrightarrows": r"\leftrightarrows ",
    "longrightleftharpoons": r"\rightleftharpoons ",
    "longLeftrightharpoons": r"\rightleftharpoons ",
    "longRightleftharpoons": r"\rightleftharpoons ",
    "mathclap": "",
    "mathllap": "",
    "mathrlap": "",
    "MoveEqLeft": "",
    "MTFlushSpaceAbove": "",
    "MTFlushSpaceBelow": "",
    "MTThinColon": ":",
    "newline": r"\\",
    "nolimits": "",
    "nonscript": "",
    "nonumber": "",
    "notag": "",
    "ordinarycolon": ":",
    "P": r"\text{¶}",
    "shortparallel": r"\parallel ",
    "splitdfrac": r"\frac ",
    "splitfrac": r"\frac ",
    "symbb": r"\mathbb ",
    "symbf": r"\mathbf ",
    "symbfcal": r"\mathcal ",
    "symbffrak": r"\mathfrak ",
    "symbfit": r"\boldsymbol ",
    "symbfscr": r"\mathscr ",
    "symbfsf": r"\mathsf ",
    "symbfsfit": r"\mathsf ",
    "symbfsfup": r"\mathsf ",
    "symbfup": r"\mathbf ",
    "symcal": r"\mathcal ",
    "symfrak": r"\mathfrak ",
    "symit": r"\mathit ",
    "symnormal": "",
    "symrm": r"\mathrm ",
    "symscr": r"\mathscr ",
    "symsf": r"\mathsf ",
    "symsfit": r"\mathsf ",
    "symsfup": r"\mathsf ",
    "symtt": r"\mathtt ",
    "symup": r"\mathrm ",
    "textclap": r"\text ",
    "textgreater": r"\gt ",
    "textless": r"\lt ",
    "textllap": r"\text ",
    "textrlap": r"\text ",
    "xmathstrut": "",
}
_NAMED = re.compile(rf"\\({'|'.join(_NAMES)})(?![A-Za-z])")
# Commands whose arguments stand in what they mean; an argument has at most two levels of braces inside.
_ARGUMENT = r"\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
_MEANINGS = {
    "bra": r"{\langle #1 \vert}",
    "ket": r"{\vert #1 \rangle}",
    "braket": r"{\langle #1 \rangle}",
    "set": r"{\{ #1 \}}",
    "ketbra": r"{\vert #1 \rangle\langle #2 \vert}",
    "Bra": r"{\left\langle #1 \right\vert}",
    "Ket": r"{\left\vert #1 \right\rangle}",
    "Braket": r"{\left\langle #1 \right\rangle}",
    "Set": r"{\left\{ #1 \right\}}",
    "Ketbra": r"{\left\vert #1 \right\rangle\left\langle #2 \right\vert}",
    "cancelto": r"{\cancel{#2}}^{#1}",
    "overunderset": r"\overset{#1}{\underset{#2}{#3}}",
    "prescript": r"{}^{#1}_{#2}{#3}",
    "centernot": r"\not{#1}",
}
_MEANT = {
    name: re.compile(rf"\\{name}{''.join(_ARGUMENT for _ in re.findall('#', meaning))}")
    for name, meaning in _MEANINGS.items()
}
_DECORATED = re.compile(r"\\(?:bbox\s*(?:\[[^\[\]]*\])?|colorbox\s*\{[^{}]*\}|enclose\s*\{[^{}]*\})(?=\s*\{)")
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")


def _known(tex: str) -> str:
    """The formula in commands that latex2mathml knows."""
    tex = _LABEL.sub("", tex)
    tex = _TAG.sub(lambda match: rf"\qquad\text{{({match[1]})}}", tex)
    tex = _EQUATION.sub(" ", tex)
    tex = _NUMBERED.sub(r"\\\1{align*}", tex)
    tex = _COUNTED.sub(lambda match: rf"\{match[1] or 'begin'}{{align*}}", tex)
    tex = _SUBARRAY.sub(lambda match: rf"\{match[1] or 'begin'}{{matrix}}", tex)
    tex = _CASES.sub(r"\\\1{\2}", tex)
    tex = _MATRIX.sub(r"\\\1{\2matrix}", tex)
    tex = _DECORATED.sub("", tex)
    for name, pattern in _MEANT.items():
        if f"\\{name}" in tex:
            tex = pattern.sub(functools.partial(_meaning, name), tex)
    return _NAMED.sub(lambda match: _NAMES[match[1]], tex)


def _meaning(name: str, match: re.Match[str]) -> str:
    return re.sub("#([1-3])", lambda place: match[int(place[1])], _MEANINGS[name])


@functools.lru_cache(1024)
def mathml(tex: str, displayed: bool) -> str | None:
    """The formula as a ``math`` element; None if it may not or cannot be typeset."""
    one_line = harmless_formula(tex) if len(tex) <= LONGEST_TYPESET else None
    if one_line is None or _depth(one_line) > DEEPEST_FORMULA:
        return None
    from latex2mathml.converter import convert_to_element

    try:
        root = convert_to_element(_known(one_line), display="block" if displayed else "inline")
    except Exception:  # noqa: BLE001 - it raises whatever it stumbles over, IndexError and StopIteration among them
        return None
    if _stumbled("".join(root.itertext()), one_line) or any(
        len(each) not in _PARTS.get(each.tag, (len(each),)) for each in root.iter()
    ):
        return None
    inside = _children(root[0] if len(root) == 1 and root[0].tag == "mrow" else root)
    return f'<math display="block">{inside}</math>' if displayed else f"<math>{inside}</math>"


def _depth(tex: str) -> int:
    depth = deepest = 0
    for mark in re.findall(r"\\[{}]|[{}]|\\begin|\\left|\\end|\\right|[_^]", tex):
        depth += {"{": 1, r"\begin": 1, r"\left": 1, "}": -1, r"\end": -1, r"\right": -1}.get(mark, 0)
        deepest = max(deepest, depth)
    return deepest


# How many parts these elements have; a browser shows one with more or fewer as an error, or not at all.
_PARTS = {
    **dict.fromkeys(("mfrac", "mroot", "msub", "msup", "munder", "mover"), (2,)),
    **dict.fromkeys(("msubsup", "munderover"), (3,)),
}


def _stumbled(text: str, tex: str) -> bool:
    """Whether the result still contains TeX source."""
    shown = html.unescape(re.sub(r"&#x0*26;|&amp;", "", text)) if r"\&" in tex else html.unescape(text)
    if "\\" in shown and not re.search(r"\\(?:backslash|setminus)", tex):
        return True
    return "&" in shown and r"\&" not in tex


_WIDTHS = {"thinmathspace": "0.167em", "mediummathspace": "0.222em", "thickmathspace": "0.278em"}
_VALUES = {"width": _WIDTHS}
_NAMES_KEPT = """
    stretchy fence separator largeop movablelimits accent displaystyle minsize maxsize mathsize linethickness lspace
    rspace width height depth voffset form scriptlevel mathcolor
"""
_KEPT = frozenset(_NAMES_KEPT.split())
_ALIGNED = {"left": "fg-left", "right": "fg-right"}


def _written(element: Element) -> str:
    tag = element.tag
    if tag == "menclose":
        look = "fg-boxed" if element.get("notation") == "box" else "fg-struck"
        return f'<mrow class="{look}">{_children(element)}</mrow>'
    if tag not in MATH_TAGS:
        return _children(element)
    inside = _children(element)
    if tag == "mrow" and len(element) == 1 and not element.text:
        return inside
    return f"<{tag}{_attributes(element)}>{inside}</{tag}>"


def _children(element: Element) -> str:
    text = html.unescape(element.text or "")
    letters = _LETTERS.get(element.get("mathvariant", "")) if element.tag in ("mi", "mn", "mo") else None
    parts = ["".join(letters.get(letter, letter) for letter in text) if letters else text]
    parts[0] = html.escape(parts[0], quote=False)
    for child in element:
        parts += [_written(child), html.escape(html.unescape(child.tail or ""), quote=False)]
    return "".join(parts)


def _attributes(element: Element) -> str:
    written = ""
    if element.tag == "mi" and element.get("mathvariant") == "normal":
        written = ' mathvariant="normal"'
    if look := _ALIGNED.get(element.get("columnalign", "")):
        written += f' class="{look}"'
    for name, value in element.attrib.items():
        value = _VALUES.get(name, {}).get(value, value)
        if name in _KEPT and not (name == "width" and "math" in value):
            written += f' {name}="{html.escape(value)}"'
    return written


def _alphabet(capital: int, small: int, digit: int = 0, others: str = "") -> dict[str, str]:
    """The Unicode characters of a styled alphabet; some of them are outside its main range."""
    letters = {chr(0x41 + n): chr(capital + n) for n in range(26)} | {chr(0x61 + n): chr(small + n) for n in range(26)}
    digits = {chr(0x30 + n): chr(digit + n) for n in range(10)} if digit else {}
    return letters | digits | {other[0]: chr(int(other[1:], 16)) for other in others.split()}


# MathML Core knows no mathvariant but "normal": the style of a letter is in the letter.
_LETTERS = {
    "bold": _alphabet(0x1D400, 0x1D41A, 0x1D7CE),
    "italic": _alphabet(0x1D434, 0x1D44E, others="h210E"),
    "bold-italic": _alphabet(0x1D468, 0x1D482)
    | {chr(0x391 + n): chr(0x1D71C + n) for n in range(25)}
    | {chr(0x3B1 + n): chr(0x1D736 + n) for n in range(25)},
    "double-struck": _alphabet(0x1D538, 0x1D552, 0x1D7D8, "C2102 H210D N2115 P2119 Q211A R211D Z2124"),
    "fraktur": _alphabet(0x1D504, 0x1D51E, others="C212D H210C I2111 R211C Z2128"),
    "monospace": _alphabet(0x1D670, 0x1D68A, 0x1D7F6),
    "sans-serif": _alphabet(0x1D5A0, 0x1D5BA, 0x1D7E2),
    "script": _alphabet(0x1D49C, 0x1D4B6, others="B212C E2130 F2131 H210B I2110 L2112 M2133 R211B e212F g210A o2134"),
}

r"""Mathematics in a text from a stranger: where it stands, and whether it may be typeset.

MathJax and KaTeX know commands that make links, set styles and classes, load extensions or define further commands.
Which ones depends on the release and its settings, so there is no list of bad commands here but one of good ones: a
formula with any other command is not typeset.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

LONGEST = 10_000  # characters of a formula; a longer one is text
MOST_LINES = 300  # lines of a displayed formula

_COMMANDS = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi omicron pi
    varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega digamma Gamma Delta Theta Lambda Xi Pi Sigma
    Upsilon Phi Psi Omega varGamma varDelta varTheta varLambda varXi varPi varSigma varUpsilon varPhi varPsi varOmega
    aleph beth gimel daleth hbar hslash ell imath jmath wp Re Im partial infty nabla forall exists nexists emptyset
    varnothing angle measuredangle sphericalangle triangle triangledown square blacksquare Box Diamond diamond lozenge
    bigstar star clubsuit diamondsuit heartsuit spadesuit flat natural sharp surd top bot checkmark maltese eth mho
    degree circledR circledS copyright pounds yen dag dagger ddag ddagger S P complement backslash prime backprime
    pm mp times div cdot cdotp ast circ bullet cap cup uplus sqcap sqcup vee wedge lor land lnot neg setminus
    smallsetminus wr amalg oplus ominus otimes oslash odot bigcirc boxplus boxminus boxtimes boxdot dotplus ltimes
    rtimes rightthreetimes leftthreetimes barwedge veebar doublebarwedge curlywedge curlyvee intercal divideontimes
    circledast circledcirc circleddash Cap Cup centerdot triangleleft triangleright bigtriangleup bigtriangledown
    le leq ge geq lt gt ne neq equiv sim simeq approx approxeq cong ncong propto varpropto asymp doteq doteqdot
    fallingdotseq risingdotseq eqcirc circeq triangleq bumpeq Bumpeq thicksim thickapprox backsim backsimeq eqsim
    prec succ preceq succeq precsim succsim precapprox succapprox preccurlyeq succcurlyeq ll gg lll ggg leqq geqq
    leqslant geqslant lesssim gtrsim lessapprox gtrapprox lessgtr gtrless lesseqgtr gtreqless lessdot gtrdot nless
    ngtr nleq ngeq nleqslant ngeqslant lneq gneq lneqq gneqq lnsim gnsim nprec nsucc npreceq nsucceq in ni notin
    owns not subset supset subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq subseteqq supseteqq Subset
    Supset sqsubset sqsupset sqsubseteq sqsupseteq mid nmid parallel nparallel shortmid shortparallel perp vdash
    dashv models vDash Vdash Vvdash nvdash nvDash bowtie Join smile frown pitchfork between therefore because
    vartriangle vartriangleleft vartriangleright trianglelefteq trianglerighteq
    to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow longleftarrow longrightarrow
    longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow implies impliedby iff mapsto longmapsto
    hookleftarrow hookrightarrow leftharpoonup leftharpoondown rightharpoonup rightharpoondown rightleftharpoons
    leftrightharpoons uparrow downarrow updownarrow Uparrow Downarrow Updownarrow nearrow searrow swarrow nwarrow
    leadsto rightsquigarrow leftrightsquigarrow twoheadrightarrow twoheadleftarrow rightarrowtail leftarrowtail
    leftleftarrows rightrightarrows leftrightarrows rightleftarrows upuparrows downdownarrows nleftarrow nrightarrow
    nLeftarrow nRightarrow nleftrightarrow nLeftrightarrow curvearrowleft curvearrowright circlearrowleft
    circlearrowright Lsh Rsh upharpoonleft upharpoonright downharpoonleft downharpoonright restriction multimap
    dashrightarrow dashleftarrow xrightarrow xleftarrow xleftrightarrow xRightarrow xLeftarrow xmapsto
    sum prod coprod int iint iiint iiiint oint bigcap bigcup bigvee bigwedge bigoplus bigotimes bigodot biguplus
    bigsqcup smallint intop limits nolimits
    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max
    min Pr sec sin sinh sup tan tanh injlim projlim varlimsup varliminf bmod pmod mod pod operatorname
    frac dfrac tfrac cfrac binom dbinom tbinom choose over atop brace brack sqrt root of genfrac stackrel overset
    underset substack sideset overbrace underbrace overline underline overrightarrow overleftarrow
    overleftrightarrow underrightarrow underleftarrow widehat widetilde hat check breve acute grave tilde bar vec dot
    ddot dddot ddddot mathring boxed fbox cancel bcancel xcancel phantom hphantom vphantom smash
    left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm biggm Biggm
    lbrace rbrace lbrack rbrack langle rangle lfloor rfloor lceil rceil lvert rvert lVert rVert vert Vert lgroup
    rgroup lmoustache rmoustache ulcorner urcorner llcorner lrcorner
    ldots cdots vdots ddots dots dotsb dotsc dotsi dotsm dotso
    quad qquad enspace thinspace medspace thickspace negthinspace negmedspace negthickspace hfill
    text textrm textsf texttt textbf textit textnormal textup mathrm mathbf mathit mathsf mathtt mathcal mathscr
    mathfrak mathbb mathnormal boldsymbol bm pmb bf rm it sf tt cal scr frak Bbb bold mbox hbox
    displaystyle textstyle scriptstyle scriptscriptstyle mathop mathrel mathbin mathord mathopen mathclose mathpunct
    mathinner tiny small normalsize large Large
    begin end hline cline hdashline nonumber notag tag cr newline displaylines
"""

_ENVIRONMENTS = """
    equation equation* align align* aligned alignat alignat* alignedat gather gather* gathered multline multline*
    split eqnarray eqnarray* flalign flalign* array matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix cases
    rcases dcases subarray
"""

COMMANDS = frozenset(_COMMANDS.split())
ENVIRONMENTS = frozenset(_ENVIRONMENTS.split())

_COMMAND = re.compile(r"\\([A-Za-z]+|[\s\S]|$)")
_SINGLE = frozenset(" \n,;:!>{}|%$&#_\\/'.-")  # what may follow a backslash and is no letter
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([^{}]*)\}")
_COLOUR = re.compile(r"\\(?:textcolor|color)\s*\{[A-Za-z]{1,20}\}")
_LABEL = re.compile(r"\\(?:label|eqref|ref)\s*\{[\w:.-]{1,60}\}")
_NEVER = re.compile(r"@@|://|www\.", re.IGNORECASE)  # JupyterLab's own placeholders, and what becomes a link by itself
_UNESCAPED = re.compile(r"(\\[\s\S])|([%$`#])")


def harmless_formula(tex: str) -> str | None:
    r"""The formula on one line, free of ``<``, ``>``, comments and anything a Markdown parser could see in it.

    None when it may not be typeset: a command or an environment that is not known to be harmless, braces that do not
    match, a backtick or a dollar sign. The parser of JupyterLab waits for matching braces before it ends a formula.
    """
    tex = " ".join(tex.split())
    while tex.endswith("\\\\"):  # a line break at the end; the last backslash would escape the dollar sign after it
        tex = tex[:-2].rstrip()
    if not tex or len(tex) > LONGEST or _NEVER.search(tex) or not _balanced(tex) or not _known(tex):
        return None
    if any(match[2] in ("$", "`", "#") for match in _UNESCAPED.finditer(tex) if match[2]):
        return None
    tex = _UNESCAPED.sub(lambda match: match[1] or "\\%", tex)
    tex = tex.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    # JupyterLab puts formulas back without encoding quotes; one that had got into an attribute would end it.
    tex = tex.replace('"', "\u201d")
    tex = tex.replace("<", r"\lt ").replace(">", r"\gt ").replace("](", "] (").replace("![", "! [").replace("]:", "] :")
    tex = re.sub(r"&(?=#|\w+;)", "& ", tex)
    return re.sub(r"\\\\(?=[{}$(])", r"\\\\ ", tex)


def _known(tex: str) -> bool:
    rest = _LABEL.sub("", _COLOUR.sub("", tex))
    return all(
        name in COMMANDS if name[:1].isalpha() else name in _SINGLE and name != "" for name in _COMMAND.findall(rest)
    )


def _balanced(tex: str) -> bool:
    depth = 0
    for brace in re.findall(r"\\[\s\S]|[{}]", tex):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0 and _environments_close(tex)


def _environments_close(tex: str) -> bool:
    opened: list[str] = []
    found = _ENVIRONMENT.findall(tex)
    if len(found) != len(re.findall(r"\\(?:begin|end)(?![A-Za-z])", tex)):
        return False
    for what, name in found:
        if name not in ENVIRONMENTS:
            return False
        if what == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    return not opened


# A formula cannot hold a backtick or a dollar sign, nor its own opening delimiter; so every search ends at the next
# delimiter, and looking for formulas costs no more than reading the text once.
_INLINE = {
    "$": re.compile(r"\$(?![\s$])((?:[^$`\\]|\\[^`]){1,2000})(?<!\s)\$(?![\d$])"),
    "$$": re.compile(r"\$\$((?:[^$`\\]|\\[^`]){1,10000})\$\$"),
    r"\(": re.compile(r"\\\(((?:[^$`\\]|\\[^`()]){1,2000})\\\)"),
    r"\[": re.compile(r"\\\[((?:[^$`\\]|\\[^`\[\]]){1,10000})\\\]"),
}
_BEGIN = re.compile(r"\\begin\{([A-Za-z]{1,12}\*?)\}")
_PLAIN_WORD = re.compile(r"(?<![A-Za-z\\{])[A-Za-z]{2,}(?![A-Za-z}])")
_CLOSERS = {"$$": "$$", r"\[": r"\]"}


def _is_money(tex: str, before: str, after: str) -> bool:
    """Whether a text between two dollar signs is more likely prose with prices or shell variables in it."""
    if before.isalnum() or before == "$" or "](" in tex:
        return True
    if tex[-1] in "/:,;-(" or (tex[0] == "{" and after == "{"):
        return True
    if any(sign in tex for sign in "\\^_="):
        return False
    words = _PLAIN_WORD.findall(tex)
    return bool(words) and (tex[0].isdigit() or len(words) > 1 or " " in tex)


def _find_inline(src: str, pos: int, end: int) -> tuple[str, bool, int] | None:
    """The formula that begins at `pos`: its TeX, whether it is displayed, and where it ends."""
    opener = src[pos : pos + 2]
    if opener[0] == "$" and opener != "$$":
        opener = "$"
    if opener in _INLINE:
        match = _INLINE[opener].match(src, pos, end)
        if match is None or not match[1].strip():
            return None
        if opener == "$" and _is_money(match[1], src[pos - 1 : pos] if pos else "", src[match.end() : match.end() + 1]):
            return None
        return match[1], opener in _CLOSERS, match.end()
    return _find_environment(src, pos, end)


def _find_environment(src: str, pos: int, end: int) -> tuple[str, bool, int] | None:
    match = _BEGIN.match(src, pos, end)
    if match is None or match[1] not in ENVIRONMENTS:
        return None
    closer = f"\\end{{{match[1]}}}"
    found = src.find(closer, match.end(), min(end, pos + LONGEST))
    if found < 0 or src.find("`", pos, found) >= 0:
        return None
    return src[pos : found + len(closer)], True, found + len(closer)


def _inline_rule(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    found = _find_inline(state.src, state.pos, state.posMax)
    if found is None:
        return False
    tex, displayed, state_end = found
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.meta = tex, {"displayed": displayed, "source": state.src[state.pos : state_end]}
    state.pos = state_end
    return True


def _block_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    line = state.getLines(start, start + 1, state.blkIndent, False).strip()
    opener = line[:2] if line[:2] in _CLOSERS else ""
    begin = _BEGIN.match(line)
    if not opener and (begin is None or begin[1] not in ENVIRONMENTS):
        return False
    last = _last_line(state, start, end, line, opener, begin[1] if begin else "")
    if last is None:
        return False
    if silent:
        return True
    text = "\n".join(
        state.getLines(number, number + 1, state.blkIndent, False).strip() for number in range(start, last + 1)
    )
    token = state.push("formula_block", "", 0)
    token.content = text[2:-2] if opener else text
    token.meta = {"displayed": True, "source": text}
    token.map = [start, last + 1]
    state.line = last + 1
    return True


def _last_line(state: StateBlock, start: int, end: int, line: str, opener: str, environment: str) -> int | None:
    """The line on which the displayed formula ends, as its last word; None when it does not, so that it is text."""
    opener, closer = (opener, _CLOSERS[opener]) if opener else (f"\\begin{{{environment}}}", f"\\end{{{environment}}}")
    line = line[len(opener) :]
    for number in range(start, min(end, start + MOST_LINES)):
        if number > start:
            if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
                return None
            line = state.getLines(number, number + 1, state.blkIndent, False).strip()
        at = line.find(closer)
        if at >= 0:
            return number if at == len(line) - len(closer) else None
        if opener in line or "`" in line:
            return None
    return None


def find_formulas(parser: MarkdownIt) -> None:
    """Teach a Markdown parser to make tokens of formulas, before it takes what is in them for Markdown."""
    parser.inline.ruler.before("escape", "formula", _inline_rule)
    parser.block.ruler.before(
        "fence", "formula_block", _block_rule, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )

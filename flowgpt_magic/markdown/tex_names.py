r"""The TeX commands and environments that may be typeset.

They are those of MathJax 3.2.2 with all its packages, as JupyterLab 4.6 loads it (``AllPackages``), except commands

- that link, style or name an element: ``\href \class \style \cssId \mmlToken \unicode``,
- that define, load or set: ``\def \let \newcommand \newenvironment \DeclareMathOperator \DeclarePairedDelimiter
  \Newextarrow \newtagform \usetagform \definecolor \require \setOptions \mathtoolsset`` and the like,
- that react to the mouse: ``\toggle \mathtip \texttip``.

Commands whose colour, label or text is copied unchanged (``\color \bbox \enclose \ref \verb``) may be typeset with a
harmless argument, which `formulas` checks.
"""

# ruff: noqa: RUF001 - these characters are what the commands mean

from __future__ import annotations

_BASE = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi
    chi psi omega varepsilon vartheta varpi varrho varsigma varphi S aleph hbar imath jmath ell wp Re Im partial
    infty prime emptyset nabla top bot angle triangle backslash forall exists neg lnot flat natural sharp clubsuit
    diamondsuit heartsuit spadesuit surd coprod bigvee bigwedge biguplus bigcap bigcup int intop iint iiint prod sum
    bigotimes bigoplus bigodot oint bigsqcup smallint triangleleft triangleright bigtriangleup bigtriangledown wedge
    land vee lor cap cup ddagger dagger sqcap sqcup uplus amalg diamond bullet wr div divsymbol odot oslash otimes
    ominus oplus mp pm circ bigcirc setminus cdot ast times star propto sqsubseteq sqsupseteq parallel mid dashv
    vdash leq le geq ge lt gt succ prec approx succeq preceq supset subset supseteq subseteq in ni notin owns gg ll
    sim simeq perp equiv asymp smile frown ne neq cong doteq bowtie models notChar Leftrightarrow Leftarrow
    Rightarrow leftrightarrow leftarrow gets rightarrow to mapsto leftharpoonup leftharpoondown rightharpoonup
    rightharpoondown nearrow searrow nwarrow swarrow rightleftharpoons hookrightarrow hookleftarrow longleftarrow
    Longleftarrow longrightarrow Longrightarrow Longleftrightarrow longleftrightarrow longmapsto ldots cdots vdots
    ddots dotsc dotsb dotsm dotsi dotso ldotp cdotp colon Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
    And lmoustache rmoustache lgroup rgroup arrowvert Arrowvert bracevert Vert vert uparrow downarrow updownarrow
    Uparrow Downarrow Updownarrow rangle langle rbrace lbrace rceil lceil rfloor lfloor lbrack rbrack displaystyle
    textstyle scriptstyle scriptscriptstyle rm mit oldstyle cal it bf bbFont scr frak sf tt mathrm mathup mathnormal
    mathbf mathbfup mathit mathbfit mathbb Bbb mathfrak mathbffrak mathscr mathbfscr mathsf mathsfup mathbfsf
    mathbfsfup mathsfit mathbfsfit mathtt mathcal mathbfcal symrm symup symnormal symbf symbfup symit symbfit symbb
    symfrak symbffrak symscr symbfscr symsf symsfup symbfsf symbfsfup symsfit symbfsfit symtt symcal symbfcal textrm
    textup textnormal textit textbf textsf texttt tiny Tiny scriptsize small normalsize large Large LARGE huge Huge
    arcsin arccos arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max
    min Pr sec sin sinh sup tan tanh limits nolimits overline underline overbrace underbrace overparen underparen
    overrightarrow underrightarrow overleftarrow underleftarrow overleftrightarrow underleftrightarrow overset
    underset overunderset stackrel stackbin over overwithdelims atop atopwithdelims above abovewithdelims brace
    brack choose frac sqrt root uproot leftroot left right middle llap rlap raise lower moveleft moveright enspace
    quad qquad thinspace negthinspace hskip hspace kern mskip mspace mkern rule Rule Space nonscript big Big bigg
    Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm mathord mathop mathopen mathclose mathbin
    mathrel mathpunct mathinner vcenter buildrel hbox text mbox fbox boxed framebox strut mathstrut phantom vphantom
    hphantom smash acute grave ddot tilde bar breve check hat vec dot widetilde widehat matrix array pmatrix cases
    eqalign displaylines cr newline hline hdashline eqalignno leqalignno hfill hfil hfilll bmod pmod mod pod iff
    skew pmb TeX LaTeX not dots space begin end nonumber mathchoice
"""

_AMS = """
    iiiint mathring nobreakspace negmedspace negthickspace idotsint dddot ddddot sideset tag notag substack injlim
    projlim varliminf varlimsup varinjlim varprojlim operatorname genfrac tfrac dfrac binom tbinom dbinom cfrac
    shoveleft shoveright xrightarrow xleftarrow lvert rvert lVert rVert digamma varkappa varGamma varDelta varTheta
    varLambda varXi varPi varSigma varUpsilon varPhi varPsi varOmega beth gimel daleth backprime hslash varnothing
    blacktriangle triangledown blacktriangledown square Box blacksquare lozenge Diamond blacklozenge circledS
    bigstar sphericalangle measuredangle nexists complement mho eth Finv diagup Game diagdown Bbbk yen circledR
    checkmark maltese dotplus ltimes smallsetminus rtimes Cap doublecap leftthreetimes Cup doublecup rightthreetimes
    barwedge curlywedge veebar curlyvee doublebarwedge boxminus circleddash boxtimes circledast boxdot circledcirc
    boxplus centerdot divideontimes intercal leqq geqq leqslant geqslant eqslantless eqslantgtr lesssim gtrsim
    lessapprox gtrapprox approxeq lessdot gtrdot lll llless ggg gggtr lessgtr gtrless lesseqgtr gtreqless lesseqqgtr
    gtreqqless doteqdot Doteq eqcirc risingdotseq circeq fallingdotseq triangleq backsim thicksim backsimeq
    thickapprox subseteqq supseteqq Subset Supset sqsubset sqsupset preccurlyeq succcurlyeq curlyeqprec curlyeqsucc
    precsim succsim precapprox succapprox vartriangleleft lhd vartriangleright rhd trianglelefteq unlhd
    trianglerighteq unrhd vDash Vdash Vvdash smallsmile shortmid smallfrown shortparallel bumpeq between Bumpeq
    pitchfork varpropto backepsilon blacktriangleleft blacktriangleright therefore because eqsim vartriangle Join
    nless ngtr nleq ngeq nleqslant ngeqslant nleqq ngeqq lneq gneq lneqq gneqq lvertneqq gvertneqq lnsim gnsim
    lnapprox gnapprox nprec nsucc npreceq nsucceq precneqq succneqq precnsim succnsim precnapprox succnapprox nsim
    ncong nshortmid nshortparallel nmid nparallel nvdash nvDash nVdash nVDash ntriangleleft ntriangleright
    ntrianglelefteq ntrianglerighteq nsubseteq nsupseteq nsubseteqq nsupseteqq subsetneq supsetneq varsubsetneq
    varsupsetneq subsetneqq supsetneqq varsubsetneqq varsupsetneqq leftleftarrows rightrightarrows leftrightarrows
    rightleftarrows Lleftarrow Rrightarrow twoheadleftarrow twoheadrightarrow leftarrowtail rightarrowtail
    looparrowleft looparrowright leftrightharpoons curvearrowleft curvearrowright circlearrowleft circlearrowright
    Lsh Rsh upuparrows downdownarrows upharpoonleft upharpoonright downharpoonleft restriction multimap
    downharpoonright leftrightsquigarrow rightsquigarrow leadsto dashrightarrow dashleftarrow nleftarrow nrightarrow
    nLeftarrow nRightarrow nleftrightarrow nLeftrightarrow ulcorner urcorner llcorner lrcorner implies impliedby
"""

_MATHTOOLS = """
    xleftrightarrow xLeftarrow xRightarrow xLeftrightarrow xhookleftarrow xhookrightarrow xmapsto xrightharpoondown
    xleftharpoondown xrightleftharpoons xrightharpoonup xleftharpoonup xleftrightharpoons mathllap mathrlap mathclap
    clap textllap textrlap textclap cramped crampedllap crampedrlap crampedclap crampedsubstack mathmbox mathmakebox
    overbracket underbracket MoveEqLeft Aboxed ArrowBetweenLines vdotswithin shortvdotswithin MTFlushSpaceAbove
    MTFlushSpaceBelow centercolon ordinarycolon MTThinColon coloneqq Coloneqq coloneq Coloneq eqqcolon Eqqcolon
    eqcolon Eqcolon colonapprox Colonapprox colonsim Colonsim dblcolon nuparrow ndownarrow bigtimes splitfrac
    splitdfrac xmathstrut prescript adjustlimits lparen rparen
"""

# CD diagrams, bras and kets, proof trees, chemistry, cancelled terms, boxed equations, upright Greek.
_OTHERS = """
    minCDarrowwidth minCDarrowheight boldsymbol bra ket braket set Bra Ket Braket Set ketbra Ketbra AxiomC UnaryInfC
    BinaryInfC TrinaryInfC QuaternaryInfC QuinaryInfC RightLabel LeftLabel AXC UIC BIC TIC RL LL noLine singleLine
    solidLine dashedLine alwaysNoLine alwaysSingleLine alwaysSolidLine alwaysDashedLine rootAtTop alwaysRootAtTop
    rootAtBottom alwaysRootAtBottom fCenter Axiom UnaryInf BinaryInf TrinaryInf QuaternaryInf QuinaryInf cancel
    bcancel xcancel cancelto centerOver centernot empheqlbrace empheqrbrace empheqlbrack empheqrbrack empheqlangle
    empheqrangle empheqlparen empheqrparen empheqlvert empheqrvert empheqlVert empheqrVert empheqlfloor empheqrfloor
    empheqlceil empheqrceil empheqbiglbrace empheqbigrbrace empheqbiglbrack empheqbigrbrack empheqbiglangle
    empheqbigrangle empheqbiglparen empheqbigrparen empheqbiglvert empheqbigrvert empheqbiglVert empheqbigrVert
    empheqbiglfloor empheqbigrfloor empheqbiglceil empheqbigrceil empheql empheqr empheqbigl empheqbigr
    xtwoheadrightarrow xtwoheadleftarrow xlongequal xtofrom ohm degree celsius perthousand micro ce pu
    longrightleftharpoons longRightleftharpoons longLeftrightharpoons longleftrightarrows tripledash
    xRightleftharpoons xLeftrightharpoons upalpha upbeta upgamma updelta upepsilon upzeta upeta uptheta upiota
    upkappa uplambda upmu upnu upxi upomicron uppi uprho upsigma uptau upupsilon upphi upchi uppsi upomega
    upvarepsilon upvartheta upvarpi upvarrho upvarsigma upvarphi Upgamma Updelta Uptheta Uplambda Upxi Uppi Upsigma
    Upupsilon Upphi Uppsi Upomega bond
"""

_TEXT = """
    textasciicircum textasciitilde textasteriskcentered textbackslash textbar textbraceleft textbraceright
    textbullet textdagger textdaggerdbl textellipsis textemdash textendash textexclamdown textgreater textless
    textordfeminine textordmasculine textparagraph textperiodcentered textquestiondown textquotedblleft
    textquotedblright textquoteleft textquoteright textsection textunderscore textvisiblespace textacutedbl
    textasciiacute textasciibreve textasciicaron textasciidieresis textasciimacron textgravedbl texttildelow
    textbaht textcent textcolonmonetary textcurrency textdollar textdong texteuro textflorin textguarani textlira
    textnaira textpeso textsterling textwon textyen textcircledP textcompwordmark textcopyleft textcopyright
    textregistered textservicemark texttrademark textbardbl textbigcircle textblank textbrokenbar textdiscount
    textestimated textinterrobang textinterrobangdown textmusicalnote textnumero textopenbullet textpertenthousand
    textperthousand textrecipe textreferencemark textlangle textrangle textlbrackdbl textrbrackdbl textlquill
    textrquill textcelsius textdegree textdiv textdownarrow textfractionsolidus textleftarrow textlnot textmho
    textminus textmu textohm textonehalf textonequarter textonesuperior textpm textrightarrow textsurd
    textthreequarters textthreesuperior texttimes texttwosuperior textuparrow textborn textdied textdivorced
    textmarried textcentoldstyle textdollaroldstyle textzerooldstyle textoneoldstyle texttwooldstyle
    textthreeoldstyle textfouroldstyle textfiveoldstyle textsixoldstyle textsevenoldstyle texteightoldstyle
    textnineoldstyle u v emph
"""

# MathJax 3 does not know these; other front ends do.
_ELSEWHERE = """
    P bm bold cline copyright dag ddag medspace of pounds thickspace
"""

_ENVIRONMENTS = """
    equation* eqnarray* align align* multline multline* split gather gather* alignat alignat* alignedat aligned
    gathered xalignat xalignat* xxalignat flalign flalign* subarray smallmatrix matrix pmatrix bmatrix Bmatrix
    vmatrix Vmatrix cases CD prooftree numcases subnumcases empheq dcases rcases drcases dcases* rcases* drcases*
    cases* matrix* pmatrix* bmatrix* Bmatrix* vmatrix* Vmatrix* smallmatrix* psmallmatrix psmallmatrix* bsmallmatrix
    bsmallmatrix* Bsmallmatrix Bsmallmatrix* vsmallmatrix vsmallmatrix* Vsmallmatrix Vsmallmatrix* crampedsubarray
    multlined spreadlines lgathered rgathered array equation eqnarray
"""

TEX_COMMANDS = frozenset((_BASE + _AMS + _MATHTOOLS + _OTHERS + _TEXT + _ELSEWHERE).split())
TEX_ENVIRONMENTS = frozenset(_ENVIRONMENTS.split())

# Symbols that latex2mathml does not know, and the characters MathJax has for them.
_SYMBOLS = """
    doublecap ⋒ doublecup ⋓ shortparallel ∥ nleqq ≰ nsupseteqq ⊉ ohm Ω celsius ℃ perthousand ‰ micro µ
    textbullet • textdagger † textdaggerdbl ‡ textellipsis … textemdash — textendash – textexclamdown ¡
    textordfeminine ª textordmasculine º textparagraph ¶ textperiodcentered · textquestiondown ¿
    textquotedblleft “ textquotedblright ” textquoteleft ‘ textquoteright ’ textsection § textvisiblespace
    ␣ textacutedbl ˝ textasciiacute ´ textasciibreve ˘ textasciicaron ˇ textasciidieresis ¨
    textasciimacron ¯ textgravedbl ˵ texttildelow ˷ textbaht ฿ textcent ¢ textcolonmonetary ₡ textcurrency
    ¤ textdong ₫ texteuro € textflorin ƒ textguarani ₲ textlira ₤ textnaira ₦ textpeso ₱ textsterling £
    textwon ₩ textyen ¥ textcircledP ℗ textcopyleft 🄯 textcopyright © textregistered ® textservicemark ℠
    texttrademark ™ textbardbl ‖ textbigcircle ◯ textblank ␢ textbrokenbar ¦ textdiscount ⁒ textestimated
    ℮ textinterrobang ‽ textinterrobangdown ⸘ textmusicalnote ♪ textnumero № textopenbullet ◦
    textpertenthousand ‱ textperthousand ‰ textrecipe ℞ textreferencemark ※ textlangle 〈 textrangle 〉
    textlbrackdbl ⟦ textrbrackdbl ⟧ textlquill ⁅ textrquill ⁆ textcelsius ℃ textdegree ° textdiv ÷
    textdownarrow ↓ textfractionsolidus ⁄ textleftarrow ← textlnot ¬ textmho ℧ textminus − textmu µ
    textohm Ω textonehalf ½ textonequarter ¼ textonesuperior ¹ textpm ± textrightarrow → textsurd √
    textthreequarters ¾ textthreesuperior ³ texttimes × texttwosuperior ² textuparrow ↑ textdied †
    textdivorced ⚮ textmarried ⚭ Upgamma Γ Updelta Δ Uptheta Θ Uplambda Λ Upxi Ξ Uppi Π Upsigma Σ
    Upupsilon Υ Upphi Φ Uppsi Ψ Upomega Ω divsymbol ÷ arrowvert ⏐ Arrowvert ‖ bracevert ⎪
"""

_WORDS = _SYMBOLS.split()
SYMBOLS = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))

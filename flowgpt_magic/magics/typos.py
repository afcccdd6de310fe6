"""Refuse what looks like a mistyped subcommand or model: it would be sent as a prompt, perhaps to another model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from flowgpt_magic.errors import (
    ConversationNotFoundError,
    FlowGptError,
    ModelNotSupportedError,
    OptionError,
    ProviderNotFoundError,
)
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.models import are_model_names, find_model, is_model_name, known_names
from flowgpt_magic.spelling import edits, that_begins
from flowgpt_magic.text import sentences

SHORT_NAME, LONG_NAME = 4, 6  # letters; shorter names than the first are too similar to other words
SIMILARITY = 0.8  # from 0 to 1; a word alone that is at least so similar to a name is a typing mistake
A_WORD = re.compile("[A-Za-z-]+")
MODEL_FORM = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9](?=[^\s]*[0-9:/-])[A-Za-z0-9_.:/+-]*[A-Za-z0-9]")
MISREAD = (OptionError, ConversationNotFoundError, ModelNotSupportedError)  # errors of a prompt read as a subcommand
CLOSING = ".,;:!?"  # after a word of a prompt, but not of a model
EDIT_ABOVE_TEXT = re.compile(r"-?\d+(?:\s+-.*)?")

# Words that begin prompts and differ from a subcommand or a provider by a letter or two.
ORDINARY = frozenset(
    """
    adapt adapts adopts adopted alas atlas apple aptly
    batch bench bleach blanch branches brand breach breathe brunch bunch french ranch trench crunch
    clean cleaner clears clever brace deltas dealings expiry exported hosted modulus negated
    bodes codes lodes modal mode modes modern module modules modulo motel motels nodes moves hotels novels
    charts chat chars chants cats coats hats whats cheats
    confirm configs confine conf confide contig
    contain continued continues continua continuar continuer
    dealing deals deletes deleted delegate delta denote deplete relate elite demote deflate
    audit credit edits emit exit editor edition editar edita
    errors errore terror
    exploit esporta esportare explains explained plain
    effort exert expect expert experts expo explore exporta exportar exporter exports expose report reports
    resort sport port support extort
    held hell hello helm helps heap kelp
    historic historia historie histoire histoires historias story storia storie victory factory
    impact impart importa importar importe importes importer importiere important imported importer imports impose
    dist fist gist last least lift lint lisp lists lost lust mist lista liste listen wrist
    modele modeles modell modelle modello modelli modelo modelos modela modelar modeler modeling
    listed need needed nest noted posted rested tested vested wasted
    pane panels panes paneled
    provide provided provides provider proven
    red repo rodeo reds
    became game name named names rebase remake renamed renames resume revamp
    preset resent resets rest rests
    registered registers registry regular
    retro entry
    arch each earth march peach perch reach research scorch searched searches searching starch teach beach leach
    chow how shot shop shown shows shoe slow snow stow
    templates templated template's temple
    atop slop step steps stops stoop top
    item stem sister sistem sistema sistemas sistemi systeme systemes systems esteem systemic symptom
    undone under unto
    date dates plate updated updates uptake upstate
    image sage usages
    inversion mission passion pension persian person reversion session tension versions vision versed
    aliased aliens bias
    focal loyal locale locals vocal locally locate echoes
    """.split()  # noqa: SIM905 - a list of two hundred strings is harder to read
)


def refuse_subcommand(word: str, rest: str, subcommands: Iterable[str]) -> None:
    """Raise ``OptionError`` if ``word``, the first one of a prompt of one line, is a mistyped subcommand.

    ``rest`` is what follows it; a word alone need not be so similar.
    """
    names = [name for name in subcommands if len(name) >= SHORT_NAME]
    lowered = word.lower()
    name = "" if lowered in ORDINARY or word in names or not A_WORD.fullmatch(word) else _mistyped(lowered, names)
    if not rest and word[0] not in "-{":
        name = name or next(iter(get_close_matches(lowered, names, n=1, cutoff=SIMILARITY)), "")
    if name and not (rest and lowered == name) and not is_model_name(word):
        typed = word if not rest else f"{word} …"
        hint = f"did you mean {name}? %flowgpt -- {typed} sends it as a prompt"
        raise OptionError(f"there is no subcommand {word}; {hint}")


def say_how_to_send(error: FlowGptError, rest: str) -> None:
    """Add to the error of a subcommand how to send the line as a prompt, if ``rest`` may be one: several words."""
    words = rest.split()
    is_prompt = len(words) > 1 and not any(word.startswith("-") for word in words)
    if type(error) in MISREAD and is_prompt and " -- " not in str(error):
        error.args = (sentences(str(error), "To send it as a prompt, write %flowgpt -- before it"),)


def refuse_above_text(word: str, rest: str) -> None:
    """Raise ``OptionError`` if ``word`` is a mistyped ``edit N`` or ``system`` above a text."""
    names = ("edit",) if EDIT_ABOVE_TEXT.fullmatch(rest) else () if rest else ("system",)
    lowered = word.lower()
    name = _mistyped(lowered, names) if A_WORD.fullmatch(word) and lowered not in ORDINARY else ""
    if name and not is_model_name(word):
        raise OptionError(
            f"there is no subcommand {word}; did you mean {name}? %%flowgpt -- {word} … sends all of it as a prompt"
        )


def _mistyped(word: str, names: Iterable[str]) -> str:
    """The first of ``names`` that differs from ``word`` by two letters, a short one by one letter; or empty."""
    for most in (0, 1, 2):
        for name in names:
            if edits(word, name, most) <= min(most, 2 if len(name) >= LONG_NAME else 1):
                return name
    return ""


def refuse_model(read: magic_line.MagicLine, *, above: bool) -> None:
    """Raise ``ModelNotSupportedError`` or ``ProviderNotFoundError`` if a magic line begins with a mistyped model.

    ``above`` is true for the first line of a cell, with the prompt below it. A word alone is refused if it has the form
    of a model's name; above a prompt also if it is similar to a name, or if options follow it. Before other words of a
    prompt, a word is refused if it has a digit and a model begins with it, or if it is similar to a built-in provider.
    """
    if read.verbatim:
        return
    how = "to make it the first line of the prompt, write -- before it" if above else magic_line.SEND_INSTEAD
    if "model" in read.options:
        model = read.options["model"]
        provider, *more = re.split("[:/]", model, maxsplit=1)
        by_form = read.is_bare_model and more and provider not in registry.provider_names()
        if by_form and not are_model_names(model):
            _find(model, how, certain=True)
        return
    word, _space, rest = read.prompt.strip().partition(" ")
    is_alone = bool(word) and (not rest or (above and _only_options(rest)))
    has_form = bool(MODEL_FORM.fullmatch(word)) and "://" not in word
    certain = is_alone and (has_form or bool(rest))
    suspect = (is_alone and above) or (has_form and _begins_model(word)) or _is_like_provider(word)
    if (certain or suspect) and word[-1] not in CLOSING:
        _find(word, how, certain=certain)


def _find(word: str, how: str, *, certain: bool) -> None:
    """Raise the error of ``find_model`` if ``word`` is no model, unless ``certain`` only if it is similar to one."""
    try:
        find_model(word)
    except (ModelNotSupportedError, ProviderNotFoundError) as error:
        if certain or "did you mean" in str(error):
            raise type(error)(f"{error.clause}; {how}") from None


def _begins_model(word: str) -> bool:
    """Has ``word`` a digit, and does a known name begin with it, up to one letter?"""
    return bool(re.search("[0-9]", word)) and any(that_begins(word, known_names(), count) for count in (0, 1))


def _is_like_provider(word: str) -> bool:
    if word.lower() in ORDINARY or not A_WORD.fullmatch(word):
        return False
    names = [name for name in registry.provider_names() if len(name) >= SHORT_NAME and registry.is_built_in(name)]
    return bool(_mistyped(word.lower(), names))


def _only_options(rest: str) -> bool:
    try:
        read = magic_line.read_line(rest, lambda _word: False)
    except OptionError:
        return rest.lstrip().startswith("-")  # an invalid option
    return bool(read.options) and not read.prompt

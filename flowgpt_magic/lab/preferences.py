"""What the person chose in JupyterLab's settings, as settings of this kernel.

The page sends it when it connects, and again when it changes. A cell may be in the queue before the page can connect,
as with *Run All*; then the page sends it right before the first cell of ours, when the extension may not be loaded yet.
So it is kept by the shell, from the first of these messages until the kernel ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, SettingError
from flowgpt_magic.lab.page import Facts, Page
from flowgpt_magic.magics.magic import PREFERENCES
from flowgpt_magic.notebook.ipython import shell
from flowgpt_magic.redaction import looks_like_key, redact
from flowgpt_magic.settings import FRONT_END
from flowgpt_magic.text import sentences

NAMES = ("model", "temperature", "format")  # of the settings that JupyterLab has; never one with a key
LONGEST_MODEL = 1000  # characters, the path of a model file included
NOT_USED = f"{FRONT_END}, not used"  # the beginning of a notice
NO_KEY = (
    f"{NOT_USED}: model is a key, and keys do not belong there: put it into an environment variable; "
    "%flowgpt help servers says into which one"
)


@dataclass(frozen=True)
class Preferences:
    """The settings that a page sent.

    Args:
        given: the settings as sent, without keys.
        values: those of them that are used, checked.
        notice: why the others are not used; else empty.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    notice: str = ""


def preferences() -> Preferences:
    """What was sent last; empty if nothing was."""
    return getattr(shell(), PREFERENCES, None) or Preferences()


def take(given: Any) -> Preferences:
    """Use the settings ``given`` from now on, in place of those before. One that is not allowed is left out."""
    given = given if isinstance(given, dict) else {}
    values, notices = {}, []
    for name in [name for name in NAMES if given.get(name) not in (None, "")]:
        try:
            values[name] = _checked(name, given[name])
        except FlowGptError as error:
            notices.append(error.clause)
    public = {name: given[name] for name in NAMES if name in given and not _is_key(given[name])}
    taken = Preferences(public, values, redact(sentences(*notices)))
    setattr(shell(), PREFERENCES, taken)
    return taken


def take_early(text: str) -> None:
    """Use the settings in ``text``, a JSON object. The page learns of the notice when it connects."""
    take(json.loads(text))


def set_preferences(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """Use the settings of the page: ``{"notice": ...}``, which is empty if all of them are used."""
    return {"notice": take(request.get("settings")).notice}


def _checked(name: str, value: Any) -> Any:
    if _is_key(value):
        raise SettingError(NO_KEY)
    checked = settings.check(name, value, NOT_USED)
    if name != "model":
        return checked
    if len(checked) > LONGEST_MODEL:
        raise SettingError(f"{NOT_USED}: model is too long for the name of a model")
    from flowgpt_magic.providers import models  # needed for nothing else here

    try:
        models.find_model(checked)
    except FlowGptError as error:
        raise SettingError(f"{NOT_USED}: model: {error.clause}") from None
    return checked


def _is_key(value: Any) -> bool:
    """Is ``value``, or a word in it, a key?"""
    if not isinstance(value, str):
        return False
    return redact(value) != value or any(map(looks_like_key, re.split(r"[^A-Za-z0-9_]+", value)))

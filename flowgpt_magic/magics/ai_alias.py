"""``%ai`` and ``%%ai``, answered as ``%flowgpt`` and ``%%flowgpt`` are, for notebooks written for those."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from json import JSONDecodeError, JSONDecoder, dumps
from typing import Any

from IPython import get_ipython
from IPython.core.magic import needs_local_scope, no_var_expand

from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.input_transforms import AI_TRANSFORMERS

Magic = Callable[..., Any]


class AiAlias:
    """Lets ``answer`` be ``%ai`` and ``%%ai`` while it is switched on.

    ``find`` gives the ``"line"`` or ``"cell"`` magic that is called ``ai`` now, None where there is none; ``put`` puts
    another into its place, and None takes it away.
    """

    def __init__(
        self, answer: Magic, find: Callable[[str], Magic | None], put: Callable[[str, Magic | None], None]
    ) -> None:
        self._answer, self._find, self._put = answer, find, put
        self._before: dict[str, Magic | None] = {}

    def switch(self, *, on: bool) -> str:
        """On or off; no effect when it is so already, nor on what another extension has registered since.

        Returns whose magics are covered now, or answer again; "" for nobody's.
        """
        for kind in ("line", "cell"):
            there = self._find(kind)
            if on and there is not self._answer:
                self._before[kind] = there
                self._put(kind, self._answer)
            elif not on and there is self._answer:
                self._put(kind, self._before.get(kind))
        if not on:
            self._before.clear()
        others = self._before.values() if on else map(self._find, ("line", "cell"))
        return next((_owner(each) for each in others if each is not None), "")


def _owner(magic: Magic) -> str:
    package = str(getattr(magic, "__module__", "")).partition(".")[0]
    return {"__main__": "this notebook", "": "another extension"}.get(package, package)


def translate_line(line: str, cell: str | None) -> str:
    """The line of an ``%ai`` or ``%%ai`` magic as ours: the ``-m`` of jupyter-ai holds parameters in JSON.

    Raises ``OptionError`` where that is not JSON.
    """
    own_words = cell is None and not re.match(r"\s*(?:error|fix)(?!\S)", line)  # they may hold anything
    found = re.search(r"""(?<!\S)(?:-m|--model-parameters)(?:\s+|=)(['"]?)(?=\{)""", line)
    if own_words or not found:
        return line
    try:
        parameters, end = JSONDecoder().raw_decode(line, found.end())
    except JSONDecodeError as error:
        raise OptionError(f"%%ai {found[0].split()[0]} holds parameters in JSON: {error}") from None
    rest = line[end:].removeprefix(found[1])
    return " ".join(filter(None, [line[: found.start()].strip(), *map(_option, parameters.items()), rest.strip()]))


def _option(parameter: tuple[str, Any]) -> str:
    name, value = parameter
    own = {"temperature": "-t", "max_tokens": "--max-tokens"}
    text = dumps(value, ensure_ascii=False)
    return f"{own[name]} {shlex.quote(text)}" if name in own else f"-P {shlex.quote(f'{name}={text}')}"


def find_ai_magic(kind: str) -> Callable[..., Any] | None:
    """The ``"line"`` or ``"cell"`` magic that is called ``ai``, None where there is none."""
    found: Callable[..., Any] | None = get_ipython().magics_manager.magics[kind].get("ai")
    return found


def set_ai_magic(kind: str, magic: Callable[..., Any] | None) -> None:
    """Put ``magic`` in its place; None takes it away. Cells are read for it while it is ours."""
    shell = get_ipython()
    shell.magics_manager.magics[kind].pop("ai", None)
    if magic is not None:
        shell.magics_manager.magics[kind]["ai"] = magic
    transformers = shell.input_transformers_cleanup
    transformers[:] = [each for each in transformers if each not in AI_TRANSFORMERS]
    if any(getattr(find_ai_magic(each), "is_ours", False) for each in ("line", "cell")):
        transformers[:0] = AI_TRANSFORMERS


def make_ai_magic() -> Magic:
    """A magic ``ai`` that is answered as ``flowgpt`` is."""

    @no_var_expand
    @needs_local_scope
    def ai(line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Ask a language model, as ``%flowgpt`` does."""
        return get_ipython().magics_manager.registry["FlowGPT"].flowgpt(translate_line(line, cell), cell, local_ns)

    ai.is_ours = True  # type: ignore[attr-defined]
    return ai

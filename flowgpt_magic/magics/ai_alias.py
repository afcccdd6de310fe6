"""Answer ``%ai`` and ``%%ai`` as ``%flowgpt`` and ``%%flowgpt``, for notebooks written for jupyter-ai."""

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
    """Registers ``magic`` as ``%ai`` and ``%%ai`` while it is switched on.

    ``find`` returns the ``"line"`` or ``"cell"`` magic that is registered as ``ai``, or None. ``register`` replaces it;
    None removes it.
    """

    def __init__(
        self, magic: Magic, find: Callable[[str], Magic | None], register: Callable[[str, Magic | None], None]
    ) -> None:
        self._magic, self._find, self._register = magic, find, register
        self._before: dict[str, Magic | None] = {}

    def switch(self, *, on: bool) -> str:
        """Switch on or off; magics that another extension registered in the meantime stay.

        Returns the owner of the magics that are replaced, or that answer again; "" if there are none.
        """
        for kind in ("line", "cell"):
            current = self._find(kind)
            if on and current is not self._magic:
                self._before[kind] = current
                self._register(kind, self._magic)
            elif not on and current is self._magic:
                self._register(kind, self._before.get(kind))
        others = self._before.values() if on else map(self._find, ("line", "cell"))
        return next((_owner(magic) for magic in others if magic is not None), "")


def _owner(magic: Magic) -> str:
    package = str(getattr(magic, "__module__", "")).partition(".")[0]
    return {"__main__": "this notebook", "": "another extension"}.get(package, package)


def translate_line(line: str, cell: str | None) -> str:
    """Translate the line of an ``%ai`` or ``%%ai`` magic: jupyter-ai's ``-m`` takes parameters in JSON.

    Raises ``OptionError`` if they are not JSON.
    """
    is_prompt = cell is None and not re.match(r"\s*(?:error|fix)(?!\S)", line)
    flag = re.search(r"""(?<!\S)(?:-m|--model-parameters)(?:\s+|=)(['"]?)(?=\{)""", line)
    if is_prompt or not flag:
        return line
    try:
        parameters, end = JSONDecoder().raw_decode(line, flag.end())
    except JSONDecodeError as error:
        raise OptionError(f"%%ai {flag[0].split()[0]} takes parameters in JSON: {error}") from None
    rest = line[end:].removeprefix(flag[1])
    return " ".join(filter(None, [line[: flag.start()].strip(), *map(_option, parameters.items()), rest.strip()]))


def _option(parameter: tuple[str, Any]) -> str:
    name, value = parameter
    flags = {"temperature": "-t", "max_tokens": "--max-tokens"}
    text = dumps(value, ensure_ascii=False)
    return f"{flags[name]} {shlex.quote(text)}" if name in flags else f"-P {shlex.quote(f'{name}={text}')}"


def find_ai_magic(kind: str) -> Magic | None:
    """The ``"line"`` or ``"cell"`` magic that is registered as ``ai``, or None."""
    magic: Magic | None = get_ipython().magics_manager.magics[kind].get("ai")
    return magic


def set_ai_magic(kind: str, magic: Magic | None) -> None:
    """Register ``magic`` as ``ai``, or remove it; the input transformers are installed while it is ours."""
    shell = get_ipython()
    shell.magics_manager.magics[kind].pop("ai", None)
    if magic is not None:
        shell.magics_manager.magics[kind]["ai"] = magic
    transformers = shell.input_transformers_cleanup
    transformers[:] = [transformer for transformer in transformers if transformer not in AI_TRANSFORMERS]
    if any(getattr(find_ai_magic(name), "is_ours", False) for name in ("line", "cell")):
        transformers[:0] = AI_TRANSFORMERS


def make_ai_magic() -> Magic:
    """A magic that calls ``flowgpt`` with the translated line."""

    @no_var_expand
    @needs_local_scope
    def ai(line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Ask a language model, as ``%flowgpt`` does."""
        return get_ipython().magics_manager.registry["FlowGPT"].flowgpt(translate_line(line, cell), cell, local_ns)

    ai.is_ours = True  # type: ignore[attr-defined]
    return ai

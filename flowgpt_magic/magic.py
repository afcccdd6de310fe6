"""``%%flowgpt`` and ``%flowgpt``: what is typed in a cell, turned into a reply that is shown."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.completer import context_matcher
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from flowgpt_magic import options, settings
from flowgpt_magic.errors import (
    FlowGptError,
    FlowGptWarning,
    ModelNotSupportedError,
    PromptError,
    ProviderNotFoundError,
    ReplyInterrupted,
    SettingError,
    keep_last_error,
)
from flowgpt_magic.transforms import TRANSFORMERS, is_whole_cell

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from flowgpt_magic.desk import Desk
    from flowgpt_magic.reply import Reply


class Hidden(str):
    """A key or password that ``%config`` does not show."""

    def __repr__(self) -> str:
        return "'***'" if self else "''"


@magics_class
class FlowGPT(Magics):
    """Settings of the magics; each can also be set by an environment variable or in the settings file."""

    for _name, _field in settings.TABLE.items():
        locals()[_name] = traitlets.Any(None, allow_none=True, help=_field.metadata["help"]).tag(config=True)
    del _name, _field

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._names: dict[str, Any] = shell.user_ns
        self._desk: Desk | None = None

    @traitlets.validate(*settings.TABLE)
    def _check(self, proposal: Any) -> Any:
        if proposal.value is None:
            return None
        try:
            value = settings.check(proposal.trait.name, proposal.value, "%config FlowGPT")
            return Hidden(value) if settings.TABLE[proposal.trait.name].metadata["secret"] else value
        except SettingError as error:
            raise traitlets.TraitError(str(error)) from None

    def configured(self) -> dict[str, Any]:
        """What ``%config`` has set, by name."""
        values = {name: getattr(self, name) for name in settings.TABLE}
        return {n: str(v) if isinstance(v, Hidden) else v for n, v in values.items() if v is not None}

    @property
    def desk(self) -> Desk:
        """Where the work is done; nothing of it is imported before the first use."""
        if self._desk is None:
            from flowgpt_magic.desk import Desk

            self._desk = Desk(self.configured, self._names)
        return self._desk

    @no_var_expand
    @line_cell_magic
    def flowgpt(self, line: str, cell: str | None = None) -> Reply | None:
        """Ask a language model and watch the reply arrive; ``%flowgpt help`` shows how."""

        try:
            return self._answer(line, cell)
        except (FlowGptError, ReplyInterrupted) as error:
            keep_last_error(error)
            raise

    def _answer(self, line: str, cell: str | None) -> Reply | None:
        from flowgpt_magic import commands, display

        if cell is None:
            word, _space, rest = line.strip().partition(" ")
            run = commands.COMMANDS.get(word) if word else commands.in_force
            if run is not None and rest.strip() in ("-h", "--help"):
                run, rest = commands.help_, word
            if run is not None:
                return self._value(display.show_answer(run(self.desk, rest.strip()), self.desk.journal.take_troubles()))
        return self._ask(line, cell)

    def _ask(self, line: str, cell: str | None) -> Reply | None:
        from flowgpt_magic import commands, display, models
        from flowgpt_magic.desk import Asked

        request = display.request()  # now, because it may be another cell's when the reply has ended
        read = options.read_line(line, models.is_model)
        if read.options.pop("help", False):
            display.show_answer(commands.help_(self.desk, ""), [])
            return None
        prompt = "\n".join(filter(None, [read.prompt, cell])).strip("\n")
        if not prompt.strip():
            raise PromptError("the prompt is empty: write it below the %%flowgpt line, or behind %flowgpt")
        if cell:
            _refuse_typo(read.prompt)
        own_cell = cell is not None and is_whole_cell(request)
        reply = self.desk.ask(Asked.read(prompt, read.options), own_cell=own_cell)
        return self._value(reply, is_cell=cell is not None)

    def _value(self, reply: Reply | None, *, is_cell: bool = False) -> Reply | None:
        """What the magic returns: the reply, unless a terminal would print ``Out[1]:`` and nothing for it."""
        from flowgpt_magic.display import in_kernel

        if in_kernel():
            return reply
        typed = self._names.get("In", [""])[-1]
        alone = re.search(r"^\s*(%(flowgpt|ai)\b|get_ipython\(\)\.run_line_magic\('(flowgpt|ai)')", typed, re.MULTILINE)
        return None if is_cell or alone else reply

    def close(self) -> None:
        """Stop what runs, and take back what was patched."""
        if self._desk is not None:
            self._desk.close()


def load(shell: InteractiveShell) -> None:
    """Register the magics with ``shell``.

    A bad value in IPython's own configuration, or left there by ``%config``, is named in a warning and not used.
    """
    configuration = shell.config.get("FlowGPT", {})
    for name in list(configuration):
        try:
            settings.check(name, configuration[name], "IPython's configuration of FlowGPT")
        except SettingError as error:
            warnings.warn(str(error), FlowGptWarning, stacklevel=2)
            del configuration[name]
    magics = FlowGPT(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup[:0] = TRANSFORMERS

    def complete(context: CompletionContext) -> dict[str, Any]:
        if "%flowgpt" not in context.full_text:
            return {"completions": [], "suppress": False}
        from flowgpt_magic import completion

        return completion.matcher(context, shell, magics._desk)

    shell.Completer.custom_matchers.append(context_matcher(identifier="flowgpt_magic")(complete))


def unload(shell: InteractiveShell) -> None:
    """Take back what ``load`` did, and stop the replies in flight."""
    magics = shell.magics_manager.registry.pop("FlowGPT", None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("flowgpt", None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)
    for transformer in TRANSFORMERS:
        if transformer in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(transformer)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [each for each in matchers if getattr(each, "matcher_identifier", "") != "flowgpt_magic"]
    magics.close()


def _refuse_typo(first_line: str) -> None:
    """Raise ``ModelNotSupportedError`` for a lone word above a prompt that is nearly somebody's name.

    It would become a part of the prompt, and so would all options behind it, and the prompt would go to somebody else.
    """
    from flowgpt_magic.models import find_model

    word, _space, rest = first_line.strip().partition(" ")
    if not word or (rest and not rest.lstrip().startswith("-")):
        return
    try:
        find_model(word)
    except (ModelNotSupportedError, ProviderNotFoundError) as error:
        if "did you mean" in str(error):
            text = f"{error}; behind -- it is the first line of the prompt"
            raise ModelNotSupportedError(text) from None

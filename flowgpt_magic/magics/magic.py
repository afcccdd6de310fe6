"""``%%flowgpt`` and ``%flowgpt``: send what is typed in a cell, and show the reply."""

from __future__ import annotations

import linecache
import sys
import warnings
from collections import ChainMap
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import (
    MagicAlias,
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)

from flowgpt_magic import settings
from flowgpt_magic.errors import (
    FlowGptError,
    FlowGptWarning,
    PromptError,
    ReplyInterrupted,
    SettingError,
    keep_last_error,
)
from flowgpt_magic.magics.input_transforms import TRANSFORMERS, is_whole_cell, keep_automagic_question
from flowgpt_magic.prompt import magic_line

try:
    from IPython.core.completer import context_matcher
except ImportError:  # before IPython 8.6
    context_matcher = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flowgpt_magic.magics.completer import CompletionContext
    from flowgpt_magic.magics.preloading import Preloader
    from flowgpt_magic.magics.state import ShellState
    from flowgpt_magic.replies.comparison import Comparison
    from flowgpt_magic.replies.reply import Reply

    Answer = Reply | Comparison | None

SHORTEST_SECRET = 8  # characters; shorter values are shown as they are
# Packages whose frames lie between a cell and its magic. Older IPython wraps magics with ``decorator``, which in early
# releases creates functions without a module.
WRAPPER_PACKAGES = ("flowgpt_magic", "IPython", "decorator", "")
AFTER_CELL = "post_run_cell"  # an event of IPython
PREFERENCES = "flowgpt_preferences"  # the attribute of the shell with what JupyterLab sent: see lab/preferences.py


def _docstring() -> str:
    from flowgpt_magic.magics.commands.table import full_help

    return full_help().text()


class MaskedText(str):
    """A text that ``%config`` shows as ``shown``, without the secrets in it."""

    def __new__(cls, value: str, shown: str) -> MaskedText:
        """``value``, whose ``repr`` is that of ``shown``."""
        hidden = super().__new__(cls, value)
        hidden.shown = shown
        return hidden

    shown: str

    def __repr__(self) -> str:
        return repr(self.shown)


class MaskedTable(dict[str, Any]):
    """A table of settings that ``%config`` shows without the secrets in it."""

    def __repr__(self) -> str:
        from flowgpt_magic.redaction import without_secrets  # its patterns take a while to compile

        shown = without_secrets(self)
        return repr({name: shown.get(name, "***") for name in self})


def _masked(name: str, value: object) -> object:
    """The ``value`` of a setting with a ``repr`` that ``%config`` may show: secrets are masked."""
    if isinstance(value, Mapping):
        return MaskedTable(value)
    if not isinstance(value, str) or not value:
        return value
    if settings.TABLE[name].metadata["secret"]:
        return MaskedText(value, "***")
    if len(value) < SHORTEST_SECRET:
        return value
    from flowgpt_magic.redaction import redact  # its patterns take a while to compile

    shown = redact(value)
    return value if shown == value else MaskedText(value, shown)


@magics_class
class FlowGPT(Magics):
    """Settings of the magics; each can also be set by an environment variable or in the settings file."""

    for _name, _field in settings.TABLE.items():
        locals()[_name] = traitlets.Any(None, allow_none=True, help=_field.metadata["help"]).tag(config=True)
    del _name, _field

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._names: dict[str, Any] = shell.user_ns
        self._state: ShellState | None = None
        self._preload: Preloader | None = None
        self.transformers = (*TRANSFORMERS, partial(keep_automagic_question, on=self._automagic))

    @traitlets.validate(*settings.TABLE)
    def _check(self, proposal: Any) -> Any:
        if proposal.value is None:
            return None
        try:
            value = settings.check(proposal.trait.name, proposal.value, "%config FlowGPT")
            return _masked(proposal.trait.name, value)
        except SettingError as error:
            raise traitlets.TraitError(str(error)) from None

    def configured(self) -> settings.Configured:
        """The settings of ``%config``, by name, and those of JupyterLab."""
        values = {name: getattr(self, name) for name in settings.TABLE}
        own = {n: str(v) if isinstance(v, MaskedText) else v for n, v in values.items() if v is not None}
        preferences = getattr(self.shell, PREFERENCES, None)
        return settings.Configured(own, preferences.values if preferences else {})

    @property
    def state(self) -> ShellState:
        """The state of the magics, imported and created at the first use."""
        if self._state is None:
            from flowgpt_magic.magics.state import ShellState

            self._state = ShellState(self.configured, self._names)
        return self._state

    def complete(self, context: CompletionContext) -> dict[str, Any]:
        """The completions at the cursor; creates no state."""
        magics = self._answered()
        if not any(name in context.full_text for name in magics):
            return {"completions": [], "suppress": False}
        from flowgpt_magic.magics.completer import matcher

        return matcher(context, self.shell, self._state, magics)

    def _answered(self) -> tuple[str, ...]:
        """The names of the magics that are registered now."""
        shell: Any = self.shell
        ai = shell.magics_manager.magics["line"].get("ai")
        return ("flowgpt", "ai") if getattr(ai, "is_ours", False) else ("flowgpt",)

    def _automagic(self, name: str) -> bool:
        """Return whether ``name`` can be typed without a percent sign now; variables of the user take precedence."""
        shell: Any = self.shell
        return bool(shell.automagic and name in self._answered() and name not in self._names)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def flowgpt(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Answer:
        """Send a prompt to a language model and show the reply as it arrives; see ``%flowgpt help``."""

        try:
            return self._answer(line, cell, local_ns)
        except (FlowGptError, ReplyInterrupted) as error:
            keep_last_error(error)
            raise

    flowgpt.getdoc = _docstring  # type: ignore[union-attr]  # what IPython shows for %flowgpt?

    def _answer(self, line: str, cell: str | None, local_names: dict[str, Any] | None) -> Answer:
        from flowgpt_magic.display.show import show_answer
        from flowgpt_magic.magics.commands.table import find_subcommand
        from flowgpt_magic.replies.comparison import Comparison
        from flowgpt_magic.replies.reply import Reply

        found = find_subcommand(line, cell)
        if found is None:
            return self._ask(line, cell, self._names_inside(local_names))
        run, rest = found
        try:
            answer = run(self.state, rest)
        except FlowGptError as error:
            from flowgpt_magic.magics.typos import say_how_to_send

            say_how_to_send(error, rest)
            raise
        if isinstance(answer, (Reply, Comparison)):  # which is shown already
            show_answer(None, self.state.take_notices())
            return self._value(answer)
        show_answer(answer, self.state.notebook_history.take_notices())
        return None

    def _names_inside(self, local_names: dict[str, Any] | None) -> Mapping[str, Any] | None:
        """All names visible in the function that calls the magic; None outside of functions."""
        if local_names is None or local_names is self._names or isinstance(local_names.get("self"), MagicAlias):
            return None
        return ChainMap(local_names, self._names)

    def _ask(self, line: str, cell: str | None, names: Mapping[str, Any] | None) -> Answer:
        from flowgpt_magic.display.show import show_answer
        from flowgpt_magic.magics import typos
        from flowgpt_magic.magics.commands.table import full_help
        from flowgpt_magic.magics.state import Asked
        from flowgpt_magic.notebook import ipython
        from flowgpt_magic.providers import aliases, models

        load_aliases = cache(aliases.load)

        def is_model(word: str) -> bool:
            names = load_aliases() if aliases.may_be_alias(word) else ()
            return models.is_model_name(word, names) or models.are_model_names(word, names)

        request = ipython.request()  # before the reply, after which another cell may run
        read = magic_line.read_line(line, is_model)
        if read.options.pop("help", False):
            show_answer(full_help(), [])
            return None
        prompt = "\n".join(filter(None, [read.prompt, cell])).strip("\n")
        if not prompt.strip():
            model = read.options.get("model")
            hint = f"; %flowgpt model {model} lets it answer from now on" if model else ""
            raise PromptError(f"the prompt is empty: write it below the %%flowgpt line, or after %flowgpt{hint}")
        typos.refuse_model(read, above=bool(cell and cell.strip()))
        own_cell = cell is not None and is_whole_cell(request)
        if own_cell and (model := ipython.model_for_this_run(request)):
            read.options["model"] = model
        asked = Asked.read(prompt, read.options)
        chosen = read.options.get("model", "")
        if "," in chosen and len(several := models.split_names(chosen, load_aliases())) > 1:
            comparison = self.state.compare(asked, several, names=names, load_aliases=load_aliases)
            return self._value(comparison, is_cell=cell is not None)
        reply = self.state.ask(asked, own_cell=own_cell, names=names, load_aliases=load_aliases)
        return self._value(reply, is_cell=cell is not None)

    def _value(self, reply: Answer, *, is_cell: bool = False) -> Answer:
        """The value of the magic: the reply, or None where a terminal would print an empty ``Out[1]:`` for it."""
        from flowgpt_magic.notebook.ipython import in_kernel

        if in_kernel():
            return reply
        return None if is_cell or _stands_alone() else reply

    def after_first_cell(self, result: object) -> None:
        """After the cell that loads the extension, start to import the modules of a first reply."""
        from flowgpt_magic.magics.preloading import Preloader, is_interactive

        shell: Any = self.shell
        shell.events.unregister(AFTER_CELL, self.after_first_cell)
        if is_interactive(shell, result):
            self._preload = Preloader(shell, self.configured)
            self._preload.start()

    def close(self) -> None:
        """Cancel the replies in flight, and undo what was patched."""
        if self._preload is not None:
            self._preload.stop()
        if self._state is not None:
            self._state.close()


def _stands_alone() -> bool:
    """Return whether the magic is a statement of its own, or the expression that ``%%time`` evaluates."""
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in WRAPPER_PACKAGES:
        frame = frame.f_back
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return frame.f_code.co_filename == "<timed eval>" or line.lstrip().startswith("get_ipython().run_line_magic(")


def load(shell: InteractiveShell) -> None:
    """Register the magics with ``shell``.

    Invalid values in IPython's configuration, or left there by ``%config``, cause a warning and are not used.
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
    shell.input_transformers_cleanup[:0] = magics.transformers
    shell.events.register(AFTER_CELL, magics.after_first_cell)
    _install_completion(shell, magics)
    _install_printers(shell)
    if not shell.custom_exceptions:  # there can be one handler only, and that of the user goes first
        shell.set_custom_exc((ReplyInterrupted,), _show_interrupt)  # type: ignore[no-untyped-call]


def unload(shell: InteractiveShell) -> None:
    """Undo what ``load`` did, and cancel the replies in flight."""
    magics = shell.magics_manager.registry.pop("FlowGPT", None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("flowgpt", None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)
    for transformer in magics.transformers:
        if transformer in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(transformer)
    with suppress(ValueError):  # not registered any more after its first call
        shell.events.unregister(AFTER_CELL, magics.after_first_cell)
    _remove_completion(shell)
    _remove_printers(shell)
    if shell.custom_exceptions == (ReplyInterrupted,):
        shell.set_custom_exc((), None)  # type: ignore[no-untyped-call]
    magics.close()


def _show_interrupt(
    shell: Any, kind: type[BaseException], error: Any, trace: Any, tb_offset: int | None = None
) -> None:
    """Show one line for an interrupt, which is no error: the output has no traceback, but the cell fails."""
    from flowgpt_magic.display.show import show_interrupt
    from flowgpt_magic.notebook.ipython import headless

    if headless():  # programs that run notebooks look for errors in the outputs
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        return
    if hasattr(shell, "_last_traceback"):
        shell._last_traceback = error._render_traceback_()  # a kernel puts it into its answer to the front end
    show_interrupt(error)


def _install_completion(shell: Any, magics: FlowGPT) -> None:
    """Install tab completion, as a matcher of IPython 8.6 and later or as a hook of older releases."""
    if context_matcher is None:
        from flowgpt_magic.magics.completion_hook import install_hook

        install_hook(shell, magics.complete)
        return

    @context_matcher(identifier="flowgpt_magic")  # type: ignore[untyped-decorator]
    def complete(context: CompletionContext) -> dict[str, Any]:
        return magics.complete(context)

    shell.Completer.custom_matchers.append(complete)


def _remove_completion(shell: Any) -> None:
    if context_matcher is None:
        from flowgpt_magic.magics.completion_hook import remove_hook

        remove_hook(shell)
        return
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", "") != "flowgpt_magic"]


DISPLAYED_CLASSES = (
    "flowgpt_magic.replies.reply.Reply",
    "flowgpt_magic.replies.comparison.Comparison",
    "flowgpt_magic.batch.batch.Batch",
    "flowgpt_magic.batch.comparison.BatchComparison",
    "flowgpt_magic.panel.panel.ChatPanel",
)


def _install_printers(shell: Any) -> None:
    """Show replies, batches and panels as the value of a cell in terminals of IPython before 8.0, too.

    These do not call ``_ipython_display_``.
    """
    if shell.display_formatter.ipython_display_formatter.enabled:
        return
    for name in DISPLAYED_CLASSES:
        shell.display_formatter.formatters["text/plain"].for_type_by_name(*name.rsplit(".", 1), _show_itself)


def _remove_printers(shell: Any) -> None:
    for name in DISPLAYED_CLASSES:
        shell.display_formatter.formatters["text/plain"].pop(name, None)


def _show_itself(value: Any, printer: Any, _cycle: bool) -> None:
    if len(printer.stack) > 1:  # part of a list or another object
        printer.text(repr(value))
    else:
        value._ipython_display_()

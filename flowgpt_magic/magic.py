"""``%%flowgpt`` and ``%flowgpt``: what is typed in a cell, turned into a reply that is shown."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from flowgpt_magic import options, settings
from flowgpt_magic.errors import FlowGptWarning, OptionError, PromptError, SettingError, closest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flowgpt_magic.conversation import Conversation
    from flowgpt_magic.nested import Nesting
    from flowgpt_magic.reply import Reply

CELL = re.compile(r"\s*%%flowgpt(?![\w?])")
QUESTION = re.compile(r"(\s*(?:[\w.,\[\] ]+=\s*)?)%flowgpt[ \t](.*\?\s*)")
TRIPLE_QUOTES = re.compile(r"\"{3}|'{3}")
HELP = """\
%%flowgpt [MODEL] [options]      ask; the lines below are the prompt
%flowgpt [MODEL] [options] WORDS ask in one line
%flowgpt SUBCOMMAND              {subcommands}

{options}

  %%flowgpt                        %%flowgpt local -t 0.2 -o answer
  What is a list?                  Write a haiku about rain.

  %%flowgpt -s "Answer in one sentence." -f text
  Why is the sky blue?

A reply can be stopped with the interrupt button; its text is kept. %config FlowGPT.temperature = 0.5 sets a value for
all cells, %config FlowGPT shows what can be set.
"""


@magics_class
class FlowGPT(Magics):
    """Settings of the magics; each can also be set by an environment variable or in the settings file."""

    for _name, _field in settings.TABLE.items():
        locals()[_name] = traitlets.Any(None, allow_none=True, help=_field.metadata["help"]).tag(config=True)
    del _name, _field

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._names: dict[str, Any] = shell.user_ns
        self._conversation: Conversation | None = None
        self._replies: list[Reply] = []
        self._nesting: Nesting | None = None

    @traitlets.validate(*settings.TABLE)
    def _check(self, proposal: Any) -> Any:
        if proposal.value is None:
            return None
        try:
            return settings.check(proposal.trait.name, proposal.value, "%config FlowGPT")
        except SettingError as error:
            raise traitlets.TraitError(str(error)) from None

    def configured(self) -> dict[str, Any]:
        """What ``%config`` has set, by name."""
        return {name: getattr(self, name) for name in settings.TABLE if getattr(self, name) is not None}

    def conversation(self) -> Conversation:
        """The conversation of this kernel."""
        from flowgpt_magic.conversation import Conversation

        if self._conversation is None:
            self._conversation = Conversation(configured=self.configured)
        return self._conversation

    @no_var_expand
    @line_cell_magic
    def flowgpt(self, line: str, cell: str | None = None) -> Reply | None:
        """Ask a language model and watch the reply arrive; ``%flowgpt help`` shows how."""
        if cell is None:
            word, _space, rest = line.strip().partition(" ")
            run = self._subcommands().get(word) if word else self._in_force
            if run is not None:
                print(run(rest.strip()))  # noqa: T201 - a magic answers in its cell
                return None
        return self._ask(line, cell)

    def _ask(self, line: str, cell: str | None) -> Reply | None:
        from flowgpt_magic import display, models

        read = options.read_line(line, models.is_model)
        if read.options.pop("help", False):
            print(self._help(""))  # noqa: T201
            return None
        prompt = "\n".join(filter(None, [read.prompt, cell])).strip("\n")
        if not prompt.strip():
            raise PromptError("the prompt is empty: write it below the %%flowgpt line, or behind %flowgpt")
        out = read.options.pop("out", None)
        conversation = self.conversation()
        chosen = conversation.settings(**read.options)
        reply = conversation.ask(prompt, **read.options)
        if out:
            self._names[out] = reply
        self._replies = [*(each for each in self._replies if not each.ended), reply]
        own_cell = cell is not None and _is_whole_cell(display.request())
        display.show(reply, form=chosen.format, images=chosen.images, own_cell=own_cell)
        display.raise_ending(reply)
        return reply if display.in_kernel() or (cell is None and not self._stands_alone()) else None

    def _stands_alone(self) -> bool:
        """Is the magic a statement of its own? A terminal would print ``Out[1]:`` and nothing for its value."""
        typed = self._names.get("In", [""])[-1]
        return bool(re.search(r"^\s*(%flowgpt|get_ipython\(\)\.run_line_magic\('flowgpt')", typed, re.MULTILINE))

    def _subcommands(self) -> dict[str, Callable[[str], str]]:
        return {"help": self._help, "version": _version, "nested": self._nested, "stop": self._stop}

    def _help(self, _rest: str) -> str:
        return HELP.format(subcommands=", ".join(self._subcommands()), options=options.usage())

    def _in_force(self, _rest: str) -> str:
        from flowgpt_magic.models import find_model

        conversation = self.conversation()
        chosen = conversation.settings()
        temperature = "the provider's own" if chosen.temperature is None else f"{chosen.temperature:g}"
        rows = {
            "conversation": f"{conversation.name}, {len(conversation.turns)} turns, in memory",
            "model": str(find_model(chosen.model)),
            "system prompt": chosen.system or "none",
            "temperature": temperature,
            "format": chosen.format,
        }
        return "\n".join(
            [*(f"{name:<15}{value}" for name, value in rows.items()), "%flowgpt help shows what can be done"]
        )

    def _nested(self, rest: str) -> str:
        if rest not in ("on", "off"):
            raise OptionError(f"%flowgpt nested takes on or off{closest(rest, ('on', 'off'))}")
        if self._nesting is None:
            from flowgpt_magic.nested import Nesting

            self._nesting = Nesting()
        self._nesting.switch(on=rest == "on")
        return f"nested {rest}: asyncio.run {'works' if rest == 'on' else 'is refused'} while a loop runs, as in a cell"

    def _stop(self, _rest: str) -> str:
        running = [reply for reply in self._replies if not reply.ended]
        for reply in running:
            reply.cancel()
        return f"stopped {len(running)} of the replies in flight" if running else "no reply is in flight"

    def close(self) -> None:
        """Stop what runs, and take back what was patched."""
        self._stop("")
        if self._nesting is not None:
            self._nesting.switch(on=False)


def complete_cell(lines: list[str]) -> list[str]:
    """An input transformer for cells that begin with ``%%flowgpt``, perhaps below comments; leaves others alone.

    IPython knows a cell magic only in the first line, and refuses one without a body before it is called.
    """
    start = next(
        (place for place, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None
    )
    if start is None or not CELL.match(lines[start]):
        return lines
    first, body = lines[start], lines[start + 1 :]
    return [first if first.endswith("\n") else f"{first}\n", *(body or ["\n"])]


def keep_question_marks(lines: list[str]) -> list[str]:
    """An input transformer: IPython takes a line that ends with ``?`` for a call for help, and drops the rest of it."""
    if lines and CELL.match(lines[0]):
        return lines
    kept, quotes = [], 0
    for line in lines:
        found = QUESTION.fullmatch(line)
        if found and quotes % 2 == 0:  # and not in the middle of a string
            line = f"{found[1]}get_ipython().run_line_magic('flowgpt', {found[2].rstrip()!r})\n"
        quotes += len(TRIPLE_QUOTES.findall(line))
        kept.append(line)
    return kept


TRANSFORMERS = (complete_cell, keep_question_marks)


def _is_whole_cell(request: dict[str, Any]) -> bool:
    """Is the cell one ``%%flowgpt`` magic, and not a magic around it, such as ``%%time``?"""
    code = str(request.get("content", {}).get("code", ""))
    lines = code.splitlines(keepends=True)
    return complete_cell(lines) != lines or bool(CELL.match(code))


def _version(_rest: str) -> str:
    from importlib.metadata import version  # slow to import, as are the modules below that are imported when used

    return f"flowgpt_magic {version('flowgpt_magic')}"


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
    shell.input_transformers_cleanup.extend(TRANSFORMERS)


def unload(shell: InteractiveShell) -> None:
    """Take back what ``load`` did, and stop the replies in flight."""
    magics = shell.magics_manager.registry.pop("FlowGPT", None)
    if magics is None:
        return
    magics.close()
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("flowgpt", None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)
    for transformer in TRANSFORMERS:
        if transformer in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(transformer)

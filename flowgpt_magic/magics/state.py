"""The state of the magics in a shell: the current conversation and the replies in flight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowgpt_magic import settings
from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.prompt.parameter_syntax import merged

if TYPE_CHECKING:  # completion imports the subcommands, but not what they work with
    from flowgpt_magic.conversation import Conversation, Kind
    from flowgpt_magic.display.show import Extent
    from flowgpt_magic.history.notebook_history import NotebookHistory
    from flowgpt_magic.magics.ai_alias import AiAlias
    from flowgpt_magic.magics.failed_cells import CellCode
    from flowgpt_magic.magics.nested_asyncio import Nesting
    from flowgpt_magic.magics.next_cells import NextCells
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.providers.aliases import Alias
    from flowgpt_magic.replies.comparison import Comparison
    from flowgpt_magic.replies.prepared_columns import PreparedColumn
    from flowgpt_magic.replies.reply import Reply
    from flowgpt_magic.replies.request import Request
    from flowgpt_magic.replies.schema import Schema
    from flowgpt_magic.settings import Settings


@dataclass(frozen=True)
class Asked:
    """A prompt as typed, with its options."""

    prompt: str
    settings: Mapping[str, Any]
    params: Mapping[str, Any]
    out: str = ""
    chat: str = ""
    attached: tuple[str, ...] = ()
    schema: str = ""
    switches: frozenset[str] = frozenset()
    below: Callable[[int], str] | None = None  # see ``TypedPrompt``

    @classmethod
    def read(cls, prompt: str, options: Mapping[str, Any]) -> Asked:
        """Read the options of a magic line."""
        values = dict(options)
        switches = frozenset(name for name in SWITCHES if values.pop(name, False))
        params = merged(values.pop("param", ()))
        if "max-tokens" in values and "max_tokens" in params:
            raise OptionError("max_tokens is given twice, as --max-tokens and as -P")
        if "max-tokens" in values:  # a parameter: refused if the provider does not support it
            params["max_tokens"] = values.pop("max-tokens")
        out, chat = values.pop("out", ""), values.pop("chat", "")
        attached, schema = tuple(values.pop("attach", ())), values.pop("schema", "")
        names = {"timeout": "read_timeout"}
        settings = {names.get(name, name): value for name, value in values.items()}
        if "cache" in switches:
            settings["cache"] = True
        return cls(prompt, settings, params, out, chat, attached, schema, switches)

    def options(self, names: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments for ``Conversation.ask``; a schema is one of ``names`` or in a file."""
        from flowgpt_magic.prompt.compose import system_prompt

        options: dict[str, Any] = {**self.settings, "params": self.params}
        if "system" in options:
            options["system"] = system_prompt(options["system"])
        if self.schema:
            options["schema"] = find_schema(self.schema, names)
        return options


@dataclass(frozen=True)
class LastFix:
    """The last ``%flowgpt fix``: the cells that were sent, its reply, and the conversation if one was named."""

    cells: tuple[CellCode, ...]
    reply: Reply
    chat: str = ""

    def text(self, turns: Sequence[Turn]) -> str:
        """The reply; after ``retry`` or ``edit`` that of the version among ``turns``, those of the conversation."""
        own = self.reply.turn
        live = [turn for turn in turns if own is not None and turn.place == own.place]
        return live[0].text if live else self.reply.text


SWITCHES = ("raw", "no-history", "append", "cache", "refresh", "dry-run", "next-cell", "no-stream", "quiet")


class ShellState:
    """The state of the magics in one shell.

    ``configured`` returns the settings of ``%config``; ``names`` are the variables of the user.
    """

    def __init__(self, configured: Callable[[], Mapping[str, Any]], names: dict[str, Any]) -> None:
        self.configured = configured
        self.names = names
        self._replies: list[Reply] = []
        self._last: NotebookHistory | None = None  # of the last prompt
        self._nesting: Nesting | None = None
        self._ai: AiAlias | None = None
        self.panels: dict[str, tuple[str, list[Any]]] = {}  # by cell id: the last run, and its chat panels
        self._below: dict[str, str] = {}  # by cell id: the code that was put below the cell
        self._next_cells: NextCells | None = None
        self.last_fix: LastFix | None = None

    @property
    def current(self) -> str:
        """The name of the current conversation; it survives a reload of the extension."""
        return self.notebook_history.current

    @current.setter
    def current(self, name: str) -> None:
        self.notebook_history.current = name

    @property
    def notebook_history(self) -> NotebookHistory:
        """The history of this notebook."""
        return self._notebook_history(self._outside())

    def _outside(self) -> Settings:
        return settings.load(configured=self.configured())

    def _notebook_history(self, outside: Settings) -> NotebookHistory:
        from flowgpt_magic.history.current import current_history, location_of

        return current_history(location_of(outside.history))

    def conversation(self, name: str = "", outside: Settings | None = None) -> Conversation:
        """The conversation of this name, or the current one; ``outside`` are the settings, if already loaded."""
        from flowgpt_magic.conversation import Conversation

        notebook_history = self._notebook_history(outside or self._outside())
        return Conversation(
            name or notebook_history.current, configured=self.configured, notebook_history=notebook_history
        )

    def ask(
        self,
        asked: Asked,
        kind: Kind = "ask",
        number: int = -1,
        *,
        own_cell: bool = False,
        names: Mapping[str, object] | None = None,
        load_aliases: Callable[[], Mapping[str, Alias]] | None = None,
    ) -> Reply | None:
        """Send a prompt and show the reply as it arrives; with ``--dry-run``, show what would be sent.

        Args:
            asked: the prompt with its options.
            kind: ``ask`` for a new turn, else how an earlier turn is asked again.
            number: the number of that turn.
            own_cell: the cell shows nothing but the reply.
            names: the names that the prompt can refer to, by default the user's variables.
            load_aliases: returns the user's aliases; by default it reads them from their file.
        """
        from flowgpt_magic.display.show import show_answer
        from flowgpt_magic.notebook import ipython
        from flowgpt_magic.providers import aliases
        from flowgpt_magic.replies.request import TypedPrompt

        outside, switches = self._outside(), asked.switches
        conversation = self.conversation(asked.chat, outside)
        self._last = notebook_history = conversation.notebook_history
        turn = None if kind == "ask" else conversation.turn(number)
        typed = TypedPrompt(asked.prompt, asked.attached, "raw" in switches, asked.below)
        prompt = typed if kind in ("ask", "edit") else None
        options, context = asked.options(names or self.names), ipython.prompt_context(names)
        load = load_aliases or aliases.load
        request = conversation.prepare(prompt, options, turn, kind, context=context, outside=outside, load_aliases=load)
        form, history = form_of(request), "no-history" not in switches
        if "dry-run" in switches:
            from flowgpt_magic.replies.dry_run import DryRun

            preview = conversation.preview_prepared(request, history=history)
            show_answer(DryRun(preview), notebook_history.take_notices())
            return None
        if turn is None:
            append, refresh = "append" in switches, "refresh" in switches
            reply = conversation.ask_prepared(request, append=append, history=history, refresh=refresh)
        else:
            reply = conversation.send(request)
        if asked.out:
            self.names[asked.out] = reply
        extent: Extent = "nothing" if "quiet" in switches else "end" if "no-stream" in switches else "all"
        self.show(reply, form=form, images=request.settings.images, own_cell=own_cell, extent=extent)
        if "next-cell" in switches:
            self._put_below(reply)
        return reply

    def compare(
        self,
        asked: Asked,
        models: Sequence[str],
        kind: Kind = "ask",
        number: int = -1,
        *,
        names: Mapping[str, object] | None = None,
        load_aliases: Callable[[], Mapping[str, Alias]] | None = None,
    ) -> Comparison | None:
        """Send a prompt to several models and show the replies as they arrive; with ``--dry-run``, what would be sent.

        Raises an error if all models have failed or if the replies were stopped.

        Args:
            asked: the prompt with its options.
            models: the names of the models.
            kind: ``ask`` for a new turn, else how an earlier turn is asked again.
            number: the number of that turn.
            names: the names that the prompt can refer to, by default the user's variables.
            load_aliases: returns the user's aliases; by default it reads them from their file.
        """
        from flowgpt_magic.display import columns
        from flowgpt_magic.notebook import ipython
        from flowgpt_magic.providers import aliases
        from flowgpt_magic.replies.request import TypedPrompt

        outside, switches = self._outside(), asked.switches
        conversation = self.conversation(asked.chat, outside)
        self._last = conversation.notebook_history
        turn = None if kind == "ask" else conversation.turn(number)
        typed = TypedPrompt(asked.prompt, asked.attached, "raw" in switches, asked.below)
        options = {name: value for name, value in asked.options(names or self.names).items() if name != "model"}
        how: dict[str, Any] = {"context": ipython.prompt_context(names), "load_aliases": load_aliases or aliases.load}
        prompt = typed if kind in ("ask", "edit") else None
        prepared = conversation.prepare_all(prompt, models, options, turn, kind, outside=outside, **how)
        request = next(column.request for column in prepared if column.request is not None)
        form, history = form_of(request), "no-history" not in switches
        if "dry-run" in switches:
            self._show_dry_runs(conversation, prepared, history=history)
            return None
        append, refresh = "append" in switches, "refresh" in switches
        comparison = conversation.compare_prepared(prepared, append=append, history=history, refresh=refresh)
        if asked.out:
            self.names[asked.out] = comparison
        extent: Extent = "nothing" if "quiet" in switches else "end" if "no-stream" in switches else "all"
        self._replies = [*(other for other in self._replies if not other.ended), *comparison.replies]
        columns.show_comparison(comparison, form=form, images=request.settings.images, extent=extent)
        columns.raise_ending(comparison, shown=extent != "nothing")
        if "next-cell" in switches:
            self._put_below(comparison[max(0, comparison.live - 1)])
        return comparison

    def _show_dry_runs(self, conversation: Conversation, prepared: Sequence[PreparedColumn], *, history: bool) -> None:
        """Show what would be sent to each model, or why nothing can be sent to it."""
        from flowgpt_magic.display.show import show_answer
        from flowgpt_magic.replies.dry_run import DryRun

        for number, column in enumerate(prepared, 1):
            show_answer(f"{number} {column.name}", [])
            if column.request is None:
                show_answer(f"nothing would be sent: {column.error}", [])
            else:
                show_answer(DryRun(conversation.preview_prepared(column.request, history=history)), [])
        show_answer(None, conversation.notebook_history.take_notices())

    def _put_below(self, reply: Reply) -> None:
        """Put the code of the reply into cells below, once for each cell and code."""
        from flowgpt_magic.display.show import show_remark
        from flowgpt_magic.notebook.code_cells import code_cells

        cells = code_cells((block.language, block) for block in reply.code_blocks)
        if not cells.sources:
            show_remark("the reply contains no code to put into a cell")
        else:
            show_remark(self.put_below(cells.sources))
        show_remark(cells.remark)

    def put_below(self, sources: Sequence[str]) -> str:
        """Put cells with this code below the running cell, unless it has put them there before.

        Returns a remark, empty if there is nothing to say. Where no cell can be put below, the code is shown.
        """
        from flowgpt_magic.display.show import show_answer

        if self._next_cells is None:
            from flowgpt_magic.magics.next_cells import NextCells

            self._next_cells = NextCells()
        history = self._last or self.notebook_history
        cell_id, code = history.running_cell().cell_id, "\n\n".join(sources)
        if cell_id and self._below.get(cell_id) == code:
            return "this code is below already"
        said = self._next_cells.put(sources, history.place.kind)
        if said is None:
            show_answer(f"to copy into {'a cell' if len(sources) == 1 else 'cells'}:\n\n{code}", [])
            return ""
        self._below[cell_id] = code
        return said

    def take_notices(self) -> list[str]:
        """The notices about the history of the last prompt that were not shown yet."""
        return [] if self._last is None else self._last.take_notices()

    def show(
        self,
        reply: Reply,
        *,
        form: str = "markdown",
        images: bool = False,
        own_cell: bool = False,
        extent: Extent = "all",
    ) -> Reply:
        """Show a reply as it arrives; raises an error if the reply failed or was cancelled."""
        from flowgpt_magic.display import show

        self._replies = [*(other for other in self._replies if not other.ended), reply]
        try:
            show.show(reply, form=form, images=images, own_cell=own_cell, extent=extent)
        finally:  # a reply that was interrupted before it was sent never ends
            self._replies = [other for other in self._replies if other is not reply]
        show.raise_ending(reply, shown=extent != "nothing")
        return reply

    def stop(self) -> int:
        """Cancel the replies in flight; return their number."""
        from flowgpt_magic.history.current import streaming_replies

        running = {id(reply): reply for reply in (*self._replies, *streaming_replies()) if not reply.ended}.values()
        for reply in running:
            reply.cancel()
        return len(running)

    def nest(self, *, on: bool) -> None:
        """Allow ``asyncio.run`` inside a cell, or undo that."""
        if self._nesting is None:
            from flowgpt_magic.magics.nested_asyncio import Nesting

            self._nesting = Nesting()
        self._nesting.switch(on=on)

    def ai_alias(self, *, on: bool) -> str:
        """Switch ``%ai`` and ``%%ai`` on or off; return the owner of the magics replaced or restored, "" if none."""
        if self._ai is None:
            from flowgpt_magic.magics.ai_alias import AiAlias, find_ai_magic, make_ai_magic, set_ai_magic

            self._ai = AiAlias(make_ai_magic(), find_ai_magic, set_ai_magic)
        return self._ai.switch(on=on)

    def close(self) -> None:
        """Cancel the replies in flight, undo what was patched, and write the history.

        The history stays open, because conversations in variables continue.
        """
        self.stop()
        if self._nesting is not None:
            self._nesting.switch(on=False)
        if self._ai is not None:
            self._ai.switch(on=False)
        if self._next_cells is not None:
            self._next_cells.forget()
        from flowgpt_magic.history.current import flush_all

        flush_all()


def find_schema(word: str, names: Mapping[str, Any]) -> Schema:
    """The schema that ``word`` names: a variable, an attribute of one, or ``@`` and the path of a file.

    Raises ``OptionError`` if there is no such name, and ``SchemaError`` if it is not a schema.
    """
    from flowgpt_magic.replies.schema import read_schema_file, schema_of

    if word.startswith("@"):
        return read_schema_file(word[1:])
    first, *attributes = word.split(".")
    if first not in names:
        public = (name for name in names if not name.startswith("_"))
        raise OptionError(f"--schema {word}: there is no variable {first}{closest(first, public)}")
    value = names[first]
    for attribute in attributes:
        if (value := getattr(value, attribute, None)) is None:
            raise OptionError(f"--schema {word}: {first} has no {attribute}")
    return schema_of(value)


def form_of(request: Request) -> str:
    """The format in which the reply is shown. Raises ``OptionError`` for images, which no provider makes yet."""
    chosen, schema = request.settings, request.schema
    if schema is not None and schema.composite and request.continues is None and "format" not in chosen.sources:
        return "json"
    if chosen.format == "image":
        raise OptionError("-f image: no installed provider makes images; -f markdown shows what it says")
    return chosen.format

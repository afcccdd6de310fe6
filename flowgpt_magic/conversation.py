"""Ask, ask again, edit, undo, branch: the turns of one notebook under one name."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload
from uuid import uuid4

from flowgpt_magic import settings
from flowgpt_magic.bridge import wholly
from flowgpt_magic.errors import (
    ConversationNameError,
    ConversationNotFoundError,
    MissingKeyError,
    OptionError,
    PromptError,
    SettingError,
    TurnNotFoundError,
)
from flowgpt_magic.history.cell_turns import last_run, last_run_by_number
from flowgpt_magic.history.compared_turns import ComparedTurns
from flowgpt_magic.history.conversation_state import CellRun
from flowgpt_magic.history.current import configured_in_shell, current_history, location_of
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import ConversationRecord
from flowgpt_magic.history.turn_recorder import RequestRecorder, TurnRecorder
from flowgpt_magic.messages import Message, Turn, checksum
from flowgpt_magic.messages.content_parts import is_document
from flowgpt_magic.notebook.place import Cell
from flowgpt_magic.prompt.compose import PromptContext
from flowgpt_magic.prompt.pictures import described
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.models import with_implied_model
from flowgpt_magic.providers.project_choice import project_notice, with_project_model
from flowgpt_magic.providers.registry import parameter_names
from flowgpt_magic.redaction import redact, without_secrets
from flowgpt_magic.replies.cache import request_key
from flowgpt_magic.replies.comparison import Column, Comparison
from flowgpt_magic.replies.cost import check_cost
from flowgpt_magic.replies.prepared_columns import PreparedColumn, checked_columns, find_target_of
from flowgpt_magic.replies.reply import Recorder, Reply
from flowgpt_magic.replies.request import (
    TYPED_OPTIONS,
    EarlierImages,
    Position,
    Prompt,
    Request,
    TypedPrompt,
    build_messages,
    check_params,
    given_fields,
    prompt_of,
    read_images,
    read_prompt,
    repeat_options,
    split_options,
    turns_to_send,
    unsent_documents,
    unsent_pictures,
)
from flowgpt_magic.replies.resolved import resolve
from flowgpt_magic.replies.schema import schema_of
from flowgpt_magic.replies.send import create_reply
from flowgpt_magic.settings import Settings
from flowgpt_magic.settings.parameters import over
from flowgpt_magic.text import counted

if TYPE_CHECKING:
    from flowgpt_magic.batch.batch import Batch
    from flowgpt_magic.batch.comparison import BatchComparison

T = TypeVar("T")
Kind = Literal["ask", "edit", "retry", "continue"]
LONGEST_NAME = 40  # characters of a name that is made of the first words of a prompt
_MARKS = re.compile(r"[^\w.,:;?!+%&()/ \u2019\u0300-\u036f-]|_{2,}")  # what a name does without
CONTINUE = "Continue exactly where you stopped. Do not repeat anything."


class Conversation:
    """The turns under one name, and the settings for its prompts.

    All ``Conversation`` objects with the same name are the same conversation: in cells, panels and Python.
    """

    def __init__(
        self,
        name: str = "main",
        *,
        params: Mapping[str, Any] | None = None,
        configured: Callable[[], Mapping[str, Any]] | None = None,
        notebook_history: NotebookHistory | None = None,
        outside: Settings | None = None,
        **settings: Any,
    ) -> None:
        """Open the conversation, or begin it.

        Args:
            name: Its name in this notebook.
            params: More parameters for the provider, for all prompts of this object.
            configured: Returns the settings that rank between the environment and the conversation's own; by default
                those of ``%config``.
            notebook_history: Where the turns are kept; by default where the setting ``history`` says.
            outside: The settings outside of this conversation; by default they are read now.
            settings: Settings of the conversation, such as ``model``, ``system`` and ``temperature``; see ``set``.
        """
        self._fixed = notebook_history
        self._configured = configured or (notebook_history.configured if notebook_history else configured_in_shell)
        self._bind(notebook_history or current_history(location_of((outside or self.outside()).history)), name)
        self._params = dict(params or {})
        if settings:
            self.set(**settings)

    def _bind(self, notebook_history: NotebookHistory, name: str) -> None:
        self._notebook_history = notebook_history
        self._state = notebook_history.load(name)
        self._timeline = self._state.timeline

    def outside(self) -> Settings:
        """The settings outside of this conversation, read now."""
        return settings.load(configured=self._configured())

    def follow_setting(self, outside: Settings | None = None) -> None:
        """Switch to the history that is set now, which may be ``off``.

        ``outside`` are the settings outside of this conversation; by default they are read now.
        """
        if self._fixed is None:
            notebook_history = current_history(location_of((outside or self.outside()).history))
            if notebook_history is not self._notebook_history:
                self._bind(notebook_history, self.name)

    def __copy__(self) -> Conversation:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self), _params=dict(self._params))
        return copied

    def __deepcopy__(self, _memo: dict[int, Any]) -> Conversation:
        """The same as a copy: the turns belong to the history and are not copied."""
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the name, the settings and the parameters, without secrets, and no turns."""
        own = {"model": self.record.model, "system": self.record.system, **without_secrets(self.record.parameters)}
        return _reopened, (self.name, {name: value for name, value in own.items() if value != ""}, self._params)

    def __repr__(self) -> str:
        self.follow_setting()
        return f"<Conversation {self.name!r}, {counted(self._timeline.count, 'turn')}>"

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, str]:
        """As the last line of a cell: its transcript."""
        from flowgpt_magic.transcripts.bundles import transcript_bundle

        return transcript_bundle(self.name, self.turns)

    @property
    def record(self) -> ConversationRecord:
        """Its name and its own settings."""
        return self._state.record

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.record.name

    @property
    def notebook_history(self) -> NotebookHistory:
        """The history that its turns are kept in."""
        return self._notebook_history

    @property
    def turns(self) -> list[Turn]:
        """The live turns, in order: not those that were undone or replaced."""
        self.follow_setting()
        return self._state.live()

    def versions(self, turn: Turn) -> list[Turn]:
        """All turns that ever stood at the place of ``turn``, oldest first."""
        stored = self._notebook_history.versions(self.record.conversation_id, turn.place)
        with self._state.lock:
            turns = {version.turn_id: version for version in (*stored, *self._timeline.versions(turn.place))}
        return sorted(turns.values(), key=lambda version: (version.version, version.started))

    def newest_version(self, turn: Turn) -> int:
        """The number of the newest version at the place of ``turn``."""
        with self._state.lock:
            return max(turn.version, self._timeline.next_version(turn.place) - 1)

    def number_at(self, place: int) -> int | None:
        """The number of the turn at this place of the timeline; None if it was removed."""
        return next((number for number, turn in enumerate(self.turns, 1) if turn.place == place), None)

    def turn(self, number: int) -> Turn:
        """The turn with this number: 1 is the first, -1 the last. Raises ``TurnNotFoundError``."""
        self.follow_setting()
        return self._numbered(number)

    def _numbered(self, number: int) -> Turn:
        if self._timeline.has_unloaded(number=number):
            self._state.reload()
        with self._state.lock:
            return self._timeline.turn_by_number(number)

    def settings(self, outside: Settings | None = None, /, **options: Any) -> Settings:
        """The settings in force for a prompt with these options. An option that is None counts as not given.

        ``outside`` are the settings outside of this conversation; by default they are read now.
        """
        return aliases.apply(self.as_set(outside or self.outside(), options), need_key=False)

    def as_set(self, outside: Settings, options: Mapping[str, Any]) -> Settings:
        """The settings for a prompt with these options, before an alias is followed."""
        own = {"model": self.record.model, "system": self.record.system, **self.record.parameters}
        values = {name: value for name, value in own.items() if value != ""}
        values["params"] = over(values.get("params"), self._params)
        chosen = settings.within(outside, conversation=values, options=options)
        return with_project_model(with_implied_model(chosen))

    @wholly
    def set(self, **values: Any) -> None:
        """Set ``model``, ``system`` or other settings of this conversation; None removes one.

        Raises ``SettingError`` for an unknown setting or an invalid value.
        """
        checked = {n: None if v is None else settings.check(n, v, "this conversation") for n, v in values.items()}
        model, system = checked.pop("model", self.record.model), checked.pop("system", self.record.system)
        parameters = {**self.record.parameters, **checked}
        parameters = {name: value for name, value in parameters.items() if value is not None}
        if (model or "", system or "", parameters) == (self.record.model, self.record.system, self.record.parameters):
            return
        self._change_record(model=model or "", system=system or "", parameters=parameters)
        self._notebook_history.save(self._state, changed=True)

    # Asking

    @overload
    def ask(self, prompt: Prompt, *, schema: type[T], **options: Any) -> Reply[T]: ...

    @overload
    def ask(self, prompt: Prompt, *, schema: Any = None, **options: Any) -> Reply: ...

    def ask(
        self,
        prompt: Prompt,
        *,
        schema: Any = None,
        images: Sequence[Any] = (),
        cell: Cell | None = None,
        append: bool = False,
        history: bool = True,
        refresh: bool = False,
        outside: Settings | None = None,
        **options: Any,
    ) -> Reply[Any]:
        """The reply to ``prompt``. Nothing is sent before the reply is read.

        Raises ``PromptError`` for an empty prompt, ``SchemaError`` for an invalid schema, ``SettingError`` and
        ``OptionError`` for an invalid option, and ``ModelNotSupportedError`` or ``ProviderNotFoundError`` for an
        unknown model, before anything is sent.

        Args:
            prompt: A text; or a list of messages, which are sent instead of the turns of this conversation. The last
                one is the prompt.
            schema: A type or a JSON Schema that the reply has to fit. A reply that does not fit is asked for again, up
                to ``retries`` times (2 by default). ``Reply.data`` is its value.
            images: Paths, bytes or figures to send along; an error where the provider takes no images.
            cell: The cell that asks; by default the running one. ``NO_CELL`` is none.
            append: Add a turn. By default a cell that is run again replaces the turns of its last run.
            history: Send the earlier turns, and keep this one.
            refresh: Ask even where the history has an answer.
            outside: The settings outside of this conversation; by default they are read now.
            options: Settings for this turn alone, such as ``model``, ``temperature`` and ``system``, and ``params``, a
                mapping of more parameters for the provider.
        """
        if not isinstance(history, bool):
            raise SettingError("history is True or False for one prompt; where it is kept is set with FLOWGPT_HISTORY")
        request = self.prepare(prompt, {**options, "schema": schema, "images": images}, outside=outside)
        return self.ask_prepared(request, cell=cell, append=append, history=history, refresh=refresh)

    def ask_prepared(
        self,
        request: Request,
        *,
        cell: Cell | None = None,
        append: bool = False,
        history: bool = True,
        refresh: bool = False,
    ) -> Reply[Any]:
        """The reply to a prompt that ``prepare`` returned. The options are those of ``ask``."""
        cell = self._notebook_history.running_cell() if cell is None else cell
        run = self._run_of(cell, request.prompt) if history and not append else None
        reply = self.send(replace(request, spot=_spot(cell, run)), history=history, refresh=refresh)
        if run is not None:
            run.prompt_count += 1
        return reply

    def compare(
        self,
        prompt: Prompt,
        models: Sequence[str],
        *,
        cell: Cell | None = None,
        append: bool = False,
        history: bool = True,
        refresh: bool = False,
        outside: Settings | None = None,
        **options: Any,
    ) -> Comparison:
        """The replies of several models to ``prompt``. Nothing is sent before one of them is read, then all are sent.

        They become versions of one turn. The reply of the first model is the live one, unless only others answer;
        ``keep`` chooses another. A prompt that cannot be sent to one of the models, such as one with pictures, fails
        there and does not affect the others.

        Raises ``OptionError`` for fewer than two models and for one that is named twice, and what ``ask`` raises.

        Args:
            prompt: As for ``ask``.
            models: The names of the models: ``provider:model``, a provider, a model or an alias.
            cell: The cell that asks; by default the running one. ``NO_CELL`` is none.
            append: Add a turn, as for ``ask``.
            history: Send the earlier turns, and keep this one.
            refresh: Ask even where the history has an answer.
            outside: The settings outside of this conversation; by default they are read now.
            options: The other options of ``ask``, the same for all models.
        """
        outside = outside or self.outside()
        prepared = self.prepare_all(prompt, models, options, outside=outside)
        return self.compare_prepared(prepared, cell=cell, append=append, history=history, refresh=refresh)

    def prepare_all(
        self,
        prompt: Prompt | TypedPrompt | None,
        models: Sequence[str],
        options: Mapping[str, Any],
        turn: Turn | None = None,
        kind: Kind = "ask",
        *,
        context: PromptContext | None = None,
        outside: Settings | None = None,
        load_aliases: Callable[[], Mapping[str, Alias]] = aliases.load,
    ) -> list[PreparedColumn]:
        """``prepare`` for each of several models, which may ask again in the place of ``turn``.

        Raises what ``compare`` raises.
        """
        if isinstance(models, str) or len(models) < 2:
            raise OptionError('a comparison needs two models or more: models=["local", "echo"]')
        if "model" in options:
            raise OptionError("a comparison takes models=[…] and no model=")
        outside = outside or self.outside()

        def prepared(name: str) -> PreparedColumn:
            target = find_target_of(name, load_aliases)  # raises for an unknown name, which is a typing mistake
            try:
                own: dict[str, Any] = {**options, "model": name}
                how: dict[str, Any] = {"context": context, "outside": outside, "load_aliases": load_aliases}
                request = self.prepare(prompt, own, turn, kind, **how)
                _all_accepted = request.parameters
            except (OptionError, MissingKeyError) as error:
                return PreparedColumn(name, target, error=error)
            return PreparedColumn(name, request.target, request)

        return checked_columns([prepared(name.strip()) for name in models])

    def compare_prepared(
        self,
        prepared: Sequence[PreparedColumn],
        *,
        cell: Cell | None = None,
        append: bool = False,
        history: bool = True,
        refresh: bool = False,
    ) -> Comparison:
        """The replies to a prompt that ``prepare_all`` returned. The options are those of ``compare``."""
        cell = self._notebook_history.running_cell() if cell is None else cell
        first = next(column.request for column in prepared if column.request is not None)
        asks_again = first.spot.place is not None
        run = self._run_of(cell, first.prompt) if history and not append and not asks_again else None
        spot, refresh = (first.spot, True) if asks_again else (_spot(cell, run), refresh)
        if history and self._state.unnamed:
            self._name_after(first.title)
        comparison = Comparison(self._keep, self._live_of) if history else Comparison()
        turns = ComparedTurns(self._state, self._notebook_history)
        replays, conversation_id = self._notebook_history.replays, self.record.conversation_id if history else ""
        columns, requests = [], list[Request]()
        for number, column in enumerate(prepared, 1):
            if column.request is None:
                columns.append(column.refused())
                continue
            request = self._placed(replace(column.request, spot=spot), history=history)
            recorder: Recorder = RequestRecorder(self._notebook_history, request)
            if history:
                recorder = turns.recorder(request, number)
            requests.append(request)
            how: dict[str, Any] = {"refresh": refresh, "begin": comparison.start, "check": self._cost_check(requests)}
            reply = create_reply(request, replays, recorder, conversation_id, **how)
            columns.append(Column(column.name, reply))
        comparison.set_columns(columns)
        if run is not None:
            run.prompt_count += 1
        return comparison

    def _live_of(self, turn_ids: Sequence[str]) -> str:
        """The id of the live turn among these; empty if none is."""
        with self._state.lock:
            turns = [self._timeline.find(turn_id) for turn_id in turn_ids]
        return next((turn.turn_id for turn in turns if turn is not None and turn.live), "")

    def _keep(self, turn_id: str) -> Turn:
        turn = self._notebook_history.turn_by_id(turn_id)
        number = None if turn is None else self.number_at(turn.place)
        if turn is None or number is None:
            raise TurnNotFoundError("this turn has been removed from the conversation: undo brings it back")
        return self.choose(number, turn.version)

    def compared(self, turn: Turn) -> list[Turn]:
        """The versions of ``turn`` among which ``keep`` chooses: those of the newest comparison in its place.

        In the order of the columns; without a comparison all versions, oldest first.
        """
        versions = self.versions(turn)
        comparison = next((other.sent.comparison for other in reversed(versions) if other.sent.comparison), "")
        columns = [other for other in versions if comparison and other.sent.comparison == comparison]
        return sorted(columns, key=lambda other: other.sent.column) or versions

    def preview(self, prompt: Prompt, *, history: bool = True, **options: Any) -> Request:
        """What ``ask`` would send now. Sends and keeps nothing. Raises what ``ask`` raises."""
        return self.preview_prepared(self.prepare(prompt, options), history=history)

    def preview_prepared(self, request: Request, *, history: bool = True) -> Request:
        """The same for a prompt that ``prepare`` returned."""
        cell = self._notebook_history.running_cell()
        self._bring_back(cell)
        with self._state.lock:
            earlier = self._asked_before(cell, request.prompt)
        spot = Position("rerun", earlier[0].place, (), cell) if earlier and history else Position()
        return self._placed(replace(request, spot=spot), history=history)

    @overload
    def map(
        self, prompts: Any, template: str | None = None, *, models: Sequence[str], **how: Any
    ) -> BatchComparison: ...

    @overload
    def map(self, prompts: Any, template: str | None = None, *, models: None = None, **how: Any) -> Batch: ...

    def map(
        self,
        prompts: Any,
        template: str | None = None,
        *,
        models: Sequence[str] | None = None,
        values: Mapping[str, Any] | None = None,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        retries: int | None = None,
        patience: float | None = None,
        progress: bool = True,
        refresh: bool = False,
        history: bool = True,
        sample: str = "",
        **options: Any,
    ) -> Batch | BatchComparison:
        """Ask many prompts, each as if it were the next one; none of them becomes a turn of this conversation.

        Nothing is sent before the batch is read. Raises ``PromptError`` for prompts or a template that cannot be asked,
        and what ``ask`` raises. Reading it raises ``BatchError`` where the server failed for all prompts.

        Args:
            prompts: A list, a mapping, a column, a table, or a generator, also an async one.
            template: The text of each prompt: ``{}`` stands for the item, ``{name}`` for its column, key or field, or
                for one of ``values``.
            models: Ask each of these models at the same time. The result has a batch for each model, and a table with a
                column for each; ``concurrency`` holds for each model, ``requests_per_minute`` for each server.
            values: Names for the template that are the same for all items.
            concurrency: How many prompts are asked at once. While the server refuses some because it is busy, there are
                fewer.
            requests_per_minute: The most requests in any minute; None for no limit.
            retries: How often a prompt that failed is asked again; None for the setting. Being asked to wait is no
                failure: a prompt is asked again for as long as five times ``patience`` after its first refusal.
            patience: Seconds. When five prompts in a row fail for a reason that all share, the batch pauses and asks
                the server with one request at a time, for so long; then it stops, and the rest is not asked. None means
                120 s, and 20 s where no program listens at the address. A key, a model or a parameter that is refused
                is tried three times at most.
            progress: Show a bar.
            refresh: Ask everything anew. Otherwise what was answered before comes from the history, whether that batch
                was interrupted, failed or complete.
            history: Keep the turns, and take answers from there.
            sample: Another sample of the same prompts is asked anew, but only once.
            options: Those of ``ask``, ``schema`` among them. ``max_cost`` is what the batch may cost, in dollars: it
                stops before the request that could exceed that, together with those that are under way.
        """
        limits: dict[str, Any] = {
            "concurrency": concurrency,
            "requests_per_minute": requests_per_minute,
            "patience": patience,
        }
        how: dict[str, Any] = {"retries": retries, "progress": progress, "refresh": refresh, "history": history}
        return _mapped(self, prompts, template, models, values=values, sample=sample, **limits, **how, **options)

    def without_prompt(
        self, options: Mapping[str, Any], *, earlier: bool
    ) -> tuple[Request, list[Turn], NotebookHistory]:
        """A request that only lacks its prompt, the turns that go before it, and where it would be kept.

        Without ``earlier`` there are no turns. Raises what ``ask`` does.
        """
        request = replace(self.prepare("?", options), spot=Position(cell=self._notebook_history.running_cell()))
        before = self._turns_before(request.settings, None)[0] if earlier else []
        return self._placed(request, history=earlier), before, self._notebook_history

    @property
    def arriving(self) -> dict[str, Any]:
        """What can be stopped just now: its replies by their turns' ids, and batches."""
        return self._state.replies

    def _run_of(self, cell: Cell, prompt: str) -> CellRun | None:
        """This run of the cell. Its prompts replace those of the last run, in order; ``prompt`` is the current one."""
        if not cell.cell_id:
            return None
        run = self._state.runs.get(cell.cell_id)
        if run is None or run.run != cell.run:
            self._bring_back(cell)
        with self._state.lock:
            run = self._state.runs.get(cell.cell_id)
            if run is None or run.run != cell.run:
                run = CellRun(cell.run, [turn.place for turn in self._asked_before(cell, prompt)])
                self._state.remember(cell.cell_id, run)
            return run

    def _bring_back(self, cell: Cell) -> None:
        """Load the unloaded turns if some of them are this cell's."""
        if self._timeline.has_unloaded(cell_id=cell.cell_id):
            self._state.reload()

    def _asked_before(self, cell: Cell, prompt: str) -> list[Turn]:
        """The turns of the cell's last run."""
        live = self._timeline.live
        if self._notebook_history.place.kind == "vscode":
            return last_run_by_number(live, cell.cell_id, prompt, self._notebook_history.kernel)
        return last_run(live, cell.cell_id)

    def retry(self, number: int = -1, **options: Any) -> Reply:
        """Ask the prompt of turn ``number`` again. The earlier reply stays as another version.

        The model is the one that the conversation or the settings name now, or the turn's own if they name none; the
        turn's system prompt, temperature, parameters and schema stay. ``options`` are those of ``ask``.
        """
        return self._ask_again("retry", number, None, options)

    def edit(self, number: int, prompt: str, **options: Any) -> Reply:
        """Ask another prompt in the place of turn ``number``, as ``retry`` does. The turns after it stay.

        Those were asked before the edit: ``asked_before_edit`` finds them, and ``retry`` asks one of them again.
        """
        return self._ask_again("edit", number, prompt, options)

    def continue_(self, **options: Any) -> Reply:
        """Continue the last reply where it stopped, with the same model. The shorter reply stays as another version."""
        return self._ask_again("continue", -1, None, options)

    def _ask_again(self, kind: Kind, number: int, prompt: str | None, options: Mapping[str, Any]) -> Reply:
        outside = self.outside()
        self.follow_setting(outside)
        return self.send(self.prepare(prompt, options, self._numbered(number), kind, outside=outside))

    def prepare(
        self,
        prompt: Prompt | TypedPrompt | None,
        options: Mapping[str, Any],
        turn: Turn | None = None,
        kind: Kind = "ask",
        *,
        context: PromptContext | None = None,
        outside: Settings | None = None,
        load_aliases: Callable[[], Mapping[str, Alias]] = aliases.load,
    ) -> Request:
        """Resolve the options and compose the prompt, once for all that is done with it.

        Every prompt passes through here, from cells, panels and Python. Raises what ``ask`` raises, and
        ``AttachmentError``.

        Args:
            prompt: The prompt, which is composed where it is ``TypedPrompt``; None for the prompt of ``turn``.
            options: Options of ``ask``, including ``schema`` and ``images``.
            turn: The turn whose place it takes, and whose settings it has; by default a new one.
            kind: What is done in the place of ``turn``; ``continue`` asks that turn's model, see ``retry``.
            context: What the references and attachments of a ``TypedPrompt`` prompt can name.
            outside: The settings outside of this conversation; by default they are read now.
            load_aliases: Returns the user's aliases; by default it reads them from their file.
        """
        if turn is not None and kind == "continue" and not turn.text.strip():
            what = "only reasoning, and no reply" if turn.extras.reasoning else "no reply"
            raise PromptError(f"the last turn has {what} to go on with: %flowgpt retry asks again")
        outside = outside or self.outside()
        self.follow_setting(outside)
        options = dict(options) if turn is None else self._repeat_options(turn, kind, options, outside)
        images = options.pop("images", ())
        schema = None if (wanted := options.pop("schema", None)) is None else schema_of(wanted)
        typed = given_fields(options.pop(TYPED_OPTIONS, options))
        chosen, params = split_options(options)
        resolved = resolve(self.as_set(outside, {**chosen, "params": params or None}), typed, load_aliases)
        if notice := project_notice(resolved.settings):
            self._notebook_history.tell(notice)
        if turn is not None and turn.provider != resolved.target.provider:  # another provider gets what it takes
            params = {n: v for n, v in params.items() if n in typed or n in parameter_names(resolved.target)}
        check_params(resolved.target, {**self._params, **params}, by_name=options)
        _parameters = resolved.parameters  # raises where --think cannot be obeyed
        title = described(prompt.text) if isinstance(prompt, TypedPrompt) else ""
        if prompt is None:
            prompt = "" if turn is None else prompt_of(turn)
        elif isinstance(prompt, TypedPrompt):
            context = replace(context or PromptContext({}), find_picture=self._notebook_history.picture_url)
            prompt = prompt.composed(context, resolved)
        earlier, text = read_prompt(prompt)
        earlier_images = images if isinstance(images, EarlierImages) else ()
        images = read_images(images, resolved.target, prompt=text, earlier=earlier)
        dropped = 0 if resolved.takes_images else sum(not is_document(url) for url in earlier_images)
        pictures = (unsent_pictures(dropped, resolved),) if dropped > 0 else ()
        unsent = (*pictures, *unsent_documents(earlier_images, resolved))
        if self.record.removed:
            raise ConversationNotFoundError(f"the conversation {self.name!r} was removed: begin another one")
        spot = Position() if turn is None else Position.of(kind, turn)
        continues = turn if kind == "continue" else None
        return Request(text, resolved, spot, earlier, schema, images, continues, title=title or text, unsent=unsent)

    def _repeat_options(self, turn: Turn, kind: Kind, options: Mapping[str, Any], outside: Settings) -> dict[str, Any]:
        """``options`` with the settings of ``turn``. A key is sent only to the server it is set for."""
        name = "" if kind == "continue" else self.as_set(outside, {}).model.strip()
        own = repeat_options(turn, options, own_model=not name)
        for address, key in settings.KEYS.items():
            if address in own and key not in options:
                stored = "" if address in options else own.get(key, "")
                own[key] = aliases.key_for(address, own[address], self.settings(outside), stored)
        return own

    def _placed(self, request: Request, *, history: bool) -> Request:
        """``request`` with its messages and key; without ``history``, no earlier turns are sent."""
        place, sent, left_out = request.spot.place, list[Turn](), 0
        if history and request.earlier is None:
            sent, left_out = self._turns_before(request.settings, place)
        request = replace(request, left_out=2 * left_out)
        urls = [url for turn in sent for url in turn.images]
        pictures = sum(not is_document(url) for url in urls)
        if pictures and not request.resolved.takes_earlier_images:
            request = replace(request, unsent=(*request.unsent, unsent_pictures(pictures, request.resolved)))
        request = replace(request, unsent=(*request.unsent, *unsent_documents(urls, request.resolved)))
        request = replace(request, key=request_key(request, sent), messages=build_messages(request, sent))
        return request if request.continues is None else _continued(request, request.continues)

    def _turns_before(self, chosen: Settings, place: int | None) -> tuple[list[Turn], int]:
        """The turns before ``place`` (None: all turns) that are sent, and how many are left out."""
        if self._timeline.has_unloaded(place=place):
            self._state.reload()
        with self._state.lock:
            before, aside = self._timeline.live_before(place), self._timeline.unloaded_answers
        sent, left_out = turns_to_send(chosen, before)
        if aside and not left_out:  # perhaps there is room for some of those
            self._state.reload()
            return self._turns_before(chosen, place)
        if place is None:
            self._state.sent = len(sent)
        return sent, left_out + aside

    def send(self, request: Request, *, history: bool = True, refresh: bool = False) -> Reply[Any]:
        """The reply to ``request``, whose turn stands where ``request.spot`` says."""
        if history and self._state.unnamed and request.spot.kind == "ask":
            self._name_after(request.title)
        request, replays = self._placed(request, history=history), self._notebook_history.replays
        refresh = refresh or request.spot.kind in ("retry", "continue")
        how: dict[str, Any] = {"refresh": refresh, "check": self._cost_check([request])}
        if not history:
            return create_reply(request, replays, RequestRecorder(self._notebook_history, request), **how)
        recorder = TurnRecorder(self._state, self._notebook_history, request)
        return create_reply(request, replays, recorder, self.record.conversation_id, **how)

    def _cost_check(self, requests: Sequence[Request]) -> Callable[[], None] | None:
        """What checks that ``requests``, sent together, do not exceed ``max_cost``; None without a limit."""
        if requests[0].settings.max_cost is None:
            return None
        conversation_id = self.record.conversation_id

        def check() -> None:
            spent = self._notebook_history.read(lambda history: history.cost_of(conversation_id), 0.0)
            check_cost(requests, spent)

        return check

    # Changing

    @wholly
    def undo(self) -> str:
        """Take the last change back; returns what that was. Raises ``NothingToUndoError``."""
        self._fetch(redo=False)
        with self._state.lock:
            change, saved = self._timeline.undo()
            self._notebook_history.save(self._state, *saved)
        return change.kind

    @wholly
    def redo(self) -> str:
        """Make the change again that was undone last; returns what that was. Raises ``NothingToUndoError``."""
        self._fetch(redo=True)
        with self._state.lock:
            change, saved = self._timeline.redo()
            self._notebook_history.save(self._state, *saved)
        return change.kind

    @wholly
    def choose(self, number: int, version: int) -> Turn:
        """Let another version of turn ``number`` be the one that counts; returns it. ``undo`` takes that back.

        Raises ``TurnNotFoundError``.
        """
        turn = self.turn(number)
        chosen = next((other for other in self.versions(turn) if other.version == version), None)
        if chosen is None:
            raise TurnNotFoundError(f"turn {number} has no version {version}: %flowgpt show {number} lists them")
        with self._state.lock:
            if not chosen.live:
                self._timeline.update(chosen)
                self._notebook_history.save(self._state, *self._timeline.change("choose", [chosen], [turn]))
        return self._timeline.get(chosen.turn_id)

    def _fetch(self, *, redo: bool) -> None:
        """Read the turns that an undo, or redo, is about: only live ones are read when a conversation is opened."""
        if not redo:
            self._state.load_older_changes()
        with self._state.lock:
            unknown = self._timeline.missing_turns(redo=redo)
        if unknown:
            self._state.reload()
            with self._state.lock:
                unknown = self._timeline.missing_turns(redo=redo)
        turns = self._notebook_history.turns(unknown)
        with self._state.lock:
            for turn in turns:
                self._timeline.update(turn)

    @wholly
    def clear(self) -> int:
        """Begin anew; the turns are kept, and ``undo`` brings them back. Returns how many there were."""
        self._state.reload()
        with self._state.lock:
            live = self._timeline.live
            if live:
                self._notebook_history.save(self._state, *self._timeline.change("clear", removed=live))
        return len(live)

    @wholly
    def branch(self, name: str, number: int | None = None) -> Conversation:
        """A new conversation that begins with copies of the turns up to ``number``; this one does not change.

        If a conversation has that name already, its turns are cleared, so that a notebook can be run again. Raises
        ``ConversationNameError`` for the name of this conversation.
        """
        if name == self.name:
            raise ConversationNameError(f"this is {name!r} already: give the branch another name")
        self._state.reload()
        with self._state.lock:
            turns = self._timeline.live
            if number is not None:
                last = self._timeline.turn_by_number(number)
                turns = [turn for turn in turns if turn.place <= last.place]
        other = Conversation(name, configured=self._configured, notebook_history=self._notebook_history)
        own = self.record
        other._change_record(model=own.model, system=own.system, parameters=own.parameters)
        other.begin_anew(turns)
        return other

    @wholly
    def begin_anew(self, turns: Sequence[Turn] = (), kind: str = "branch") -> int:
        """Set the live turns aside for copies of ``turns``, if any; ``undo`` brings them back. Returns how many.

        The conversation is listed from now on, even with no turn in it.
        """
        self._state.reload()
        with self._state.lock:
            gone = self._timeline.live
            copies = self._copies(turns)
            saved = self._timeline.change(kind if copies else "new", copies, gone) if copies or gone else []
            self._notebook_history.save(self._state, *copies, *saved, changed=True)
        return len(gone)

    def _copies(self, turns: Sequence[Turn]) -> list[Turn]:
        """Copies of turns of another conversation, placed after all turns that this one ever had.

        Turns that are still streaming are not copied: nothing would end the copy.
        """
        first, own = self._timeline.next_place(), self.record.conversation_id
        ended = (turn for turn in turns if turn.status != "streaming")
        return [
            replace(turn, turn_id=uuid4().hex, conversation_id=own, place=first + number, version=1)
            for number, turn in enumerate(ended)
        ]

    @wholly
    def rename(self, name: str) -> None:
        """Rename it. Raises ``ConversationNameError`` if the notebook has a conversation of that name."""
        self._notebook_history.check_new_name(name)
        before, self._state.unnamed = self.name, False
        self._change_record(name=name)
        self._notebook_history.name_changed(self._state, before)

    def name_by_first_prompt(self) -> None:
        """Let the next new prompt name this conversation, because its present name was generated."""
        self._state.unnamed = True

    def _name_after(self, prompt: str) -> None:
        """Rename it after the first words of ``prompt``, once."""
        self._state.unnamed = False
        if name := first_words(redact(prompt)):
            self.rename(self._notebook_history.unused_name(name))

    @wholly
    def remove(self) -> None:
        """Remove it from the list of conversations. Its turns stay in the history, where a search finds them."""
        self._change_record(removed=True)
        self._notebook_history.name_changed(self._state, self.name)

    def _change_record(self, **values: Any) -> None:
        with self._state.lock:
            self._state.record = replace(self.record, changed=time.time(), **values)


def _spot(cell: Cell, run: CellRun | None) -> Position:
    """Where the next prompt of this run of a cell stands."""
    if run is None or run.prompt_count >= len(run.places):
        return Position(cell=cell)
    return Position("rerun", run.places[run.prompt_count], tuple(run.places[run.prompt_count :]), cell)


def first_words(prompt: str) -> str:
    """A name for a conversation: the first words of its prompt, without quotes, braces and other marks.

    Empty if the prompt has no letters or digits.
    """
    line = _MARKS.sub(" ", prompt[: 10 * LONGEST_NAME].replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"))
    words = line.split()
    if not any(character.isalnum() for character in line):
        return ""
    name = words[0][:LONGEST_NAME]
    for word in words[1:]:
        if len(name) + 1 + len(word) > LONGEST_NAME:
            break
        name = f"{name} {word}"
    return name.rstrip(" .,:;?!-\N{RIGHT SINGLE QUOTATION MARK}") or name


def asked_before_edit(turns: Sequence[Turn]) -> list[Turn]:
    """Those of the live ``turns`` that were asked when the turns above them had other prompts or answers.

    Their replies follow from a text that is no longer there. An earlier turn that was asked again and answered the same
    changes nothing. Turns below one that is arriving are not among them, because its answer is not known yet. Where a
    turn does not know what was above it, the times decide.
    """
    newest, above, arriving, earlier = 0.0, 0, False, []
    for turn in turns:
        then = turn.sent.above
        if turn.started < newest if then is None else not arriving and then != above:
            earlier.append(turn)
        newest, above = max(newest, turn.started), checksum([turn], above)
        arriving = arriving or turn.status == "streaming"
    return earlier


def _continued(request: Request, turn: Turn) -> Request:
    """``request`` followed by the reply of ``turn`` and the instruction to continue it."""
    text = turn.answer if turn.answer.strip() else turn.text  # it may have been cut before its answer began
    more: list[Message] = [{"role": "assistant", "content": text}, {"role": "user", "content": CONTINUE}]
    key = f"{request.key} {turn.digest} continued"
    return replace(request, messages=[*request.messages, *more], key=key, schema=None)


def _reopened(name: str, values: Mapping[str, Any], params: Mapping[str, Any]) -> Conversation:
    """The conversation of this name in this process, with the settings it had when it was pickled."""
    return Conversation(name, params=params, **values)


@overload
def ask(prompt: Prompt, *, schema: type[T], **options: Any) -> Reply[T]: ...


@overload
def ask(prompt: Prompt, *, schema: Any = None, **options: Any) -> Reply: ...


def ask(prompt: Prompt, *, schema: Any = None, **options: Any) -> Reply[Any]:
    """The reply to ``prompt`` in this notebook's main conversation; see ``Conversation.ask``."""
    outside = settings.load(configured=configured_in_shell())
    return Conversation(outside=outside).ask(prompt, schema=schema, outside=outside, **options)


def compare(prompt: Prompt, models: Sequence[str], **options: Any) -> Comparison:
    """The replies of several models to ``prompt``, in this notebook's main conversation; see ``Conversation.compare``.

    Options are those of ``Conversation.compare``, such as ``temperature``, ``system`` and ``schema``.
    """
    outside = settings.load(configured=configured_in_shell())
    return Conversation(outside=outside).compare(prompt, models, outside=outside, **options)


@overload
def map_prompts(prompts: Any, template: str | None = None, *, models: Sequence[str], **how: Any) -> BatchComparison: ...


@overload
def map_prompts(prompts: Any, template: str | None = None, *, models: None = None, **how: Any) -> Batch: ...


def map_prompts(
    prompts: Any, template: str | None = None, *, models: Sequence[str] | None = None, **how: Any
) -> Batch | BatchComparison:
    """Ask each of ``prompts`` without any earlier turns, with the settings of the notebook's current conversation.

    ``models``, ``how`` and all else is as in ``Conversation.map``.
    """
    return _mapped(Conversation(current_history().current), prompts, template, models, earlier=False, **how)


def _mapped(
    conversation: Conversation, prompts: Any, template: str | None, models: Sequence[str] | None, **how: Any
) -> Batch | BatchComparison:
    if models is None:
        from flowgpt_magic.batch.batch import batch_of

        return batch_of(conversation, prompts, template, **how)
    from flowgpt_magic.batch.comparison import batches_of

    return batches_of(conversation, prompts, template, models=models, **how)

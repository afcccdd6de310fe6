"""Ask the rows of one partition of a large table: on a worker of Ray Data, Dask or Spark, or in this process.

Pass ``map_partition`` to the engine. It is a callable object that is pickled together with the settings of the process
that sends it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from flowgpt_magic import bridge
from flowgpt_magic.batch.batch import Batch, batch_of, checked, positive
from flowgpt_magic.batch.items import Template
from flowgpt_magic.batch.rate_limit import RateLimiter
from flowgpt_magic.batch.results import Result
from flowgpt_magic.clusters.shared_answers import SharedAnswers
from flowgpt_magic.clusters.tables import PartitionTable, partition_table
from flowgpt_magic.clusters.worker_settings import WorkerSettings, collect_settings
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import FlowGptError, SettingError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import OFF
from flowgpt_magic.notebook.place import Place
from flowgpt_magic.settings import whole_number

_paces: WeakKeyDictionary[bridge.Worker, dict[float, RateLimiter]] = WeakKeyDictionary()  # by the loop they wait on


class MapPartition:
    """Asks the rows of a partition and returns it with the answers. Use the instance ``map_partition``.

    Pickling includes the settings in force at that moment, so a worker asks the same server and model in the same way.
    Keys are sent by name only, as in ``openai_key``. Other secrets, such as ``token`` or a proxy with a password, are
    read on the worker from their environment variables.
    """

    __name__ = "map_partition"  # engines show it as the name of the step

    def __init__(self, worker_settings: WorkerSettings | None = None) -> None:
        self._settings = worker_settings

    def __repr__(self) -> str:
        return "map_partition" if self._settings is None else "<map_partition with the settings of another process>"

    def __reduce__(self) -> tuple[type[MapPartition], tuple[WorkerSettings]]:
        return MapPartition, (self._settings or collect_settings(),)

    def __call__(
        self,
        frame: Any,
        template: str,
        *,
        values: Mapping[str, Any] | None = None,
        history: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        requests_per_minute: float | None = None,
        concurrency: int = 8,
        retries: int | None = None,
        patience: float | None = None,
        refresh: bool = False,
        sample: str = "",
        **options: Any,
    ) -> Any:
        """``frame`` with the additional columns ``text``, ``status`` and ``error``.

        If the table has a column of that name, ``reply_`` is put before the new one. All three columns are text, even
        if they are empty. A row that fails does not affect the others and raises nothing: its ``status`` is ``failed``,
        and ``error`` says why. If the batch stops early, for example because the server is down, rows that were not
        asked have no status. An empty partition asks nothing.

        Args:
            frame: a DataFrame of pandas or polars, a Table or RecordBatch of pyarrow, or a mapping of columns. The
                result is of the same kind, with the same index and types.
            template: the prompt, in which ``{name}`` stands for a column.
            values: values for names in the template that are the same in all rows.
            history: the absolute path of a folder shared by all workers; by default nothing is saved. Each worker saves
                its answers in a file of its own and reads the files of the others. Asking a partition again, on any
                worker, asks only missing rows, and rows with equal prompts may share an answer. ``merge_history`` or
                ``%flowgpt import`` adds these files to a history.
            workers: the number of processes that ask at the same time, 1 by default; ``requests_per_minute`` is divided
                by it. Required on a worker together with a limit.
            requests_per_minute: the limit for all workers together; none by default. All partitions of a process share
                its part.
            concurrency: the number of prompts of this partition asked at once, 8 by default.
            retries: how often a failed prompt is asked again; by default the setting, which is 2.
            patience: seconds to wait for a server that is down, 120 by default.
            refresh: ask again even if ``history`` has the answer.
            sample: a name; each name gives another sample of the same prompts, asked once.
            **options: those of ``Conversation.ask``, such as ``model`` and ``temperature``. With a ``schema``, a column
                ``data`` has the value as JSON text.

        Raises ``PromptError`` if ``frame`` is not a table, has several columns of one name or does not fit the
        template, ``SettingError``, and ``MissingKeyError`` for a secret that is not on this worker; all before anything
        is asked.
        """
        table = partition_table(frame)
        Template(template, values).check_names(table.names)
        pace = self._pace(requests_per_minute, workers)
        worker_settings = self._settings or collect_settings()
        options = worker_settings.options(options)
        limits: dict[str, Any] = {"concurrency": concurrency, "retries": retries, "patience": patience}
        how = {**limits, "values": values, "refresh": refresh, "sample": sample, "pace": pace, **options}
        with _conversation(worker_settings, history) as (chat, answers):
            worker_settings.check(chat.settings(**_for_settings(options)))
            batch = batch_of(
                chat, table.items(), template, history=answers is not None, others=answers, progress=False, **how
            )
            results = _results(batch, table.length) if table.length else {}
        reason = _error_text(batch.error)
        return table.with_columns(_columns(table, results, reason, with_data=options.get("schema") is not None))

    def _pace(self, requests_per_minute: float | None, workers: int | None) -> RateLimiter | None:
        """The rate limit shared by all partitions of this process; None for no limit."""
        if workers is not None:
            workers = checked("workers", workers, whole_number(1))
        if requests_per_minute is None:
            return None
        limit = checked("requests_per_minute", requests_per_minute, positive)
        if workers is None and self._settings is not None:
            raise SettingError(
                "requests_per_minute is the limit for all workers together: give workers= too, so each gets a share"
            )
        share = limit / (workers or 1)
        return _paces.setdefault(bridge.worker(), {}).setdefault(share, RateLimiter(share))


map_partition = MapPartition()
"""Ask the rows of a partition, here or on a worker; see ``MapPartition``."""


@contextmanager
def _conversation(
    worker_settings: WorkerSettings, folder: str | os.PathLike[str] | None
) -> Iterator[tuple[Conversation, SharedAnswers | None]]:
    """The conversation in which to ask the rows, and the answers of all workers."""
    answers = None if folder is None else SharedAnswers(_folder(folder))
    place = Place("script", "", "partitions", f"partitions:{uuid4().hex}")
    notebook_history = NotebookHistory(place, OFF) if answers is None else answers.notebook_history()
    configured = {**current_history().configured(), **worker_settings.configured()}
    try:
        yield Conversation(configured=lambda: configured, notebook_history=notebook_history), answers
    finally:
        notebook_history.flush()
        notebook_history.close()


def _folder(value: Any) -> str | os.PathLike[str]:
    if isinstance(value, (str, os.PathLike)) and str(value).strip():
        return value
    raise SettingError("history is the folder where all workers save their answers; omit it to save nothing")


def _for_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("schema", "params", "images", "cache")}


def _results(batch: Batch, length: int) -> dict[int, Result]:
    """The results by row number, without rows that were not asked."""
    try:
        batch.read()
    except FlowGptError:
        if batch.error is None:  # the batch did not start
            raise
    return {result.index: result for result in batch.results if result.index < length}


def _columns(
    table: PartitionTable, results: Mapping[int, Result], reason: str | None, *, with_data: bool
) -> dict[str, Sequence[str | None]]:
    rows = [results.get(place) for place in range(table.length)]
    columns: dict[str, Sequence[str | None]] = {"text": [_text(row) for row in rows]}
    if with_data:
        columns["data"] = [_json(row) for row in rows]
    columns["status"] = [None if row is None else row.status for row in rows]
    columns["error"] = [reason if row is None else _error_text(row.error) for row in rows]
    return {table.free_name(name): values for name, values in columns.items()}


def _text(result: Result | None) -> str | None:
    if result is None or not (result.status == "complete" or result.text):
        return None
    return result.text


def _json(result: Result | None) -> str | None:
    """The value of a schema as JSON text."""
    if result is None or result.status != "complete":
        return None
    pydantic_core = sys.modules.get("pydantic_core")  # only Pydantic creates values that JSON lacks
    data = result.data if pydantic_core is None else pydantic_core.to_jsonable_python(result.data, fallback=str)
    return json.dumps(data, ensure_ascii=False)


def _error_text(error: BaseException | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"

"""Ask the rows of one partition of a large table, on whichever worker it is: Ray Data, Dask, Spark, or this process.

``map_partition`` is what is handed to such an engine. It is a callable object: when it is pickled, on its way to the
workers, the settings of the process that sends it go along.
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
from flowgpt_magic.batch.batch import Batch, above_zero, batch_of, checked
from flowgpt_magic.batch.items import Template
from flowgpt_magic.batch.rate_limit import Pace
from flowgpt_magic.batch.results import Result
from flowgpt_magic.clusters.shared_answers import SharedAnswers
from flowgpt_magic.clusters.tables import PartitionTable, partition_table
from flowgpt_magic.clusters.worker_settings import Shipped, ship
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import FlowGptError, SettingError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import OFF
from flowgpt_magic.notebook.place import Place
from flowgpt_magic.settings import whole_number

_paces: WeakKeyDictionary[bridge.Worker, dict[float, Pace]] = WeakKeyDictionary()  # by the loop they wait on


class MapPartition:
    """Asks the rows of a partition, and returns it with the answers: ``map_partition`` is the one to use.

    Pickled, by whichever pickler, it takes the settings along that are in force at that moment: on a worker it asks the
    same server and model in the same way. Keys travel by name only, as in ``openai_key``; other secrets, such as
    ``token`` or a proxy with a password, are read on the worker from their environment variables.
    """

    __name__ = "map_partition"  # engines show it as the name of a step

    def __init__(self, shipped: Shipped | None = None) -> None:
        self._shipped = shipped

    def __repr__(self) -> str:
        return "map_partition" if self._shipped is None else "<map_partition with the settings of another process>"

    def __reduce__(self) -> tuple[type[MapPartition], tuple[Shipped]]:
        return MapPartition, (self._shipped or ship(),)

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
        """``frame`` with the columns ``text``, ``status`` and ``error`` behind its own.

        A column whose name the table has already begins with ``reply_``. All three are text, also in a partition where
        they are empty. A row that cannot be asked or that fails costs no other its answer, and raises nothing: its
        ``status`` is ``failed``, and ``error`` says why. Where the batch was stopped, because the server is gone for
        instance, rows that were not asked have no status. An empty partition asks nothing.

        Args:
            frame: a DataFrame of pandas or polars, a Table or RecordBatch of pyarrow, or a mapping of columns. The same
                kind is returned; index and types stay.
            template: the prompt, in which ``{name}`` stands for the column.
            values: names in the template that are the same for all rows.
            history: the absolute path of a folder that all workers see. Each worker keeps its answers in a file of its
                own there and looks in those of all others: a partition that is asked again, on whichever worker, asks
                only what is missing, and rows with equal prompts may share one answer. ``merge_history`` or ``%flowgpt
                import`` adds these files to a history. By default nothing is kept.
            workers: how many processes ask at the same time; ``requests_per_minute`` is divided by it. By default 1,
                and on a worker it has to be given with a limit.
            requests_per_minute: the limit for all workers together; none by default. Within a process it holds for all
                of its partitions together.
            concurrency: how many prompts of this partition are asked at once.
            retries: how often one that failed is asked again, 2 unless that is set.
            patience: seconds for which a server that is down is waited for, 120 by default.
            refresh: asks anew what ``history`` could answer.
            sample: another one of the same prompts is asked anew, but only once.
            **options: those of ``Conversation.ask``, such as ``model`` and ``temperature``. With a ``schema`` a column
                ``data`` has the value as JSON text.

        Raises ``PromptError`` for what is no table, several columns of one name and a template that does not fit,
        ``SettingError``, and ``MissingKeyError`` for a secret that is not on this worker; all before anything is asked.
        """
        table = partition_table(frame)
        Template(template, values).check_names(table.names)
        pace = self._pace(requests_per_minute, workers)
        shipped = self._shipped or ship()
        given = shipped.options(options)
        limits: dict[str, Any] = {"concurrency": concurrency, "retries": retries, "patience": patience}
        how = {**limits, "values": values, "refresh": refresh, "sample": sample, "pace": pace, **given}
        with _conversation(shipped, history) as (chat, answers):
            shipped.check(chat.settings(**_for_settings(given)))
            batch = batch_of(
                chat, table.items(), template, history=answers is not None, others=answers, progress=False, **how
            )
            results = _results(batch, table.length) if table.length else {}
        why = "" if batch.error is None else _told(batch.error)
        return table.with_columns(_columns(table, results, why, with_data=given.get("schema") is not None))

    def _pace(self, requests_per_minute: float | None, workers: int | None) -> Pace | None:
        """What all partitions of this process keep to, so that they have their share of the limit together."""
        if workers is not None:
            workers = checked("workers", workers, whole_number(1))
        if requests_per_minute is None:
            return None
        limit = checked("requests_per_minute", requests_per_minute, above_zero)
        if workers is None and self._shipped is not None:
            raise SettingError(
                "requests_per_minute is the limit of all workers together: give workers= too, so that each has a share"
            )
        share = limit / (workers or 1)
        return _paces.setdefault(bridge.worker(), {}).setdefault(share, Pace(share))


map_partition = MapPartition()
"""Ask the rows of a partition, here or on any worker; see ``MapPartition``."""


@contextmanager
def _conversation(
    shipped: Shipped, folder: str | os.PathLike[str] | None
) -> Iterator[tuple[Conversation, SharedAnswers | None]]:
    """What the rows are asked in, with the settings that came along, and where the answers of all workers are."""
    answers = None if folder is None else SharedAnswers(_folder(folder))
    place = Place("script", "", "partitions", f"partitions:{uuid4().hex}")
    notebook_history = NotebookHistory(place, OFF) if answers is None else answers.notebook_history()
    configured = {**current_history().configured(), **shipped.configured()}
    try:
        yield Conversation(configured=lambda: configured, notebook_history=notebook_history), answers
    finally:
        notebook_history.flush()
        notebook_history.close()


def _folder(given: Any) -> str | os.PathLike[str]:
    if isinstance(given, (str, os.PathLike)) and str(given).strip():
        return given
    raise SettingError("history is the folder that all workers keep their answers in; leave it out to keep nothing")


def _for_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("schema", "params", "images", "cache")}


def _results(batch: Batch, length: int) -> dict[int, Result]:
    """What has become of the rows, by their places; those that were not asked are missing."""
    try:
        batch.read()
    except FlowGptError:
        if batch.error is None:  # it was not even begun
            raise
    return {result.index: result for result in batch.results if result.index < length}


def _columns(
    table: PartitionTable, results: Mapping[int, Result], why: str, *, with_data: bool
) -> dict[str, Sequence[str | None]]:
    rows = [results.get(place) for place in range(table.length)]
    columns: dict[str, Sequence[str | None]] = {"text": [_text(row) for row in rows]}
    if with_data:
        columns["data"] = [_json(row) for row in rows]
    columns["status"] = [None if row is None else row.status for row in rows]
    columns["error"] = [why or None if row is None else None if row.error is None else _told(row.error) for row in rows]
    return {table.free_name(name): values for name, values in columns.items()}


def _text(result: Result | None) -> str | None:
    if result is None or not (result.status == "complete" or result.text):
        return None
    return result.text


def _json(result: Result | None) -> str | None:
    """The value of a schema as JSON text."""
    if result is None or result.status != "complete":
        return None
    pydantic_core = sys.modules.get("pydantic_core")  # it has made every value that JSON does not have
    data = result.data if pydantic_core is None else pydantic_core.to_jsonable_python(result.data, fallback=str)
    return json.dumps(data, ensure_ascii=False)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

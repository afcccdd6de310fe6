"""Install a model from a hub: look it up, check that this machine can take it, download it.

The download runs on a thread of its own. The calling thread shows the progress, so an interrupt ends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError  # the built-in one from Python 3.11 on
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, TypeVar

from flowgpt_magic import settings
from flowgpt_magic.bridge import Worker
from flowgpt_magic.errors import DownloadError, ModelNotSupportedError, ReplyInterrupted, closest
from flowgpt_magic.providers.http.client import crosses_open_network
from flowgpt_magic.providers.llama_cpp import installed
from flowgpt_magic.providers.llama_cpp.catalogue import CATALOGUE, LIST_HINT
from flowgpt_magic.providers.llama_cpp.downloads import (
    ProgressBar,
    Report,
    check_free_space,
    progress_bar,
    size_text,
    write_failure,
)
from flowgpt_magic.providers.llama_cpp.gguf import check_gguf, memory_needed
from flowgpt_magic.providers.llama_cpp.hub import TOKEN, Hub, HubFile, Repository
from flowgpt_magic.providers.llama_cpp.installed import InstalledModel
from flowgpt_magic.providers.llama_cpp.machine import Machine, this_machine
from flowgpt_magic.providers.llama_cpp.partial_file import PartialFile, file_name
from flowgpt_magic.providers.llama_cpp.quantisations import Variant, choose, listed, variants
from flowgpt_magic.settings import Settings
from flowgpt_magic.tables import Table

T = TypeVar("T")
PREFIX = "hf:"
POLL_INTERVAL = 0.1  # seconds between two updates of the progress
RESERVED = 10**9  # bytes of memory for the system and the kernel
SPARE = 100 * 10**6  # bytes that stay free on the disk
ADDRESS = re.compile(
    r"https?://[^/\s]+/(?P<repository>[\w.-]+/[\w.-]+)(?:/(?:resolve|blob)/[^/]+/(?P<file>[^?#\s]+))?.*"
)
COLUMNS = ("name", "parameters", "download", "memory needed", "licence", "good for", "installed", "fits here")


@dataclass(frozen=True)
class Request:
    """What is to be installed. ``name`` is empty if it is that of the file."""

    repository: str
    file: str = ""
    name: str = ""


def read_request(text: str) -> Request:
    """What ``text`` names: a model of the list, or ``hf:OWNER/REPO[:FILE]``. Raises ``ModelNotSupportedError``."""
    if (model := CATALOGUE.get(text.lower().removeprefix("local:"))) is not None:
        return Request(model.repository, model.file, model.name)
    if text.startswith(PREFIX):
        repository, _, file = text.removeprefix(PREFIX).partition(":")
        known = (model for model in CATALOGUE.values() if (model.repository, model.file) == (repository, file))
        return Request(repository, file, next((model.name for model in known), ""))
    if address := ADDRESS.fullmatch(text):
        hint = f"{PREFIX}{address['repository']}" + (f":{address['file']}" if address["file"] else "")
        raise ModelNotSupportedError(f"an address is not the name of a model; write install-model {hint}")
    if re.fullmatch(r"[\w.-]+/[\w.-]+(:\S+)?", text):
        raise ModelNotSupportedError(f"there is no model {text!r} to install; for the repository write {PREFIX}{text}")
    raise ModelNotSupportedError(f"there is no model {text!r} to install{closest(text, CATALOGUE)} {LIST_HINT}")


def install(
    text: str,
    *,
    say: Report,
    bar: ProgressBar = progress_bar,
    chosen: Settings | None = None,
    machine: Machine | None = None,
    any_memory: bool = False,
) -> InstalledModel:
    """Install the model that ``text`` names, and return it. Does nothing if it is there.

    An interrupt raises ``ReplyInterrupted``; what has arrived is kept and used the next time. Raises
    ``ModelNotSupportedError``, ``DownloadError``, ``SettingError`` and subclasses of ``ProviderError``.

    Args:
        text: ``NAME`` of the list, or ``hf:OWNER/REPO[:FILE]``.
        say: gets what is to be told, line by line.
        bar: shows the progress of the download.
        chosen: the settings of the connection; None for those in force.
        machine: the memory and the disk; None for this machine's.
        any_memory: install a model that is too large for the memory of this machine.
    """
    request = read_request(text)
    if request.name and (model := installed.find(request.name)) is not None:
        return _already(model, say)
    chosen = settings.load() if chosen is None else chosen
    hub = Hub.chosen_by(chosen)
    if hub.token and crosses_open_network(hub.url):
        say(f"the token in {TOKEN} goes to {hub.host} unencrypted; use https if that hub can\n")
    try:
        repository = _run(hub.repository(request.repository), lambda: None)
        variant = choose(repository, request.file)
        name = request.name or _name(repository, variant)
        if (model := installed.find(name)) is not None:
            return _already(model, say)
        files = _run(_checksums(hub, repository, variant), lambda: None)
        variant = replace(variant, files=tuple(files))
        _tell(name, repository, variant, chosen, say, is_choice=not request.file)
        machine = this_machine(settings.data_folder()) if machine is None else machine
        if not any_memory:
            _check_memory(name, repository, variant, chosen, machine)
        return _download(hub, name, repository, variant, machine, say, bar)
    except KeyboardInterrupt:
        raise ReplyInterrupted("the download was interrupted; the same command continues it") from None


async def _checksums(hub: Hub, repository: Repository, variant: Variant) -> list[HubFile]:
    return [await hub.with_checksum(repository, file) for file in variant.files]


def _already(model: InstalledModel, say: Report) -> InstalledModel:
    say(f"already there: {model.path}\n")
    return model


def _name(repository: Repository, variant: Variant) -> str:
    """The name of a model that is not of the list: that of its file, with its owner if another one has that name."""
    name = installed.fit_name(PurePosixPath(variant.name).stem)
    for model in CATALOGUE.values():
        if (model.repository, model.file) == (repository.name, variant.files[0].path):
            return model.name
    other = installed.find(name)
    if name in CATALOGUE or (other is not None and other.repository != repository.name):
        return installed.fit_name(f"{repository.name.partition('/')[0]}-{name}")
    return name


def _tell(
    name: str, repository: Repository, variant: Variant, chosen: Settings, say: Report, *, is_choice: bool
) -> None:
    """Say what will be downloaded, and what else the repository has if the choice was ours."""
    needed = memory_needed(variant.size, chosen.context_size)
    file = PurePosixPath(variant.name).name
    parts = f" in {len(variant.files)} parts" if len(variant.files) > 1 else ""
    say(f"{name}: {file}{parts} from {repository.name}\n")
    say(f"{size_text(variant.size)} to download, about {size_text(needed)} of memory, licence {repository.licence}\n")
    others = [other for other in variants(repository) if other.name != variant.name]
    if is_choice and others:
        say(f"{variant.label} was chosen; hf:{repository.name}:NAME takes another: {listed(others)}\n")
    if not all(file.sha256 for file in variant.files):
        say("the hub states no checksum, so only the size is checked\n")


def fits(needed: int, machine: Machine) -> bool:
    """Has the machine the memory for a model that needs so many bytes? True if its memory is not known."""
    return machine.memory is None or needed + RESERVED <= machine.memory


def _check_memory(name: str, repository: Repository, variant: Variant, chosen: Settings, machine: Machine) -> None:
    needed = memory_needed(variant.size, chosen.context_size)
    if fits(needed, machine):
        return
    smaller = [
        f"hf:{repository.name}:{other.label} ({size_text(other.size)})"
        for other in variants(repository)
        if fits(memory_needed(other.size, chosen.context_size), machine)
    ]
    others = [each.name for each in CATALOGUE.values() if fits(memory_needed(each.size, chosen.context_size), machine)]
    what_fits = ", ".join([*smaller[-1:], *others]) or "only the embedded model, install-model without a name"
    raise DownloadError(
        f"{name} needs about {size_text(needed)} of memory, beside {size_text(RESERVED)} for the system, and this "
        f"machine has {size_text(machine.memory or 0)}. What fits: {what_fits}. --any-memory downloads it all the same"
    )


def _download(
    hub: Hub, name: str, repository: Repository, variant: Variant, machine: Machine, say: Report, bar: ProgressBar
) -> InstalledModel:
    """Download the files of ``variant``, one after the other, and record the model."""
    folder = installed.folder_of(name)
    files = [PartialFile(repository, source, folder) for source in variant.files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = sum(file.on_disk for file in files)
        check_free_space(installed.models_folder(), variant.size - present + SPARE, machine.free_disk)
        if present:
            say(f"{size_text(present)} are there from an earlier download\n")
        with bar(name, variant.size, say) as show:
            _run(_download_all(hub, files), lambda: show(sum(file.done for file in files)))
            show(variant.size)
        check_gguf(files[0].target)
        names = tuple(file_name(file.source) for file in files)
        model = InstalledModel(name, repository.name, names, variant.size, repository.licence)
        installed.add(model)
    except OSError as error:
        raise write_failure(error, folder) from error
    say(f"{name} is in {folder}\n")
    return model


async def _download_all(hub: Hub, files: Sequence[PartialFile]) -> None:
    for file in files:
        await file.download(hub)


def _run(work: Coroutine[Any, Any, T], poll: Callable[[], None]) -> T:
    """What ``work`` returns, run on its own thread; ``poll`` is called here meanwhile. An interrupt cancels it."""
    worker = Worker()
    try:
        future = worker.submit(work)
        try:
            while True:
                try:
                    return future.result(POLL_INTERVAL)
                except FutureTimeoutError:
                    if future.done():
                        return future.result()
                    poll()
        finally:
            future.cancel()
    finally:
        worker.close()


def models_table(chosen: Settings, machine: Machine) -> Table:
    """The six models of the list, and whether they are installed and fit this machine."""
    rows = [_row(model.name, chosen, machine) for model in CATALOGUE.values()]
    memory = "unknown memory" if machine.memory is None else f"{size_text(machine.memory)} of memory"
    note = (
        f"This machine has {memory} and {size_text(machine.free_disk)} of free disk space. install-model NAME installs "
        "one, hf:OWNER/REPO[:FILE] any GGUF model of the hub, and --remove NAME deletes it. The memory needed is for a "
        f"context of {chosen.context_size:,} tokens"
    )
    return Table(COLUMNS, tuple(rows), note)


def _row(name: str, chosen: Settings, machine: Machine) -> tuple[str, ...]:
    model = CATALOGUE[name]
    needed = memory_needed(model.size, chosen.context_size)
    is_installed = installed.find(name) is not None
    no_disk = not is_installed and model.size + SPARE > machine.free_disk
    answer = "yes" if fits(needed, machine) and not no_disk else "no: disk space" if no_disk else "no: memory"
    sizes = (size_text(model.size), size_text(needed))
    return (name, model.parameters, *sizes, model.licence, model.good_for, "yes" if is_installed else "", answer)

"""Which file of a repository to take: repositories hold one model in several precisions, some in several parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from flowgpt_magic.errors import ModelNotSupportedError, closest
from flowgpt_magic.providers.llama_cpp.downloads import size_text
from flowgpt_magic.providers.llama_cpp.gguf import PART
from flowgpt_magic.providers.llama_cpp.hub import HubFile, Repository

QUANTISATION = re.compile(
    r"(?<![a-z0-9])(?P<name>i?q\d(?:_[a-z0-9]+)*|tq\d_\d|mxfp4(?:_moe)?|bf16|fp?16|fp?32)(?![a-z0-9])", re.IGNORECASE
)
NO_MODEL = re.compile(r"(?:^|[/._-])(?:mmproj|imatrix|vocab|draft|mtp)(?=[/._-])", re.IGNORECASE)
# The best first: those with about 4.5 to 5.5 bits are nearly as good as the original, at a third of its size.
PREFERRED = (
    *("Q4_K_M", "Q4_K", "Q4", "Q4_K_L", "Q4_K_S", "Q5_K_M", "Q5_K_S", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"),
    *("IQ4_XS", "MXFP4", "MXFP4_MOE", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "Q2_K"),
)
MAX_NAMED = 8  # variants that a message lists


@dataclass(frozen=True)
class Variant:
    """One precision of a model: its files, which are the parts of one model, and the name of its quantisation."""

    name: str
    quantisation: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def label(self) -> str:
        """How a user names it: its quantisation, or its file without one."""
        return self.quantisation or PurePosixPath(self.name).name

    def __str__(self) -> str:
        return f"{self.label} ({size_text(self.size)})"


def variants(repository: Repository) -> list[Variant]:
    """The complete models of a repository, by size."""
    groups: dict[str, list[HubFile]] = {}
    for file in sorted(repository.files, key=lambda file: file.path):
        if not NO_MODEL.search(file.path):
            part = PART.fullmatch(file.path)
            groups.setdefault(f"{part['stem']}.gguf" if part else file.path, []).append(file)
    complete = [_variant(name, files) for name, files in groups.items() if _is_complete(files)]
    return sorted(complete, key=lambda variant: (variant.size, variant.name))


def _variant(name: str, files: Sequence[HubFile]) -> Variant:
    found = list(QUANTISATION.finditer(PurePosixPath(name).name)) or list(QUANTISATION.finditer(name))
    return Variant(name, found[-1]["name"].upper() if found else "", tuple(files))


def _is_complete(files: Sequence[HubFile]) -> bool:
    part = PART.fullmatch(files[0].path)
    return part is None or len(files) == int(part["count"])


def choose(repository: Repository, wanted: str = "") -> Variant:
    """The variant that ``wanted`` names, by its file, a part of it, or its quantisation; the best one without a name.

    Raises ``ModelNotSupportedError``, which lists what there is.
    """
    choices = variants(repository)
    if not choices:
        raise ModelNotSupportedError(
            f"{repository.name} has no model in a GGUF file, the only supported format; such repositories usually have "
            "GGUF in their name"
        )
    if wanted:
        return _named(repository, choices, wanted)
    if len(choices) == 1:
        return choices[0]
    best = min(choices, key=_rank)
    rivals = [variant for variant in choices if variant.quantisation == best.quantisation]
    if len(rivals) > 1:
        raise ModelNotSupportedError(f"{repository.name} has several models: {_command(repository, rivals)}")
    return best


def _rank(variant: Variant) -> int:
    """The place in ``PREFERRED``; what is not there comes last, the smallest first."""
    return PREFERRED.index(variant.quantisation) if variant.quantisation in PREFERRED else len(PREFERRED)


def _named(repository: Repository, choices: Sequence[Variant], wanted: str) -> Variant:
    lowered = wanted.lower().removesuffix(".gguf")

    def names(variant: Variant) -> set[str]:
        paths = [variant.name, *(file.path for file in variant.files)]
        stems = {path.lower().removesuffix(".gguf") for path in paths}
        return stems | {PurePosixPath(stem).name for stem in stems} | {variant.quantisation.lower()}

    found = [variant for variant in choices if lowered in names(variant)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelNotSupportedError(f"{repository.name} has several files for {wanted}: {_command(repository, found)}")
    files = [PurePosixPath(variant.name).name for variant in choices]
    hint = closest(wanted, [*files, *(variant.quantisation for variant in choices)])
    raise ModelNotSupportedError(f"{repository.name} has no file {wanted!r}{hint} It has {listed(choices)}")


def _command(repository: Repository, choices: Sequence[Variant]) -> str:
    names = ", ".join(PurePosixPath(variant.name).name for variant in choices[:MAX_NAMED])
    return f"name one of its files as hf:{repository.name}:FILE: {names}"


def listed(choices: Sequence[Variant]) -> str:
    """``choices`` in one line, with their sizes."""
    shown = ", ".join(map(str, choices[:MAX_NAMED]))
    return shown if len(choices) <= MAX_NAMED else f"{shown} and {len(choices) - MAX_NAMED} more"

"""Six well-known models that machines with 8 to 32 GB of memory can run, by name.

Sizes and licences are those that the pages of the repositories named at the end of 2025; what is shown before a
download comes from the hub itself.
"""

from __future__ import annotations

from dataclasses import dataclass

LIST_HINT = "install-model --list shows six that suit machines with 8 to 32 GB"


@dataclass(frozen=True)
class CatalogueModel:
    """A model that can be installed by name.

    Args:
        name: its name, as in ``local:NAME``.
        repository: its repository on the hub.
        file: the file in it.
        parameters: how many parameters it has.
        size: about how many bytes the file has.
        licence: its licence.
        good_for: what it is good for, in a few words.
    """

    name: str
    repository: str
    file: str
    parameters: str
    size: int
    licence: str
    good_for: str


CATALOGUE = {
    model.name: model
    for model in (
        CatalogueModel(
            "smollm2-1.7b",
            "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
            "smollm2-1.7b-instruct-q4_k_m.gguf",
            "1.7 billion",
            1_060_000_000,
            "Apache-2.0",
            "short questions in English, quick on any laptop",
        ),
        CatalogueModel(
            "phi-4-mini",
            "unsloth/Phi-4-mini-instruct-GGUF",
            "Phi-4-mini-instruct-Q4_K_M.gguf",
            "3.8 billion",
            2_490_000_000,
            "MIT",
            "reasoning and mathematics on a small machine",
        ),
        CatalogueModel(
            "qwen2.5-7b",
            "bartowski/Qwen2.5-7B-Instruct-GGUF",
            "Qwen2.5-7B-Instruct-Q4_K_M.gguf",
            "7.6 billion",
            4_680_000_000,
            "Apache-2.0",
            "general questions in many languages",
        ),
        CatalogueModel(
            "qwen2.5-coder-7b",
            "bartowski/Qwen2.5-Coder-7B-Instruct-GGUF",
            "Qwen2.5-Coder-7B-Instruct-Q4_K_M.gguf",
            "7.6 billion",
            4_680_000_000,
            "Apache-2.0",
            "writing and correcting code",
        ),
        CatalogueModel(
            "phi-4",
            "microsoft/phi-4-gguf",
            "phi-4-q4.gguf",
            "14.7 billion",
            9_050_000_000,
            "MIT",
            "harder questions, mathematics and code in English",
        ),
        CatalogueModel(
            "mistral-small-24b",
            "bartowski/Mistral-Small-24B-Instruct-2501-GGUF",
            "Mistral-Small-24B-Instruct-2501-Q4_K_M.gguf",
            "24 billion",
            14_300_000_000,
            "Apache-2.0",
            "the best answers here, in many languages; slow without a fast processor",
        ),
    )
}

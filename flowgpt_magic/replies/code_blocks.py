"""The blocks of code in a reply, as values."""

from __future__ import annotations


class CodeBlock(str):
    """The text of a block of code; ``language`` is the word after its fence, or an empty string."""

    language: str

    def __new__(cls, code: str, language: str = "") -> CodeBlock:
        block = super().__new__(cls, code)
        block.language = language
        return block


def code_blocks_of(text: str) -> list[CodeBlock]:
    """What of the reply ``text`` is shown as code, in order; what a model thought at its start is left out."""
    from flowgpt_magic.markdown.growing import code_blocks  # its parser takes a while to load

    return [CodeBlock(code, language) for language, code in code_blocks(text)]

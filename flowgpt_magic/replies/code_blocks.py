"""The code blocks of a reply, as values."""

from __future__ import annotations


class CodeBlock(str):
    """The text of a code block. ``language`` is the word after its opening fence, or an empty string."""

    language: str

    def __new__(cls, code: str, language: str = "") -> CodeBlock:
        block = super().__new__(cls, code)
        block.language = language
        return block


def code_blocks_of(text: str) -> list[CodeBlock]:
    """The code blocks of the reply ``text``, in order, without those in the reasoning at its start."""
    from flowgpt_magic.markdown.growing import code_blocks  # its parser takes a while to load

    return [CodeBlock(code, language) for language, code in code_blocks(text)]

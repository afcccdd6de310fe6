"""From what was typed to what is sent: references and attachments become text, ``@file`` becomes what is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowgpt_magic.errors import FileError, PromptError
from flowgpt_magic.messages import ComposedPrompt
from flowgpt_magic.prompt.attachments import Attachment, attach, describe
from flowgpt_magic.prompt.references import names_secret, resolve
from flowgpt_magic.redaction import redact_environment
from flowgpt_magic.regular_files import read_file

LONGEST_FILE = 2**20  # bytes of a file with a system prompt
SIMPLE = (str, int, float, complex, bool, type(None))  # what stands in a prompt as Python prints it


@dataclass(frozen=True)
class PromptContext:
    """What a prompt can refer to: the user's names, the inputs and outputs so far, and the last error."""

    names: Mapping[str, object]
    inputs: Sequence[str] = ()
    outputs: Mapping[int, object] = field(default_factory=dict)
    error: BaseException | None = None


def compose(
    prompt: str,
    around: PromptContext,
    *,
    raw: bool = False,
    attached: Sequence[str] = (),
    budget: int,
    with_images: bool = False,
) -> ComposedPrompt:
    """``prompt`` as it is sent: its references replaced unless ``raw``, and what is attached below it.

    ``budget`` is the number of tokens that one value may take. A reference that looks like a secret's stays as typed:
    it may stand in code. ``with_images`` says that figures and files of images are looked at. Raises
    ``AttachmentError``.
    """
    text = prompt
    if not raw and "{" in prompt:
        names = {**around.names, **({"Err": around.error} if around.error is not None else {})}

        def render(reference: str, value: object) -> str:
            if names_secret(reference):
                return f"{{{reference}}}"
            return redact_environment(str(value)) if type(value) in SIMPLE else describe(reference, value, budget)

        text = resolve(prompt, names, render).text
    if not attached:
        return ComposedPrompt(text)
    whole = budget * len(attached)
    found = attach(
        attached,
        around.names,
        budget=whole,
        cells=around.inputs,
        outputs=around.outputs,
        error=around.error,
        with_images=with_images,
    )
    images = [each.image for each in found if each.image]
    return ComposedPrompt("\n\n".join([text, *(_labelled(each) for each in found)]), images)


def _labelled(attachment: Attachment) -> str:
    """Its text, which may be nothing but a value, with what it is called."""
    label, text = attachment.label, attachment.text
    return text if text.startswith(label) else f"{label}:\n{text}"


def system_prompt(value: str) -> str:
    """The text of ``-s``: ``value``, or what is in the file behind its ``@``. Raises ``PromptError``."""
    if not value.startswith("@"):
        return value
    try:
        text = read_file(Path(value[1:]).expanduser(), LONGEST_FILE).decode("utf-8-sig")
    except FileError as error:
        raise PromptError(f"-s {value}: {error}") from None
    except UnicodeDecodeError:
        raise PromptError(f"-s {value}: this is no text file") from None
    if "\0" in text:
        raise PromptError(f"-s {value}: this is no text file")
    return text.strip("\n")

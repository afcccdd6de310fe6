"""Compose the prompt that is sent: references and attachments become text, ``@file`` becomes its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowgpt_magic.errors import FileError, PromptError
from flowgpt_magic.messages import ComposedPrompt
from flowgpt_magic.prompt.attachments import Attachment, attach, describe
from flowgpt_magic.prompt.describe.recognize import headline
from flowgpt_magic.prompt.looks import LookError, look, names_secret_argument
from flowgpt_magic.prompt.pictures import PictureReference, with_references
from flowgpt_magic.prompt.references import names_secret, resolve, steps
from flowgpt_magic.prompt.unresolved import clauses
from flowgpt_magic.redaction import redact_environment
from flowgpt_magic.regular_files import read_file
from flowgpt_magic.text import cut

LONGEST_FILE = 2**20  # bytes of a file with a system prompt
SIMPLE = (str, int, float, complex, bool, type(None))  # inserted as Python prints them


@dataclass(frozen=True)
class PromptContext:
    """What a prompt can refer to: the user's variables, the inputs and outputs so far, and the last error.

    ``find_picture`` returns the URL of a picture, or raises ``PromptError``.
    """

    names: Mapping[str, object]
    inputs: Sequence[str] = ()
    outputs: Mapping[int, object] = field(default_factory=dict)
    error: BaseException | None = None
    find_picture: Callable[[PictureReference], str] | None = None


def compose(
    prompt: str,
    context: PromptContext,
    *,
    raw: bool = False,
    quotes_code: bool = False,
    attached: Sequence[str] = (),
    pictures: Sequence[PictureReference] = (),
    budget: int,
    with_images: bool = False,
    with_documents: bool = False,
    model: str = "the model",
) -> ComposedPrompt:
    """The prompt as it is sent: with its references replaced, and the attachments below it.

    A reference that looks like that of a secret stays as typed, because it may be part of code. Calls that only look at
    a table, such as ``{frame.head(3)}``, are filled in too; see ``looks``. ``unsent`` of the result names the braces
    that stayed as typed although they look meant. Raises ``AttachmentError``.

    Args:
        prompt: the prompt as typed.
        context: what it can refer to.
        raw: leave the references as typed; not by default.
        quotes_code: leave those in fenced code blocks as typed; not by default.
        attached: the specs of ``attach``.
        pictures: the pictures that are sent; those that the prompt does not name are named below it.
        budget: tokens for each value.
        with_images: whether the model takes images; not by default.
        with_documents: whether it takes PDF files as they are; not by default.
        model: who takes none, for the clause about a picture that is not sent.
    """
    text = prompt
    included: list[str] = []
    unsent: list[str] = []
    if not raw and "{" in prompt:
        names = {**context.names, **({"Err": context.error} if context.error is not None else {})}
        text, included, unsent = _filled_in(prompt, names, budget, in_fences=not quotes_code)
    text = with_references(text, pictures)
    urls = [context.find_picture(picture) for picture in pictures] if context.find_picture is not None else []
    if not attached:
        return ComposedPrompt(text, list(dict.fromkeys(urls)), included=included, unsent=unsent)
    attachments = attach(
        attached,
        context.names,
        budget=budget * len(attached),
        cells=context.inputs,
        outputs=context.outputs,
        error=context.error,
        with_images=with_images,
        with_documents=with_documents,
        model=model,
    )
    images = [attachment.image for attachment in attachments if attachment.image]
    return ComposedPrompt(
        "\n\n".join([text, *map(_labelled, attachments)]),
        list(dict.fromkeys([*urls, *images])),
        included=[*included, *(attachment.about or attachment.label for attachment in attachments)],
        unsent=[*unsent, *(attachment.unsent for attachment in attachments if attachment.unsent)],
    )


def _filled_in(
    prompt: str, names: Mapping[str, object], budget: int, *, in_fences: bool
) -> tuple[str, list[str], list[str]]:
    """The prompt with its references replaced, what was included for them, and what was sent as typed."""
    included: list[str] = []
    secrets: list[str] = []
    failures: dict[str, str] = {}

    def render(reference: str, value: object) -> str:
        is_call = not steps(reference)
        if names_secret_argument(reference) if is_call else names_secret(reference):
            secrets.append(f"{{{cut(reference)}}} sent as typed: it looks like a secret")
            return f"{{{reference}}}"
        if type(value) in SIMPLE and not is_call:
            return redact_environment(str(value))
        shape = headline(value).partition(", ")[2]
        included.append(f"{cut(reference)} ({shape})" if shape else cut(reference))
        text = describe(reference, value, budget)
        return f"{reference}:\n{text}" if type(value) is str else text

    def looked(expression: str) -> object:
        try:
            return look(expression, names)
        except LookError as error:
            failures[expression] = str(error)
            raise

    resolved = resolve(prompt, names, render, looked, in_fences=in_fences)
    return resolved.text, included, [*secrets, *(clauses(prompt, resolved.left, names, failures))]


def _labelled(attachment: Attachment) -> str:
    """The text with its label, unless it begins with that."""
    label, text = attachment.label, attachment.text
    return text if text.startswith(label) else f"{label}:\n{text}"


def system_prompt(value: str) -> str:
    """The system prompt of ``-s``: ``value``, or the content of ``@file``. Raises ``PromptError``."""
    if not value.startswith("@"):
        return value
    try:
        text = read_file(Path(value[1:]).expanduser(), LONGEST_FILE).decode("utf-8-sig")
    except FileError as error:
        raise PromptError(f"-s {value}: {error}") from None
    except UnicodeDecodeError:
        raise PromptError(f"-s {value}: not a text file") from None
    if "\0" in text:
        raise PromptError(f"-s {value}: not a text file")
    return text.strip("\n")

"""Convert messages in OpenAI's format, whose content is a string or a list of text and image parts.

The package's own messages have a string as content, and a list of images, among which PDF documents stand as ``data:``
URLs. Text parts are joined with newlines. Tools are not supported, so messages from tools and with tool calls are
refused, and so is ``name``, which no provider sends.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.errors import PromptError
from flowgpt_magic.messages import ComposedPrompt, ImageUrl, Message, Messages, Role

ADDRESSES = ("data:image/", "https://", "http://")  # prefixes of image URLs
NAME_LIMIT = 1000  # characters of a URL in which the name of a document is
ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# The text parts of both OpenAI protocols, with the field that contains the text.
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
IMAGE_PARTS = ("image_url", "input_image")
DOCUMENT_PARTS = ("file", "input_file", "document")
PDF = "data:application/pdf"  # begins the URL of a document
ENCRYPTED = re.compile(rb"/Encrypt\s+(?:[0-9]+\s+[0-9]+\s+R|<<)")  # in a trailer, which is never compressed
_PDF_NAME = re.compile(rf"{PDF};name=([^;,]*);")
REFUSED = ("name", "tool_calls", "function_call", "tool_call_id")
MESSAGE_FORM = "a message must have a role (system, user or assistant), and a content that is text or a list of parts"


def read_messages(messages: Messages, *, images: bool, who: str, documents: bool = False) -> list[Message]:
    """The messages as a provider sends them, each converted by ``read_message``.

    ``images`` says whether the provider ``who`` takes images; if not, a message with images is refused. Without
    ``documents`` the last message may have no PDF document, and those of earlier messages become a line each. Blank
    system and assistant messages are dropped, as servers refuse them; the user messages around one are joined. Raises
    ``PromptError``.
    """
    converted: list[Message] = []
    dropped = False
    for number, entry in enumerate(messages, 1):
        message = read_message(entry)
        if images and not documents and any(map(is_document, message.get("images", ()))):
            if number == len(messages):
                raise PromptError(
                    f"{who or 'this provider'} takes no PDF documents: ask anthropic, or attach the text."
                )
            message = without_documents(message)
        if not images and message.get("images"):
            raise PromptError(f"{who} takes no images: ask a provider that does, or leave the image out.")
        if message["role"] != "user" and not message["content"].strip() and not message.get("images"):
            dropped = True
        elif dropped and converted and converted[-1]["role"] == message["role"] == "user":
            converted[-1], dropped = _joined(converted[-1], message), False
        else:
            converted.append(message)
            dropped = False
    if not converted:
        raise PromptError("there is no message to send.")
    return converted


def read_message(message: Any) -> Message:
    """One message with its role, text and images. Raises ``PromptError`` if a part of it is not supported."""
    if _is_plain(message):
        plain: Message = message
        return plain
    if not isinstance(message, Mapping) or "role" not in message:
        raise PromptError(f"{MESSAGE_FORM}.")
    role = message["role"]
    if role in ("tool", "function"):
        raise PromptError(f"a message of the role {role} cannot be sent: tools are not supported.")
    if not isinstance(role, str) or role not in ROLES:
        raise PromptError(f"{MESSAGE_FORM}; its role is not {role!r}.")
    for field in REFUSED:
        if message.get(field):
            raise PromptError(f"{field} of a message is not supported: leave it out, or put it into the content.")
    text, images = _content(message, ROLES[role])
    images += _addresses(message.get("images"))
    converted: Message = {"role": ROLES[role], "content": join_surrogates(text)}
    if images:
        converted["images"] = images
    if parts := message.get("reasoning_parts"):
        converted["reasoning_parts"] = list(parts)
    return converted


def is_document(url: str) -> bool:
    """Is this, among the images of a message, the URL of a PDF document?"""
    return url.startswith(PDF)


def document_url(content: bytes, name: str) -> str:
    """The URL of the PDF document ``content``, with its name."""
    return f"{PDF};name={quote(name, safe='')};base64,{b64encode(content).decode('ascii')}"


def document_name(url: str) -> str:
    """The name of the document of a URL, empty if it has none."""
    match = _PDF_NAME.match(url[:NAME_LIMIT])
    return unquote(match[1]) if match else ""


def without_documents(message: Message) -> Message:
    """``message`` with its documents replaced by a line for each."""
    urls = message.get("images", [])
    lines = [f"[document {document_name(url)}".rstrip() + "]" for url in urls if is_document(url)]
    others = [url for url in urls if not is_document(url)]
    changed: Message = {"role": message["role"], "content": "\n\n".join([message["content"], *lines])}
    return {**changed, "images": others} if others else changed


def _is_plain(message: Any) -> bool:
    """Does it need no conversion? A fast path: all messages of a conversation are read for each prompt."""
    if type(message) is not dict or len(message) != 2 or type(message.get("content")) is not str:
        return False
    role = message.get("role")
    return type(role) is str and ROLES.get(role) == role and join_surrogates(message["content"]) == message["content"]


def prompt_of_message(message: Message) -> str:
    """The text of a message as a prompt, with its images if any."""
    images = message.get("images")
    return ComposedPrompt(message["content"], images) if images else message["content"]


def _joined(one: Message, other: Message) -> Message:
    images = [*one.get("images", ()), *other.get("images", ())]
    joined: Message = {"role": "user", "content": f"{one['content']}\n\n{other['content']}"}
    return {**joined, "images": images} if images else joined


def _content(message: Mapping[str, Any], role: Role) -> tuple[str, list[str]]:
    content = message.get("content")
    if isinstance(content, str):
        return content, []
    if content is None and role == "assistant":  # a refusal
        return str(message.get("refusal") or ""), []
    if not isinstance(content, Sequence) or isinstance(content, (bytes, bytearray)):
        raise PromptError(f"{MESSAGE_FORM}.")
    texts: list[str] = []
    images: list[str] = []
    for part in content:
        kind, value = _part(part)
        (images if kind in (*IMAGE_PARTS, *DOCUMENT_PARTS) else texts).append(value)
    return "\n".join(filter(None, texts)), images


def _part(part: Any) -> tuple[str, str]:
    """The type of a part, and its text or the address of its image."""
    if isinstance(part, str):
        return "text", part
    fields: Mapping[str, Any] = part if isinstance(part, Mapping) else {"type": type(part).__name__}
    kind = fields.get("type")
    if kind in DOCUMENT_PARTS:
        return str(kind), _document(fields)
    if kind not in (*TEXT_PARTS, *IMAGE_PARTS):
        raise PromptError(f"a message cannot contain a part of the type {kind!r}, only text and image_url.")
    if kind in IMAGE_PARTS:
        return kind, _image(fields.get("image_url"), fields.get("detail"))
    text = fields.get(TEXT_PARTS[kind])
    if not isinstance(text, str):
        raise PromptError(f"a part of the type {kind} needs its text in {TEXT_PARTS[kind]!r}.")
    return kind, text


def _image(value: Any, detail: Any) -> str:
    if isinstance(value, Mapping):
        value, detail = value.get("url"), value.get("detail", detail)
    if not isinstance(value, str) or not value.startswith((*ADDRESSES, PDF)):
        raise PromptError(f"the url of an image must begin with {', '.join(ADDRESSES[:-1])} or {ADDRESSES[-1]}.")
    return ImageUrl(value, detail) if isinstance(detail, str) and detail else value


def _document(part: Mapping[str, Any]) -> str:
    """The URL of the PDF document in a part of OpenAI's or Claude's kind."""
    inner = part.get("file", part)
    source = part.get("source")
    name = part.get("title")
    if isinstance(inner, Mapping):
        name = name or inner.get("filename")
    data = inner.get("file_data") if isinstance(inner, Mapping) else None
    if isinstance(source, Mapping) and source.get("media_type") == "application/pdf":
        data = source.get("data")
    if not isinstance(data, str) or not data:
        raise PromptError(
            f"a part of the type {part.get('type')!r} needs the data of a PDF document in base64, in 'file_data' or "
            "its 'source'."
        )
    base64 = data.partition(",")[2] if data.startswith(PDF) else data
    try:
        content = b64decode(base64, validate=True)
    except ValueError:
        raise PromptError("the data of a document must be that of a PDF file in base64.") from None
    if ENCRYPTED.search(content):
        raise PromptError(f"{name or 'the document'} is encrypted: save a copy without its password, and send that.")
    return document_url(content, str(name or ""))


def _addresses(images: Any) -> list[str]:
    """The URLs in the ``images`` of a message."""
    if images is None:
        return []
    if not isinstance(images, (list, tuple)):
        raise PromptError("the images of a message must be a list of URLs.")
    return [_image(url, getattr(url, "detail", None)) for url in images]

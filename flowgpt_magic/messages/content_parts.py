"""Messages as OpenAI's clients take them: their content is a text, or a list of parts, which are texts and images.

Here a message has a text, and images beside it. The texts of several parts are joined, a line each. Tools are not
called, so a message of a tool, or one that calls one, is refused; so is a ``name``, which no provider here sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.errors import PromptError
from flowgpt_magic.messages import ComposedPrompt, ImageUrl, Message, Messages, Role

ADDRESSES = ("data:image/", "https://", "http://")  # how the URL of an image begins in a message
ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# The parts that are taken, with the field that holds their text; the words of both of OpenAI's protocols.
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
IMAGE_PARTS = ("image_url", "input_image")
REFUSED = ("name", "tool_calls", "function_call", "tool_call_id")
MESSAGE_FORM = "a message must have a role (system, user or assistant), and a content that is text or a list of parts"


def read_messages(given: Messages, *, images: bool, who: str) -> list[Message]:
    """``given`` as a provider sends them: each read by ``read_message``, well-formed, without those that are blank.

    ``images`` says whether ``who`` takes any; otherwise one is refused. Servers refuse a blank system or assistant
    message. Two messages of the user that come to stand in a row because one between them was blank become one.
    Raises ``PromptError``.
    """
    found: list[Message] = []
    dropped = False
    for each in given:
        message = read_message(each)
        if not images and message.get("images"):
            raise PromptError(f"{who} takes no images: ask a provider that does, or leave the image out.")
        if message["role"] != "user" and not message["content"].strip() and not message.get("images"):
            dropped = True
        elif dropped and found and found[-1]["role"] == message["role"] == "user":
            found[-1], dropped = _joined(found[-1], message), False
        else:
            found.append(message)
            dropped = False
    if not found:
        raise PromptError("there is no message to send.")
    return found


def read_message(given: Any) -> Message:
    """One message: its role, its text and its images. Raises ``PromptError`` that names what cannot be sent."""
    if _is_plain(given):
        plain: Message = given
        return plain
    if not isinstance(given, Mapping) or "role" not in given:
        raise PromptError(f"{MESSAGE_FORM}.")
    role = given["role"]
    if role in ("tool", "function"):
        raise PromptError(f"a message of the role {role} cannot be sent: tools are not called here.")
    if not isinstance(role, str) or role not in ROLES:
        raise PromptError(f"{MESSAGE_FORM}; its role is not {role!r}.")
    for field in REFUSED:
        if given.get(field):
            raise PromptError(f"{field} of a message is not sent: leave it out, or put it into the content.")
    text, images = _content(given, ROLES[role])
    images += _addresses(given.get("images"))
    message: Message = {"role": ROLES[role], "content": join_surrogates(text)}
    if images:
        message["images"] = images
    return message


def _is_plain(given: Any) -> bool:
    """Is it a role and a text already? Those of a long conversation are, and are read at every prompt."""
    if type(given) is not dict or len(given) != 2 or type(given.get("content")) is not str:
        return False
    role = given.get("role")
    return type(role) is str and ROLES.get(role) == role and join_surrogates(given["content"]) == given["content"]


def prompt_of_message(message: Message) -> str:
    """The text of the last message, with the images that go along, if any."""
    images = message.get("images")
    return ComposedPrompt(message["content"], images) if images else message["content"]


def _joined(one: Message, other: Message) -> Message:
    images = [*one.get("images", ()), *other.get("images", ())]
    joined: Message = {"role": "user", "content": f"{one['content']}\n\n{other['content']}"}
    return {**joined, "images": images} if images else joined


def _content(given: Mapping[str, Any], role: Role) -> tuple[str, list[str]]:
    content = given.get("content")
    if isinstance(content, str):
        return content, []
    if content is None and role == "assistant":  # as a client gives back a refusal
        return str(given.get("refusal") or ""), []
    if not isinstance(content, Sequence) or isinstance(content, (bytes, bytearray)):
        raise PromptError(f"{MESSAGE_FORM}.")
    texts: list[str] = []
    images: list[str] = []
    for part in content:
        kind, value = _part(part)
        (images if kind in IMAGE_PARTS else texts).append(value)
    return "\n".join(filter(None, texts)), images


def _part(part: Any) -> tuple[str, str]:
    """The type of a part, and its text or the address of its image."""
    if isinstance(part, str):
        return "text", part
    fields: Mapping[str, Any] = part if isinstance(part, Mapping) else {"type": type(part).__name__}
    kind = fields.get("type")
    if kind not in (*TEXT_PARTS, *IMAGE_PARTS):
        raise PromptError(f"a message cannot hold a part of the type {kind!r}: its parts are text and image_url.")
    if kind in IMAGE_PARTS:
        return kind, _image(fields.get("image_url"), fields.get("detail"))
    text = fields.get(TEXT_PARTS[kind])
    if not isinstance(text, str):
        raise PromptError(f"a part of the type {kind} needs its text in {TEXT_PARTS[kind]!r}.")
    return kind, text


def _image(value: Any, detail: Any) -> str:
    if isinstance(value, Mapping):
        value, detail = value.get("url"), value.get("detail", detail)
    if not isinstance(value, str) or not value.startswith(ADDRESSES):
        raise PromptError(f"the url of an image begins with {', '.join(ADDRESSES[:-1])} or {ADDRESSES[-1]}.")
    return ImageUrl(value, detail) if isinstance(detail, str) and detail else value


def _addresses(given: Any) -> list[str]:
    """What stands beside a text as its images."""
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        raise PromptError("the images of a message are a list of URLs.")
    return [_image(each, getattr(each, "detail", None)) for each in given]

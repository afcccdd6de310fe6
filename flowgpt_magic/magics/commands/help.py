"""``%flowgpt help``: what can be typed, as a table in notebooks and as text in terminals."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flowgpt_magic.magics.commands.command import Subcommand
from flowgpt_magic.magics.commands.topics import GROUP_TITLES, OPTION_EXAMPLES, TOPICS, Topic
from flowgpt_magic.prompt.magic_line import BY_FLAG, OPTIONS, Option

TEXT_WIDTH = 118  # characters of a line
MAX_FIRST_COLUMN = 44  # characters; a longer text has a line of its own
ABOUT_WIDTH = 56  # characters of the middle column, where there are examples
OVERVIEW = (
    ("%%flowgpt [MODEL] [options]", "Ask; the lines below are the prompt."),
    ("%flowgpt [MODEL] [options] WORDS", "Ask in one line; -- before WORDS sends them even if they are a subcommand."),
    ("%flowgpt SUBCOMMAND", "Run a subcommand; %flowgpt alone shows the settings in force."),
    ("Tab", "Completes subcommands, options, models, conversations, files, and names after {."),
)


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, text, and rows of what to type, what it does, and an example (or nothing)."""

    heading: str = ""
    text: str = ""
    rows: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True)
class HelpPage:
    """A page of help."""

    title: str
    sections: Sequence[Section] = field(default_factory=tuple)

    def html(self) -> str:
        """The page as HTML; all text is escaped."""
        return f"<p><b>{_inline(self.title)}</b></p>" + "".join(map(_section_html, self.sections))

    def text(self) -> str:
        """The page as lines of text."""
        return "\n\n".join([_plain(self.title), *filter(None, map(_section_text, self.sections))])


def overview(subcommands: Mapping[str, Subcommand]) -> HelpPage:
    """Everything that can be typed: the subcommands by group, the options and the topics."""
    groups = [
        Section(title, "", [_row(name, seconds, command) for name, seconds, command in _in_group(subcommands, group)])
        for group, title in GROUP_TITLES.items()
    ]
    options = [(_flags(option), option.text, OPTION_EXAMPLES[option.name][0]) for option in OPTIONS]
    topics = [(f"help {name}", topic.title, "") for name, topic in TOPICS.items()]
    return HelpPage(
        "%%flowgpt and %flowgpt",
        [
            Section(rows=[(typed, about, "") for typed, about in OVERVIEW]),
            *groups,
            Section("Options", "", options),
            Section("Topics", "", topics),
        ],
    )


def page(word: str, subcommands: Mapping[str, Subcommand]) -> HelpPage | None:
    """The page of a subcommand, an option or a topic; None if there is none of this name."""
    if word in subcommands:
        return _subcommand_page(word, subcommands)
    if word in TOPICS:
        return _topic_page(TOPICS[word])
    option = BY_FLAG.get(word) or BY_FLAG.get(f"--{word}")
    if option is None:
        return None
    return HelpPage(_flags(option), [Section(text=_sentence(option.text)), _examples(OPTION_EXAMPLES[option.name])])


def _subcommand_page(name: str, subcommands: Mapping[str, Subcommand]) -> HelpPage:
    command = subcommands[name]
    seconds = [other for other, same in subcommands.items() if same is command and other != name]
    again = f"``%flowgpt {seconds[0]}`` is the same." if seconds else ""
    text = "\n\n".join(filter(None, [command.about, command.more, again]))
    return HelpPage(f"%flowgpt {name}", [Section(text=text), _examples(command.examples)])


def _topic_page(topic: Topic) -> HelpPage:
    rows = [(typed, about, "") for typed, about in topic.rows]
    return HelpPage(topic.title, [Section(text=topic.text, rows=rows), _examples(topic.examples)])


def _examples(examples: Sequence[str]) -> Section:
    return Section("Examples", "", [(example, "", "") for example in examples])


def _in_group(subcommands: Mapping[str, Subcommand], group: str) -> list[tuple[str, list[str], Subcommand]]:
    """The subcommands of a group: first name, second names, and what it is."""
    names: dict[int, list[str]] = {}
    for name, command in subcommands.items():
        if command.group == group:
            names.setdefault(id(command), []).append(name)
    return [(first, seconds, subcommands[first]) for first, *seconds in names.values()]


def _row(name: str, seconds: Sequence[str], command: Subcommand) -> tuple[str, str, str]:
    lines = command.examples[0].split("\n")
    example = next((line for line in lines if name in line), lines[0])
    return f"{name} [{', '.join(seconds)}]" if seconds else name, f"{command.short}.", example


def _flags(option: Option) -> str:
    flags = f"-{option.short}, --{option.name}" if option.short else f"--{option.name}"
    return f"{flags} {option.value}".rstrip()


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of ``text``; those that begin with a space are shown as they stand."""
    return [part for part in text.split("\n\n") if part]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


# -- as HTML -----------------------------------------------------------------------------------------------------------

PRE = '<pre style="font-family: monospace">'  # pages of nbconvert show it in the font of the text
LEFT = "text-align: left; vertical-align: top"


def _section_html(section: Section) -> str:
    heading = f"<p><b>{_inline(section.heading)}</b></p>" if section.heading else ""
    paragraphs = [
        f"{PRE}{html.escape(part)}</pre>" if part.startswith(" ") else f"<p>{_inline(part)}</p>"
        for part in _paragraphs(section.text)
    ]
    return f"{heading}{''.join(paragraphs)}{_table_html(section.rows)}"


def _table_html(rows: Sequence[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    if not any(about or example for _typed, about, example in rows):
        return "".join(f"{PRE}{html.escape(typed)}</pre>" for typed, _about, _example in rows)
    with_examples = any(example for _typed, _about, example in rows)
    names = ("write", "what it does", "example")[: 3 if with_examples else 2]
    head = "".join(f'<th style="{LEFT}">{name}</th>' for name in names)
    body = "".join(_row_html(row, with_examples) for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row_html(row: tuple[str, str, str], with_examples: bool) -> str:
    typed, about, example = row
    cells = [_code(typed), _inline(about), *([_code(example) if example else ""] if with_examples else [])]
    return "<tr>" + "".join(f'<td style="{LEFT}">{cell}</td>' for cell in cells) + "</tr>"


def _code(text: str) -> str:
    return "<br>".join(f"<code>{html.escape(line)}</code>" for line in text.split("\n"))


def _inline(text: str) -> str:
    """``text`` as HTML, with code between double backticks."""
    parts = text.split("``")
    return "".join(f"<code>{html.escape(part)}</code>" if n % 2 else html.escape(part) for n, part in enumerate(parts))


# -- as text -----------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    return text.replace("``", "")


def _section_text(section: Section) -> str:
    paragraphs = [
        part if part.startswith(" ") else textwrap.fill(_plain(part), TEXT_WIDTH) for part in _paragraphs(section.text)
    ]
    rows = _rows_text(section.rows)
    return "\n\n".join(filter(None, [section.heading and f"{section.heading}:", *paragraphs, rows]))


def _rows_text(rows: Sequence[tuple[str, str, str]]) -> str:
    if not any(about or example for _typed, about, example in rows):
        return "\n\n".join(textwrap.indent(typed, "  ") for typed, _about, _example in rows)
    width = max([len(typed) for typed, _about, _example in rows if len(typed) <= MAX_FIRST_COLUMN], default=0)
    middle = ABOUT_WIDTH if any(example for _typed, _about, example in rows) else TEXT_WIDTH - width - 4
    return "\n".join(_row_text(row, width, middle) for row in rows)


def _row_text(row: tuple[str, str, str], width: int, middle: int) -> str:
    """Three columns: what to type, what it does, and the first line of the example."""
    typed, about, example = row
    lines = textwrap.wrap(_plain(about), middle) or [""]
    first = [""] * len(lines) if len(typed) > width else [typed, *[""] * (len(lines) - 1)]
    last = [example.split("\n")[0], *[""] * (len(lines) - 1)]
    above = [f"  {typed}"] if len(typed) > width else []
    below = [
        f"  {left.ljust(width)}  {text.ljust(middle)}  {right}"
        for left, text, right in zip(first, lines, last, strict=True)
    ]
    return "\n".join(line.rstrip() for line in [*above, *below])

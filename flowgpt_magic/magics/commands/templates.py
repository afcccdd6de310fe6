"""``%flowgpt template``: ask with a prompt template, or list the templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.text import short_path

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.state import ShellState
    from flowgpt_magic.tables import Table


@subcommand(
    "Ask with a prompt template, or list the templates: ``template [NAME [SLOT=VALUE …] [options] [TEXT]]``.",
    """A template is a Markdown file with {name} slots, such as review.md:

  ---
  description: review code
  temperature: 0.2
  ---
  Review this code for {audience}:

  {code}

It is in templates/ of your configuration folder, or in .flowgpt/templates/ of a project. The lines at the top may set
description, model, temperature and format; options on the line win over them. After

  %flowgpt template review audience=beginners

your variable code fills {code}, as in any prompt. Text after the values, or below %%flowgpt template review, fills
{body}; without that slot it comes last.""",
    group="ask",
    examples=("%flowgpt template review audience=beginners", "%%flowgpt template review audience=beginners\nBe brief."),
)
def template(state: ShellState, rest: str) -> Shown:
    from flowgpt_magic.magics.state import Asked
    from flowgpt_magic.prompt import templates
    from flowgpt_magic.providers.project_choice import template_options

    if not rest:
        return _table()
    call = templates.read_call(rest)
    found = templates.find(call.name)
    prompt = templates.fill(found, call, state.names)
    typed = {name: value for name, value in call.options.items() if name != "help"}
    conversation = state.conversation(typed.get("chat", ""))
    chosen, notice = template_options(found, conversation.as_set(conversation.outside(), {}))
    if notice and "model" not in typed:
        conversation.notebook_history.tell(notice)
    return state.ask(Asked.read(prompt, {**chosen, **typed}))


def begins_with_name(rest: str) -> bool:
    """Does ``rest`` begin with the name of a template that exists?"""
    from flowgpt_magic.prompt import templates

    return bool(rest) and rest.split(None, 1)[0] in templates.find_files()


def _table() -> Table | str:
    """The templates, each with what it is for, or why it cannot be used."""
    from flowgpt_magic.prompt import templates
    from flowgpt_magic.tables import Table

    rows = []
    for name, (path, is_project) in templates.find_files().items():
        try:
            about = templates.read(path, is_project).description
        except templates.TemplateError as error:
            about = f"cannot be used: {error.clause}"
        rows.append((name, about, "project" if is_project else "yours", short_path(str(path))))
    place = short_path(str(templates.folders()[0][0]))
    if not rows:
        return f"there are no templates yet: write one as a Markdown file in {place}; %flowgpt help template shows how"
    return Table(("template", "what it is for", "whose", "file"), tuple(rows), f"your own templates are in {place}")


SUBCOMMANDS: dict[str, Subcommand] = {"template": template}

"""The settings about models that a project's pyproject.toml may change, and the notice about them.

A cloned project is not trusted. It may choose another model of the provider that the user has chosen, but never the
provider, a model file or the system prompt: these decide where a prompt is sent and how it is used.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.models import find_model
from flowgpt_magic.providers.registry import Target, provider_names
from flowgpt_magic.settings import Settings

if TYPE_CHECKING:
    from flowgpt_magic.prompt.templates import Template


def with_project_model(chosen: Settings) -> Settings:
    """``chosen`` with the project's model, if the user's own settings allow it.

    A model that is set closer to the prompt than the project (environment, ``%config``, conversation, option) stays.
    """
    if not chosen.project.model or chosen.ranks.get("model", -1) > chosen.project.rank:
        return chosen
    model = _accepted_model(chosen, chosen.project.model)
    if model is None:
        return chosen
    return replace(
        chosen,
        model=model,
        sources={**chosen.sources, "model": chosen.project.path},
        ranks={**chosen.ranks, "model": chosen.project.rank},
    )


def project_notice(chosen: Settings) -> str:
    """What the project sets and what of it is ignored, in one line; empty if it sets nothing."""
    project = chosen.project
    used = [name for name in project.names if chosen.sources.get(name) == project.path]
    ignored = [f"model = {project.model}"] if project.model and chosen.sources.get("model") != project.path else []
    if chosen.ranks.get("model", -1) > project.rank:
        ignored = []  # the user chose another model, closer to the prompt
    elif project.model and not ignored:
        used.append("model")
    if project.system:
        ignored.append("a system prompt")
    if not used and not ignored:
        return ""
    lines = [f"{project.path} sets {', '.join(used)} for this project"] if used else []
    if ignored:
        lines.append(
            f"{'' if lines else project.path + ': '}{' and '.join(ignored)} of this project is not used: a project "
            "cannot choose a provider, a model file or a system prompt; to use it, set it yourself with %flowgpt set"
        )
    return "; ".join(lines)


def template_options(template: Template, chosen: Settings) -> tuple[dict[str, Any], str]:
    """The options that a template chooses, and a notice about a model that is not used, or an empty text.

    A project's template may choose another model of the provider in the settings ``chosen``, as a project may.
    """
    options = dict(template.options)
    if not template.is_project or "model" not in options:
        return options, ""
    name = options.pop("model")
    model = _accepted_model(chosen, name)
    if model is None:
        return options, (
            f"{template.path}: model = {name} is not used: a project's template cannot choose a provider or a model "
            "file; to use it, write it with -m"
        )
    return {**options, "model": model}, ""


def _accepted_model(chosen: Settings, name: str) -> str | None:
    """The model ``name`` of a project as a model of the user's provider; None if it is not one."""
    name, own = name.strip(), chosen.model.strip()
    if aliases.may_be_alias(own) and own in aliases.load():  # its address and key belong to its own model
        return None
    try:
        target = find_model(own)
        prefix = next(
            (other for other in provider_names() if re.fullmatch(rf"{re.escape(other)}(?:[:/].*)?", name)), ""
        )
        if prefix not in ("", target.provider):
            return None
        model = name[len(prefix) + 1 :] if prefix else name
        return f"{target.provider}:{model}" if _is_named(model, target) else None
    except FlowGptError:
        return None


def _is_named(model: str, target: Target) -> bool:
    """Does the provider know the model by name, rather than as the path of a file?"""
    provider = target.provider_class
    models = provider.get_models()
    if models:
        return model in models or model in provider.model_aliases
    provider.get_model(model)
    return True

"""What a project's pyproject.toml may choose about models, and the line that tells the person what it chose.

A cloned project is somebody else's. It may choose another model of the provider that the person has chosen. It never
chooses the provider, a model file, or the system prompt: these decide where a prompt goes and what becomes of it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.models import find_model
from flowgpt_magic.providers.registry import Target, provider_names
from flowgpt_magic.settings import Settings


def with_project_model(chosen: Settings) -> Settings:
    """``chosen`` with the model of the project, where the person's own choice leaves room for it.

    A model that is set nearer to the prompt than the project (environment, ``%config``, conversation, option) stays.
    """
    if not chosen.project.model or chosen.ranks.get("model", -1) > chosen.project.rank:
        return chosen
    model = _accepted(chosen)
    if model is None:
        return chosen
    return replace(
        chosen,
        model=model,
        sources={**chosen.sources, "model": chosen.project.path},
        ranks={**chosen.ranks, "model": chosen.project.rank},
    )


def project_notice(chosen: Settings) -> str:
    """The line that says what the project sets and what of it is not used; empty where it sets nothing in force."""
    project = chosen.project
    used = [name for name in project.names if chosen.sources.get(name) == project.path]
    refused = [f"model = {project.model}"] if project.model and chosen.sources.get("model") != project.path else []
    if chosen.ranks.get("model", -1) > project.rank:
        refused = []  # the person said otherwise, nearer to the prompt
    elif project.model and not refused:
        used.append("model")
    if project.system:
        refused.append("a system prompt")
    if not used and not refused:
        return ""
    lines = [f"{project.path} sets {', '.join(used)} for this project"] if used else []
    if refused:
        lines.append(
            f"{'' if lines else project.path + ': '}{' and '.join(refused)} of this project is not used: a project "
            "chooses neither provider nor model file nor system prompt; to use it, set it yourself with %flowgpt set"
        )
    return "; ".join(lines)


def _accepted(chosen: Settings) -> str | None:
    """The project's model as a model of the person's own provider; None where it is not one."""
    name, own = chosen.project.model.strip(), chosen.model.strip()
    if aliases.may_be_alias(own) and own in aliases.load():  # its address and key go with its own model
        return None
    try:
        target = find_model(own)
        prefix = next((each for each in provider_names() if re.fullmatch(rf"{re.escape(each)}(?:[:/].*)?", name)), "")
        if prefix not in ("", target.provider):
            return None
        model = name[len(prefix) + 1 :] if prefix else name
        return f"{target.provider}:{model}" if _is_named(model, target) else None
    except FlowGptError:
        return None


def _is_named(model: str, target: Target) -> bool:
    """Does the provider know the model by its name, and not as the path of a file?"""
    provider = target.provider_class
    known = provider.get_models()
    if known:
        return model in known or model in provider.model_aliases
    provider.get_model(model)
    return True

"""Prompt templates of a user and of a project, as files."""

from __future__ import annotations

from pathlib import Path

from flowgpt_magic.settings import settings_file


def write(name: str, text: str) -> Path:
    """A template of the user."""
    return _written(settings_file().parent / "templates" / f"{name}.md", text)


def write_in_project(folder: Path, name: str, text: str) -> Path:
    """A template of the project in ``folder``."""
    return _written(folder / ".flowgpt" / "templates" / f"{name}.md", text)


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path

"""Turn what is typed into what is sent: the magic line, references, attachments and images."""

__all__ = [
    "attachments",
    "compose",
    "describe",
    "dropped_files",
    "image_formats",
    "images",
    "looks",
    "magic_line",
    "parameter_syntax",
    "pictures",
    "references",
    "templates",
]

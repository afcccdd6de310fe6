"""From what is typed to what is sent: the line of the magic, references, attachments, images."""

__all__ = ["attachments", "compose", "describe", "images", "magic_line", "parameter_syntax", "references"]

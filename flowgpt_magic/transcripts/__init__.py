"""A conversation as a file: Markdown, JSON, a notebook or a page, and back from the first three."""

__all__ = ["bundles", "caption", "files", "html_page", "pictures", "reasoning", "transcript"]

"""A conversation as a file: Markdown, JSON, a notebook, a page; and back from the first three."""

__all__ = ["bundles", "files", "html_page"]

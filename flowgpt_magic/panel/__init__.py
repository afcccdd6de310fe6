"""The chat panel: a widget that shows one conversation live."""

__all__ = ["actions", "cell_inserter", "model_choices", "output", "panel", "pictures", "protocol", "state"]

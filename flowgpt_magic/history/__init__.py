"""The stored turns: the SQLite file, the thread that writes it, and the open histories of this process."""

__all__ = [
    "cell_turns",
    "compared_turns",
    "conversation_state",
    "current",
    "database",
    "merge",
    "notebook_history",
    "processes",
    "records",
    "search",
    "timeline",
    "turn_recorder",
]

"""Keep turns in a file: the SQLite database, the thread that writes it, and the part of it that this process uses."""

__all__ = [
    "cell_turns",
    "conversation_state",
    "current",
    "database",
    "merge",
    "notebook_history",
    "processes",
    "records",
    "timeline",
    "turn_recorder",
]

# ruff: noqa: S608 # the names in these statements are our own, the values are bound
"""What was asked of each model on each day: statements about the table ``usage``, in which it is summed up.

Its sums are those of a quarter of an hour, the unit of which the days of every time zone are made. Triggers note the
quarters whose turns have changed as stale. A stale quarter is counted from its turns until it is summed up again, so an
answer is right at any moment, however the turns were changed.
"""

from __future__ import annotations

QUARTER = 900  # seconds, as in the migration
SUMS = (
    *("turns", "prompt_tokens", "completion_tokens"),
    *("first_seconds", "first_turns", "rates", "rate_turns"),  # of the turns that tell
)
KEY = ("quarter", "conversation_id", "provider", "model")

QUARTER_OF = f"CAST(started / {QUARTER} AS INTEGER)"
RATE = "CASE WHEN chunks > 1 AND seconds > first_chunk_seconds THEN (chunks - 1) / (seconds - first_chunk_seconds) END"


def _counted(quarters: str, inside: str = "", since: str = "") -> str:
    """The sums of ``quarters``, a list of them in SQL, from the turns.

    A copy of a turn differs from its original in ids and places alone, and was written after it.
    """
    return (
        f"SELECT {QUARTER_OF} AS quarter, conversation_id, provider, model, count(*) AS turns, "
        "coalesce(sum(prompt_tokens), 0) AS prompt_tokens, coalesce(sum(completion_tokens), 0) AS completion_tokens, "
        "total(first_chunk_seconds) AS first_seconds, count(first_chunk_seconds) AS first_turns, "
        f"total({RATE}) AS rates, count({RATE}) AS rate_turns FROM turns WHERE number IN "
        f"(SELECT min(number) FROM turns WHERE NOT replayed AND kernel <> '' AND {QUARTER_OF} IN ({quarters}) {since} "
        f"GROUP BY started, kernel, provider, model, request_key) {inside} GROUP BY {', '.join(KEY)}"
    )


def usage_of(inside: str = "") -> str:
    """Rows of day, provider, model, sums and means, of turns from ``:since`` on; ``inside`` leaves some out."""
    sums = ", ".join(f"sum({name})" for name in SUMS[:3])
    begins = f"CAST(:since / {QUARTER} AS INTEGER)"  # the quarter in which that moment is
    stale = f"SELECT quarter FROM usage_stale UNION SELECT {begins}"
    return (
        f"SELECT date(quarter * {QUARTER}, 'unixepoch', 'localtime') AS day, provider, model, {sums}, "
        "sum(first_seconds) / sum(first_turns), sum(rates) / sum(rate_turns) FROM "
        f"(SELECT {', '.join((*KEY, *SUMS))} FROM usage "
        f"WHERE quarter > {begins} AND quarter NOT IN (SELECT quarter FROM usage_stale) {inside} "
        f"UNION ALL {_counted(stale, inside, 'AND started >= :since')}) "
        "GROUP BY day, provider, model ORDER BY day DESC, provider, model"
    )


STALE = "SELECT quarter FROM usage_stale WHERE quarter < ? LIMIT ?"
_GIVEN = "SELECT value FROM json_each(?)"
SUM_UP = (
    f"DELETE FROM usage WHERE quarter IN ({_GIVEN})",
    f"INSERT INTO usage ({', '.join((*KEY, *SUMS))}) {_counted(_GIVEN)}",
    f"DELETE FROM usage_stale WHERE quarter IN ({_GIVEN})",
)

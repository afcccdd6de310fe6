# ruff: noqa: S608 # the names in these statements are our own, the values are bound
"""SQL for the usage of each model on each day, summed in the table ``usage``.

A row has the sums of one local day within a period of four hours. Triggers mark the periods whose turns have changed as
stale; periods summed in another time zone are stale too. A stale period is counted from its turns until it is summed
again, so results are always correct.
"""

from __future__ import annotations

PERIOD = 14_400  # seconds, as in the migration
SUMS = (
    *("turns", "prompt_tokens", "completion_tokens"),
    *("first_seconds", "first_turns", "rates", "rate_turns"),  # of the turns that have the value
)
KEY = ("period", "day", "conversation_id", "provider", "model")

PERIOD_OF = f"CAST(started / {PERIOD} AS INTEGER)"
RATE = "CASE WHEN chunks > 1 AND seconds > first_chunk_seconds THEN (chunks - 1) / (seconds - first_chunk_seconds) END"
# Local time at both ends of a period determines the days of its turns.
ZONE_OF = " || ".join(
    f"strftime('%Y-%m-%d %H:%M', {moment}, 'unixepoch', 'localtime')"
    for moment in (f"period * {PERIOD}", f"(period + 1) * {PERIOD} - 1")
)
STALE = "SELECT period FROM usage_stale"
STALE_HERE = f"{STALE} UNION SELECT period FROM usage WHERE zone IS NOT {ZONE_OF}"


def _counted(periods: str, inside: str = "", since: str = "") -> str:
    """SQL for the sums of ``periods``, an SQL list, computed from the turns.

    A copied turn differs from its original only in ids and place, and was written later, so the lowest number counts.
    """
    return (
        f"SELECT {PERIOD_OF} AS period, date(started, 'unixepoch', 'localtime') AS day, conversation_id, provider, "
        "model, count(*) AS turns, coalesce(sum(prompt_tokens), 0) AS prompt_tokens, "
        "coalesce(sum(completion_tokens), 0) AS completion_tokens, "
        "total(first_chunk_seconds) AS first_seconds, count(first_chunk_seconds) AS first_turns, "
        f"total({RATE}) AS rates, count({RATE}) AS rate_turns FROM turns WHERE number IN "
        f"(SELECT min(number) FROM turns WHERE NOT replayed AND kernel <> '' AND {PERIOD_OF} IN ({periods}) {since} "
        f"GROUP BY started, kernel, provider, model, request_key) {inside} GROUP BY {', '.join(KEY)}"
    )


def usage_of(inside: str = "") -> str:
    """SQL for day, provider, model, sums and means of turns since ``:since``; ``inside`` is a further condition."""
    sums = ", ".join(f"sum({name})" for name in SUMS[:3])
    begins = f"CAST(:since / {PERIOD} AS INTEGER)"  # the period that contains it
    return (
        f"WITH stale AS ({STALE_HERE} UNION SELECT {begins}) "
        f"SELECT day, provider, model, {sums}, "
        "sum(first_seconds) / sum(first_turns), sum(rates) / sum(rate_turns) FROM "
        f"(SELECT {', '.join((*KEY, *SUMS))} FROM usage "
        f"WHERE period > {begins} AND period NOT IN (SELECT period FROM stale) {inside} "
        f"UNION ALL {_counted('SELECT period FROM stale', inside, 'AND started >= :since')}) "
        "GROUP BY day, provider, model ORDER BY day DESC, provider, model"
    )


_GIVEN = "SELECT value FROM json_each(?)"
SUM_UP = (
    f"DELETE FROM usage WHERE period IN ({_GIVEN})",
    f"INSERT INTO usage ({', '.join((*KEY, *SUMS))}, zone) SELECT *, {ZONE_OF} FROM ({_counted(_GIVEN)})",
    f"DELETE FROM usage_stale WHERE period IN ({_GIVEN})",
)

# ruff: noqa: S608 # the names in these statements are our own, the values are bound
"""SQL for the usage of each model on each day, summed in the table ``usage``.

A row has the sums of one local day within a period of four hours. Triggers mark the periods that got or lost requests
as stale; periods summed in another time zone are stale too. A stale period is counted from its requests until it is
summed again, so results are always correct.
"""

from __future__ import annotations

PERIOD = 14_400  # seconds, as in the migration
SUMS = (
    *("requests", "prompt_tokens", "completion_tokens", "estimated"),
    *("reasoning_tokens", "cached_tokens", "cost", "computed", "unpriced"),  # the last two are requests
    *("first_seconds", "first_requests", "rates", "rate_requests"),  # of the requests that have the value
)
ADDED = SUMS[:9]
KEY = ("period", "day", "notebook_id", "provider", "model")

PERIOD_OF = f"CAST(started / {PERIOD} AS INTEGER)"
RATE = "CASE WHEN chunks > 1 AND seconds > first_chunk_seconds THEN (chunks - 1) / (seconds - first_chunk_seconds) END"
# Local time at both ends of a period determines the days of its requests.
ZONE_OF = " || ".join(
    f"strftime('%Y-%m-%d %H:%M', {moment}, 'unixepoch', 'localtime')"
    for moment in (f"period * {PERIOD}", f"(period + 1) * {PERIOD} - 1")
)
STALE = "SELECT period FROM usage_stale"
STALE_HERE = f"{STALE} UNION SELECT period FROM usage WHERE zone IS NOT {ZONE_OF}"


def _counted(periods: str, inside: str = "", since: str = "") -> str:
    """SQL for the sums of ``periods``, an SQL list, computed from the requests."""
    return (
        f"SELECT {PERIOD_OF} AS period, date(started, 'unixepoch', 'localtime') AS day, notebook_id, provider, "
        "model, count(*) AS requests, coalesce(sum(prompt_tokens), 0) AS prompt_tokens, "
        "coalesce(sum(completion_tokens), 0) AS completion_tokens, sum(estimated) AS estimated, "
        "coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens, coalesce(sum(cached_tokens), 0) AS cached_tokens, "
        "total(cost) AS cost, total(cost_source = 'computed') AS computed, total(cost_source = 'unknown') AS unpriced, "
        "total(first_chunk_seconds) AS first_seconds, count(first_chunk_seconds) AS first_requests, "
        f"total({RATE}) AS rates, count({RATE}) AS rate_requests FROM requests "
        f"WHERE {PERIOD_OF} IN ({periods}) {since} {inside} GROUP BY {', '.join(KEY)}"
    )


def usage_of(inside: str = "", group: str = "day") -> str:
    """SQL for day, provider, model, sums and means of requests since ``:since``; ``inside`` is a further condition.

    ``group`` is the column of ``KEY`` that stands in the place of the day.
    """
    sums = ", ".join(f"sum({name})" for name in ADDED)
    begins = f"CAST(:since / {PERIOD} AS INTEGER)"  # the period that contains it
    return (
        f"WITH stale AS ({STALE_HERE} UNION SELECT {begins}) "
        f"SELECT {group}, provider, model, {sums}, "
        "sum(first_seconds) / sum(first_requests), sum(rates) / sum(rate_requests) FROM "
        f"(SELECT {', '.join((*KEY, *SUMS))} FROM usage "
        f"WHERE period > {begins} AND period NOT IN (SELECT period FROM stale) {inside} "
        f"UNION ALL {_counted('SELECT period FROM stale', inside, 'AND started >= :since')}) "
        f"GROUP BY {group}, provider, model ORDER BY {group} DESC, provider, model"
    )


_GIVEN = "SELECT value FROM json_each(?)"
SUM_UP = (
    f"DELETE FROM usage WHERE period IN ({_GIVEN})",
    f"INSERT INTO usage ({', '.join((*KEY, *SUMS))}, zone) SELECT *, {ZONE_OF} FROM ({_counted(_GIVEN)})",
    f"DELETE FROM usage_stale WHERE period IN ({_GIVEN})",
)

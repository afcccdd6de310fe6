"""Usage by model and day: a table with a chart above, as SVG in HTML and as bars of characters in text.

The SVG has no scripts, style sheets or references, so a saved notebook shows it too. Its text has the colour of the
page, and its colours are visible on white and on black.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from flowgpt_magic.history.records import UsageRow
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted, cut, one_line
from flowgpt_magic.transcripts.caption import NO_PRICE, dollars

MOST_DAYS = 31  # in the chart
APPROXIMATE = "\N{ALMOST EQUAL TO}"  # before a number that contains estimates
USAGE_COLUMNS = (
    "day",
    "model",
    "requests",
    "tokens in",
    "tokens out",
    "first chunk",
    "chunks/s",
)
MORE_COLUMNS = {"reasoning_tokens": "of it reasoning", "cached_tokens": "of it cached"}  # shown where there are any
COST_COLUMN = "cost"
COUNTED = (
    "every request that was sent counts, also interrupted ones, discarded attempts, batches and --no-history; "
    "replies from the history do not"
)
COMPUTED = f"{APPROXIMATE} costs are computed from tokens and a price"
UNPRICED = (
    f'{NO_PRICE} without a price: pip install "flowgpt_magic[prices]" brings a list, the setting prices is your own'
)
ESTIMATED = f"{APPROXIMATE} estimated, because the server told no count"

# Contrast of at least 3:1 with white and with #111 (WCAG 2.2, 1.4.11). The last one is for all other models.
COLOURS = ("#2779c4", "#c4660a", "#218a5a", "#9c58c2", "#c94350", "#15828f", "#8a7421", "#808080")
SHADES = "█▓▒░"
HEIGHT = 190
ROOM, LEAST_ROOM = 496, 220  # units; the most and the least that the bars take together
SMALLEST = 0.75  # of its size; a smaller chart would have unreadable text, so that it is scrolled instead
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 24  # around the bars
BAR, SLOT = 32, 48  # units; the widest bar, and the most room for one
TEXT_BAR = 40  # characters; the longest bar
NAME_LENGTH = 40  # characters of a model's name that are shown
PRECISE = 100  # chunks a second; higher rates have no decimals
DAYS_APART = 44  # units, at least, between the labels of two days

Series = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Chart:
    """How much of ``unit``, tokens or requests, each model used on each of ``days``; the largest series first.

    ``days`` are those with requests, oldest first.
    """

    unit: str
    days: tuple[date, ...]
    series: tuple[Series, ...]

    @property
    def totals(self) -> tuple[int, ...]:
        """The sum of all models, for each day."""
        return tuple(map(sum, zip(*(amounts for _name, amounts in self.series), strict=True)))

    def stacked(self, most: int) -> tuple[Series, ...]:
        """At most ``most`` series; the smallest are added up to one if there are more."""
        if len(self.series) <= most:
            return self.series
        rest = self.series[most - 1 :]
        others = tuple(map(sum, zip(*(amounts for _name, amounts in rest), strict=True)))
        return (*self.series[: most - 1], (f"{len(rest)} other models", others))

    def description(self) -> str:
        """The chart in words, for screen readers."""
        highest = max(range(len(self.days)), key=self.totals.__getitem__)
        sums = "; ".join(f"{name}: {sum(amounts):,}" for name, amounts in self.stacked(len(COLOURS)))
        return (
            f"A bar for each day with requests from {self.days[0]} to {self.days[-1]}, stacked by model. "
            f"The highest is {self.days[highest]} with {self.totals[highest]:,} {self.unit}. In all, {sums}."
        )

    def html(self, title: str) -> str:
        """The chart with its title and legend."""
        squares = zip(self.stacked(len(COLOURS)), COLOURS, strict=False)
        names = "".join(
            f'<span style="display: inline-block; margin-right: 1.2em">'
            f'<span aria-hidden="true" style="color: {colour}">&#9632;</span> {_escaped(name)}</span>'
            for (name, _amounts), colour in squares
        )
        head = f"<figcaption>{_escaped(title)}</figcaption>"
        scrolled = f'<div style="overflow-x: auto">{self.svg(title)}</div>'
        return f'<figure style="margin: 0 0 1em">{head}{scrolled}<div>{names}</div></figure>'

    def svg(self, title: str) -> str:
        """The bars and axes."""
        ticks = _ticks(max(self.totals))
        series = self.stacked(len(COLOURS))
        slot = min(ROOM / len(self.days), SLOT)
        width = round(LEFT + RIGHT + max(slot * len(self.days), LEAST_ROOM))
        parts = [_line(tick, ticks[-1], width) for tick in ticks]
        apart = -(-DAYS_APART // int(slot))
        for place, day in enumerate(self.days):
            middle = LEFT + slot * (place + 0.5)
            parts += self._bar(place, middle, min(slot * 0.75, BAR), series, ticks[-1])
            if (len(self.days) - 1 - place) % apart == 0:
                parts.append(_text(middle, HEIGHT - BOTTOM + 16, "middle", f"{day:%m-%d}"))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {HEIGHT}" width="{width}" '
            f'style="display: block; max-width: 100%; min-width: {width * SMALLEST:.0f}px; height: auto" '
            f'fill="currentColor" font-size="12">'
            f"<title>{_escaped(title)}</title><desc>{_escaped(self.description())}</desc>{''.join(parts)}</svg>"
        )

    def _bar(self, place: int, middle: float, width: float, series: tuple[Series, ...], top: int) -> list[str]:
        parts, below = [], 0
        for (name, amounts), colour in zip(series, COLOURS, strict=False):
            amount = amounts[place]
            if not amount:
                continue
            foot, head = _height(below, top), _height(below + amount, top)
            height = max(foot - head - (1 if below and foot - head > 3 else 0), 1)  # a gap between two colours
            below += amount
            parts.append(
                f'<rect x="{middle - width / 2:.1f}" y="{head:.1f}" width="{width:.1f}" height="{height:.1f}" '
                f'fill="{colour}"><title>{self.days[place]} {_escaped(name)}: {amount:,} {self.unit}</title></rect>'
            )
        return parts

    def text(self) -> str:
        """A bar of characters for each day with usage, and a legend."""
        series, totals = self.stacked(len(SHADES)), self.totals
        widest = max(len(f"{total:,}") for total in totals)
        lines = []
        for place, day in enumerate(self.days):
            if not totals[place]:
                continue
            bar, below = "", 0
            for (_name, amounts), shade in zip(series, SHADES, strict=False):
                below += amounts[place]
                length = max(-(-below * TEXT_BAR // max(totals)) - len(bar), 0)
                bar += shade * length
            lines.append(f"{day}  {totals[place]:>{widest},}  {bar}")
        legend = "  ".join(f"{shade} {name}" for (name, _amounts), shade in zip(series, SHADES, strict=False))
        return "\n".join([*lines, legend])


def chart(rows: Sequence[UsageRow]) -> Chart | None:
    """The chart of the last days with requests: tokens, or requests if no token counts are known.

    None if there is nothing to draw.
    """
    dated = [(day, row) for row in rows if (day := _day(row))]
    if not dated:
        return None
    unit = "tokens" if any(_tokens(row) for _day, row in dated) else "requests"
    drawn = [(day, row, _tokens(row) if unit == "tokens" else max(row.requests, 0)) for day, row in dated]
    days = tuple(sorted({day for day, _row, amount in drawn if amount})[-MOST_DAYS:])
    amounts: dict[str, list[int]] = {}
    for day, row, amount in drawn:
        if amount and day in days:
            amounts.setdefault(_name(row), [0] * len(days))[days.index(day)] += amount
    series = sorted(((name, tuple(values)) for name, values in amounts.items()), key=lambda series: -sum(series[1]))
    return Chart(unit, days, tuple(series)) if series else None


@dataclass(frozen=True)
class UsageTable(Table):
    """A table with its chart above."""

    title: str = ""
    chart: Chart | None = None

    def html(self) -> str:
        """The chart and the table, with everything in them escaped."""
        above = f"<div>{_escaped(self.title)}</div>" if self.chart is None else self.chart.html(self._headline)
        return f"{above}{super().html()}"

    def text(self, width: int = 0) -> str:
        """The bars and the table as text."""
        above = one_line(self.title) if self.chart is None else f"{one_line(self._headline)}\n\n{self.chart.text()}"
        return f"{above}\n\n{super().text(width)}"

    @property
    def _headline(self) -> str:
        unit = self.chart.unit if self.chart else ""
        return f"{self.title}: {unit} a day"


def usage_table(rows: Sequence[UsageRow], title: str, group: str = "day") -> UsageTable:
    """A table of ``rows``, at least one, and their totals; ``title`` says which notebooks and days they cover.

    ``group`` is what the rows are for: a day or a notebook.
    """
    more = [name for name in MORE_COLUMNS if any(getattr(row, name) for row in rows)]
    has_costs = any(row.cost or row.unpriced for row in rows)

    def cells(day: str, model: str, some: Sequence[UsageRow]) -> tuple[str, ...]:
        counts = [sum(getattr(row, name) for row in some) for name in more]
        costs = (_cost(some),) if has_costs else ()
        return (*_cells(day, model, some), *(f"{count:,}" if count else "" for count in counts), *costs)

    lines = [cells(row.day or "", _name(row), [row]) for row in rows]
    models = list(dict.fromkeys(map(_name, rows)))
    days = len({row.day for row in rows})
    if 1 < len(models) < len(rows):
        lines += [cells("total", model, [row for row in rows if _name(row) == model]) for model in models]
    if len(rows) > 1:
        lines.append(cells("total", f"in {counted(days, group)}", rows))
    uncounted = [model for model in models if not any(_tokens(row) for row in rows if _name(row) == model)]
    notes = [COUNTED]
    if any(row.estimated for row in rows):
        notes.insert(0, ESTIMATED)
    if any(row.computed for row in rows):
        notes.insert(0, COMPUTED)
    if any(row.unpriced for row in rows):
        notes.insert(0, UNPRICED)
    if 0 < len(uncounted) < len(models):
        notes.insert(0, f"token counts are unknown for {', '.join(uncounted)}")
    columns = (group, *USAGE_COLUMNS[1:], *map(MORE_COLUMNS.__getitem__, more), *([COST_COLUMN] if has_costs else []))
    return UsageTable(columns, tuple(lines), "; ".join(notes), title, chart(rows))


def _cells(day: str, model: str, rows: Sequence[UsageRow]) -> tuple[str, ...]:
    counts = (
        sum(row.requests for row in rows),
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
    )
    first = _mean([(row.first_chunk_seconds, row.requests) for row in rows])
    rate = _mean([(row.chunks_per_second, row.requests) for row in rows])
    times = (
        "" if first is None else f"{first:.2f} s",
        "" if rate is None else f"{rate:,.{0 if rate >= PRECISE else 1}f}",
    )
    requests, *tokens = (f"{count:,}" if count else "" for count in counts)
    about = APPROXIMATE if any(row.estimated for row in rows) else ""
    return (day, model, requests, *(text and f"{about}{text}" for text in tokens), *times)


def _cost(rows: Sequence[UsageRow]) -> str:
    """The dollars of the requests; a dash where some have no price, alone if none has one."""
    cost, unpriced = sum(row.cost for row in rows), any(row.unpriced for row in rows)
    if not cost:
        return NO_PRICE if unpriced else ""
    about = f"{APPROXIMATE} " if any(row.computed for row in rows) else ""
    return f"{about}{dollars(cost)}{f' and {NO_PRICE}' if unpriced else ''}"


def _mean(values: Sequence[tuple[float | None, int]]) -> float | None:
    """The mean of the known values, weighted by requests."""
    weighted = [(value, requests) for value, requests in values if value is not None]
    total = sum(requests for _value, requests in weighted)
    return sum(value * requests / total for value, requests in weighted) if total else None


def _tokens(row: UsageRow) -> int:
    return max(row.prompt_tokens, 0) + max(row.completion_tokens, 0)


def _name(row: UsageRow) -> str:
    return cut(f"{row.provider}:{row.model}", NAME_LENGTH)


def _day(row: UsageRow) -> date | None:
    """The date of a row; None if it is not valid, because of a wrong clock."""
    try:
        return date.fromisoformat(row.day)
    except (TypeError, ValueError):
        return None


def _ticks(top: int) -> list[int]:
    """Round numbers from 0 to ``top`` or just above it; three to six, fewer if ``top`` is 1."""
    magnitude = 10 ** (len(str(top // 4)) - 1)
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * magnitude) * 4 >= top)
    return [step * number for number in range(-(-top // step) + 1)]


def _height(amount: int, top: int) -> float:
    """The distance of ``amount`` from the upper edge."""
    return HEIGHT - BOTTOM - amount / top * (HEIGHT - BOTTOM - TOP)


def _line(tick: int, top: int, width: int) -> str:
    height, thousands = _height(tick, top), 0
    while tick >= 1000 ** (thousands + 1) and thousands < len(" kMGTPE") - 1:
        thousands += 1
    label = f"{tick / 1000**thousands:g}{' kMGTPE'[thousands].strip()}"
    strength = 0.2 if tick else 0.6
    line = f'<path d="M{LEFT} {height:.1f}H{width - RIGHT}" stroke="currentColor" stroke-opacity="{strength}"/>'
    return line + _text(LEFT - 6, height + 4, "end", label)


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """``text`` on one line, escaped for XML."""
    return html.escape(one_line(text))

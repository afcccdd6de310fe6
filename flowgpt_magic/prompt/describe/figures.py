"""Describe figures of matplotlib in words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from flowgpt_magic.prompt.describe.budget import Description, Inspection, amount, omitted_of, type_name
from flowgpt_magic.prompt.describe.recognize import brief
from flowgpt_magic.text import cut


def figure(value: Any, inspection: Inspection) -> Description | None:
    """Describe a figure or axes: titles, labels, legends, and what is plotted over which range."""
    kind: Any = getattr(sys.modules.get("matplotlib.figure"), "Figure", ())
    axes: Any = getattr(sys.modules.get("matplotlib.axes"), "Axes", ())
    if not isinstance(value, (kind, axes) if kind and axes else ()):
        return None
    all_axes = value.axes if isinstance(value, kind) else [value]
    title = cut(value.get_suptitle()) if isinstance(value, kind) and hasattr(value, "get_suptitle") else ""
    lines = [line for number, axis in enumerate(all_axes, 1) for line in _axes_lines(axis, number)]
    shown: list[str] = []
    while len(shown) < len(lines) and sum(map(len, shown)) + len(shown) + len(lines[len(shown)]) <= inspection.room:
        shown.append(lines[len(shown)])
    what = f"matplotlib figure, {len(all_axes)} axes" if isinstance(value, kind) else "matplotlib axes"
    omitted = omitted_of(len(shown), len(lines), "line")
    return Description(f"{what}, {title!r}" if title else what, "\n".join(shown), None, omitted)


def _axes_lines(axes: Any, number: int) -> Iterator[str]:
    yield f"- axes {number}: {cut(axes.get_title())!r}"
    for way, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        low, high = axis.get_view_interval()
        yield f"  - {way}: {cut(axis.get_label_text())!r}, {axis.get_scale()}, {brief(low)} to {brief(high)}"
    if legend := axes.get_legend():
        yield f"  - legend: {', '.join(cut(text.get_text()) for text in legend.get_texts())}"
    for line in axes.lines:
        x, y = line.get_xdata(orig=False), line.get_ydata(orig=False)
        yield f"  - line {cut(str(line.get_label()))!r}: {amount(len(x), 'point')}, x {_extent(x)}, y {_extent(y)}"
    for bars in axes.containers:
        heights = [bar.get_height() for bar in bars if hasattr(bar, "get_height")]
        yield f"  - bars {cut(str(bars.get_label()))!r}: {len(bars)}, heights {_extent(heights)}"
    for points in axes.collections:
        places = points.get_offsets()
        yield f"  - {type_name(points)} {cut(str(points.get_label()))!r}: {amount(len(places), 'point')}, " + (
            f"x {_extent(places[:, 0])}, y {_extent(places[:, 1])}"
        )
    for image in axes.images:
        yield f"  - image of {image.get_array().shape}, {_extent(image.get_array())}"


def _extent(numbers: Any) -> str:
    numpy: Any = sys.modules["numpy"]
    array = numpy.asarray(numbers, dtype=float)
    finite = array[numpy.isfinite(array)]
    return f"{brief(finite.min())} to {brief(finite.max())}" if finite.size else "none"

"""Tokens and times as a table with a chart."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.history.records import UsageRow
from flowgpt_magic.magics.usage_chart import COLOURS, SHADES, UsageTable, _ticks, chart, usage_table
from flowgpt_magic.tables import Showable
from tests.shell_states import column

SVG = "{http://www.w3.org/2000/svg}"
ROW = UsageRow("2026-03-02", "echo", "words", 2, 30, 10, 0.5, 20.0)

rows = st.lists(
    st.builds(
        UsageRow,
        st.dates().map(str) | st.sampled_from(["2026-03-02", "2026-03-01", "", "-4712-01-01"]),
        st.text(max_size=8),
        st.text(max_size=80) | st.text("<>&\"'`\x00\x1b\ud800\n]", max_size=9),
        st.integers(0, 2**63),
        st.integers(0, 2**63) | st.just(0),
        st.integers(0, 2**63) | st.just(0),
        st.none() | st.floats(0, 1e300),
        st.none() | st.floats(0, 1e300),
    ),
    min_size=1,
    max_size=12,
)


def svg_of(table: UsageTable) -> ElementTree.Element:
    """The chart, read as strictly as XML is."""
    (svg,) = re.findall(r"<svg.*</svg>", table.html(), re.DOTALL)
    return ElementTree.fromstring(svg)


def bars(table: UsageTable) -> list[ElementTree.Element]:
    return svg_of(table).findall(f"{SVG}rect")


def names(table: UsageTable) -> list[str]:
    """What stands in the tips of the bars."""
    return [bar.findtext(f"{SVG}title") for bar in bars(table)]


def texts(table: UsageTable) -> list[str]:
    return [each.text for each in svg_of(table).findall(f"{SVG}text")]


def test_a_row_shows_its_day_its_model_its_counts_and_its_means():
    (row,) = usage_table([ROW], "now").rows

    assert row == ("2026-03-02", "echo:words", "2", "30", "10", "0.50 s", "20.0")


def test_what_nobody_knows_stays_empty():
    (row,) = usage_table([UsageRow("2026-03-02", "echo", "words", 1234, 0, 0, None, None)], "now").rows

    assert row == ("2026-03-02", "echo:words", "1,234", "", "", "", "")


def test_totals_are_of_each_model_and_of_all_and_means_count_each_request():
    earlier = replace(ROW, day="2026-03-01", requests=6, first_chunk_seconds=1.5, chunks_per_second=None)
    other = replace(ROW, model="other", requests=1)

    table = usage_table([ROW, other, earlier], "now")

    assert column(table, "day")[3:] == ["total"] * 3
    assert column(table, "model")[3:] == ["echo:words", "echo:other", "in 2 days"]
    assert column(table, "requests")[3:] == ["8", "1", "9"]
    assert column(table, "first chunk")[3:] == ["1.25 s", "0.50 s", "1.17 s"]
    assert column(table, "chunks/s")[3:] == ["20.0", "20.0", "20.0"]


def test_one_model_needs_no_totals_of_its_own_and_one_day_none_of_each_model():
    one_model = usage_table([ROW, replace(ROW, day="2026-03-01")], "now")
    one_day = usage_table([ROW, replace(ROW, model="other")], "now")

    assert column(one_model, "model")[2:] == ["in 2 days"]
    assert column(one_day, "model")[2:] == ["in 1 day"]


def test_the_note_names_models_whose_tokens_nobody_knows_unless_none_are_known():
    silent = replace(ROW, model="silent", prompt_tokens=0, completion_tokens=0)

    assert usage_table([ROW, silent], "now").note.startswith("token counts are unknown for echo:silent; ")
    assert "unknown" not in usage_table([silent], "now").note
    assert "unknown" not in usage_table([ROW], "now").note


def test_it_is_shown_as_every_table_is():
    assert isinstance(usage_table([ROW], "now"), Showable)


def test_bars_are_tokens_stacked_by_model_with_the_largest_below():
    small = replace(ROW, model="small", prompt_tokens=1, completion_tokens=1)

    table = usage_table([small, ROW], "now")
    lower, upper = bars(table)

    assert names(table) == ["2026-03-02 echo:words: 40 tokens", "2026-03-02 echo:small: 2 tokens"]
    assert float(upper.get("y")) + float(upper.get("height")) <= float(lower.get("y")) + 0.11
    assert [lower.get("fill"), upper.get("fill")] == list(COLOURS[:2])


def test_bars_are_requests_where_no_tokens_are_known():
    table = usage_table([replace(ROW, prompt_tokens=0, completion_tokens=0)], "now")

    assert names(table) == ["2026-03-02 echo:words: 2 requests"]
    assert "now: requests a day" in table.html()
    assert "now: requests a day" in table.text()


def test_there_are_at_most_thirty_one_days():
    today = date(2026, 3, 2)
    many = [replace(ROW, day=str(today - timedelta(before))) for before in range(40)]

    assert len(chart([ROW]).days) == 1
    assert len(chart(many[:9]).days) == 9
    assert len(chart(many).days) == len(bars(usage_table(many, "now"))) == 31
    assert chart(many).days[-1] == today
    assert len(usage_table(many, "now").rows) == 41


def test_a_day_without_requests_takes_no_room():
    rows = [replace(ROW, day="2026-03-02"), replace(ROW, day="2026-01-05"), replace(ROW, day="2026-02-07")]

    table = usage_table(rows, "now")

    assert list(map(str, chart(rows).days)) == ["2026-01-05", "2026-02-07", "2026-03-02"]
    assert [text for text in texts(table) if "-" in text] == ["01-05", "02-07", "03-02"]
    assert len(table.chart.text().splitlines()) == 4


def test_a_sum_with_an_estimate_in_it_is_marked():
    told, guessed = ROW, replace(ROW, model="guessed", estimated=1)

    table = usage_table([told, guessed], "now")

    assert [row[3:5] for row in table.rows] == [("30", "10"), ("≈30", "≈10"), ("≈60", "≈20")]
    assert "≈ estimated" in table.note
    assert "≈" not in usage_table([told], "now").note


def test_the_newest_day_is_named_and_others_where_they_have_room():
    many = [replace(ROW, day=str(date(2026, 3, 2) - timedelta(before))) for before in range(31)]

    days = [text for text in texts(usage_table(many, "now")) if "-" in text]

    assert days[-1] == "03-02"
    assert 5 < len(days) < 16


def test_models_beyond_the_colours_are_one():
    many = [replace(ROW, model=str(number), prompt_tokens=100 - number) for number in range(12)]

    table = usage_table(many, "now")

    assert len(bars(table)) == len(COLOURS)
    assert names(table)[-1].startswith("2026-03-02 5 other models: ")
    assert "5 other models</span>" in table.html()
    assert f"{SHADES[3]} 9 other models" in table.text()


def test_the_smallest_amount_can_still_be_seen():
    tiny = replace(ROW, model="tiny", prompt_tokens=1, completion_tokens=0)

    table = usage_table([replace(ROW, prompt_tokens=10**9), tiny], "now")

    assert min(float(bar.get("height")) for bar in bars(table)) >= 1


def test_a_screen_reader_is_told_what_the_chart_shows():
    other = replace(ROW, day="2026-03-01", model="other", prompt_tokens=1)

    svg = svg_of(usage_table([ROW, other], "this notebook"))

    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title") == "this notebook: tokens a day"
    assert svg.findtext(f"{SVG}desc") == (
        "A bar for each day with requests from 2026-03-01 to 2026-03-02, stacked by model. "
        "The highest is 2026-03-02 with 40 tokens. In all, echo:words: 40; echo:other: 11."
    )


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_stands_out_from_a_white_page_and_from_a_dark_one(colour):
    own = luminance(colour) + 0.05

    assert (luminance("#ffffff") + 0.05) / own >= 3
    assert own / (luminance("#111111") + 0.05) >= 3


@pytest.mark.parametrize("top", [1, 2, 3, 4, 5, 7, 9, 10, 11, 39, 40, 41, 99, 12345, 2**64])
def test_the_axis_has_a_few_round_numbers_up_to_the_highest_bar(top):
    ticks = _ticks(top)

    assert ticks[0] == 0
    assert ticks[-2] < top <= ticks[-1]
    assert len(ticks) <= 6
    assert str(ticks[1])[0] in "125"


def test_great_numbers_are_short_on_the_axis():
    assert "1.5k" in texts(usage_table([replace(ROW, prompt_tokens=1900)], "now"))
    assert "2M" in texts(usage_table([replace(ROW, prompt_tokens=3_900_000)], "now"))
    assert "10E" in texts(usage_table([replace(ROW, prompt_tokens=2**63)], "now"))


def test_text_has_a_bar_for_each_day_on_which_something_was_asked():
    other = replace(ROW, day="2026-02-28", model="other", prompt_tokens=0)

    lines = usage_table([ROW, other], "now").text().splitlines()

    assert lines[:5] == [
        "now: tokens a day",
        "",
        f"2026-02-28  10  {'▓' * 10}",
        f"2026-03-02  40  {'█' * 40}",
        "█ echo:words  ▓ echo:other",
    ]
    assert lines[6].startswith("day ")


def test_a_day_that_is_none_is_in_the_table_alone():
    strange = replace(ROW, day=None)

    table = usage_table([strange], "now")

    assert (table.chart, table.rows[0][0]) == (None, "")
    assert table.html().startswith("<div>now</div><div")
    assert table.text().startswith("now\n\nday ")
    assert usage_table([replace(ROW, requests=0, prompt_tokens=0, completion_tokens=0)], "now").chart is None


@given(rows, st.text(max_size=20))
def test_any_numbers_and_names_give_a_whole_chart_with_all_its_text_escaped(some, title):
    table = usage_table(some, title)

    assert len(table.text().splitlines()) > len(some)
    if table.chart is None:
        return
    svg = svg_of(table)
    assert {each.tag.removeprefix(SVG) for each in svg.iter()} <= {"svg", "title", "desc", "path", "text", "rect"}
    assert not any(re.match("on|href|src|class|id", name) for each in svg.iter() for name in each.attrib)
    for bar in svg.findall(f"{SVG}rect"):
        assert float(bar.get("height")) >= 1
        assert -1 <= float(bar.get("y")) <= 170
        assert 44 <= float(bar.get("x")) <= 628
    assert not any("//" in value for each in svg.iter() for value in each.attrib.values())


@given(st.text("<>&\"'/ax", max_size=30))
def test_a_name_comes_back_out_of_the_chart_as_it_was(model):
    (name,) = names(usage_table([replace(ROW, model=model)], "now"))

    assert name == " ".join(f"2026-03-02 echo:{model}".split()) + ": 40 tokens"


@given(rows)
def test_the_heights_of_a_day_add_up(some):
    drawn = chart(some)

    if drawn is not None:
        assert drawn.totals == tuple(map(sum, zip(*(amounts for _name, amounts in drawn.stacked(3)), strict=True)))
        assert len(drawn.stacked(3)) <= 3


# -- the subcommand ----------------------------------------------------------------------------------------------------

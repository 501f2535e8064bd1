"""Charts draw what they are given, say it in words, and escape every word."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.reports.charts import (
    BandPoint,
    Line,
    band_chart,
    column_chart,
    histogram_chart,
    line_chart,
    nice_ticks,
    tick_text,
)
from quantlab_pipeline.reports.charts_heat import (
    VOID,
    Cell,
    cell_rows,
    doubling_level,
    square_map,
    strip_rows,
)
from quantlab_pipeline.reports.distribution import Histogram
from quantlab_pipeline_tests.reports.pages import Elements

EVIL = '"><b>&'


@given(st.floats(-1e9, 1e9).filter(lambda v: abs(v) > 1e-9), st.floats(1e-6, 1e9, exclude_min=True))
def test_ticks_are_round_few_and_inside(low: float, span: float) -> None:
    high = low + span
    if not low < high or span < 1e-6 * abs(low):
        return
    ticks = nice_ticks(low, high)
    assert 3 <= len(ticks) <= 8
    assert all(low - 1e-6 * span <= t <= high + 1e-6 * span for t in ticks)
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


def test_one_level_is_its_own_tick() -> None:
    assert nice_ticks(3.5, 3.5) == [3.5]


def test_ticks_are_short() -> None:
    values = (-0.0, 0.25, -1500.0, 20_000.0, -250_000.0, 3e6)
    assert [tick_text(v) for v in values] == ["0", "0.25", "-1,500", "20k", "-250k", "3M"]


def test_a_gap_breaks_the_line() -> None:
    points = [BandPoint(x, 0.0, 1.0, 2.0) for x in range(3)]
    points += [BandPoint(3.0, math.nan, math.nan, math.nan), BandPoint(4.0, 0.0, 1.0, 2.0)]
    drawn = band_chart(points, "label", ("x", "y"))
    assert drawn.count('class="line"') == drawn.count('class="band"') == 2
    assert "nan" not in drawn
    assert band_chart(points[3:4], "label", ("x", "y")) == ""


def test_a_band_chart_is_to_scale() -> None:
    points = [BandPoint(-60.0, -2.0, -1.0, 0.0), BandPoint(0.0, 0.0, 0.0, 0.0),
              BandPoint(240.0, 1.0, 2.0, 3.0)]  # fmt: skip
    drawn = band_chart(points, "label", ("minutes", "bps"), zero=True)
    (path,) = re.findall(r'class="line" d="M([^"]*)"', drawn)
    (x0, y0), (x1, y1), (x2, y2) = [map(float, p.split()) for p in path.split("L")]
    assert (x1 - x0) / (x2 - x0) == pytest.approx(60 / 300, abs=0.002)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(1 / 3, abs=0.01)


def test_a_histograms_bars_are_to_scale_and_levels_outside_are_not_drawn() -> None:
    hist = Histogram(0.0, 4.0, (1, 0, 4, 2), 0, 3)
    drawn = histogram_chart(hist, "label", ("bps", "%"), [("p1", -5.0), ("p50", 2.5), ("p51", 2.6)])
    heights = [float(h) for h in re.findall(r"v-([\d.]+)h", drawn)]
    assert len(heights) == 3, "an empty bin has no bar"
    assert heights[1] / heights[0] == pytest.approx(4.0, rel=0.02)
    assert ">40<" in drawn, "the tallest holds 4 of 10 values: three lie above"
    assert re.findall(r">(p\d+)<", drawn) == ["p50", "p51"]
    same = histogram_chart(hist, "label", ("bps", "%"), [("p1", 0.0), ("p5", 0.0), ("p99", 4.0)])
    assert re.findall(r">(p[^<]+)<", same) == ["p1–p5", "p99"], "levels at one place share a name"
    near = histogram_chart(hist, "label", ("bps", "%"), [(f"p{i}", 2 + i / 50) for i in range(4)])
    assert re.findall(r">(p[^<]+)<", near) == ["p0", "p1"]
    assert near.count('<line class="mark"') == 4
    assert histogram_chart(None, "label", ("bps", "%")) == ""
    assert "bars" in histogram_chart(Histogram(1.0, 1.0, (5,), 0, 0), "label", ("bps", "%"))


def test_columns_stand_for_their_values() -> None:
    drawn = column_chart([0, 3, 6], "label", ("hour", "events"), [(0, "00")])
    heights = [float(h) for h in re.findall(r"v-([\d.]+)h", drawn)]
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.01)
    assert column_chart([0, 0], "label", ("hour", "events"), []) == ""


def test_a_level_a_doubling() -> None:
    assert [doubling_level(n) for n in (0, 1, 2, 3, 4, 7, 8, 1000)] == [0, 1, 2, 2, 3, 3, 4, 4]


def test_a_cell_says_its_day_and_an_empty_one_is_not_drawn() -> None:
    cells = [Cell(0, "quiet"), Cell(2, "two <events>", "2"), Cell(VOID, "not there")]
    drawn = cell_rows([("AAAUSDT", cells)], "label", 15, [(0, "Jan 01")])
    titles = Elements(drawn).titles
    assert titles == ["two <events>", "not there"]
    assert 'class="void"' in drawn


def test_a_strip_joins_equal_neighbours() -> None:
    drawn = strip_rows([("AAAUSDT", [4, 4, 4, 0, VOID]), ("BBBUSDT", [4] * 5)], "label", 300)
    paths = dict(re.findall(r'class="(\w+)" d="([^"]*)"', drawn))
    assert {kind: d.count("M") for kind, d in paths.items()} == {"void": 1, "l0": 1, "l4": 2}


def test_a_square_map_tells_sign_strength_and_absence() -> None:
    values = [[1.0, -0.42, math.nan], [-0.42, 1.0, 0.04], [math.nan, 0.04, 1.0]]
    drawn = square_map(["a", "b", "c"], values, "label", numbers=True)
    kinds = re.findall(r'<rect class="(\w+)"', drawn)
    assert kinds == ["s5", "n2", "n2", "s5", "s0", "s0", "s5"]
    assert "a · b: -0.42" in Elements(drawn).titles


def test_no_word_becomes_markup() -> None:
    point = [BandPoint(0.0, 0.0, 1.0, 2.0)]
    charts = [
        band_chart(point, EVIL, (EVIL, EVIL), x_ticks=[(0.0, EVIL)]),
        histogram_chart(Histogram(0.0, 1.0, (1, 2), 0, 0), EVIL, (EVIL, EVIL), [(EVIL, 0.5)]),
        column_chart([1.0], EVIL, (EVIL, EVIL), [(0, EVIL)]),
        cell_rows([(EVIL, [Cell(1, EVIL, EVIL)])], EVIL, 15, [(0, EVIL)]),
        strip_rows([(EVIL, [1])], EVIL, 300),
        square_map([EVIL], [[1.0]], EVIL),
    ]
    for chart in charts:
        assert "<b>" not in chart
        assert "&lt;b&gt;&amp;" in chart
        assert not Elements(chart).open


# --- lines -------------------------------------------------------------------------------------


def lines_of(*ends: float) -> list[Line]:
    return [Line(f"line {k}", [(0.0, 1.0), (2.0, end)]) for k, end in enumerate(ends)]


def test_every_line_is_drawn_and_named_where_no_name_touches_another() -> None:
    drawn = line_chart(lines_of(3.0, 3.0, 2.95, -1.0), "label", ("x", "y"))
    places = [float(y) for y in re.findall(r'<text class="name" x="[\d.]+" y="([\d.]+)"', drawn)]
    assert len(places) == drawn.count('class="line"') == 4
    assert all(b - a >= 11 - 1e-9 for a, b in itertools.pairwise(sorted(places)))
    assert all(0 < y < 220 for y in places)


def test_a_line_keeps_its_kind_and_its_points() -> None:
    (one, *_) = [Line("net", [(0.0, 0.0), (1.0, 10.0)], "second")]
    drawn = line_chart([one], "label", ("x", "y"))
    assert 'class="line second"' in drawn
    assert 'class="name second"' in drawn
    start, end = re.findall(r"([\d.]+) ([\d.]+)", re.findall(r' d="M([^"]+)"', drawn)[0])
    assert float(start[0]) < float(end[0])
    assert float(start[1]) > float(end[1]), "more is higher"


def test_marks_stand_only_among_the_points_and_zero_is_always_seen() -> None:
    drawn = line_chart(
        lines_of(5.0), "label", ("x", "y"), marks_at=[(1.0, "here"), (9.0, "beyond")]
    )
    assert "here" in drawn
    assert "beyond" not in drawn
    assert ">0</text>" in drawn


def test_no_points_no_chart_and_names_are_escaped() -> None:
    assert line_chart([Line("a", [])], "label", ("x", "y")) == ""
    drawn = line_chart(
        [Line(EVIL, [(0.0, 1.0), (1.0, 2.0)])], EVIL, (EVIL, EVIL), marks_at=[(0.5, EVIL)]
    )
    assert EVIL not in drawn
    assert not Elements(drawn).open


def test_a_named_level_lies_inside_a_band_chart() -> None:
    points = [BandPoint(x, 0.0, 1.0, 2.0) for x in range(3)]
    drawn = band_chart(points, "label", ("x", "y"), level=(EVIL, 12.0))
    assert 'class="mark"' in drawn
    assert EVIL not in drawn
    heights = [float(y) for y in re.findall(r'<line class="mark" x1="48" y1="([\d.]+)"', drawn)]
    assert heights
    assert all(0.0 <= y <= 220.0 for y in heights)

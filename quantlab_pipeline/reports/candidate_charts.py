"""The charts of a candidate's page: what its studies say, laid on the house's lines and bands.

Belongs here: which points, marks and words. How a line is drawn is `charts`' matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from quantlab_pipeline.reports.candidate_data import (
    CandidatePage,
    Row,
    sized,
    swept,
)
from quantlab_pipeline.reports.candidate_story import break_even
from quantlab_pipeline.reports.charts import (
    BandPoint,
    Line,
    band_chart,
    coordinate,
    day_ticks,
    line_chart,
    nice_ticks,
    tick_text,
)
from quantlab_pipeline.research.validation.event_study import BAND_Z

SHOWN_MULTIPLE = 3.0
INTERVAL_WIDTH, INTERVAL_HEIGHT = 240, 18


def curve_chart(page: CandidatePage) -> Markup:
    """The mean path around the entry with its band, and the mean cost that it must exceed."""
    points = page.study["curve"]
    ends = (points[0]["minute"], points[-1]["minute"])
    cost = page.row["cost_bps"]
    return band_chart(
        [BandPoint(p["minute"], p["low_bps"], p["mean_bps"], p["high_bps"]) for p in points],
        f"Mean signed return around the entries of {page.name}, bps",
        ("minutes since the entry", "bps"),
        x_ticks=[(t, tick_text(t)) for t in nice_ticks(*ends)],
        zero=True,
        level=None if cost is None else ("mean cost", cost),
    )


def days_chart(page: CandidatePage) -> Markup:
    """P&L so far, day by day, before and after costs."""
    days = page.study["days"]
    ticks = day_ticks([d["day"] for d in days], 5)
    lines = [
        Line("gross", list(enumerate(d["gross_so_far_bps"] for d in days)), "second"),
        Line("net", list(enumerate(d["net_so_far_bps"] for d in days))),
    ]
    return line_chart(
        lines,
        f"P&L of {page.name} so far, bps of one event's notional",
        ("day, UTC", ""),
        x_ticks=ticks,
    )


def cost_charts(page: CandidatePage) -> tuple[Markup, Markup]:
    """Net effect along every multiplier, and along slippage."""
    kinds = {"all": "", "fee": "second", "spread": "thin", "impact": "thin dash", "stress": "thin"}
    lines = []
    for axis, kind in kinds.items():
        rows = [r for r in swept(page.study, axis) if r["value"] <= SHOWN_MULTIPLE]
        lines.append(Line(axis, [(r["value"], r["net_bps"]) for r in rows], kind))
    here = [(1.0, "V1")]
    limit = break_even(page.study, "all")
    if limit is not None:
        here.append((limit, "break-even"))
    net = ("multiplier", "net bps")
    by_multiplier = line_chart(
        lines,
        f"Net effect of {page.name} as costs are multiplied",
        net,
        x_ticks=[(x, f"×{x:g}") for x in (0.0, 1.0, 2.0, 3.0)],
        marks_at=sorted(here),
    )
    rows = swept(page.study, "slippage")
    by_slippage = line_chart(
        [Line("net", [(r["value"], r["net_bps"]) for r in rows])],
        f"Net effect of {page.name} as slippage is added",
        ("slippage added on each side, bps", "net bps"),
        x_ticks=[(x, f"{x:g}") for x in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)],
    )
    return by_multiplier, by_slippage


def capacity_charts(page: CandidatePage) -> tuple[Markup, Markup]:
    """Net effect and P&L a day by the size of a trade, on a logarithmic axis."""
    study = page.study
    limit, best = study["break_even_usd"], study["best_usd"]
    rows = sized(study, "notional")
    far = max(3.0 * (limit or 0.0), 20.0 * page.facts.notional_usd)
    near = [r for r in rows if r["value"] <= far]
    marks = [(math.log10(u), n) for u, n in ((best, "best"), (limit, "none left")) if u]
    ticks = _size_ticks(near)
    net = line_chart(
        [Line("net", [(math.log10(r["value"]), r["net_bps"]) for r in near])],
        f"Net effect of {page.name} by size of a trade",
        ("USD a trade", "net bps"),
        x_ticks=ticks,
        marks_at=marks,
    )
    paid = [r for r in near if r["pnl_usd_per_day"] >= 0.0]
    money = [(math.log10(r["value"]), r["pnl_usd_per_day"]) for r in paid]
    if limit and len(paid) < len(near):
        money.append((math.log10(limit), 0.0))
    earned = line_chart(
        [Line("USD", money)] if len(money) > 1 else [],
        f"Net P&L a day of {page.name} by size of a trade",
        ("USD a trade", "USD a day"),
        x_ticks=[t for t in ticks if money and t[0] <= money[-1][0]],
        marks_at=marks,
    )
    return net, earned


def _size_ticks(rows: Sequence[Row]) -> list[tuple[float, str]]:
    """The powers of ten among the sizes."""
    low, high = math.log10(rows[0]["value"]), math.log10(rows[-1]["value"])
    names = {3: "1k", 4: "10k", 5: "100k", 6: "1M", 7: "10M", 8: "100M"}
    return [(k, names[k]) for k in names if low - 1e-9 <= k <= high + 1e-9]


def interval_marks(page: CandidatePage) -> tuple[Markup, list[Markup]]:
    """An axis, and on it each slice's mean and 95 % interval, beside zero and the mean cost."""
    slices, cost = page.study["slices"], page.row["cost_bps"] or 0.0
    ends = [s["mean_bps"] + k * BAND_Z * s["se_bps"] for s in slices for k in (-1.0, 1.0)]
    low, high = min([0.0, *ends]), max([0.0, cost, *ends])
    return _interval_axis(low, high), [_interval(s, cost, low, high) for s in slices]


def _across(value: float, low: float, high: float) -> str:
    return coordinate(14 + (value - low) / (high - low or 1.0) * (INTERVAL_WIDTH - 28))


def _interval_axis(low: float, high: float) -> Markup:
    texts = "".join(
        f'<text x="{_across(t, low, high)}" y="12" text-anchor="middle">{tick_text(t)}</text>'
        for t in nice_ticks(low, high)
    )
    return _picture("Axis of the intervals, bps", texts)


def _interval(row: Row, cost: float, low: float, high: float) -> Markup:
    mean, half, middle = row["mean_bps"], BAND_Z * row["se_bps"], INTERVAL_HEIGHT // 2
    kind = "less" if mean < 0.0 else "more"
    zero, paid, start, end = (_across(v, low, high) for v in (0.0, cost, mean - half, mean + half))
    square = coordinate(float(_across(mean, low, high)) - 3)
    return _picture(
        f"{mean:+.1f} bps, 95 % from {mean - half:+.1f} to {mean + half:+.1f}",
        f'<line class="axis" x1="{zero}" y1="0" x2="{zero}" y2="{INTERVAL_HEIGHT}"/>'
        f'<line class="cost" x1="{paid}" y1="0" x2="{paid}" y2="{INTERVAL_HEIGHT}"/>'
        f'<line class="{kind}" x1="{start}" y1="{middle}" x2="{end}" y2="{middle}"/>'
        f'<rect class="{kind}" x="{square}" y="{middle - 3}" width="6" height="6"/>',
    )


def _picture(label: str, marks: str) -> Markup:
    # Numbers and words of ours alone: nothing here needs escaping.
    return Markup(  # noqa: S704
        f'<svg class="interval" width="{INTERVAL_WIDTH}" height="{INTERVAL_HEIGHT}" role="img" '
        f'aria-label="{label}">{marks}</svg>'
    )

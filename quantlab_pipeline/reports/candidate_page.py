"""A candidate's page and the list of all of them: a verdict of V1, drawn with what it rests on.

Drawing only; what it says comes as a `CandidatePage`. No script, no network: it opens from a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.reports.candidate_charts import (
    capacity_charts,
    cost_charts,
    curve_chart,
    days_chart,
    interval_marks,
)
from quantlab_pipeline.reports.candidate_data import (
    AT_MOST,
    CandidatePage,
    Row,
    sized,
    swept,
    worst_slices,
)
from quantlab_pipeline.reports.candidate_story import (
    VERDICTS,
    beyond_the_cap,
    binding_z,
    break_even,
    question_of,
)
from quantlab_pipeline.reports.charts_heat import signed_strength
from quantlab_pipeline.reports.pages import render

TEMPLATE = "candidate_page.html.j2"
LIST_TEMPLATE = "candidates.html.j2"
STYLE = "candidate.css"
AXES = {
    "all": "all costs",
    "fee": "fees",
    "spread": "spreads",
    "impact": "impact",
    "stress": "stress multiplier",
    "slippage": "slippage",
}
PARTITIONS = {
    "half": "half of the window",
    "quarter": "quarter of the window",
    "vol_regime": "volatility at t0",
    "liq_regime": "liquidity at t0",
    "symbol": "symbol",
}
SHOWN_MULTIPLIERS = (0.5, 1.0, 1.5, 2.0, 3.0)


class Figure(NamedTuple):
    """A line of a table: what, its value, what it says; `strong` where the verdict rests on it."""

    name: str
    value: Any
    says: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Heat:
    """A cell of the surface: its number, and the class of its strength."""

    net_bps: float
    kind: str


def render_candidate_page(page: CandidatePage, made_from: str = "") -> str:
    """The page as text; the same page gives the same bytes. `made_from` names its inputs."""
    study, row = page.study, page.row
    net, money = capacity_charts(page)
    by_multiplier, by_slippage = cost_charts(page)
    slices, (axis, pictures) = study["slices"], interval_marks(page)
    return render(
        TEMPLATE,
        made_from=made_from,
        page=page,
        facts=page.facts,
        row=row,
        study=study,
        question=question_of(row),
        verdict=VERDICTS[page.outcome],
        tag=page.outcome.value.lower(),
        curve=curve_chart(page),
        days=days_chart(page),
        best_day=_largest_day_share(study["days"]),
        axis=axis,
        slices=list(zip(slices, pictures, strict=True)),
        partitions=PARTITIONS,
        losing=worst_slices(slices),
        by_multiplier=by_multiplier,
        by_slippage=by_slippage,
        bears=_bears(study),
        multipliers=SHOWN_MULTIPLIERS,
        net_by_size=net,
        money_by_size=money,
        participations=sized(study, "participation"),
        beyond=beyond_the_cap(study),
        surface=_surface(study["surface"]),
        inference=_inference(page),
        effect=_effect(row),
        at_most=AT_MOST,
    )


def render_candidates_page(
    study: str,
    market: str,
    pages: Sequence[CandidatePage],
    asked: tuple[int, int],
    links: Mapping[str, str],
    made_from: str = "",
) -> str:
    """The list of all followed candidates by rank.

    `asked` are the numbers of all candidates and of the tested ones, `links` the pages' paths.
    """
    passed = sum(page.outcome is Outcome.PASS for page in pages)
    return render(
        LIST_TEMPLATE,
        made_from=made_from,
        study=study,
        market=market,
        pages=pages,
        links=links,
        passed=passed,
        n_candidates=asked[0],
        n_tested=asked[1],
        z_of=binding_z,
        bears=lambda page: break_even(page.study, "all"),
    )


def _largest_day_share(days: Sequence[Row]) -> float | None:
    """Share of the gross P&L that the best day made; None where the sum is not positive."""
    total = math.fsum(d["gross_bps"] for d in days)
    return max(d["gross_bps"] for d in days) / total if total > 0.0 else None


def _bears(study: Row) -> list[tuple[str, str, str, float | None, list[float | None]]]:
    """Each axis: name, unit before and after, its break-even, net at the shown multipliers."""
    told = []
    for axis, name in AXES.items():
        rows = {r["value"]: r["net_bps"] for r in swept(study, axis)}
        slips = axis == "slippage"
        before, after = ("+", " bps a side") if slips else ("×", "")
        nets = [None if slips else rows.get(m) for m in SHOWN_MULTIPLIERS]
        told.append((name, before, after, break_even(study, axis), nets))
    return told


def _surface(rows: Sequence[Row]) -> dict[str, Any]:
    """Sizes across, multipliers down, and a cell for each."""
    largest = max((abs(r["net_bps"]) for r in rows), default=0.0)
    sizes = sorted({r["notional_usd"] for r in rows})
    table: dict[float, list[Heat]] = {}
    for r in rows:
        kind = signed_strength(r["net_bps"], largest)
        table.setdefault(r["multiplier"], []).append(Heat(r["net_bps"], kind))
    return {"sizes": sizes, "rows": sorted(table.items())}


def _inference(page: CandidatePage) -> list[Figure]:
    """The naive answer first, then ours, then what other rules would say."""
    row = page.row
    binds = binding_z(row)
    needs = f"one more survivor needs {page.z_needed:.2f}"
    contrast = "the same against the symbols' own drift"
    return [
        Figure("naive t", row["z_naive"], "net, every event as if independent of the others"),
        Figure("centred day t", row["t_day"], "gross sums of days"),
        Figure("HAC z", row["z_hac"], "net, Bartlett weights over 1.5 horizons of event returns"),
        Figure("two-way z", row["z_two_way"], "net, clustered by symbol and by day"),
        Figure("raw z", row["z_raw"], f"net, in calendar time; {needs}", row["z_raw"] == binds),
        Figure("contrast z", row["z_contrast"], f"{contrast}; {needs}", row["z_contrast"] == binds),
        Figure("p", row["p"], "one-sided, the larger of both"),
        Figure("q BH", row["q_bh"], f"over the budget of {row['m_budget']:,} trials", strong=True),
        Figure("q BY", row["q_by"], "the same under any dependence"),
        Figure("q hierarchical", row["q_hier"], "event type first, then the candidate"),
        Figure("StepM p", row["stepm_p"], "family-wise, on the daily net P&L of the study"),
        Figure("SPA p", row["spa_p"], "of the whole family: is its best better than nothing?"),
        Figure(
            "deflated Sharpe", row["deflated_sharpe"], "chance that it is no luck of all trials"
        ),
    ]


def _effect(row: Row) -> list[Figure]:
    calendar = _interval(row["ci95_low_bps"], row["ci95_high_bps"])
    resampled = _interval(row["boot_low_bps"], row["boot_high_bps"])
    return [
        Figure("gross", row["gross_bps"], "bps per event, funding inside"),
        Figure("cost", row["cost_bps"], "bps per event, its own"),
        Figure("net", row["net_bps"], "bps per event", strong=True),
        Figure("standard error", row["se_bps"], "bps, of the binding statistic"),
        Figure("95 % of net", calendar, "bps, in calendar time"),
        Figure("95 % of net", resampled, "bps, stationary bootstrap of days"),
        Figure("MDE80", row["mde80_bps"], "bps: the effect found four times in five"),
        Figure("deviation", row["sigma_h_bps"], "bps, of one event"),
        Figure("events", row["n_events"], f"traded; {row['n_dropped']:,} left out"),
        Figure("independent", row["n_eff"], "events would give the same standard error"),
        Figure("active days", row["active_days"], "days with a decision"),
        Figure("effective days", row["eff_days"], "days that carry the result"),
    ]


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:+.1f} .. {high:+.1f}"

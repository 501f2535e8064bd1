"""`bridge_results`: what `bridge_executions` come to, one row per strategy, and gate B's verdict.

Belongs here: which judged way is the worst, what the sweeps around it say, capacity, and the score
that ranks strategies. Not here: running them (`execute`) and the verdict's rule (`gate`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from quantlab_pipeline.core.records import chain_head
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.bridge.gate import verdict
from quantlab_pipeline.research.bridge.schema import BRIDGE_RESULTS
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.research.bridge.ways import (
    AS_IT_IS,
    PASSIVE,
    STRESSED,
    Row,
    worst_judged,
)
from quantlab_pipeline.simulation.capacity import break_even_participation, capacity_interval
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.fills import bracket

MARKOUT = "markout_5s_bps"
"""The mark-out by which the touch rule is called optimistic."""


def reduce_executions(
    survivors: pl.DataFrame, executions: pl.DataFrame, costs: CostModel, thresholds: BThresholds
) -> pl.DataFrame:
    """`bridge_results` of `survivors` (candidate_id, admissible, ...) from `bridge_executions`."""
    by_strategy = executions.partition_by("strategy_id", as_dict=True, maintain_order=True)
    rows = []
    for name, admissible in survivors.select("candidate_id", "admissible").sort(pl.all()).rows():
        row = result_of(by_strategy[(name,)].to_dicts(), costs, thresholds)
        judged = verdict(row, thresholds)
        row["status"] = judged.outcome.value
        row["reason_codes"] = ";".join(judged.reasons)
        row["admissible"] = bool(admissible) and judged.outcome is Outcome.PASS
        rows.append(row)
    frame = pl.DataFrame(rows, schema={c.name: c.dtype for c in BRIDGE_RESULTS.columns})
    return BRIDGE_RESULTS.conform(frame)


def result_of(ways: Sequence[Row], costs: CostModel, thresholds: BThresholds) -> Row:
    """One strategy's row of `bridge_results` but for the verdict, from its rows of executions."""
    worst = worst_judged(ways)
    judged = [w for w in ways if w["judged"]]
    rates = [w["fill_rate"] for w in judged if w["fill_rate"] is not None]
    row: Row = {
        **worst,
        "candidate_id": worst["strategy_id"],
        "worst_way": worst["way"],
        "worst_latency_s": worst["latency_s"],
        "t_stat": worst["net_bps"] / worst["se_bps"] if worst["se_bps"] else None,
        "net_bps_by_latency": _by_latency(worst, ways),
        "lowest_fill_rate": min(rates, default=None),
        "fewest_trades": min(w["n_trades"] for w in judged),
        **_bracket(worst, ways),
        "break_even_cost_multiple": break_even_multiple(_swept(worst, ways)),
        "stressed_net_bps": _net_of(worst, ways, STRESSED),
        **capacity(worst, costs),
        "spread_source": _spread_source(worst["measured_share"]),
        "records_head": worst["records_head"] or chain_head(()),
    }
    row["executed_score"] = executed_score(row, thresholds)
    return row


def _alike(worst: Row, ways: Sequence[Row]) -> list[Row]:
    """Ways with the worst one's entry rule and latency: its scenarios and itself."""
    return [w for w in ways if (w["entry"], w["latency_s"]) == (worst["entry"], worst["latency_s"])]


def _net_of(worst: Row, ways: Sequence[Row], scenario: str) -> float | None:
    return next((w["net_bps"] for w in _alike(worst, ways) if w["scenario"] == scenario), None)


def _by_latency(worst: Row, ways: Sequence[Row]) -> str:
    same = [w for w in ways if w["entry"] == worst["entry"] and w["scenario"] == AS_IT_IS]
    in_order = sorted(same, key=lambda w: float(w["latency_s"]))
    return json.dumps({f"{w['latency_s']:g}": w["net_bps"] for w in in_order})


def _swept(worst: Row, ways: Sequence[Row]) -> list[tuple[float, float | None]]:
    """(cost multiple, net) of the worst way's sweep, rising."""
    swept = [w for w in _alike(worst, ways) if w["scenario"] != STRESSED]
    return sorted((w["cost_multiple"], w["net_bps"]) for w in swept)


def break_even_multiple(swept: Sequence[tuple[float, float | None]]) -> float | None:
    """Multiple of all costs at which the net crosses zero, linear between the neighbours swept.

    The first multiple swept where nothing is left even there (0 in a sweep from 0 on); the last one
    where the net outlives it: at least that. None where a net is unknown.
    """
    before: tuple[float, float] | None = None
    for multiple, net in swept:
        if net is None:
            return None
        if net <= 0:
            if before is None:
                return multiple
            share = before[1] / (before[1] - net)
            return before[0] + share * (multiple - before[0])
        before = (multiple, net)
    return before[0] if before else None


def _bracket(worst: Row, ways: Sequence[Row]) -> Row:
    """How far the passive rules lie apart at the worst way's latency, and whether touch flatters.

    Null where a rule has no trade, or no trade on a book.
    """
    at = [w for w in ways if w["latency_s"] == worst["latency_s"] and w["scenario"] == AS_IT_IS]
    rules = {rule: w for w in at for rule in PASSIVE if w["entry"] == rule}
    nets, marks = (
        {rule: math.nan if w[name] is None else w[name] for rule, w in rules.items()}
        for name in ("net_bps", MARKOUT)
    )
    width, marked = bracket(nets).width, bracket(marks)
    return {
        "bracket_width_bps": None if math.isnan(width) else width,
        "touch_optimistic": None if math.isnan(marked.width) else "touch" in marked.optimistic,
    }


def capacity(way: Mapping[str, Any], costs: CostModel) -> Row:
    """Sizes of one trade under square-root impact at median liquidity; null where not known.

    The most profitable one, its interval from that of the edge (gross + funding, 1.96 standard
    errors), and that at which impact eats the edge whole. Impact is counted on both sides, also
    where entries rest.
    """
    names = ("capacity_usd", "capacity_low_usd", "capacity_high_usd", "break_even_notional_usd")
    row: Row = dict.fromkeys(names)
    sigma, volume = way["sigma_d_bps"], way["volume_usd"]
    if way["gross_bps"] is None or sigma is None or volume is None:
        return row
    edge, fixed = way["gross_bps"] + way["funding_bps"], way["spread_bps"] + way["fee_bps"]
    y = costs.profiles[costs.execution.profile].impact_y

    def size(share: float) -> float | None:
        return share * volume if math.isfinite(share) else None

    row["break_even_notional_usd"] = size(break_even_participation(edge, fixed, sigma, y))
    known = way["edge_se_bps"] is not None
    found = capacity_interval(edge, way["edge_se_bps"] if known else 0.0, fixed, sigma, y)
    row["capacity_usd"] = size(found.best)
    if known:
        row["capacity_low_usd"], row["capacity_high_usd"] = size(found.low), size(found.high)
    return row


def executed_score(row: Mapping[str, Any], thresholds: BThresholds) -> float | None:
    """What ranks strategies: t w for gains and t (2 - w) for losses, w in [0, 1].

    w is the product of
    - fill_rate,
    - T / (T + turnover_per_day), T the most that gate B lets pass: a half there,
    - capacity / (capacity + notional): a half where one trade is as large as the most profitable
      one; 0 where the capacity is not known.

    So it never falls as t, fills or capacity rise, nor rises with turnover; no verdict reads it.
    Null without a t.
    """
    t = row["t_stat"]
    if t is None:
        return None
    most = thresholds.max_turnover_per_day
    share = row["fill_rate"] * most / (most + row["turnover_per_day"])
    size = row["capacity_usd"] or 0.0
    share *= size / (size + row["notional_usd"])
    return float(t * share if t > 0 else t * (2.0 - share))


def _spread_source(measured_share: float | None) -> str:
    if measured_share is None:
        return "none"
    return {1.0: "measured", 0.0: "assumed"}.get(measured_share, "mixed")

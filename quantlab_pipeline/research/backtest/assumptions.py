"""What each assumption of a simulation is worth: P&L lost when it alone is made conservative.

Belongs here: the list of assumptions, what is conservative in each, and the runs that price them.
Not here: the models (`simulation`), and what a strategy must survive (`stress`, gate S). The base
run is kind: the `base` profile at the fastest latency, the market as it was recorded. A worth can
be negative: a later fill may have been a luckier one. Worths do not add up, because conservative
terms meet each other (a wider spread on fewer trades); the row `all` makes all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.research.backtest.backtest import (
    WHOLE,
    Damage,
    Study,
    by_way,
    simulate_blueprints,
)
from quantlab_pipeline.research.backtest.blueprint import Blueprint
from quantlab_pipeline.research.backtest.schema import ASSUMPTION_LEDGER
from quantlab_pipeline.research.backtest.spec import BacktestSpec
from quantlab_pipeline.research.backtest.stress import shallower, with_lost_data
from quantlab_pipeline.simulation.costs import CostModel, CostScale, ProfileName
from quantlab_pipeline.simulation.engine import RunSettings, Simulation
from quantlab_pipeline.simulation.tape import Tape
from quantlab_pipeline.simulation.trades import CLOSED

F64 = npt.NDArray[np.float64]
PROFILES: tuple[ProfileName, ProfileName] = ("base", "conservative")

TERMS = {
    "fee": ("fees",),
    "spread": ("spread_tiers",),
    "impact": ("impact_y",),
    "stress": ("stress_spread_multiplier",),
}
"""Assumptions that the profiles state, by their fields; the engine reads no other."""


@dataclass(frozen=True, slots=True)
class _Variant:
    """A run that assumes something else: under which costs, in which way, on which tapes.

    `worse_marks` prices settlements without a published mark anew.
    """

    name: str
    base: str
    conservative: str
    costs: CostModel
    way: RunSettings
    damage: Damage = WHOLE
    lost_data: bool = False
    worse_marks: bool = False


def assumption_rows(
    blueprints: Sequence[Blueprint], entries: pl.DataFrame, study: Study, spec: BacktestSpec
) -> pl.DataFrame:
    """The `assumption_ledger` table: every assumption of every blueprint, over the whole study."""
    plans = [plan for _, group in by_way(blueprints, study.costs) for plan in group]
    if not plans:
        return ASSUMPTION_LEDGER.empty()
    variants = _variants(study.costs, spec)
    runs = _runs(variants, plans, entries, study, spec)
    rows = [
        _row(plan, variant, _nets(runs["base"], plan), _nets(runs[variant.name], plan))
        for variant in variants[1:]
        for plan in plans
    ]
    schema = {c.name: c.dtype for c in ASSUMPTION_LEDGER.columns}
    return ASSUMPTION_LEDGER.conform(pl.DataFrame(rows, schema=schema))


def _variants(costs: CostModel, spec: BacktestSpec) -> list[_Variant]:
    """The base, then each assumption alone, then all of them."""
    latency = costs.execution.latency
    rests = costs.execution.order == "passive"
    fast = RunSettings(latency.fastest_s, "base", entry="touch" if rests else "taker")
    found = [_Variant("base", "", "", costs, fast)]
    if rests:
        passed = replace(fast, entry="penetration")
        words = "filled at a touch", "filled when the quote passes the price"
        found.append(_Variant("fill", *words, costs, passed))
    found += _of_terms(costs, fast, spec)
    found += _of_market(costs, fast, spec)
    found.append(
        _Variant(
            "latency",
            f"{latency.fastest_s:g} s",
            f"{latency.slowest_s:g} s",
            costs,
            replace(fast, latency_s=latency.slowest_s),
        )
    )
    wider = _widened(spec.assumptions.measured_spread_multiple)
    thin = shallower(spec.assumptions.depth_multiple)
    everything = RunSettings(
        latency.slowest_s,
        "conservative",
        _adverse_funding(spec),
        60.0 * spec.stress.delay_min,
        entry="penetration" if rests else "taker",
        stressed=True,
    )
    both = Damage(f"{wider.name}, {thin.name}", lambda tape: thin.apply(wider.apply(tape)))
    found.append(
        _Variant(
            "all", "each as in its row", "each as in its row", costs, everything, both, True, True
        )
    )
    return found


def _of_terms(costs: CostModel, fast: RunSettings, spec: BacktestSpec) -> list[_Variant]:
    """What the two profiles state: one group of their fields taken from the conservative one."""
    base, careful = costs.profiles["base"], costs.profiles["conservative"]
    found = []
    for name, fields in TERMS.items():
        values = {f: getattr(careful, f) for f in fields}
        mixed = {**costs.profiles, "base": base.model_copy(update=values)}
        words = [_said(name, costs, p) for p in PROFILES]
        variant = _Variant(
            name, words[0], words[1], costs.model_copy(update={"profiles": mixed}), fast
        )
        if name == "spread":
            multiple = spec.assumptions.measured_spread_multiple
            variant = replace(
                variant,
                base=f"{variant.base}; a measured book as it was",
                conservative=f"{variant.conservative}; a measured book {multiple:g} times as wide",
                damage=_widened(multiple),
            )
        if name == "stress":
            variant = replace(
                variant,
                base=f"{variant.base}, where the market was known to be stressed",
                conservative=f"{variant.conservative}, at every moment",
                way=replace(fast, stressed=True),
            )
        found.append(variant)
    return found


def _of_market(costs: CostModel, fast: RunSettings, spec: BacktestSpec) -> list[_Variant]:
    """What the recorded market is taken for."""
    stress, own = spec.stress, spec.assumptions
    return [
        _Variant(
            "depth",
            "the sizes shown are there",
            f"{own.depth_multiple:g} of them are",
            costs,
            fast,
            shallower(own.depth_multiple),
        ),
        _Variant(
            "funding",
            "as settled",
            f"paid {stress.funding_paid:g} times, received {stress.funding_received:g} times",
            costs,
            replace(fast, scale=_adverse_funding(spec)),
        ),
        _Variant(
            "mark",
            "a mark that was not published is the last close",
            f"{own.assumed_mark_bps:g} bps worse at that settlement",
            costs,
            fast,
            worse_marks=True,
        ),
        _Variant(
            "decision_delay",
            "decided at the minute's close",
            f"decided {stress.delay_min} min later",
            costs,
            replace(fast, delay_s=60.0 * stress.delay_min),
        ),
        _Variant(
            "missing_data",
            "no minute lost beyond the recorded gaps",
            f"{100 * stress.drop_share:g} % of minutes lost, with their events",
            costs,
            fast,
            lost_data=True,
        ),
    ]


def _adverse_funding(spec: BacktestSpec) -> CostScale:
    return CostScale(
        funding_paid=spec.stress.funding_paid, funding_received=spec.stress.funding_received
    )


def _widened(multiple: float) -> Damage:
    """Every quote's prices moved apart about its mid; a crossed quote stays a crossed one."""

    def apply(tape: Tape) -> Tape:
        mid, half = 0.5 * (tape.bid + tape.ask), 0.5 * multiple * (tape.ask - tape.bid)
        return replace(tape, bid=mid - half, ask=mid + half)

    return Damage(f"spread_x{multiple!r}", apply)


def _said(name: str, costs: CostModel, profile: ProfileName) -> str:
    """What a profile assumes of one of `TERMS`, in words."""
    terms, rates = costs.profiles[profile], costs.fee_rates(profile)
    if name == "fee":
        return f"maker {rates.maker_bps:g}, taker {rates.taker_bps:g} bps"
    if name == "impact":
        return f"Y = {terms.impact_y:g}"
    if name == "stress":
        return f"an assumed spread {terms.stress_spread_multiplier:g} times as wide"
    tiers = ", ".join(
        f"{t.half_spread_bps:g} from {t.volume_from_usd:,.0f} USD a day" for t in terms.spread_tiers
    )
    return f"without a book a half-spread in bps of {tiers}"


def _runs(
    variants: Sequence[_Variant],
    plans: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    spec: BacktestSpec,
) -> dict[str, Simulation]:
    """The run of each variant by its name; those on one market under one document go together."""
    together: dict[tuple[str, str, bool], list[_Variant]] = {}
    for variant in variants:
        key = (variant.costs.spec_hash(), variant.damage.name, variant.lost_data)
        together.setdefault(key, []).append(variant)
    found = {}
    for group in together.values():
        ways, first = [variant.way for variant in group], group[0]
        if first.lost_data:
            runs = with_lost_data(
                ways, plans, entries, study, spec.stress, first.costs, first.damage
            )
        else:
            runs = simulate_blueprints(plans, entries, study, ways, first.costs, first.damage)
        for variant, run in zip(group, runs, strict=True):
            worse_bps = spec.assumptions.assumed_mark_bps if variant.worse_marks else 0.0
            found[variant.name] = _with_worse_marks(run, worse_bps) if worse_bps else run
    return found


def _nets(run: Simulation, plan: Blueprint) -> tuple[F64, F64]:
    """(net bps, net USD) of a strategy's closed trades."""
    mine = (pl.col("strategy_id") == plan.strategy_id) & pl.col("status").is_in(CLOSED)
    closed = run.trades.filter(mine)
    return closed["net_bps"].to_numpy(), closed["net_usd"].to_numpy()


def _with_worse_marks(run: Simulation, worse_bps: float) -> Simulation:
    """`run` with every payment on an assumed mark worse by `worse_bps` of itself."""
    trade = ["strategy_id", "symbol", "event_id", "entry_us"]
    lost = (
        run.payments.filter("mark_assumed")
        .group_by(trade, maintain_order=True)
        .agg((pl.col("funding_usd").abs().sum() * worse_bps * 1e-4).alias("lost_usd"))
    )
    less = pl.col("lost_usd").fill_null(0.0)
    trades = (
        run.trades.join(lost, on=trade, how="left", maintain_order="left")
        .with_columns(pl.col("funding_usd") - less, pl.col("net_usd") - less)
        .with_columns(
            (1e4 * pl.col(f"{part}_usd") / pl.col("notional_usd")).alias(f"{part}_bps")
            for part in ("funding", "net")
        )
    )
    return replace(run, trades=trades.select(run.trades.columns))


def _row(
    plan: Blueprint, variant: _Variant, was: tuple[F64, F64], now: tuple[F64, F64]
) -> dict[str, Any]:
    before, after = (float(net.mean()) if net.size else None for net in (was[0], now[0]))
    return {
        "strategy_id": plan.strategy_id,
        "assumption": variant.name,
        "base": variant.base,
        "conservative": variant.conservative,
        "n_trades": now[0].size,
        "net_bps_base": before,
        "net_bps_conservative": after,
        "worth_bps": None if before is None or after is None else before - after,
        "worth_usd": float(was[1].sum() - now[1].sum()),
    }

"""What a tear sheet says, as values: a strategy's rows of every table it reached, and its verdicts.

Pure: from the tables of bridge, backtest and stress to a `StrategyPage`. Tables that were not made
are None, and what they would tell is left out; figures are computed in `strategy_figures`, words
made in `strategy_story`, and drawing is `strategy_page`'s work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict, Outcome
from quantlab_pipeline.reports.strategy_figures import (
    Daily,
    Row,
    closed_trades,
    daily,
    mean_parts,
    most_traded,
)

JUDGES = (Gate.B, Gate.S, Gate.P)
"""The gates that a strategy meets, in their order; P judges the book that holds it."""
ALL = "all"
"""The assumption that makes every one conservative at once."""
BASE = "base"
"""The scenario without a stress, at the strategy's own assumptions."""

PriceSource = Callable[[str], "Prices | str"]
"""A symbol's prices over the study's days, or why there are none."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Minute closes of one symbol, instants in microseconds, rising."""

    symbol: str
    at_us: Sequence[int]
    close: Sequence[float]


@dataclass(frozen=True, slots=True)
class StrategyFacts:
    """Whose strategies are shown, and under which assumptions.

    `days` are the study's first and last. `waived` names waived gates. `made_from` are tables with
    their fingerprints, `costs` the cost document's version and hash.
    """

    study: str
    market: str
    synthetic: bool
    symbols: tuple[str, ...]
    days: tuple[date, date]
    holdout_from: date
    costs: tuple[int, str]
    waived: tuple[str, ...]
    made_from: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StrategyTables:
    """The study's tables, whole; None for one that was not made or is not current.

    `followed` are the candidates that have a page.
    """

    bridge: pl.DataFrame
    candidates: pl.DataFrame
    executions: pl.DataFrame | None = None
    blueprints: pl.DataFrame | None = None
    returns: pl.DataFrame | None = None
    trades: pl.DataFrame | None = None
    risk: pl.DataFrame | None = None
    stress: pl.DataFrame | None = None
    assumptions: pl.DataFrame | None = None
    portfolio: pl.DataFrame | None = None
    followed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fall:
    """Where a mean trade's result went: `over` names its trades, `parts` is in bps."""

    over: str
    n_trades: int
    parts: Row


@dataclass(frozen=True, slots=True)
class StrategyPage:
    """One strategy: `row` is of `bridge_results`, `candidate` of `phase2_candidates`.

    `plan` is its blueprint and `blueprint_hash` that one's digest. `outcomes` are by gate: None
    where a gate has not judged it. `trades` are its closed ones (`closed_trades`), `left_out`
    how many intents of each other status there are. `weight` is its share of the book. `prices` are
    of the symbol that it traded most, or why there are none. `followed`: its candidate has a page.
    """

    facts: StrategyFacts
    row: Row
    candidate: Row | None
    plan: Mapping[str, Any] | None
    blueprint_hash: str | None
    outcomes: Mapping[Gate, Outcome | None]
    reasons: Mapping[Gate, tuple[str, ...]]
    measured: Mapping[Gate, Mapping[str, tuple[float | None, float | None]]]
    executions: tuple[Row, ...]
    risk: tuple[Row, ...]
    stress: tuple[Row, ...]
    assumptions: tuple[Row, ...]
    daily: Daily | None
    trades: pl.DataFrame | None
    left_out: Mapping[str, int]
    falls: tuple[Fall, ...]
    weight: float | None
    prices: Prices | str | None
    followed: bool

    @property
    def name(self) -> str:
        """The strategy's name: its candidate's."""
        return str(self.row["strategy_id"])

    @property
    def backtested(self) -> bool:
        """Whether it has days of its own."""
        return self.daily is not None

    @property
    def stopped_by(self) -> Gate | None:
        """The first gate that did not admit it, or has not judged it; None where it passed all."""
        return next((g for g in JUDGES if self.outcomes[g] not in ADMITTED), None)

    @property
    def assumed(self) -> tuple[str, ...]:
        """What was assumed, not measured, in the figures."""
        told = []
        source = self.row.get("spread_source")
        if source in ("assumed", "mixed"):
            told.append("spreads" if source == "assumed" else "some spreads")
        if self.row.get("assumed_mark_share"):
            told.append("marks of settlements")
        return tuple(told)


def strategy_page(
    facts: StrategyFacts,
    tables: StrategyTables,
    strategy_id: str,
    verdicts: Mapping[Gate, Mapping[str, ItemVerdict]],
    prices_of: PriceSource,
) -> StrategyPage:
    """The page of one row of `bridge_results`. `verdicts` are current ones by gate and item."""
    row = _only(tables.bridge, strategy_id) or {}
    plan = _only(tables.blueprints, strategy_id)
    returns = _mine(tables.returns, strategy_id)
    days = None if returns is None or not returns.height else returns
    orders = None if days is None else _mine(tables.trades, strategy_id)
    trades = None if orders is None else closed_trades(orders.sort("trade"))
    booked = _only(tables.portfolio, strategy_id)
    judged = {gate: _verdict(gate, strategy_id, row, booked, verdicts) for gate in JUDGES}
    symbol = None if trades is None else most_traded(trades)
    return StrategyPage(
        facts=facts,
        row=row,
        candidate=_candidate(tables.candidates, row),
        plan=None if plan is None else json.loads(plan["blueprint"]),
        blueprint_hash=None if plan is None else plan["blueprint_hash"],
        outcomes={gate: None if v is None else v.outcome for gate, v in judged.items()},
        reasons={gate: () if v is None else tuple(v.reasons) for gate, v in judged.items()},
        measured={gate: {} if v is None else v.measured for gate, v in judged.items()},
        executions=_rows(tables.executions, strategy_id),
        risk=_rows(tables.risk, strategy_id),
        stress=_rows(tables.stress, strategy_id),
        assumptions=_rows(tables.assumptions, strategy_id),
        daily=None if days is None else daily(days, trades),
        trades=trades,
        left_out=_unfilled(orders),
        falls=_falls(row, trades),
        weight=None if booked is None else booked["weight"],
        prices=None if symbol is None else prices_of(symbol),
        followed=row["candidate_id"] in tables.followed,
    )


def in_order(pages: Sequence[StrategyPage]) -> list[StrategyPage]:
    """Strategies that came further first, then by their score at the bridge, then by name."""
    return sorted(pages, key=_standing)


def _standing(page: StrategyPage) -> tuple[int, float, str]:
    stopped, score = page.stopped_by, page.row["executed_score"]
    far = len(JUDGES) if stopped is None else JUDGES.index(stopped)
    return -far, float("inf") if score is None else -score, page.name


def _mine(frame: pl.DataFrame | None, strategy_id: str) -> pl.DataFrame | None:
    return None if frame is None else frame.filter(pl.col("strategy_id") == strategy_id)


def _rows(frame: pl.DataFrame | None, strategy_id: str) -> tuple[Row, ...]:
    mine = _mine(frame, strategy_id)
    return () if mine is None else tuple(mine.iter_rows(named=True))


def _only(frame: pl.DataFrame | None, strategy_id: str) -> Row | None:
    return next(iter(_rows(frame, strategy_id)), None)


def _candidate(candidates: pl.DataFrame, row: Row) -> Row | None:
    mine = candidates.filter(pl.col("candidate_id") == row["candidate_id"])
    return next(mine.iter_rows(named=True), None)


def _verdict(
    gate: Gate,
    strategy_id: str,
    row: Row,
    booked: Row | None,
    verdicts: Mapping[Gate, Mapping[str, ItemVerdict]],
) -> ItemVerdict | None:
    """The gate's current verdict; B's else as the row has it, P's that of the book it is in."""
    if gate is Gate.P:
        return None if booked is None else verdicts.get(gate, {}).get(booked["portfolio_id"])
    found = verdicts.get(gate, {}).get(strategy_id)
    if found is None and gate is Gate.B:
        codes = tuple(c for c in (row["reason_codes"] or "").split(";") if c)
        return ItemVerdict(strategy_id, Outcome(row["status"]), codes)
    return found


def _unfilled(orders: pl.DataFrame | None) -> dict[str, int]:
    """Intents that did not become a closed trade, by status."""
    if orders is None:
        return {}
    rest = orders.filter(pl.col("net_usd").is_null())
    return dict(rest.group_by("status").len().sort("status").iter_rows())


def _falls(row: Row, trades: pl.DataFrame | None) -> tuple[Fall, ...]:
    """The bridge's mean trade, and the backtest's in sample, in the holdout and in all."""
    parts = ("gross", "latency", "spread", "slippage", "fee", "funding", "net")
    found = [Fall("bridge", row["n_trades"], {p: row.get(f"{p}_bps") for p in parts})]
    if trades is not None:
        segments = [("all", trades)]
        for name, told in (("in_sample", "in sample"), ("holdout", "holdout")):
            segments.append((told, trades.filter(pl.col("segment") == name)))
        found += [Fall(told, t.height, mean_parts(t)) for told, t in segments]
    return tuple(fall for fall in found if fall.n_trades)

"""Blueprints: a survivor as an executable, versioned document, and what it compiles to.

Belongs here: everything that must be fixed for the same strategy to run again, here or on paper,
and the compilation of signed events into intents. Not here: the signing rule itself (validation's,
named here by its template) and execution (`simulation`). One line of `blueprints.jsonl` is one
blueprint; reading a line back and running it gives the same records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from quantlab_pipeline.core.clocks import MINUTE_US, TS
from quantlab_pipeline.core.fingerprints import canonical_bytes
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.backtest.schema import BLUEPRINTS
from quantlab_pipeline.research.backtest.spec import Overlap
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN
from quantlab_pipeline.simulation.costs import CostModel, ProfileName
from quantlab_pipeline.simulation.fills import FillRule
from quantlab_pipeline.simulation.trades import INTENTS

VERSION = 1
I64 = npt.NDArray[np.int64]


class Blueprint(Spec):
    """One strategy: on `event_type` in `bucket`, the sign of `template` times `side`, for a while.

    `entry` is the rule by which its entries fill: that of the worst way of the bridge, of those
    that its style of order is judged by. `cost_model_hash` names the cost document that it was
    tried under.
    """

    strategy_id: str
    version: int = Field(default=VERSION, ge=1)
    candidate_id: str
    event_type: str
    bucket: str
    template: str
    side: int = Field(ge=-1, le=1)
    horizon: str
    horizon_min: int = Field(ge=1)
    symbols: tuple[str, ...] = Field(min_length=1)
    overlap: Overlap
    notional_usd: float = Field(gt=0)
    latency_s: float = Field(gt=0)
    profile: ProfileName
    entry: FillRule = "taker"
    cost_model_hash: str

    @property
    def capital_usd(self) -> float:
        """Capital it may bind: one trade's notional per symbol."""
        return self.notional_usd * len(self.symbols)


def compile_blueprint(
    candidate: dict[str, Any],
    symbols: Iterable[str],
    overlap: Overlap,
    costs: CostModel,
    entry: FillRule = "taker",
) -> Blueprint:
    """The blueprint of one row of `phase2_candidates`, at the cost model's slowest latency."""
    return Blueprint(
        strategy_id=candidate["candidate_id"],
        candidate_id=candidate["candidate_id"],
        event_type=candidate["event_type"],
        bucket=candidate["bucket"],
        template=candidate["template"],
        side=candidate["side"],
        horizon=candidate["horizon"],
        horizon_min=HORIZONS_MIN[candidate["horizon"]],
        symbols=tuple(sorted(symbols)),
        overlap=overlap,
        notional_usd=costs.notional_usd,
        latency_s=costs.execution.latency.slowest_s,
        profile=costs.execution.profile,
        entry=entry,
        cost_model_hash=costs.spec_hash(),
    )


def make_blueprints(
    strategies: pl.DataFrame,
    candidates: pl.DataFrame,
    symbols: Iterable[str],
    overlap: Overlap,
    costs: CostModel,
) -> pl.DataFrame:
    """The `blueprints` table: one row per strategy of `bridge_results` handed in."""
    rows = []
    chosen = strategies.select("candidate_id", "admissible", "entry")
    facts = candidates.drop("admissible").join(chosen, on="candidate_id", how="inner")
    names = list(symbols)
    for row in facts.sort("candidate_id").iter_rows(named=True):
        plan = compile_blueprint(row, names, overlap, costs, row["entry"])
        rows.append(
            {
                "strategy_id": plan.strategy_id,
                "version": plan.version,
                "candidate_id": plan.candidate_id,
                "event_type": plan.event_type,
                "horizon": plan.horizon,
                "blueprint_hash": plan.spec_hash(),
                "blueprint": canonical_bytes(plan).decode(),
                "admissible": row["admissible"],
            }
        )
    return BLUEPRINTS.conform(
        pl.DataFrame(rows, schema={c.name: c.dtype for c in BLUEPRINTS.columns})
    )


def to_jsonl(blueprints: pl.DataFrame) -> str:
    """`blueprints.jsonl`: one blueprint a line, in the table's order."""
    return "".join(line + "\n" for line in blueprints["blueprint"])


def read_blueprints(lines: Iterable[str]) -> list[Blueprint]:
    """Blueprints from lines of JSON; an unknown key or a bad value raises pydantic's error."""
    return [Blueprint.model_validate_json(line) for line in lines if line.strip()]


def intents_of(blueprint: Blueprint, entries: pl.DataFrame) -> pl.DataFrame:
    """Intents of one blueprint: one position per symbol at a time.

    `entries` are signed entries of its candidate (others are ignored): candidate_id, symbol, ts,
    side, event_id, optionally `stress`. A signal at the very instant of an exit's decision opens
    anew.
    """
    mine = entries.filter(
        pl.col("candidate_id") == blueprint.candidate_id,
        pl.col("symbol").is_in(blueprint.symbols),
    ).sort("symbol", "ts", "event_id")
    if "stress" not in mine.columns:
        mine = mine.with_columns(stress=pl.lit(False))
    keep, until = [], []
    hold = blueprint.horizon_min * MINUTE_US
    for _, group in mine.with_row_index("row").group_by(["symbol"], maintain_order=True):
        kept, ends = _one_position(
            group["ts"].dt.epoch("us").to_numpy(),
            group["side"].to_numpy(),
            hold,
            blueprint.overlap,
        )
        keep += group["row"].gather(kept).to_list()
        until += ends
    return (
        mine[keep]
        .with_columns(
            pl.lit(blueprint.strategy_id).alias("strategy_id"),
            pl.Series("exit_ts", until, dtype=pl.Int64).cast(TS),
            pl.col("stress").fill_null(False),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in INTENTS.items())
    )


def _one_position(
    at_us: I64, side: npt.NDArray[np.generic], hold_us: int, overlap: Overlap
) -> tuple[list[int], list[int]]:
    """Indices of the signals that open a position, and when each one's exit is decided."""
    kept: list[int] = []
    ends: list[int] = []
    for i, at in enumerate(at_us.tolist()):
        if not kept or at >= ends[-1]:
            kept.append(i)
            ends.append(at + hold_us)
        elif overlap == "extend" and side[i] == side[kept[-1]]:
            ends[-1] = at + hold_us
    return kept, ends

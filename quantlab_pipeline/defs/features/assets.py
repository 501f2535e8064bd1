"""Features of the universe's symbols, and the attack that every feature must survive."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs

_INPUTS = {
    "bars_perp": "bars_1m_perp",
    "bars_spot": "bars_1m_spot",
    "funding": "funding",
    "mark_index": "mark_index",
    "open_interest": "open_interest",
    "tob_1m_agg": "tob_1m_agg",
    "basis_state": "basis_state",
    "funding_state": "funding_state",
}


def inputs_of(run: StageRun) -> FeatureInputs:
    """The tables that features are made from, with the longest lookback, gate D0 in force."""
    return FeatureInputs(**{field: run.load(table) for field, table in _INPUTS.items()})


def features_pt(run: StageRun) -> Made:
    """Every feature on every minute of each day's members."""
    members = run.load("universe").select("symbol", day_of().alias("_day"))
    symbols = members["symbol"].unique().sort().to_list()
    frame = build_features(inputs_of(run), run.project.features(), run.days, symbols)
    kept = frame.with_columns(day_of().alias("_day")).join(
        members, on=["symbol", "_day"], how="semi", maintain_order="left"
    )
    return Made(kept.drop("_day"), {"features": frame.width - 3, **_coverage(kept)})


def pit1(run: StageRun) -> Judged:
    """Gate PIT-1: every day is attacked at a few instants of its own."""
    from quantlab_pipeline.research.features.gate import judge_pit1

    features = run.own()
    report = judge_pit1(
        inputs_of(run),
        run.project.features(),
        features,
        run.days,
        features["symbol"].unique().sort().to_list(),
        run.project.gates().pit1,
        run.seed,
    )
    return Judged({str(day): verdicts for day, verdicts in report.verdicts.items()})


def _coverage(frame: pl.DataFrame) -> Mapping[str, float]:
    cells = max(1, frame.height * (frame.width - 4))
    nulls = sum(frame.null_count().row(0))
    return {"coverage": 1.0 - nulls / cells}


BODIES: dict[str, Body] = {"features_pt": features_pt}
GATES: dict[Gate, GateBody] = {Gate.PIT1: pit1}

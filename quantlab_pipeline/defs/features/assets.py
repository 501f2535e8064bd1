"""Features of the universe's symbols, and the attack that every feature must survive."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs

MEMBERS = "universe"


def inputs_of(run: StageRun) -> FeatureInputs:
    """The tables that features are made from, each with its longest lookback, gate D0 in force."""
    names = [read.table for read in run.table.reads if read.table != MEMBERS]
    return FeatureInputs().with_tables({name: run.load(name) for name in names})


def features_pt(run: StageRun) -> Made:
    """Every feature on every minute of each day's members."""
    members = run.load(MEMBERS).select("symbol", day_of().alias("_day"))
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

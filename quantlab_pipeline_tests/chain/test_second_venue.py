"""A second venue's minute bars and quotes, in LEAN's folders, through every gate to the report."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.commands.adhoc import WORLD_CARD, Folder, make_adhoc
from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.definitions import build_defs
from quantlab_pipeline.defs.runner import StudyRun, run_study
from quantlab_pipeline.sources.archive.codec import make_zip
from quantlab_pipeline.storage.project_lake import project_of
from quantlab_pipeline.storage.waivers import Waiver
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline_tests.chain.builders import ALL_AFTER_E1, project_with
from quantlab_pipeline_tests.chain.checks import (
    every_stage_ran,
    executions_made_again_are_served,
    is_inadmissible,
)

DAYS = 5
FOLDERS = {"perp": "cryptofuture", "spot": "crypto"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> StudyRun:
    root = project_with(tmp_path_factory.mktemp("second_venue"), repository, {})
    data, folder = root / "data", root / "lean"
    project = project_of(root, data)
    smoke = project.scenario("smoke", Scenario)
    write_lean(folder, generate(smoke.model_copy(update={"duration_min": 1440 * DAYS})).frames)
    market, study = make_adhoc(project, Folder("lean", folder))
    waivers = [Waiver(gate, "to see it all", "a test", study=study.name) for gate in ALL_AFTER_E1]
    definitions = build_defs(root, data, [market])
    return run_study(project, data, study, market, definitions, waivers)


def write_lean(folder: Path, frames: dict[str, pl.DataFrame]) -> None:
    """The bars, each minute's closing quotes and the rates of a world, as LEAN keeps them."""
    for leg, market in FOLDERS.items():
        place = f"{market}/bybit/minute"
        bars = frames[f"bars_1m_{leg}"].select(
            "symbol", "open_ts", "open", "high", "low", "close", "volume_base"
        )
        write_days(folder / place, bars, "trade")
        book = frames["book"].filter(pl.col("leg") == leg)
        last = book.group_by("symbol", pl.col("ts").dt.truncate("1m").alias("open_ts")).agg(
            *([pl.col("bid_px").last().alias(f"bid_{n}") for n in "ohlc"]),
            pl.col("bid_qty").last(),
            *([pl.col("ask_px").last().alias(f"ask_{n}") for n in "ohlc"]),
            pl.col("ask_qty").last(),
        )
        write_days(folder / place, last.sort("symbol", "open_ts"), "quote")
    for (symbol,), rates in frames["funding"].partition_by("symbol", as_dict=True).items():
        path = folder / "cryptofuture/bybit/margin_interest" / f"{symbol.lower()}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        stamped = rates.select(pl.col("ts").dt.strftime("%Y%m%d %H:%M:%S"), "settled_rate")
        path.write_text(stamped.write_csv(include_header=False))
    (folder / WORLD_CARD).write_text(json.dumps({"scenario": "smoke"}))


def write_days(folder: Path, rows: pl.DataFrame, tick: str) -> None:
    """One zip a symbol and day: milliseconds since midnight, then the values."""
    dated = rows.with_columns(pl.col("open_ts").dt.date().alias("day"))
    for (symbol, day), part in dated.partition_by("symbol", "day", as_dict=True).items():
        since = (pl.col("open_ts") - pl.col("day").cast(pl.Datetime("us", "UTC"))).dt
        lines = part.with_columns(since.total_milliseconds().alias("open_ts")).drop("symbol", "day")
        path = folder / symbol.lower() / f"{day:%Y%m%d}_{tick}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        member = f"{day:%Y%m%d}_{symbol.lower()}_minute_{tick}.csv"
        path.write_bytes(make_zip(member, lines.write_csv(include_header=False).encode()))


def test_every_stage_runs_on_the_second_venues_book(ran: StudyRun) -> None:
    verdicts = {g.gate: g for g in ran.outcome.gates}
    assert verdicts[Gate.D0].outcome is Outcome.PASS
    assert verdicts[Gate.D0].admitted == verdicts[Gate.D0].judged == 2 * DAYS
    assert ran.outcome.market.venue == "bybit"
    every_stage_ran(ran)
    is_inadmissible(ran)
    returns = ran.outcome.table("backtest_returns")
    assert returns is not None
    held_out = returns.filter(pl.col("segment") == "holdout")["day"]
    assert held_out.min() == ran.outcome.study.holdout_start, "it begins where the study says"


def test_executions_made_again_are_served(ran: StudyRun) -> None:
    executions_made_again_are_served(ran)


def test_features_of_its_spread_and_depth_are_evaluated(ran: StudyRun) -> None:
    days = [str(day) for day in ran.outcome.study.days]
    features = ran.outcome.lake.read("features_pt", days)
    for name in ("spread_bps", "depth_usd"):
        own = [c for c in features.columns if c.startswith(name)]
        assert own
        assert features[own[0]].count() > 0.9 * features.height
    spreads = ran.outcome.lake.read("tob_1m_agg", days)
    assert set(spreads["leg"]) == {"perp", "spot"}
    assert spreads["valid_frac"].min() == 1.0

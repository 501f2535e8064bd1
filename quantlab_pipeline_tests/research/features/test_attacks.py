"""What an attack changes, and what it must leave alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE, day_start
from quantlab_pipeline.research.features.attacks import KEYS, Arsenal, Strike, around
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import Pit1Thresholds
from quantlab_pipeline_tests.research.features.builders import FIRST, market

LIMITS = Pit1Thresholds()
TAU = day_start(FIRST) + timedelta(hours=30)
TABLES = list(FeatureInputs().tables())
KNOWN = pl.col("available_at") <= TAU


@pytest.fixture(scope="module")
def inputs() -> FeatureInputs:
    return market(3, ["AAA", "BBB"], holes=True)


def _struck(inputs: FeatureInputs, strike: Strike, seed: int = 1) -> dict[str, pl.DataFrame]:
    return Arsenal(inputs, LIMITS, seed).struck(strike, TABLES).tables()


def _same_rows(a: pl.DataFrame, b: pl.DataFrame) -> bool:
    return a.sort(a.columns).equals(b.sort(b.columns))


def test_the_prefix_is_all_that_was_known_and_nothing_else(inputs: FeatureInputs) -> None:
    cut = _struck(inputs, Strike("prefix", TAU))
    for table, frame in inputs.tables().items():
        assert _same_rows(cut[table], frame.filter(KNOWN)), table


def test_poison_leaves_what_was_known_and_spares_no_value_after_it(inputs: FeatureInputs) -> None:
    poisoned = _struck(inputs, Strike("poison", TAU))
    for table, frame in inputs.tables().items():
        after = poisoned[table]
        assert _same_rows(after.filter(KNOWN), frame.filter(KNOWN)), table
        later, before = after.filter(~KNOWN), frame.filter(~KNOWN)
        assert later.filter(pl.col("ts") <= TAU).height > 0, "nothing was revised"
        if before.height < 100:
            continue
        assert before.join(later, on=["symbol", "ts"], how="anti").height > 0, "nothing is gone"
        keys = [c for c in ("symbol", "leg", "ts") if c in frame.columns]
        assert later.group_by(keys).len()["len"].max() > 1, "nothing stands twice"
        for column in set(frame.columns) - set(KEYS):
            if frame[column].count():
                joined = before.join(later, on=["symbol", "ts", "available_at"], suffix="_after")
                moved = joined.filter(pl.col(column).ne_missing(pl.col(f"{column}_after")))
                assert moved.height > 0.7 * joined.filter(pl.col(column).is_not_null()).height


def test_only_what_is_older_is_struck_by_the_lookback(inputs: FeatureInputs) -> None:
    struck = _struck(inputs, Strike("lookback", TAU))
    for table, frame in inputs.tables().items():
        young = pl.col("ts") >= TAU
        assert _same_rows(struck[table].filter(young), frame.filter(young)), table
        old = frame.filter(~young)
        assert not _same_rows(struck[table].filter(~young), old), table


def test_one_column_alone_moves_no_row(inputs: FeatureInputs) -> None:
    struck = _struck(inputs, Strike("poison", TAU, "bars_1m_perp", "close"))
    for table, frame in inputs.tables().items():
        if table == "bars_1m_perp":
            after = struck[table].sort("symbol", "ts")
            assert after.drop("close").equals(frame.drop("close"))
            assert (after["close"] != frame["close"]).sum() == frame.filter(~KNOWN).height
        else:
            assert struck[table].equals(frame)


@pytest.mark.parametrize("attack", ["prefix", "poison", "lookback"])
def test_a_narrower_strike_spares_what_is_not_beyond(inputs: FeatureInputs, attack) -> None:
    edge = TAU + (-90 if attack == "lookback" else 90) * MINUTE
    whole = _struck(inputs, Strike(attack, TAU))
    part = _struck(inputs, Strike(attack, TAU, beyond=edge))
    for table, frame in inputs.tables().items():
        clock = pl.col("ts") if attack == "lookback" else pl.col("available_at")
        beyond = clock <= edge if attack == "lookback" else clock >= edge
        assert _same_rows(part[table].filter(beyond), whole[table].filter(beyond)), table
        assert _same_rows(part[table].filter(~beyond), frame.filter(~beyond)), table


def test_the_same_seed_does_the_same_harm(inputs: FeatureInputs) -> None:
    strike = Strike("poison", TAU)
    for table, frame in _struck(inputs, strike).items():
        assert frame.equals(_struck(inputs, strike)[table])
        assert not frame.equals(_struck(inputs, strike, seed=2)[table])


def test_around_a_day_lie_its_lookback_and_the_day_after() -> None:
    near = around(market(6, ["AAA"]), date(2025, 3, 4), 1).bars_perp["ts"]
    begin = datetime.combine(FIRST + timedelta(days=1), datetime.min.time(), near[0].tzinfo)
    assert near.min() == begin + MINUTE
    assert near.max() == begin + timedelta(days=4)

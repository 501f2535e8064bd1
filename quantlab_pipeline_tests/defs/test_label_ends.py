"""A symbol that ended: its labels go to its final price once the market's next day tells of it."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_start
from quantlab_pipeline.research.market_data.schema import MARKET_DATA
from quantlab_pipeline_tests.defs.builders import (
    FIRST,
    World,
    failures,
    make_project,
    publish_klines,
)
from quantlab_pipeline_tests.sources.builders import moving_klines

TABLES = (*(s.name for s in MARKET_DATA), "qa_report", "universe", "labels_fwd")
ALIVE, DYING = "AAAUSDT", "BBBUSDT"
EVE, END_DAY, AFTER = DAYS = [FIRST + timedelta(days=i) for i in range(3)]
END_MIN = 8 * 60
"""The last bar closes so many minutes into the day."""


def market_of_bars(root: Path) -> World:
    """A market of bars alone, whose archive has no file yet."""
    market = {
        "synthetic": False,
        "source": {"kind": "binance_archive", "path": "archive"},
        "last_day": None,
        "datasets": {"bars_1m_perp": "required"},
    }
    return make_project(root, market=market)


def publish(world: World, *days: date) -> None:
    """The archive's files of these days; one symbol trades no longer than it lives."""
    for seed, symbol in enumerate((ALIVE, DYING)):
        for day in days:
            if symbol == DYING and day > END_DAY:
                continue
            rows = moving_klines(day, seed)
            rows = rows.head(END_MIN) if (symbol, day) == (DYING, END_DAY) else rows
            publish_klines(world.root / "archive", symbol, day, rows)


def run(world: World, first: date, last: date) -> None:
    result = world.run("days", str(first), str(last), tables=TABLES)
    assert result.success, failures(result)


def dying_labels(world: World, day: date) -> pl.DataFrame:
    return world.lake().read("labels_fwd", [day]).filter(pl.col("symbol") == DYING)


def label_prints(world: World) -> dict[date, str]:
    return {day: world.lake().fingerprint("labels_fwd", str(day)) for day in DAYS}


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = market_of_bars(tmp_path_factory.mktemp("at_once") / "world")
    publish(world, *DAYS)
    run(world, EVE, AFTER)
    return world


def test_labels_reach_the_final_price_of_a_symbol_that_ended(at_once: World) -> None:
    final = moving_klines(END_DAY, 1)["close"][END_MIN - 1]
    entry = moving_klines(EVE, 1)["close"][20 * 60]
    at_eight = day_start(EVE) + timedelta(hours=20)
    row = dying_labels(at_once, EVE).row(by_predicate=pl.col("ts") == at_eight, named=True)
    assert row["fwd_ret_24h"] is None
    assert row["fwd_ret_24h_exec"] == pytest.approx(math.log(final / entry), abs=1e-12)
    last_day = dying_labels(at_once, END_DAY)
    assert last_day["price_source"].count() == END_MIN
    assert last_day["fwd_ret_24h"].count() == 0
    assert last_day["fwd_ret_24h_exec"].count() == END_MIN - 1, "the last has no entry after it"
    assert last_day["mae_24h_mark"].count() == 0, "the market has no mark"


def test_an_end_that_a_later_day_tells_makes_the_labels_anew(
    at_once: World, tmp_path: Path
) -> None:
    world = market_of_bars(tmp_path / "world")
    publish(world, EVE, END_DAY)
    run(world, EVE, END_DAY)
    before = dying_labels(world, EVE)
    unresolved = before["fwd_ret_24h"].null_count()
    assert unresolved > 0
    assert before["fwd_ret_24h_exec"].null_count() == unresolved, "nobody knows yet that it ended"
    publish(world, AFTER)
    assert all(world.lake().is_current("labels_fwd", str(day)) for day in (EVE, END_DAY))
    bars_alone = world.run("days", str(END_DAY), str(AFTER), tables=("bars_1m_perp",))
    assert bars_alone.success, failures(bars_alone)
    assert not world.lake().is_current("labels_fwd", str(EVE)), "the end is in the lineage"
    run(world, EVE, AFTER)
    assert dying_labels(world, EVE)["fwd_ret_24h_exec"].null_count() == 0
    assert label_prints(world) == label_prints(at_once), "told later is told at once"

"""A symbol that ends: its last day is whole up to the end, and who leaves it out is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_start
from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.research.market_data.schema import MARKET_DATA
from quantlab_pipeline_tests.defs.builders import FIRST, SCENARIO, World, failures, make_project

TABLES = (*(s.name for s in MARKET_DATA), "qa_report", "universe")
END_MIN = 8 * 60
DYING, ALIVE = "BBBUSDT", "AAAUSDT"
LAST_DAY = FIRST + timedelta(days=2)
ENDS = {"day": LAST_DAY, "minute": END_MIN, "return_bps": -6000, "over_min": 120}


def world_with(root: Path, **market: object) -> World:
    symbols = [
        {**s, **({"ends": ENDS} if s["symbol"] == DYING else {})} for s in SCENARIO["symbols"]
    ]
    quiet = {**SCENARIO, "symbols": symbols, "episodes": []}
    return make_project(root, scenario=quiet, market=market)


def run(world: World, first: str, last: str) -> None:
    result = world.run("days", first, last, tables=TABLES)
    assert result.success, failures(result)


def verdicts(world: World, day: str) -> dict[str, Outcome]:
    record = world.lake().verdicts.current(Gate.D0, f"day={day}")
    assert record is not None
    return {item.item: item.outcome for item in record.items}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = world_with(tmp_path_factory.mktemp("ends") / "world")
    run(world, world.days[0], world.days[-1])
    return world


def test_d0_admits_the_last_day_up_to_its_end_and_the_universe_says_when(whole: World) -> None:
    assert verdicts(whole, str(LAST_DAY)) == {ALIVE: Outcome.PASS, DYING: Outcome.PASS}
    after = str(LAST_DAY + timedelta(days=1))
    assert verdicts(whole, after) == {ALIVE: Outcome.PASS, DYING: Outcome.NOT_EVALUABLE}
    row = (
        whole.lake()
        .read("universe", [LAST_DAY])
        .row(by_predicate=pl.col("symbol") == DYING, named=True)
    )
    assert row["reason"] == "DELISTED"
    assert row["valid_to"] == day_start(LAST_DAY) + timedelta(minutes=END_MIN)


def test_a_day_alone_is_the_same_as_in_a_range(whole: World, tmp_path: Path) -> None:
    world = world_with(tmp_path / "world")
    for day in world.days[:4]:
        run(world, day, day)
    for table in ("bars_1m_perp", "qa_report", "universe"):
        one, other = (w.lake().fingerprint(table, str(LAST_DAY)) for w in (world, whole))
        assert one == other


def test_a_gap_at_the_end_of_a_day_is_no_end_where_the_symbol_trades_on(tmp_path: Path) -> None:
    gap = {
        "kind": "early_end", "dataset": "bars_1m_perp", "symbol": DYING, "day": LAST_DAY,
        "length_min": 60,
    }  # fmt: skip
    scenario = {**SCENARIO, "episodes": [], "damage": [gap]}
    world = make_project(tmp_path / "world", scenario=scenario)
    run(world, world.days[0], str(LAST_DAY))
    assert verdicts(world, str(LAST_DAY)) == {ALIVE: Outcome.PASS, DYING: Outcome.FAIL}


def test_a_market_that_leaves_out_the_dead_is_told_on_the_day_they_died(tmp_path: Path) -> None:
    world = world_with(tmp_path / "world", symbols=[ALIVE])
    run(world, world.days[0], world.days[-1])
    assert verdicts(world, str(LAST_DAY)) == {ALIVE: Outcome.PASS, DYING: Outcome.FAIL}
    record = world.lake().verdicts.current(Gate.D0, f"day={LAST_DAY}")
    assert record is not None
    assert next(i for i in record.items if i.item == DYING).reasons == (
        "SURVIVORSHIP:bars_1m_perp",
    )
    assert set(verdicts(world, world.days[0])) == {ALIVE}
    members = world.lake().read("universe", [LAST_DAY])
    assert members["symbol"].to_list() == [ALIVE], "and it stops nobody else"

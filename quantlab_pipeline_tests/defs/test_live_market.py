"""A market that grows: REST gives what the archive lacks; the archive's file takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.defs.market_data import opening
from quantlab_pipeline.defs.resources import utc_now
from quantlab_pipeline.research.market_data.schema import MARKET_DATA
from quantlab_pipeline_tests.defs.builders import World, failures, make_project, publish_klines
from quantlab_pipeline_tests.sources.builders import moving_klines
from quantlab_pipeline_tests.sources.remote.rest_server import RestVenue, candle_rows
from quantlab_pipeline_tests.sources.remote.server import LocalServer

SYMBOLS = ("AAAUSDT", "BBBUSDT")
TABLES = (*(s.name for s in MARKET_DATA), "qa_report", "universe")


@dataclass
class Live:
    """The market, its venue on this machine, and the two whole days that it is asked for."""

    world: World
    server: LocalServer
    days: list[date]

    def run(self) -> set[str]:
        """A range run of the days; the fingerprints of the bars' days after it."""
        first, last = map(str, (self.days[0], self.days[-1]))
        result = self.world.run("days", first, last, tables=TABLES)
        assert result.success, failures(result)
        lake = self.world.lake()
        return {lake.fingerprint("bars_1m_perp", str(day)) for day in self.days}

    def publish(self, day: date, rows: pl.DataFrame, symbol: str = SYMBOLS[0]) -> None:
        """Put a day's file into the mirror, as `quantlab fetch` would."""
        publish_klines(self.world.root / "mirror", symbol, day, rows)


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    today = utc_now().date()
    days = [today - timedelta(days=n) for n in (3, 2)]
    venue = RestVenue()
    for seed, symbol in enumerate(SYMBOLS):
        rows = [row for day in days for row in candle_rows(moving_klines(day, seed))]
        venue.serve("klines", symbol, rows)
    world = make_project(
        tmp_path / "world",
        market={
            "synthetic": False,
            "source": {"kind": "binance", "path": "mirror"},
            "first_day": days[0],
            "last_day": None,
            "datasets": {"bars_1m_perp": "required"},
        },
    )
    opening.rest_of.cache_clear()
    with LocalServer(venue) as server:
        monkeypatch.setenv(opening.UM_URL, server.url)
        monkeypatch.setenv(opening.SPOT_URL, server.url)
        yield Live(world, server, days)
    opening.rest_of.cache_clear()


def test_days_that_the_archive_lacks_come_from_the_venue_once(live: Live) -> None:
    made = live.run()
    assert live.world.lake().read("bars_1m_perp", live.days).height == 2 * 2 * 1440
    asked = len(live.server.requests)
    assert asked > 0
    (told,) = opening.usage_of(live.world.market).values()
    assert told.startswith(f"{asked} requests")
    assert live.run() == made, "what is complete is not made again"
    assert len(live.server.requests) == asked, "and not asked for again"


def test_the_archives_file_takes_a_days_place_and_leaves_the_other_alone(live: Live) -> None:
    live.run()
    first, second = live.days
    before = {day: live.world.lake().fingerprint("bars_1m_perp", str(day)) for day in live.days}
    corrected = moving_klines(first, 0).with_columns(pl.col("volume") * 2)
    live.publish(first, corrected)
    live.run()
    lake = live.world.lake()
    after = {day: lake.fingerprint("bars_1m_perp", str(day)) for day in live.days}
    assert after[first] != before[first]
    assert after[second] == before[second]
    bars = lake.read("bars_1m_perp", [first]).filter(symbol=SYMBOLS[0])
    assert bars["volume_base"].to_list() == corrected["volume"].to_list()


def test_with_the_network_switched_off_a_lacking_day_is_absent_and_d0_says_so(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_REMOTE_PROVIDERS", "disabled")
    first, second = live.days
    for seed, symbol in enumerate(SYMBOLS):
        live.publish(first, moving_klines(first, seed), symbol)
    result = live.world.run("days", str(first), str(second), tables=TABLES)
    assert result.success, failures(result)
    report = live.world.lake().read("qa_report", [second], gated=False)
    absent = report.filter(pl.col("check") == "absent_dataset", pl.col("count") == 1)
    assert sorted(absent["symbol"]) == sorted(SYMBOLS)
    assert live.server.requests == []

"""A world's hours against its minutes: silent where clean, exact where damaged."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from quantlab_pipeline.core.clocks import days_between, from_us
from quantlab_pipeline.research.market_data.totals import MISMATCH, UNCOVERED_TOTALS
from quantlab_pipeline.sources.world import WorldFiles, world_source
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.truth import truth_from_json
from quantlab_pipeline_tests.sources.builders import ingest
from quantlab_pipeline_tests.sources.test_world import scenario

HOUR = timedelta(hours=1)
BARS = ("bars_1m_perp", "bars_1m_spot")
SEEN_AS = {
    "unit_error": MISMATCH,
    "time_shift": MISMATCH,
    "price_outlier": MISMATCH,
    "zero_volume_run": MISMATCH,
    "gap": UNCOVERED_TOTALS,
    "duplicate_rows": None,
    "non_monotone": None,
}
"""What the hours say of damage that leaves stamps as they are; a first of doubled rows is whole."""


def hours_of(places_us) -> list:
    """Closes of the hours in which the minutes that close at `places_us` lie."""
    closes = {from_us(-(-p // 3_600_000_000) * 3_600_000_000) for p in places_us}
    return sorted(closes)


def findings(name: str):
    """(truth, (dataset, symbol, day, check) -> places) of the totals of a shipped scenario."""
    sealed: list[bytes] = []
    spec = scenario(name)
    source = world_source(spec, seal=sealed.append)
    days = days_between(spec.first_day, spec.last_day)
    found = {}
    for dataset in BARS:
        for symbol in source.symbols():
            for f in ingest(source, dataset, days, symbol).findings:
                if f.check in (MISMATCH, UNCOVERED_TOTALS):
                    found[dataset, symbol, f.day, f.check] = list(f.places)
    return truth_from_json(sealed[0]), found


def test_damaged_minutes_are_found_in_the_hours_they_lie_in():
    truth, found = findings("damaged")
    for item in truth.damage:
        if item.dataset not in BARS or item.kind not in SEEN_AS:
            continue
        key = (item.dataset, item.symbol, date.fromisoformat(item.day))
        own = {check: found.pop((*key, check), []) for check in (MISMATCH, UNCOVERED_TOTALS)}
        expected = hours_of(item.places_us)
        assert own == {c: expected if c == SEEN_AS[item.kind] else [] for c in own}, item.kind
    others = {d.dataset for d in truth.damage if d.kind not in SEEN_AS}
    assert {key[0] for key in found} <= others


def test_the_clean_twin_adds_up():
    assert findings("damaged_clean")[1] == {}


@pytest.mark.parametrize(("market", "first"), [("futures/um", b"open_time,"), ("spot", b"17")])
def test_hours_lie_in_monthly_files_of_the_official_names(market, first):
    files = WorldFiles(generate(scenario("damaged_clean")))
    hourly = [n for n in files.names() if f"{market}/monthly/klines" in n and n.endswith(".zip")]
    month = scenario("damaged_clean").first_day.strftime("%Y-%m")
    assert hourly
    assert all("/1h/" in n and "-1h-" in n for n in hourly)
    assert any(n.endswith(f"-1h-{month}.zip") for n in hourly)
    assert first in files.read(hourly[0])[:400]

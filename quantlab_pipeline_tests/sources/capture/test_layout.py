"""Names of captures: third parties' days, the recorder's hours and parts."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from quantlab_pipeline.sources.capture.layout import bearing_on, capture_file, capture_name


@pytest.mark.parametrize(
    ("name", "market", "start", "hours", "part"),
    [
        ("usdm/btcusdt_20230405.dat.gz", "usdm", datetime(2023, 4, 5, tzinfo=UTC), 24, 1),
        ("spot/BTCUSDT_20240808.gz", "spot", datetime(2024, 8, 8, tzinfo=UTC), 24, 1),
        ("a/usdm/b/btcusdt_20240808T23.gz", "usdm", datetime(2024, 8, 8, 23, tzinfo=UTC), 1, 1),
        ("usdm/btcusdt_20240808T00-12.gz", "usdm", datetime(2024, 8, 8, tzinfo=UTC), 1, 12),
    ],
)
def test_a_name_says_its_market_its_symbol_and_its_hours(name, market, start, hours, part):
    file = capture_file(name)
    assert file is not None
    assert (file.market, file.symbol, file.start, file.part) == (market, "BTCUSDT", start, part)
    assert (file.end - file.start).total_seconds() == hours * 3600


@pytest.mark.parametrize(
    "name",
    [
        "btcusdt_20240808.gz",
        "usdm/btcusdt_20241308.gz",
        "usdm/btcusdt_20240808T24.gz",
        "usdm/btcusdt_20240808.csv",
        "usdm/btcusdt_20240808T23-0.gz",
        "coinm/btcusdt_20240808.gz",
        "usdm/_20240808.gz",
    ],
)
def test_other_names_are_no_captures(name):
    assert capture_file(name) is None


def test_the_recorders_own_names_read_back():
    hour = datetime(2024, 8, 8, 23, tzinfo=UTC)
    for part in (1, 2):
        file = capture_file(capture_name("spot", "ETHUSDT", hour, part))
        assert file is not None
        assert (file.start, file.part, file.symbol) == (hour, part, "ETHUSDT")


def test_a_delivery_contract_keeps_the_underscore_of_its_name():
    file = capture_file("usdm/btcusdt_241227_20240808.gz")
    assert file is not None
    assert (file.symbol, file.day) == ("BTCUSDT_241227", date(2024, 8, 8))


def test_files_stand_in_the_order_of_time_and_parts_in_theirs():
    names = [
        *("usdm/btcusdt_20240808T10.gz", "usdm/btcusdt_20240808T09-10.gz"),
        *("usdm/btcusdt_20240808T09-9.gz", "usdm/btcusdt_20240808T09.gz"),
        *("usdm/btcusdt_20240806T09.gz", "usdm/btcusdt_20240810T09.gz"),
    ]
    files = [f for f in map(capture_file, names) if f is not None]
    assert [f.name for f in bearing_on(files, [date(2024, 8, 8)])] == [
        names[i] for i in (3, 2, 1, 0)
    ]

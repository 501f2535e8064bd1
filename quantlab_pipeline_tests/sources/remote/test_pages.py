"""Pages: their names, and the JSON that they may and may not hold."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources import zipped_csv
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import FUNDING, KLINES, METRICS
from quantlab_pipeline.sources.remote.pages import Page, error_of, file_days, page_of, read_page
from quantlab_pipeline_tests.sources import builders as b
from quantlab_pipeline_tests.sources.remote import rest_server as r

PAGE = Page("klines", b.SYMBOL, b.DAY, 1)
CANDLE = r.candle_rows(b.klines(b.DAY, 1))[0][1]
SETTLED = r.funding_rows(b.funding_rates([b.ms(datetime(2024, 3, 5, tzinfo=UTC))]), b.SYMBOL)[0][1]
INTEREST = r.interest_rows(b.metrics(["2024-03-05 00:00:00"]), b.SYMBOL)[0][1]


def read(body: object, kind: str = KLINES) -> pl.DataFrame:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_page(data, PAGE.name, kind, b.SYMBOL)


def test_a_page_s_name_says_endpoint_symbol_day_and_number():
    assert PAGE.name == "rest/klines/BTCUSDT/BTCUSDT-klines-2024-03-05-1.json"
    assert page_of(PAGE.name) == PAGE
    assert file_days(PAGE.name) == (b.DAY, b.DAY)


@pytest.mark.parametrize(
    "name",
    [
        "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip",
        "rest/klines/BTCUSDT/ETHUSDT-klines-2024-03-05-1.json",
        "rest/klines/BTCUSDT/BTCUSDT-fundingRate-2024-03-05-1.json",
        "rest/klines/BTCUSDT/BTCUSDT-klines-2024-13-05-1.json",
        "rest/klines/BTCUSDT/BTCUSDT-klines-2024-03-05.json",
        "",
    ],
)
def test_another_name_is_no_page(name):
    assert page_of(name) is None
    assert file_days(name) is None


@given(
    st.sampled_from(sorted(r.PATHS)),
    st.text("ABTU109_", min_size=1, max_size=14),
    st.dates(date(2019, 9, 8), date(2099, 1, 1)),
    st.integers(1, 9999),
)
def test_a_name_is_read_back_as_it_was_written(endpoint, symbol, day, number):
    page = Page(endpoint, symbol, day, number)
    assert page_of(page.name) == page


def test_candles_have_the_archive_s_columns_and_types():
    rows = read([CANDLE, CANDLE])
    archive = zipped_csv.read_rows(
        codec.make_zip("a.csv", codec.encode_csv(b.klines(b.DAY, 1), codec.KLINES, header=True)),
        "a.zip",
        codec.KLINES,
    )
    assert rows.schema == archive.schema
    assert rows.equals(pl.concat([archive, archive]))


def test_a_settlement_has_no_interval():
    rows = read([SETTLED], FUNDING)
    assert rows.row(0) == (datetime(2024, 3, 5, tzinfo=UTC), None, 0.0001)


def test_open_interest_is_stamped_at_its_end_and_kept_by_its_start():
    assert INTEREST["timestamp"] == b.ms(datetime(2024, 3, 5, 0, 5, tzinfo=UTC))
    as_text = {**INTEREST, "timestamp": str(INTEREST["timestamp"])}
    for element in (INTEREST, as_text):
        assert read([element], METRICS).row(0) == (
            datetime(2024, 3, 5, tzinfo=UTC),
            1000.0,
            100_000.0,
        )


def test_an_empty_page_has_the_columns_and_no_rows():
    for kind in (KLINES, FUNDING, METRICS):
        assert read([], kind).is_empty()
        assert read([], kind).width > 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"code":-1121,"msg":"Invalid symbol."}', "error of the venue, -1121: Invalid symbol"),
        (b"<!DOCTYPE html><html>", "no whole JSON"),
        (b"", "no whole JSON"),
        (b"\xff\xfe[", "no whole JSON"),
        (json.dumps([CANDLE]).encode()[:-20], "no whole JSON"),
        (b"[" * 100_000, "no whole JSON"),
        (b'{"rows": []}', "holds a JSON dict"),
        (b'"ok"', "holds a JSON str"),
        (b"[[NaN]]", "no whole JSON"),
    ],
)
def test_what_is_no_list_of_rows_is_an_error_that_names_the_page(body, said):
    with pytest.raises(SourceError, match=said) as caught:
        read(body)
    assert caught.value.fields["file"] == PAGE.name


def changed(element: list[object], at: int, value: object) -> list[object]:
    return [value if i == at else v for i, v in enumerate(element)]


@pytest.mark.parametrize(
    ("element", "said"),
    [
        (CANDLE[:8], "not a candle of 12 fields"),
        ({"open": 1}, "not a candle"),
        (None, "not a candle"),
        (changed(CANDLE, 4, "abc"), "close is 'abc', not a number"),
        (changed(CANDLE, 4, ""), "close is '', not a number"),
        (changed(CANDLE, 4, "1_000"), "close is '1_000', not a number"),
        (changed(CANDLE, 4, "NaN"), "close is 'NaN', not a number"),
        (changed(CANDLE, 4, None), "close is None, not a number"),
        (changed(CANDLE, 4, True), "close is True, not a number"),
        (changed(CANDLE, 4, [1]), r"close is \[1\], not a number"),
        (changed(CANDLE, 0, 1_709_596_800), "open_time is 1709596800, no instant in milliseconds"),
        (changed(CANDLE, 0, 1_709_596_800_000_000), "no instant in milliseconds"),
        (changed(CANDLE, 0, -1), "no instant in milliseconds"),
        (changed(CANDLE, 0, 1.5), "not a whole number"),
        (changed(CANDLE, 8, "three"), "count is 'three', not a whole number"),
        (changed(CANDLE, 8, 10**30), "not a whole number"),
    ],
)
def test_a_candle_of_another_shape_is_an_error_that_names_its_element(element, said):
    with pytest.raises(SourceError, match=said) as caught:
        read([CANDLE, CANDLE, element])
    assert caught.value.fields["element"] == 2
    assert f"{PAGE.name}, element 2:" in str(caught.value)


@pytest.mark.parametrize("kind", [FUNDING, METRICS])
def test_an_object_without_its_fields_or_of_another_symbol_is_an_error(kind):
    whole = SETTLED if kind == FUNDING else INTEREST
    for field in ("symbol", "fundingRate" if kind == FUNDING else "sumOpenInterest"):
        with pytest.raises(SourceError, match=f"element 0: {field} is missing"):
            read([{k: v for k, v in whole.items() if k != field}], kind)
    with pytest.raises(SourceError, match="it is of 'ETHUSDT', not of BTCUSDT"):
        read([whole, {**whole, "symbol": "ETHUSDT"}], kind)
    with pytest.raises(SourceError, match="a list where an object is due"):
        read([[1, 2]], kind)


@given(st.binary(max_size=60))
def test_any_bytes_give_rows_or_an_error_of_the_source(data):
    for kind in (KLINES, FUNDING, METRICS):
        with contextlib.suppress(SourceError):
            assert read(data, kind).width
    error_of(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=13) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=30,
)


@given(json_values)
def test_any_json_gives_rows_or_an_error_of_the_source(value):
    for kind in (KLINES, FUNDING, METRICS):
        for body in (value, [value]):
            with contextlib.suppress(SourceError):
                assert read(body, kind).width


@given(st.floats(min_value=0, allow_infinity=False))
def test_numbers_come_through_to_the_last_bit(value):
    rows = read([changed(CANDLE, 5, str(value))])
    assert rows["volume"][0] == value

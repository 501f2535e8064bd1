"""The archive's files round trip, and every kind of damaged bytes is one clear error."""

from __future__ import annotations

import io
import zipfile

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline_tests.sources.builders import DAY, klines

NAME = "data/x/BTCUSDT-1m-2024-03-05.zip"
FINITE = st.floats(min_value=1e-9, max_value=1e12, allow_nan=False)


def zipped(text: bytes, compress: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as archive:
        archive.writestr("a.csv", text)
    return buffer.getvalue()


def text_of(rows: pl.DataFrame, header: bool = True) -> bytes:
    return codec.encode_csv(rows, codec.KLINES, header=header)


@settings(max_examples=40, deadline=None)
@given(
    prices=st.lists(FINITE, min_size=1, max_size=12),
    micro=st.booleans(),
    header=st.booleans(),
    piece=st.integers(min_value=20, max_value=400),
)
def test_klines_round_trip_in_either_unit_with_or_without_header(prices, micro, header, piece):
    rows = klines(DAY, len(prices)).with_columns(pl.Series("close", prices))
    if micro:
        rows = rows.with_columns(pl.col("open_time") * 1000, pl.col("close_time") * 1000 + 999)
    data = codec.make_zip("a.csv", text_of(rows, header))
    pieces = list(codec.read_pieces(data, NAME, codec.KLINES, piece_bytes=piece))
    read = pl.concat(pieces)
    assert read["close"].to_list() == prices
    scale = 1 if micro else 1000
    assert read["open_time"].dt.epoch("us").to_list() == [
        t * scale for t in rows["open_time"].to_list()
    ]


def test_a_zip_of_ours_has_the_same_bytes_on_every_day():
    assert codec.make_zip("a.csv", b"1,2\n") == codec.make_zip("a.csv", b"1,2\n")
    with zipfile.ZipFile(io.BytesIO(codec.make_zip("a.csv", b"1\n"))) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_file_without_rows_gives_no_rows():
    for text in (b"", text_of(klines(DAY, 0))):
        assert codec.read_rows(zipped(text), NAME, codec.KLINES).height == 0


def test_a_price_of_text_names_file_and_line():
    lines = text_of(klines(DAY, 5)).split(b"\n")
    lines[3] = lines[3].replace(b",100.0,", b",abc,", 1)
    with pytest.raises(SourceError, match=r"line 4: open is 'abc'") as caught:
        codec.read_rows(zipped(b"\n".join(lines)), NAME, codec.KLINES)
    assert caught.value.fields["file"] == NAME
    assert caught.value.fields["line"] == 4


def test_the_line_is_right_in_a_later_piece_too():
    lines = text_of(klines(DAY, 50)).split(b"\n")
    lines[40] = lines[40].replace(b",100.0,", b",abc,", 1)
    with pytest.raises(SourceError, match="line 41"):
        list(codec.read_pieces(zipped(b"\n".join(lines)), NAME, codec.KLINES, piece_bytes=300))


def test_a_missing_column_is_named():
    text = klines(DAY, 2).drop("close").write_csv().encode()
    with pytest.raises(SourceError, match="lacks the column close"):
        codec.read_rows(zipped(text), NAME, codec.KLINES)


def test_a_headerless_file_with_too_few_columns_is_refused():
    text = klines(DAY, 2).drop("ignore").write_csv(include_header=False).encode()
    with pytest.raises(SourceError, match="11 columns"):
        codec.read_rows(zipped(text), NAME, codec.KLINES)


def test_a_short_line_is_named():
    text = text_of(klines(DAY, 3)) + b"1709600000000,1.0\n"
    with pytest.raises(SourceError, match="line 5"):
        codec.read_rows(zipped(text), NAME, codec.KLINES)


def test_stamps_in_seconds_are_refused():
    rows = klines(DAY, 3).with_columns(pl.col("open_time") // 1000)
    with pytest.raises(SourceError, match="line 2: open_time"):
        codec.read_rows(zipped(text_of(rows)), NAME, codec.KLINES)


def test_truncated_and_corrupted_zips_are_named():
    whole = zipped(text_of(klines(DAY, 200)))
    corrupt = bytearray(whole)
    corrupt[120:160] = b"\x00" * 40
    for data in (whole[: len(whole) // 2], bytes(corrupt), b"", b"no zip at all"):
        with pytest.raises(SourceError, match=NAME):
            codec.read_rows(data, NAME, codec.KLINES)


def test_a_zip_of_two_files_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", b"1")
        archive.writestr("b.csv", b"2")
    with pytest.raises(SourceError, match="2 files"):
        codec.read_rows(buffer.getvalue(), NAME, codec.KLINES)


def test_an_empty_price_is_null_and_left_to_the_examination():
    rows = klines(DAY, 2).with_columns(pl.lit(None, pl.Float64).alias("close"))
    assert codec.read_rows(zipped(text_of(rows)), NAME, codec.KLINES)["close"].null_count() == 2


def test_a_checksum_of_other_bytes_is_refused():
    codec.verify_checksum("a.zip", b"x", codec.make_checksum("a.zip", b"x"))
    for wrong in (codec.make_checksum("a.zip", b"y"), b""):
        with pytest.raises(SourceError, match=r"a\.zip does not match"):
            codec.verify_checksum("a.zip", b"x", wrong)

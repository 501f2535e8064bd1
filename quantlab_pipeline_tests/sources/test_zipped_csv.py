"""Zipped CSV round trips, and every kind of damaged bytes is one clear error."""

from __future__ import annotations

import io
import zipfile

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources import zipped_csv
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
    pieces = list(zipped_csv.read_pieces(data, NAME, codec.KLINES, piece_bytes=piece))
    read = pl.concat(pieces)
    assert read["close"].to_list() == prices
    scale = 1 if micro else 1000
    assert read["open_time"].dt.epoch("us").to_list() == [
        t * scale for t in rows["open_time"].to_list()
    ]


def test_a_file_without_rows_gives_no_rows():
    for text in (b"", text_of(klines(DAY, 0))):
        assert zipped_csv.read_rows(zipped(text), NAME, codec.KLINES).height == 0


def test_a_price_of_text_names_file_and_line():
    lines = text_of(klines(DAY, 5)).split(b"\n")
    lines[3] = lines[3].replace(b",100.0,", b",abc,", 1)
    with pytest.raises(SourceError, match=r"line 4: open is 'abc'") as caught:
        zipped_csv.read_rows(zipped(b"\n".join(lines)), NAME, codec.KLINES)
    assert caught.value.fields["file"] == NAME
    assert caught.value.fields["line"] == 4


def test_the_line_is_right_in_a_later_piece_too():
    lines = text_of(klines(DAY, 50)).split(b"\n")
    lines[40] = lines[40].replace(b",100.0,", b",abc,", 1)
    with pytest.raises(SourceError, match="line 41"):
        list(zipped_csv.read_pieces(zipped(b"\n".join(lines)), NAME, codec.KLINES, piece_bytes=300))


def test_a_missing_column_is_named():
    text = klines(DAY, 2).drop("close").write_csv().encode()
    with pytest.raises(SourceError, match="lacks the column close"):
        zipped_csv.read_rows(zipped(text), NAME, codec.KLINES)


def test_a_headerless_file_with_too_few_columns_is_refused():
    text = klines(DAY, 2).drop("ignore").write_csv(include_header=False).encode()
    with pytest.raises(SourceError, match="11 columns"):
        zipped_csv.read_rows(zipped(text), NAME, codec.KLINES)


def test_a_short_line_is_named():
    text = text_of(klines(DAY, 3)) + b"1709600000000,1.0\n"
    with pytest.raises(SourceError, match="line 5"):
        zipped_csv.read_rows(zipped(text), NAME, codec.KLINES)


def test_stamps_in_seconds_are_refused():
    rows = klines(DAY, 3).with_columns(pl.col("open_time") // 1000)
    with pytest.raises(SourceError, match="line 2: open_time"):
        zipped_csv.read_rows(zipped(text_of(rows)), NAME, codec.KLINES)


def test_truncated_and_corrupted_zips_are_named():
    whole = zipped(text_of(klines(DAY, 200)))
    corrupt = bytearray(whole)
    corrupt[120:160] = b"\x00" * 40
    for data in (whole[: len(whole) // 2], bytes(corrupt), b"", b"no zip at all"):
        with pytest.raises(SourceError, match=NAME):
            zipped_csv.read_rows(data, NAME, codec.KLINES)


def test_a_zip_of_two_files_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", b"1")
        archive.writestr("b.csv", b"2")
    with pytest.raises(SourceError, match="2 files"):
        zipped_csv.read_rows(buffer.getvalue(), NAME, codec.KLINES)


def test_an_empty_price_is_null_and_left_to_the_examination():
    rows = klines(DAY, 2).with_columns(pl.lit(None, pl.Float64).alias("close"))
    assert (
        zipped_csv.read_rows(zipped(text_of(rows)), NAME, codec.KLINES)["close"].null_count() == 2
    )


@pytest.mark.parametrize("kept", [7, 11])
def test_a_cut_line_is_no_row_of_empty_fields(kept):
    """Seven fields hold both stamps: what is missing would read as values not published."""
    lines = text_of(klines(DAY, 3)).split(b"\n")
    lines[2] = b",".join(lines[2].split(b",")[:kept])
    with pytest.raises(SourceError, match=f"line 3: {kept} fields, 12 columns"):
        zipped_csv.read_rows(zipped(b"\n".join(lines)), NAME, codec.KLINES)


def test_an_empty_line_is_named():
    text = text_of(klines(DAY, 2)) + b"\n" + text_of(klines(DAY, 2), header=False)
    with pytest.raises(SourceError, match="line 4: 1 fields"):
        zipped_csv.read_rows(zipped(text), NAME, codec.KLINES)


def test_an_encrypted_zip_is_named():
    data = bytearray(zipped(text_of(klines(DAY, 2))))
    local, central = data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8
    data[local] |= 1
    data[central] |= 1
    with pytest.raises(SourceError, match="not a whole zip") as caught:
        zipped_csv.read_rows(bytes(data), NAME, codec.KLINES)
    assert caught.value.fields["file"] == NAME


def test_text_that_is_not_zipped_reads_the_same():
    text = text_of(klines(DAY, 3))
    whole = zipped_csv.read_rows(zipped(text), NAME, codec.KLINES)
    assert zipped_csv.read_text(text, NAME, codec.KLINES).equals(whole)
    assert zipped_csv.read_text(b"", NAME, codec.KLINES).is_empty()
    with pytest.raises(SourceError, match="2 columns"):
        zipped_csv.read_text(b"1,2\n", NAME, codec.KLINES)

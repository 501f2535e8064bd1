"""Small folders of the official layout, and a command line that is run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.cli import app
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import KLINES, UM, archive_name
from quantlab_pipeline_tests.sources.builders import klines

SYMBOL = "BTCUSDT"
FIRST = date(2024, 3, 4)
DAYS = [FIRST + timedelta(days=i) for i in range(4)]


@dataclass(frozen=True)
class Said:
    """What a command said and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """`quantlab ARG...` in this process. An exception is the command's bug and passes through."""

    def run(*args: str | Path) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(a) for a in args], prog_name="quantlab")
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run


def kline_name(day: date, symbol: str = SYMBOL) -> str:
    """The archive's name of a day of perpetual bars."""
    return archive_name(UM, KLINES, symbol, day, daily=True)


def put_file(folder: Path, name: str, data: bytes) -> Path:
    """A file of the archive with the CHECKSUM of just these bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.with_name(f"{path.name}.CHECKSUM").write_bytes(codec.make_checksum(path.name, data))
    return path


def zipped(rows: pl.DataFrame, name: str) -> bytes:
    """Kline rows as the archive's zip, header included."""
    csv = name.rpartition("/")[2].replace(".zip", ".csv")
    return codec.make_zip(csv, codec.encode_csv(rows, codec.KLINES, header=True))


def archive(folder: Path, days: list[date] = DAYS, symbol: str = SYMBOL) -> Path:
    """A folder with a day's bars of one symbol for each of `days`."""
    for day in days:
        name = kline_name(day, symbol)
        put_file(folder, name, zipped(klines(day), name))
    return folder

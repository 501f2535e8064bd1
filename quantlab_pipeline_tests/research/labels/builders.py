"""Small bars, books, marks and specs for the label tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, TS, day_start, days_between
from quantlab_pipeline.research.labels.build import build_labels
from quantlab_pipeline.research.labels.spec import LabelSpecs
from quantlab_pipeline_tests.oracles.label_paths import Minutes

SPECS_DIR = Path(__file__).resolve().parents[3] / "specs"
FIRST = date(2025, 3, 1)
START = day_start(FIRST)

Closes = Sequence[float | None]


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((SPECS_DIR / "label_specs.yaml").read_text())
    return document


def label_document(**changes: object) -> dict[str, Any]:
    """The project's own document, with `changes`."""
    return _document() | changes


def label_specs(**changes: object) -> LabelSpecs:
    """The same as a spec."""
    return LabelSpecs.model_validate(label_document(**changes))


def bars(symbol: str, start: datetime, closes: Closes, column: str = "close") -> pl.DataFrame:
    """(symbol, ts, close) from the minute after `start` on; None leaves the row out."""
    minute = pl.int_range(1, len(closes) + 1, eager=True)
    return pl.select(
        pl.lit(symbol).alias("symbol"),
        (pl.lit(start).cast(TS) + minute * pl.duration(minutes=1)).alias("ts"),
        pl.Series(column, closes, pl.Float64),
    ).filter(pl.col(column).is_not_null())


def no_book() -> pl.DataFrame:
    """A market without top-of-book."""
    return pl.DataFrame(schema={"symbol": pl.String, "leg": pl.String, "ts": TS})


def book(symbol: str, start: datetime, mids: Closes, leg: str = "perp") -> pl.DataFrame:
    """(symbol, ts, mid_last, leg) from the minute after `start` on."""
    return bars(symbol, start, mids, "mid_last").with_columns(pl.lit(leg).alias("leg"))


def ends(*last: tuple[str, datetime]) -> pl.DataFrame:
    """Last bars of symbols that ended."""
    return pl.DataFrame(list(last), schema={"symbol": pl.String, "ended_at": TS}, orient="row")


def labels_of(minutes: Minutes, specs: LabelSpecs, symbol: str = "A") -> pl.DataFrame:
    """`labels_fwd` of one symbol, whose minutes begin with the first one of FIRST."""
    last_day = FIRST + timedelta(days=(len(minutes.closes) - 1) // DAY_MINUTES)
    return build_labels(
        bars(symbol, START, minutes.closes),
        book(symbol, START, minutes.mids),
        specs,
        days_between(FIRST, last_day),
        [symbol],
        mark_index=bars(symbol, START, minutes.marks, "mark_price"),
        ends=ends(*((symbol, START + (i + 1) * MINUTE) for i in minutes.last_bars)),
    )


def walk(n: int, seed: int, gap_share: float = 0.0) -> list[float | None]:
    """A random walk from 100 with minutes left out at random."""
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.standard_normal(n) * 1e-3))
    gone = rng.random(n) < gap_share
    return [None if g else float(p) for p, g in zip(prices, gone, strict=True)]

"""Small bars and specs for the label tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import yaml

from quantlab_pipeline.core.clocks import MINUTE, TS
from quantlab_pipeline.research.labels.spec import LabelSpecs

SPECS_DIR = Path(__file__).resolve().parents[3] / "specs"


def label_specs(**changes: object) -> LabelSpecs:
    """The project's own document, with `changes`."""
    document = yaml.safe_load((SPECS_DIR / "label_specs.yaml").read_text())
    return LabelSpecs.model_validate(document | changes)


def bars(symbol: str, start: datetime, closes: Sequence[float | None]) -> pl.DataFrame:
    """(symbol, ts, close) from the minute after `start` on; None leaves the row out."""
    frame = pl.DataFrame(
        {
            "symbol": [symbol] * len(closes),
            "ts": [start + (i + 1) * MINUTE for i in range(len(closes))],
            "close": list(closes),
        },
        schema={"symbol": pl.String, "ts": TS, "close": pl.Float64},
    )
    return frame.filter(pl.col("close").is_not_null())


def no_book() -> pl.DataFrame:
    """A market without top-of-book."""
    return pl.DataFrame(schema={"symbol": pl.String, "leg": pl.String, "ts": TS})

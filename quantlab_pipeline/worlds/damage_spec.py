"""What damage a scenario may ask for: kind, dataset, symbol, day, extent. `damage` applies it.

Every item hits one (dataset, leg, symbol, day) and no two items may share one, so that the counts
in the truth are exact.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from quantlab_pipeline.core.spec import Spec

BarTable = Literal["bars_1m_perp", "bars_1m_spot"]
MinuteTable = Literal["bars_1m_perp", "bars_1m_spot", "mark_index"]
Leg = Literal["perp", "spot"]


class Gap(Spec):
    """`length_min` consecutive rows are gone."""

    kind: Literal["gap"]
    dataset: MinuteTable
    symbol: str
    day: date
    length_min: int = Field(ge=1, le=1000)


class DuplicateRows(Spec):
    """`n_rows` rows stand twice, the copy right after its original."""

    kind: Literal["duplicate_rows"]
    dataset: MinuteTable
    symbol: str
    day: date
    n_rows: int = Field(ge=1, le=200)


class NonMonotone(Spec):
    """`n_pairs` pairs of neighbouring rows stand in the wrong order."""

    kind: Literal["non_monotone"]
    dataset: MinuteTable
    symbol: str
    day: date
    n_pairs: int = Field(ge=1, le=200)


class CrossedQuotes(Spec):
    """A `share` of the day's quotes has its bid and ask prices exchanged."""

    kind: Literal["crossed_quotes"]
    dataset: Literal["book"] = "book"
    leg: Leg = "perp"
    symbol: str
    day: date
    share: float = Field(gt=0, le=0.5)


class StaleBurst(Spec):
    """`n_bursts` times the book stops for `length_s` seconds: its quotes are gone."""

    kind: Literal["stale_burst"]
    dataset: Literal["book"] = "book"
    leg: Leg = "perp"
    symbol: str
    day: date
    n_bursts: int = Field(ge=1, le=20)
    length_s: int = Field(ge=1, le=1800)


class UnitError(Spec):
    """All prices of the day are `factor` times too large."""

    kind: Literal["unit_error"]
    dataset: MinuteTable
    symbol: str
    day: date
    factor: float = Field(default=1000.0, gt=1)


class TimeShift(Spec):
    """Each row of the day carries the values of `shift_min` minutes before; no row is missing."""

    kind: Literal["time_shift"]
    dataset: MinuteTable
    symbol: str
    day: date
    shift_min: int = Field(default=60, ge=1, le=720)


class PriceOutlier(Spec):
    """`n_rows` lone bars have a high and a close `factor` times too large."""

    kind: Literal["price_outlier"]
    dataset: BarTable
    symbol: str
    day: date
    n_rows: int = Field(ge=1, le=50)
    factor: float = Field(default=1.2, gt=1)


class ZeroVolumeRun(Spec):
    """`length_min` consecutive bars without a trade: the price is carried, all volumes are 0."""

    kind: Literal["zero_volume_run"]
    dataset: BarTable
    symbol: str
    day: date
    length_min: int = Field(ge=1, le=1000)


class MissingFunding(Spec):
    """`n_rows` settlements of the day are gone."""

    kind: Literal["missing_funding"]
    dataset: Literal["funding"] = "funding"
    symbol: str
    day: date
    n_rows: int = Field(default=1, ge=1, le=24)


DamageSpec = Annotated[
    Gap
    | DuplicateRows
    | NonMonotone
    | CrossedQuotes
    | StaleBurst
    | UnitError
    | TimeShift
    | PriceOutlier
    | ZeroVolumeRun
    | MissingFunding,
    Field(discriminator="kind"),
]

"""What damage a scenario may ask for: kind, dataset, symbol, day, extent. `apply` does it.

Every item hits one (dataset, leg, symbol, day) and no two items may share one, so that the counts
in the truth are exact.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from quantlab_pipeline.core.spec import Spec

BarTable = Literal["bars_1m_perp", "bars_1m_spot"]
MinuteTable = Literal["bars_1m_perp", "bars_1m_spot", "mark_index"]
Table = Literal["bars_1m_perp", "bars_1m_spot", "mark_index", "open_interest", "funding"]
Leg = Literal["perp", "spot"]

STEP_S = {"bars_1m_perp": 60, "bars_1m_spot": 60, "mark_index": 60, "open_interest": 300,
          "funding": 3600}  # fmt: skip
"""The grid that each table's stamps lie on, in seconds."""


class _Item(Spec):
    symbol: str
    day: date


class _BookItem(_Item):
    dataset: Literal["book"] = "book"
    leg: Leg = "perp"


# --- rows that are not where they belong --------------------------------------------------------


class Gap(_Item):
    """`length_min` consecutive rows are gone."""

    kind: Literal["gap"]
    dataset: MinuteTable
    length_min: int = Field(ge=1, le=1000)


class ShortDay(_Item):
    """The first (`late_listing`) or last (`early_end`) `length_min` rows of the day are gone."""

    kind: Literal["late_listing", "early_end"]
    dataset: MinuteTable
    length_min: int = Field(ge=1, le=1000)


class DuplicateRows(_Item):
    """`n_rows` rows stand twice, the copy right after its original."""

    kind: Literal["duplicate_rows"]
    dataset: Table
    n_rows: int = Field(ge=1, le=200)


class NonMonotone(_Item):
    """`n_pairs` pairs of neighbouring rows stand in the wrong order."""

    kind: Literal["non_monotone"]
    dataset: Table
    n_pairs: int = Field(ge=1, le=200)


class OffGrid(_Item):
    """`n_rows` rows are stamped `offset_s` seconds late, off their table's grid."""

    kind: Literal["off_grid"]
    dataset: Table
    n_rows: int = Field(ge=1, le=200)
    offset_s: int = Field(ge=1)

    @model_validator(mode="after")
    def _between_two_stamps(self) -> OffGrid:
        least = 60 if self.dataset == "funding" else 1
        if not least <= self.offset_s < STEP_S[self.dataset]:
            raise ValueError(
                f"offset_s in {self.dataset} is in [{least}, {STEP_S[self.dataset]}): "
                "a row stays between its stamp and the next"
            )
        return self


class ForeignRows(_Item):
    """`n_rows` rows of the day before stand again at the head of the day's file."""

    kind: Literal["foreign_rows"]
    dataset: Literal["bars_1m_perp", "bars_1m_spot", "open_interest"]
    n_rows: int = Field(ge=1, le=200)


class OiHole(_Item):
    """`length_buckets` consecutive buckets of open interest are gone."""

    kind: Literal["oi_hole"]
    dataset: Literal["open_interest"] = "open_interest"
    length_buckets: int = Field(ge=1, le=200)


class MissingFunding(_Item):
    """`n_rows` settlements of the day are gone."""

    kind: Literal["missing_funding"]
    dataset: Literal["funding"] = "funding"
    n_rows: int = Field(default=1, ge=1, le=24)


# --- values that are not what they should be ----------------------------------------------------


class MissingValue(_Item):
    """`n_rows` rows have no value: an empty close, open interest or rate."""

    kind: Literal["missing_value"]
    dataset: Literal["bars_1m_perp", "bars_1m_spot", "open_interest", "funding"]
    n_rows: int = Field(ge=1, le=200)


class IndexGap(_Item):
    """`length_min` consecutive minutes have a mark and no index."""

    kind: Literal["index_gap"]
    dataset: Literal["mark_index"] = "mark_index"
    length_min: int = Field(ge=1, le=1000)


class BrokenExtremes(_Item):
    """`n_rows` bars have a high below their low, open and close."""

    kind: Literal["broken_extremes"]
    dataset: BarTable
    n_rows: int = Field(ge=1, le=200)


class NegativeVolume(_Item):
    """`n_rows` bars have their volume with the wrong sign."""

    kind: Literal["negative_volume"]
    dataset: BarTable
    n_rows: int = Field(ge=1, le=200)


class UnitError(_Item):
    """All prices of the day are `factor` times too large."""

    kind: Literal["unit_error"]
    dataset: MinuteTable
    factor: float = Field(default=1000.0, gt=1)


class VolumeUnit(_Item):
    """The base volume of one whole hour is `factor` times too large; all else stays."""

    kind: Literal["volume_unit"]
    dataset: BarTable
    factor: float = Field(default=1000.0, gt=1)


class OiUnit(_Item):
    """The open interest of `length_buckets` consecutive buckets is `factor` times too large."""

    kind: Literal["oi_unit"]
    dataset: Literal["open_interest"] = "open_interest"
    length_buckets: int = Field(ge=1, le=100)
    factor: float = Field(default=1000.0, gt=1)


class TimeShift(_Item):
    """Another time zone: each row carries the values of some half hours before; none is missing."""

    kind: Literal["time_shift"]
    dataset: MinuteTable
    shift_min: int = Field(default=60, ge=30, le=720, multiple_of=30)


class LateClock(_Item):
    """Each row of the day carries the values of `shift_min` minutes before; no row is missing."""

    kind: Literal["late_clock"]
    dataset: MinuteTable
    shift_min: int = Field(default=1, ge=1, le=15)


class PriceOutlier(_Item):
    """`n_rows` lone bars have a high and a close `factor` times too large."""

    kind: Literal["price_outlier"]
    dataset: BarTable
    n_rows: int = Field(ge=1, le=50)
    factor: float = Field(default=1.2, gt=1)


class ZeroVolumeRun(_Item):
    """`length_min` consecutive bars without a trade: the price is carried, all volumes are 0."""

    kind: Literal["zero_volume_run"]
    dataset: BarTable
    length_min: int = Field(ge=1, le=1000)


class FrozenPrice(_Item):
    """For `length_min` minutes the price (of `mark_index` the mark) stands; volume goes on."""

    kind: Literal["frozen_price"]
    dataset: MinuteTable
    length_min: int = Field(ge=1, le=1000)


class PriceApart(_Item):
    """For `length_min` minutes one price series stands `factor` times above all its peers."""

    kind: Literal["perp_apart", "spot_apart", "mark_apart", "index_apart"]
    length_min: int = Field(ge=1, le=1000)
    factor: float = Field(default=1.05, gt=1)

    @property
    def dataset(self) -> MinuteTable:
        """The table of the series."""
        tables: dict[str, MinuteTable] = {
            "perp_apart": "bars_1m_perp",
            "spot_apart": "bars_1m_spot",
        }
        return tables.get(self.kind, "mark_index")


class WrongFundingRate(_Item):
    """The `n_rows` largest rates of the day are `factor` times too large: percent for fraction."""

    kind: Literal["wrong_funding_rate"]
    dataset: Literal["funding"] = "funding"
    n_rows: int = Field(default=1, ge=1, le=24)
    factor: float = Field(default=100.0, gt=1)


class WrongInterval(_Item):
    """`n_rows` settlements say an interval of `interval_h`, which is not theirs."""

    kind: Literal["wrong_interval"]
    dataset: Literal["funding"] = "funding"
    n_rows: int = Field(default=1, ge=1, le=24)
    interval_h: Literal[1, 2, 4, 8] = 8


# --- quotes -------------------------------------------------------------------------------------


class CrossedQuotes(_BookItem):
    """A `share` of the day's quotes has its bid and ask prices exchanged."""

    kind: Literal["crossed_quotes"]
    share: float = Field(gt=0, le=0.5)


class LockedQuotes(_BookItem):
    """A `share` of the day's quotes has its ask at its bid."""

    kind: Literal["locked_quotes"]
    share: float = Field(gt=0, le=0.5)


class InvalidQuotes(_BookItem):
    """A `share` of the day's quotes has one price or size that is zero or no number."""

    kind: Literal["invalid_quotes"]
    share: float = Field(gt=0, le=0.5)


class LateQuotes(_BookItem):
    """`n_pairs` pairs of neighbouring quotes stand in the wrong order in the file."""

    kind: Literal["late_quotes"]
    n_pairs: int = Field(ge=1, le=1000)


class StaleBurst(_BookItem):
    """`n_bursts` times the book stops for `length_s` seconds: its quotes are gone."""

    kind: Literal["stale_burst"]
    n_bursts: int = Field(ge=1, le=20)
    length_s: int = Field(ge=1, le=1800)


class BookApart(_BookItem):
    """For `length_min` minutes both prices of the book are `factor` times too large."""

    kind: Literal["book_apart"]
    length_min: int = Field(ge=1, le=1000)
    factor: float = Field(default=1.05, gt=1)


DamageSpec = Annotated[
    Gap
    | ShortDay
    | DuplicateRows
    | NonMonotone
    | OffGrid
    | ForeignRows
    | OiHole
    | MissingFunding
    | MissingValue
    | IndexGap
    | BrokenExtremes
    | NegativeVolume
    | UnitError
    | VolumeUnit
    | OiUnit
    | TimeShift
    | LateClock
    | PriceOutlier
    | ZeroVolumeRun
    | FrozenPrice
    | PriceApart
    | WrongFundingRate
    | WrongInterval
    | CrossedQuotes
    | LockedQuotes
    | InvalidQuotes
    | LateQuotes
    | StaleBurst
    | BookApart,
    Field(discriminator="kind"),
]

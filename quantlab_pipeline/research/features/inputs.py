"""The tables that features are made from, as one value.

Belongs here: which table is which field, and the replacement of one. What their columns mean is
`market_data.schema`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import polars as pl

from quantlab_pipeline.research.market_data import schema


@dataclass(frozen=True, slots=True)
class FeatureInputs:
    """Frames of `market_data.schema`; one that a market lacks has no rows.

    A row may stand twice with one `ts`: the later `available_at` is a correction.
    """

    bars_perp: pl.DataFrame = field(default_factory=schema.BARS_1M_PERP.empty)
    bars_spot: pl.DataFrame = field(default_factory=schema.BARS_1M_SPOT.empty)
    funding: pl.DataFrame = field(default_factory=schema.FUNDING.empty)
    mark_index: pl.DataFrame = field(default_factory=schema.MARK_INDEX.empty)
    open_interest: pl.DataFrame = field(default_factory=schema.OPEN_INTEREST.empty)
    tob_1m_agg: pl.DataFrame = field(default_factory=schema.TOB_1M_AGG.empty)
    basis_state: pl.DataFrame = field(default_factory=schema.BASIS_STATE.empty)
    funding_state: pl.DataFrame = field(default_factory=schema.FUNDING_STATE.empty)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Frames by the name of their table, in the order of the fields."""
        return {_table_of(f.name): getattr(self, f.name) for f in fields(self)}

    def with_tables(self, frames: Mapping[str, pl.DataFrame]) -> FeatureInputs:
        """A copy with the tables in `frames` replaced. KeyError for an unknown one."""
        by_table = {_table_of(f.name): f.name for f in fields(self)}
        return replace(self, **{by_table[table]: frame for table, frame in frames.items()})


def _table_of(field_name: str) -> str:
    kind, _, leg = field_name.partition("_")
    return f"bars_1m_{leg}" if kind == "bars" else field_name

"""The tables that features are made from, as one value.

Belongs here: which table is which field, and the replacement of one. What their columns mean is
`market_data.schema`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import polars as pl

from quantlab_pipeline.research.market_data import schema


def _absent(table: schema.TableSchema) -> pl.DataFrame:
    frame: pl.DataFrame = field(default_factory=table.empty)
    return frame


@dataclass(frozen=True, slots=True)
class FeatureInputs:
    """Frames of `market_data.schema`; one that a market lacks has no rows.

    A row may stand twice with one `ts`: the later `available_at` is a correction.
    """

    bars_perp: pl.DataFrame = _absent(schema.BARS_1M_PERP)
    bars_spot: pl.DataFrame = _absent(schema.BARS_1M_SPOT)
    funding: pl.DataFrame = _absent(schema.FUNDING)
    mark_index: pl.DataFrame = _absent(schema.MARK_INDEX)
    open_interest: pl.DataFrame = _absent(schema.OPEN_INTEREST)
    tob_1m_agg: pl.DataFrame = _absent(schema.TOB_1M_AGG)
    basis_state: pl.DataFrame = _absent(schema.BASIS_STATE)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Frames by the name of their table, in the order of the fields."""
        return {_table_of(f.name): getattr(self, f.name) for f in fields(self)}

    def with_tables(self, frames: Mapping[str, pl.DataFrame]) -> FeatureInputs:
        """A copy in which the tables named in `frames` are replaced. KeyError for an unknown one."""
        by_table = {_table_of(f.name): f.name for f in fields(self)}
        return replace(self, **{by_table[table]: frame for table, frame in frames.items()})


def _table_of(field_name: str) -> str:
    kind, _, leg = field_name.partition("_")
    return f"bars_1m_{leg}" if kind == "bars" else field_name

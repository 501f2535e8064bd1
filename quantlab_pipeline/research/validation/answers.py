"""Measurements that are kept, so that a question already answered is not asked of the data again.

Belongs here: a measured family as a frame and back, bit for bit. Where the frame is kept is
`storage.trial_answers`' matter; which of its rows may be served, the trial ledger's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.research.validation.companions import FloatArray, Measured
from quantlab_pipeline.research.validation.schema import PHASE2_CANDIDATES

DAILY_NET = "daily_net"

Served = Mapping[str, tuple[Mapping[str, Any], FloatArray]]
"""By candidate hash: its measured row, and its net P&L of each day, float64[D]."""

NOTHING_SERVED: Served = MappingProxyType({})


def answers_frame(measured: Measured) -> pl.DataFrame:
    """The tested candidates of a measured family: their rows' columns, and `daily_net` as a list.

    Sorted by hash, so that the same answers have the same bytes. Untested ones are left out: why
    they could not be tested is asked anew.
    """
    tested = [k for k, row in enumerate(measured.rows) if row.get("not_evaluable") is None]
    order = sorted(tested, key=lambda k: str(measured.rows[k]["candidate_hash"]))
    rows = [measured.rows[k] for k in order]
    held = {name for row in rows for name in row}
    schema = {c.name: c.dtype for c in PHASE2_CANDIDATES.columns if c.name in held}
    daily = pl.Series(DAILY_NET, [measured.daily_net[k] for k in order], pl.List(pl.Float64))
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(daily)


def served_from(answers: pl.DataFrame) -> Served:
    """The rows of `answers_frame` by their candidate's hash."""
    daily = answers[DAILY_NET]
    rows = answers.drop(DAILY_NET).iter_rows(named=True)
    return {
        str(row["candidate_hash"]): (row, np.asarray(daily[k].to_numpy()))
        for k, row in enumerate(rows)
    }

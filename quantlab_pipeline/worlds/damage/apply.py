"""Damage done to finished frames, in the order of the scenario, and the truth's record of it.

Belongs here: which verb does which kind. The verbs are in `order`, `values` and `book`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.worlds.damage import book, order, values
from quantlab_pipeline.worlds.damage.pick import Outcome, rows_of
from quantlab_pipeline.worlds.damage.spec import DamageSpec
from quantlab_pipeline.worlds.truth import Damage

VERBS: dict[str, Callable[..., Outcome]] = {
    "gap": order.gap,
    "late_listing": order.short_day,
    "early_end": order.short_day,
    "duplicate_rows": order.duplicate,
    "non_monotone": order.disorder,
    "off_grid": order.off_grid,
    "foreign_rows": order.foreign,
    "oi_hole": order.oi_hole,
    "missing_funding": order.missing,
    "missing_value": values.missing_value,
    "index_gap": values.index_gap,
    "broken_extremes": values.broken_extremes,
    "negative_volume": values.negative_volume,
    "unit_error": values.unit_error,
    "volume_unit": values.volume_unit,
    "oi_unit": values.oi_unit,
    "time_shift": values.time_shift,
    "late_clock": values.time_shift,
    "price_outlier": values.price_outlier,
    "zero_volume_run": values.zero_volume_run,
    "frozen_price": values.frozen_price,
    "perp_apart": values.price_apart,
    "spot_apart": values.price_apart,
    "mark_apart": values.price_apart,
    "index_apart": values.price_apart,
    "wrong_funding_rate": values.wrong_rate,
    "wrong_interval": values.wrong_interval,
    "crossed_quotes": book.crossed,
    "locked_quotes": book.locked,
    "invalid_quotes": book.invalid,
    "late_quotes": book.late,
    "stale_burst": book.silence,
    "book_apart": book.apart,
}


def apply_damage(
    frames: dict[str, pl.DataFrame], items: Sequence[DamageSpec], seed: int
) -> tuple[dict[str, pl.DataFrame], tuple[Damage, ...]]:
    """`frames` with every item done, and what was done. The given frames stay as they are.

    SpecError for an item that cannot be done exactly.
    """
    damaged, done = dict(frames), []
    for item in items:
        frame, leg = damaged[item.dataset], getattr(item, "leg", "")
        draw = generator(seed, "damage", item.kind, item.dataset, leg, item.symbol, str(item.day))
        outcome = VERBS[item.kind](frame, rows_of(frame, item, item.day), item, draw)
        damaged[item.dataset] = outcome.frame
        places = np.sort(outcome.places_us).tolist()
        done.append(
            Damage(
                kind=item.kind,
                dataset=item.dataset,
                symbol=item.symbol,
                day=item.day.isoformat(),
                leg=leg,
                count=len(places),
                places_us=tuple(places),
                spans_us=outcome.spans_us,
            )
        )
    return damaged, tuple(done)

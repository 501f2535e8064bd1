"""Every column against the scalar oracle, which knows the document alone, on hostile paths."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, days_between, minute_grid
from quantlab_pipeline.kernels.label_windows import TILE
from quantlab_pipeline.research.labels.build import build_labels
from quantlab_pipeline.research.labels.schema import LABELS_FWD
from quantlab_pipeline.sources.base import DiskTree
from quantlab_pipeline.sources.freqtrade import Freqtrade
from quantlab_pipeline_tests.oracles import label_paths
from quantlab_pipeline_tests.oracles.label_paths import Minutes
from quantlab_pipeline_tests.research.labels.builders import (
    START,
    label_document,
    label_specs,
    labels_of,
    no_book,
)
from quantlab_pipeline_tests.research.labels.hostile import hostile_minutes
from quantlab_pipeline_tests.sources.builders import MemorySink

N_PATHS = 200
RULES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"max_missing_frac": 0.3, "max_exit_gap_min": 0},
    {"entry_delay_min": 3, "max_entry_gap_min": 2, "max_missing_frac": 0.0},
)


def instants_to_try(minutes: Minutes, seed: int) -> list[int]:
    """Some at random, and where it hurts: both ends, a tile's border, around the last bar."""
    n = len(minutes.closes)
    drawn = np.random.default_rng(seed).integers(0, n, 6).tolist()
    edges = [0, 1, n - 1, n - 7, n - 62, TILE - 2, TILE - 1, TILE]
    for last in minutes.last_bars:
        edges += [last - 1442, last - 1441, last - 61, last - 60, last - 2, last - 1, last]
    return sorted({t for t in (*drawn, *edges) if 0 <= t < n})


@pytest.mark.parametrize("seeds", range(0, N_PATHS, 20))
def test_every_column_of_hostile_paths_equals_the_scalar_definition(seeds: int) -> None:
    for seed in range(seeds, seeds + 20):
        minutes, rules = hostile_minutes(seed), RULES[seed % 3 if seed % 2 else 3]
        document = label_document(**rules)
        table = labels_of(minutes, label_specs(**rules))
        priced = [t for t, p in enumerate(minutes.reference()) if p]
        traded = sorted({t // DAY_MINUTES for t in priced})
        rows = [d * DAY_MINUTES + t for d in traded for t in range(1, DAY_MINUTES + 1)]
        assert table["ts"].to_list() == [START + t * MINUTE for t in rows], f"seed {seed}"
        tried = instants_to_try(minutes, seed)
        rows = table.filter(pl.col("ts").is_in([START + (t + 1) * MINUTE for t in tried]))
        made = {r["ts"]: r for r in rows.iter_rows(named=True)}
        for t in tried:
            expected = label_paths.row(document, minutes, t)
            compare(made.get(START + (t + 1) * MINUTE), expected, f"seed {seed}, minute {t}")
    LABELS_FWD.validate(table)


def compare(
    made: dict[str, Any] | None, expected: dict[str, Any] | None, place: str, symbol: str = "A"
) -> None:
    """A row holds the oracle's columns, all and no others."""
    assert (made is None) == (expected is None), place
    if made is None or expected is None:
        return
    assert made.pop("symbol") == symbol
    assert made.pop("available_at") - made.pop("ts") == expected.pop("known_after_min") * MINUTE
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        exact = value is None or isinstance(value, str)
        wanted = value if exact else pytest.approx(value, rel=0, abs=1e-12)
        assert made[name] == wanted, f"{place}, {name}"


def test_the_hostile_paths_hold_what_they_promise() -> None:
    paths = [hostile_minutes(seed) for seed in range(N_PATHS)]
    assert sum(len(p.closes) > TILE for p in paths) > 20
    assert sum(bool(p.last_bars) for p in paths) > 60
    alone = [p for p in paths if sum(c is not None for c in p.reference()) == 1]
    assert len(alone) > 3
    ranges = [max(known) / min(known) for p in paths if (known := [c for c in p.closes if c])]
    assert sum(r > 1e5 for r in ranges) > 10
    assert sum(r == 1 for r in ranges) > 10
    settled = [
        labels_of(p, label_specs()).select(
            (pl.col("fwd_ret_24h_exec").is_not_null() & pl.col("fwd_ret_24h").is_null()).sum()
        )
        for p in paths[:60]
        if p.last_bars
    ]
    assert sum(s.item() > 0 for s in settled) > 5


def test_labels_of_recorded_prices_equal_the_scalar_definition(real_data: Path) -> None:
    source, sink = Freqtrade(DiskTree(real_data / "freqtrade")), MemorySink()
    days = days_between(date(2025, 6, 1), date(2025, 6, 4))
    files = source.land("bars_1m_perp", "BTCUSDT", days, sink)
    recorded = source.parse("bars_1m_perp", "BTCUSDT", files, sink, days).frame
    ts = minute_grid(days)
    closes = ts.to_frame().join(recorded.select("ts", "close"), on="ts", how="left")["close"]
    table = build_labels(recorded, no_book(), label_specs(), days, ["BTCUSDT"])
    minutes = Minutes(closes.to_list(), [None] * len(closes), [None] * len(closes))
    for t in np.random.default_rng(0).integers(0, len(closes), 60).tolist():
        made = table.filter(pl.col("ts") == ts[t]).to_dicts()
        expected = label_paths.row(label_document(), minutes, t)
        compare(made[0] if made else None, expected, f"minute {t}", "BTCUSDT")

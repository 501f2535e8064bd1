"""Small scenarios for tests of worlds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import yaml

from quantlab_pipeline.worlds.spec import Scenario

SHIPPED = Path(__file__).resolve().parents[2] / "specs" / "scenarios"

FAMILIES = {
    "trend": {"family": "trend", "drift_bps_per_day": 500},
    "mean_revert": {"family": "mean_revert", "half_life_min": 120},
    "vol_cluster": {"family": "vol_cluster", "alpha": 0.08, "beta": 0.9},
    "shock_mix": {"family": "shock_mix", "jumps_per_day": 12, "jump_sigmas": 10},
    "regime_switch": {
        "family": "regime_switch",
        "calm_dwell_min": 300,
        "turbulent_dwell_min": 60,
        "turbulent_over_calm": 3,
    },
}


def document(n_symbols: int = 2, n_days: int = 2, **changes: object) -> dict[str, object]:
    """A scenario's mapping: quiet, no episodes, no book, unless `changes` say so."""
    symbols = [
        {
            "symbol": f"{letter * 3}USDT",
            "start_price": price,
            "tick_size": price / 10_000,
            "lot_size": 0.01,
        }
        for letter, price in zip("ABCDEFGH", (100, 20, 10, 50, 40, 25, 80, 200), strict=True)
    ]
    return {
        "name": "small",
        "first_day": date(2025, 1, 6),
        "duration_min": 1440 * n_days,
        "seed": 3,
        "symbols": symbols[:n_symbols],
        "dynamics": {"family": "vol_cluster", "alpha": 0.0, "beta": 0.0},
        **changes,
    }


def scenario(n_symbols: int = 2, n_days: int = 2, **changes: object) -> Scenario:
    """`document`, validated."""
    return Scenario.model_validate(document(n_symbols, n_days, **changes))


def shipped(name: str) -> Scenario:
    """A scenario of `specs/scenarios`."""
    return Scenario.model_validate(yaml.safe_load((SHIPPED / f"{name}.yaml").read_text()))

"""A certificate as it is kept, by hand: two bands, three sizes, two mutants."""

from __future__ import annotations

from typing import Any


def band(experiment: str, name: str, measured: float, **limits: Any) -> dict[str, Any]:
    """A band that holds, open where no limit is given."""
    made = {"experiment": experiment, "name": name, "measured": measured, "low": None, "high": None}
    return {**made, "cases": 200, "holds": True, **limits}


def counted(events: int, cases: int, low: float, high: float) -> dict[str, Any]:
    """A share with its interval."""
    share = events / cases if cases else None
    return {"events": events, "cases": cases, "share": share, "low95": low, "high95": high}


def size(horizon: str, level: float, value: float | None) -> dict[str, Any]:
    """Size of the final rule; the raw statistic's is a tenth more."""
    return {
        "horizon": horizon,
        "level": level,
        "size": value,
        "se": 0.1 * level,
        "raw": None if value is None else 1.1 * value,
        "raw_se": 0.1 * level,
        "worlds": 1000,
        "worlds_hit": 9,
        "candidates": 120000,
    }


def mutant(name: str, *broken: dict[str, Any], killed: bool = True) -> dict[str, Any]:
    """A broken rule that PT-01 is meant to refuse."""
    told = f"what {name} gets wrong"
    return {
        "name": name, "told": told, "meant_for": ["PT-01"], "killed": killed,
        "broken": list(broken),
    }  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    """A certificate that holds, with `changes`."""
    made: dict[str, Any] = {
        "format": 1,
        "holds": True,
        "nonce": "00112233445566778899aabbccddeeff",
        "code": "sha256:c0de",
        "documents": "sha256:d0c5",
        "truth": "sha256:5ea1",
        "plan": {"worlds": 200, "size_worlds": 800, "copied_worlds": 4, "mutant_worlds": 24},
        "family": {
            "candidates": 800,
            "event_types": ["down_shock", "up_shock"],
            "symbols": 8,
            "days": 60,
            "m_budget": 10000,
            "z_first": 4.2649,
            "q": 0.1,
        },
        "bands": [
            band("PT-01", "size at 0.05, 24h", 0.0484, high=0.062),
            band("PT-02", "own cell passes, top z", 0.96, low=0.9),
        ],
        "main": {
            "power": counted(192, 200, 0.923, 0.983),
            "own_cell_passes": counted(193, 200, 0.93, 0.986),
            "coverage": counted(379, 400, 0.921, 0.967),
            "false_discoveries_planted": counted(0, 640, 0.0, 0.0057),
        },
        "size": [size(h, v, 0.9 * v) for h in ("5m", "24h", "all") for v in (0.05, 1e-3, 1e-5)],
        "drift_size": [],
        "mutants": [
            mutant(
                "iid_t",
                band("PT-01", "size at 0.05, 24h", 0.18, high=0.11, holds=False),
                band("PT-04", "change of z", 9.0, high=1e-9, holds=False),
            ),
            mutant("log_returns", band("PT-01", "distance", 0.03, high=1e-9, holds=False)),
        ],
        "control": [],
        "worlds": [],
        "size_seeds": [],
        "observed": {
            "date": "2026-11-21",
            "seconds": 1500.0,
            "processes": 2,
            "commit": "abc123",
            "earlier": [],
        },
    }
    return {**made, **changes}

"""The sealed truth of a world: injected drift, planted episodes, damage. Read by graders alone.

Drift is the log of the expected gross simple return of each minute, given the past. A candidate is
truly null if and only if its true net drift, raw or contrast, is not above 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.core.fingerprints import canonical_bytes, digest_bytes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Episode:
    """A planted episode. Instants in microseconds since 1970 UTC.

    It begins at `onset_us` and can be known from `knowable_us`; its drift of `drift_bps` (signed
    simple return, 0 for none) lies in (drift_from_us, drift_to_us]. `size` is signed by direction.
    """

    kind: str
    symbol: str
    onset_us: int
    knowable_us: int
    size: float
    drift_bps: float
    drift_from_us: int
    drift_to_us: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage as it was done: `count` rows at the stamps `places_us`, ascending.

    A place is the `ts` that a reader sees: of a row that is gone the one it had, of a row that was
    moved the one it has now, of a misfiled row its own, on the day before. Of a book the places are
    the messages that were changed, or are gone; `spans_us` are the stretches for which damaged
    quotes stood, or, where quotes are gone or late, from the last one before to the first after.
    """

    kind: str
    dataset: str
    symbol: str
    day: str
    leg: str
    count: int
    places_us: tuple[int, ...]
    spans_us: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """A symbol's end: `return_bps` of expected simple return lie in (fall_from_us, end_us].

    `end_us` is its last instant; after it the symbol has no rows and no drift.
    """

    symbol: str
    fall_from_us: int
    end_us: int
    return_bps: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """All that was planted. `drift_log` is [symbol, minute], symbols in the order of `symbols`.

    Minute j is (origin_us + j minutes, origin_us + (j + 1) minutes]. `endings` are in `drift_log`.
    """

    scenario: str
    scenario_hash: str
    seed: int
    origin_us: int
    symbols: tuple[str, ...]
    drift_log: Floats
    episodes: tuple[Episode, ...]
    damage: tuple[Damage, ...] = ()
    endings: tuple[Ending, ...] = ()

    def to_json(self) -> bytes:
        """Canonical bytes; drift as runs [first minute, minutes, value] of equal non-zero value."""
        return canonical_bytes(
            {
                "scenario": self.scenario,
                "scenario_hash": self.scenario_hash,
                "seed": self.seed,
                "origin_us": self.origin_us,
                "n_minutes": int(self.drift_log.shape[1]),
                "drift_log": {
                    s: _runs(row) for s, row in zip(self.symbols, self.drift_log, strict=True)
                },
                "episodes": [asdict(e) for e in self.episodes],
                "damage": [asdict(d) for d in self.damage],
                "endings": [asdict(e) for e in self.endings],
            }
        )

    def digest(self) -> str:
        """Tagged SHA-256 of `to_json`: what may be published before the truth itself."""
        return digest_bytes(self.to_json())


def truth_from_json(data: bytes) -> Truth:
    """Inverse of `Truth.to_json`."""
    raw = json.loads(data)
    symbols = tuple(sorted(raw["drift_log"]))
    drift = np.zeros((len(symbols), raw["n_minutes"]))
    for row, symbol in zip(drift, symbols, strict=True):
        for first, length, value in raw["drift_log"][symbol]:
            row[first : first + length] = value
    return Truth(
        scenario=raw["scenario"],
        scenario_hash=raw["scenario_hash"],
        seed=raw["seed"],
        origin_us=raw["origin_us"],
        symbols=symbols,
        drift_log=drift,
        episodes=tuple(Episode(**e) for e in raw["episodes"]),
        damage=tuple(_damage(d) for d in raw["damage"]),
        endings=tuple(Ending(**e) for e in raw.get("endings", ())),
    )


def _damage(raw: dict[str, Any]) -> Damage:
    places = tuple(raw.pop("places_us"))
    spans = tuple((a, b) for a, b in raw.pop("spans_us"))
    return Damage(**raw, places_us=places, spans_us=spans)


def _runs(row: Floats) -> list[list[int | float]]:
    edges = np.flatnonzero(np.diff(row)) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [row.size]))
    return [
        [int(a), int(b - a), float(row[a])]
        for a, b in zip(starts, ends, strict=True)
        if row[a] != 0.0
    ]


def true_net_drift(
    truth: Truth,
    symbol: str,
    entries_us: Ints,
    horizon_min: int,
    side: int | Ints,
    cost_bps: float | Floats = 0.0,
    delay_min: int = 1,
) -> Floats:
    """Injected simple drift, bps per event, of a position on `side` (+1, -1; or [E]) after cost.

    Position held over (t0 + delay, t0 + delay + horizon] for each t0 of `entries_us` [E], which lie
    on whole minutes. Shape [E]; NaN where the position would end after the world or the symbol.
    """
    total = np.concatenate(([0.0], np.cumsum(truth.drift_log[truth.symbols.index(symbol)])))
    first = _minute(truth, entries_us) + delay_min
    last = first + horizon_min
    inside = (first >= 0) & (last <= _life(truth, symbol))
    moved = np.expm1(total[np.where(inside, last, 0)] - total[np.where(inside, first, 0)])
    return np.where(inside, 1e4 * side * moved - cost_bps, np.nan)


def true_contrast_drift(
    truth: Truth,
    entries_us: Mapping[str, Ints],
    horizon_min: int,
    side: int | Mapping[str, Ints],
    window_us: tuple[int, int],
    cost_bps: float = 0.0,
    delay_min: int = 1,
) -> float:
    """Mean injected drift per event, in bps after cost, of a_it - mean(a_i) instead of a_it.

    a_it counts the positions open in minute t, signed by `side` (one for all, or by symbol one for
    each entry); its mean runs over the minutes of the evaluation window (from, to]. Events that end
    after the window, or after their symbol, leave it. NaN without events.
    """
    lo, hi = (int(v) for v in _minute(truth, np.array(window_us)))
    total, n_events = 0.0, 0
    for symbol in sorted(entries_us):
        first = _minute(truth, entries_us[symbol]) + delay_min
        end = min(hi, _life(truth, symbol))
        inside = (first >= lo) & (first + horizon_min <= end)
        signs = np.broadcast_to(side if isinstance(side, int) else side[symbol], first.shape)
        first, signs = first[inside], signs[inside]
        steps = np.zeros(hi - lo + 1)
        np.add.at(steps, first - lo, signs)
        np.add.at(steps, first + horizon_min - lo, -signs)
        weight = np.cumsum(steps)[:-1]
        drift = truth.drift_log[truth.symbols.index(symbol), lo:hi]
        pulled = np.flatnonzero(drift)
        total += float(np.dot(weight[pulled] - weight.mean(), np.expm1(drift[pulled])))
        n_events += first.size
    return 1e4 * total / n_events - cost_bps if n_events else float("nan")


def _life(truth: Truth, symbol: str) -> int:
    """Minutes that the symbol trades."""
    ends = [e.end_us for e in truth.endings if e.symbol == symbol]
    return (ends[0] - truth.origin_us) // MINUTE_US if ends else truth.drift_log.shape[1]


def _minute(truth: Truth, instants_us: Ints) -> Ints:
    return (np.asarray(instants_us, dtype=np.int64) - truth.origin_us) // MINUTE_US

"""When planted episodes begin. Their number is exact, their places are uniform among what is free.

Sequential random packing: each onset is drawn uniformly from the minutes that keep the minimum
spacing in its lane, market-wide ones first. Two of one kind never overlap in whatever lanes: jumps
of opposite sign would cancel and leave nothing to see. Nothing here depends on a drift's size, so
that a null twin has the same episodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.worlds.endings import calm_min, lives_min
from quantlab_pipeline.worlds.regimes import turbulence
from quantlab_pipeline.worlds.spec import (
    BUCKET_MIN,
    FACTOR_KINDS,
    DriftSpec,
    EpisodeKind,
    EpisodeSpec,
    Scenario,
)
from quantlab_pipeline.worlds.timing import (
    origin_us,
    settlement_jitter_us,
    settlements,
    symbols_of,
)
from quantlab_pipeline.worlds.truth import Episode

QUIET_START_MIN = 15
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Onset:
    """One placed episode: its spec, symbol's row, minute and direction (+1 or -1)."""

    spec: EpisodeSpec
    row: int
    minute: int
    direction: int


def place_episodes(scenario: Scenario, seed: int) -> list[Onset]:
    """All onsets, sorted by symbol, minute and kind. SpecError where a lane has no room left."""
    n_days = scenario.duration_min / DAY_MINUTES
    days = lives_min(scenario) / DAY_MINUTES
    placed: list[Onset] = []
    everywhere = list(range(len(scenario.symbols)))
    for lane in sorted({e.lane for e in scenario.episodes}):
        specs = [e for e in scenario.episodes if e.lane == lane]
        specs.sort(key=lambda e: _eligible(scenario, e).sum())
        # What stands in other lanes; this lane's own are kept apart by `free`.
        rooms = [_eligible(scenario, e) & _apart(scenario, e.kind, placed) for e in specs]
        free = np.ones((len(everywhere), scenario.duration_min), bool)
        draw = generator(seed, "episodes", lane)
        for spec, room in zip(specs, rooms, strict=True):
            n = round(spec.per_symbol_day * n_days)
            for _ in range(round(spec.market_wide_share * n)):
                placed += _place(scenario, spec, everywhere, room, free, draw)
        for spec, room in zip(specs, rooms, strict=True):
            for row in everywhere:
                n = round(spec.per_symbol_day * days[row])
                for _ in range(n - round(spec.market_wide_share * n)):
                    placed += _place(scenario, spec, [row], room, free, draw)
    return sorted(placed, key=lambda o: (o.row, o.minute, o.spec.kind))


def _apart(scenario: Scenario, kind: EpisodeKind, placed: list[Onset]) -> Mask:
    """Minutes [I, T] at which no episode of `kind` would overlap one already placed elsewhere."""
    apart = np.ones((len(scenario.symbols), scenario.duration_min), bool)
    span = scenario.span_min(kind)
    for onset in placed:
        if onset.spec.kind == kind:
            apart[onset.row, max(0, onset.minute - span + 1) : onset.minute + span] = False
    return apart


def _place(
    scenario: Scenario,
    spec: EpisodeSpec,
    rows: list[int],
    room: Mask,
    free: Mask,
    draw: np.random.Generator,
) -> list[Onset]:
    """One episode in `rows`, at a minute of both masks [I, T]; `free` is narrowed around it."""
    open_minutes = np.flatnonzero((room[rows] & free[rows]).all(axis=0))
    if open_minutes.size == 0:
        raise SpecError(
            f"No room is left for another {spec.kind} in lane {spec.lane} of {scenario.name}.",
            "Lower per_symbol_day or min_spacing_min, or use another lane.",
            kind=spec.kind,
        )
    minute = int(open_minutes[draw.integers(open_minutes.size)])
    either = int(2 * draw.integers(2) - 1)
    known = {"up": 1, "down": -1, "both": either}[spec.direction]
    direction = 1 if spec.kind in FACTOR_KINDS else known
    reach = scenario.min_spacing_min
    free[rows, max(0, minute - reach) : minute + reach + 1] = False
    return [Onset(spec, row, minute, direction) for row in rows]


def _eligible(scenario: Scenario, spec: EpisodeSpec) -> Mask:
    """Minutes [I, T] at which an episode of `spec` would be over before its symbol falls."""
    minutes = np.arange(scenario.duration_min)
    after = spec.duration_min + (spec.drift.over_min if spec.drift else 0) + 10
    ok = (minutes >= QUIET_START_MIN) & (minutes + after < calm_min(scenario)[:, None])
    if spec.kind == "oi_jump":
        ok &= minutes % BUCKET_MIN == 0
    if spec.kind == "funding_extreme":
        ok &= np.stack(
            [np.isin(minutes, settlements(scenario, s).minutes) for s in symbols_of(scenario)]
        )
    return ok


def knowable_us(scenario: Scenario, onset: Onset, late_us: dict[int, int]) -> int:
    """When the episode could first be known.

    A settlement at its published stamp, open interest at its bucket's end plus the delay, anything
    else at the close of its first minute. `late_us`: its settlements, by minute.
    """
    begin = origin_us(scenario) + onset.minute * MINUTE_US
    if onset.spec.kind == "funding_extreme":
        return begin + late_us[onset.minute]
    if onset.spec.kind == "oi_jump":
        return begin + BUCKET_MIN * MINUTE_US + scenario.open_interest.delay_s * 1_000_000
    return begin + MINUTE_US


def describe(scenario: Scenario, onsets: list[Onset], seed: int) -> tuple[Episode, ...]:
    """The truth's record of each onset, in the same order."""
    symbols = symbols_of(scenario)
    due = [settlements(scenario, s).minutes.tolist() for s in symbols]
    jitter = settlement_jitter_us(scenario, seed)
    late = [dict(zip(d, j.tolist(), strict=True)) for d, j in zip(due, jitter, strict=True)]
    turbulent = turbulence(scenario, seed)
    episodes = []
    for onset in onsets:
        known = knowable_us(scenario, onset, late[onset.row])
        # A decision happens on a whole minute, and its first fill one minute later.
        begin = -(-known // MINUTE_US) * MINUTE_US + MINUTE_US
        drift = onset.spec.drift
        if drift and drift.only_in:
            now = turbulent[(begin - origin_us(scenario)) // MINUTE_US]
            if drift.only_in != ("turbulent" if now else "calm"):
                drift = drift.model_copy(update={"bps": 0.0})
        episodes.append(
            Episode(
                kind=onset.spec.kind,
                symbol=symbols[onset.row],
                onset_us=origin_us(scenario) + onset.minute * MINUTE_US,
                knowable_us=known,
                size=onset.direction * onset.spec.size,
                drift_bps=drift_bps(drift, onset.direction) if drift else 0.0,
                drift_from_us=begin,
                drift_to_us=begin + (drift.over_min * MINUTE_US if drift else 0),
            )
        )
    return tuple(episodes)


def drift_bps(drift: DriftSpec, direction: int) -> float:
    """The signed simple return that `drift` plants after an episode of `direction`, in bps."""
    sign = {"up": 1, "down": -1, "along": direction, "against": -direction}[drift.sign]
    return sign * drift.bps

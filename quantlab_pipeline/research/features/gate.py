"""Gate PIT-1: no feature is known after its decision.

Belongs here: the verdict alone. A few instants of every day are attacked on knowledge time; the day
is built again from inputs in which everything later is cut off, and again from inputs in which it
is poisoned. A row at or before the instant that differs in one bit has seen the future. What a
feature declares of its past is attacked as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.verdicts import UPSTREAM_EMPTY, ItemVerdict, Outcome
from quantlab_pipeline.research.features.build import Build, build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import Attack, Coverage, Kind, Leak, Pit1Report
from quantlab_pipeline.research.features.plan import Instant, instants, lookback_begins
from quantlab_pipeline.research.features.schema import KEY_COLUMNS
from quantlab_pipeline.research.features.siege import Siege
from quantlab_pipeline.research.features.spec import FeatureSpecs, Pit1Thresholds

Progress = Callable[[str, int, int], None]
"""Told the day that was just attacked, how many are done, and of how many."""

REASONS: Mapping[Attack, str] = {
    "prefix": "LEAK_PREFIX",
    "poison": "LEAK_POISON",
    "lookback": "LOOKBACK_EXCEEDED",
    "warmup": "WARMUP_TOO_SHORT",
}
NOT_REPRODUCED = "NOT_REPRODUCED"
NOT_BUILT = "NOT_BUILT"
DATASET_ABSENT = "DATASET_ABSENT"
FUTURE: tuple[Attack, ...] = ("prefix", "poison")


def judge_pit1(
    inputs: FeatureInputs,
    specs: FeatureSpecs,
    features: pl.DataFrame,
    days: list[date],
    symbols: list[str],
    thresholds: Pit1Thresholds,
    seed: int,
    build: Build = build_features,
    *,
    full: bool = False,
    progress: Progress = lambda *_: None,
) -> Pit1Report:
    """Verdict per day and feature of `features`, the table as stored for `days` and `symbols`.

    FAIL: LEAK_PREFIX or LEAK_POISON; LOOKBACK_EXCEEDED where facts older than the declared lookback
    matter; WARMUP_TOO_SHORT where a recursion still knows where it began; NOT_REPRODUCED where a
    day built alone is not what was stored (a value that depends on the range it was built in);
    NOT_BUILT where the column is missing. NOT_EVALUABLE: DATASET_ABSENT with the table or column
    that has no values, UPSTREAM_EMPTY for a day without a row. `build` is what is attacked, `full`
    attacks many more instants. A day's verdict depends on that day, its inputs and `seed` alone.
    SpecError for a column without a spec.
    """
    _require_known(features, specs)
    there = features.filter(pl.col("symbol").is_in(symbols)).sort("symbol", "ts")
    by_day = {day: there.filter(day_of() == day) for day in sorted(set(days))}
    count = thresholds.full_instants_per_day if full else thresholds.instants_per_day
    tally = _Tally()
    verdicts = {}
    for done, (day, stored) in enumerate(by_day.items(), 1):
        if stored.is_empty():
            verdicts[day] = tuple(_not_evaluable(n, UPSTREAM_EMPTY) for n in specs.names)
        else:
            absent = {name: _absences(inputs, specs, stored, name) for name in specs.names}
            names = [n for n in specs.names if not absent[n] and n in stored.columns]
            siege = Siege(day, inputs, specs, names, stored, thresholds, seed, build)
            chosen = instants(siege.near, day, count, seed)
            found, unlike = _attack(siege, chosen), siege.unlike_stored()
            compared = {name: _compared(siege, chosen, name) for name in names}
            tally.add(siege, chosen, found, sum(compared.values()))
            verdicts[day] = tuple(
                _not_evaluable(n, *absent[n])
                if absent[n]
                else _verdict(n, found, unlike, compared, len(chosen))
                for n in specs.names
            )
        progress(str(day), done, len(by_day))
    return Pit1Report(verdicts, tally.leaks(), tally.coverage(len(specs.names)))


def _attack(siege: Siege, chosen: Sequence[Instant]) -> list[Leak]:
    """The first leak of each (feature, attack) of the day."""
    found: dict[tuple[str, Attack], Leak] = {}

    def fresh(attack: Attack) -> list[str]:
        return [name for name in siege.names if (name, attack) not in found]

    for instant in chosen:
        for attack in FUTURE:
            for leak in siege.future_leaks(instant, attack, fresh(attack)):
                found[leak.feature, attack] = leak
    for begin in lookback_begins(siege.near, siege.day, siege.seed):
        for leak in siege.lookback_leaks(begin, fresh("lookback")):
            found[leak.feature, "lookback"] = leak
    return [*found.values(), *siege.warmup_leaks(siege.names)]


def _compared(siege: Siege, chosen: Sequence[Instant], name: str) -> int:
    """Values that stood at or before an attacked instant, counted once an instant."""
    there = siege.stored[name].is_not_null().to_numpy()
    return int(sum(np.count_nonzero(there & siege.past(instant)) for instant in chosen))


class _Tally:
    """What all days together were put through, and the first leak of each (feature, attack)."""

    def __init__(self) -> None:
        self._instants: Counter[Kind] = Counter()
        self._rebuilds: Counter[Attack] = Counter()
        self._leaks: dict[tuple[str, Attack], Leak] = {}
        self._symbols: set[str] = set()
        self._days = self._values = 0

    def add(
        self, siege: Siege, chosen: Sequence[Instant], found: Sequence[Leak], n_values: int
    ) -> None:
        self._instants.update(instant.kind for instant in chosen)
        self._rebuilds.update(siege.rebuilds)
        self._symbols.update(siege.keys["symbol"].unique())
        self._days += 1
        self._values += n_values
        for leak in found:
            self._leaks.setdefault((leak.feature, leak.attack), leak)

    def leaks(self) -> tuple[Leak, ...]:
        return tuple(self._leaks[key] for key in sorted(self._leaks))

    def coverage(self, n_features: int) -> Coverage:
        return Coverage(
            dict(self._instants),
            dict(self._rebuilds),
            n_features,
            self._days,
            len(self._symbols),
            self._values,
        )


def _require_known(features: pl.DataFrame, specs: FeatureSpecs) -> None:
    keys = {column.name for column in KEY_COLUMNS}
    for name in features.columns:
        if name not in keys and name not in specs.features:
            raise SpecError(
                f"features_pt has the column {name}, which no spec defines.",
                "State it in the feature specs, or build the day again.",
                feature=name,
            )


def _absences(
    inputs: FeatureInputs, specs: FeatureSpecs, stored: pl.DataFrame, name: str
) -> list[str]:
    """Why feature `name` cannot have a value: tables without rows, else columns without values."""
    frames = inputs.tables()
    absent = [table for table in specs.features[name].needs if frames[table].is_empty()]
    if not absent and name in stored.columns and stored[name].count() == 0:
        leaves = [(table, column) for table, column in specs.leaves(name)]
        absent = [f"{t}.{c}" for t, c in leaves if frames[t][c].count() == 0]
    return [f"{DATASET_ABSENT}:{what}" for what in absent]


def _not_evaluable(name: str, *reasons: str) -> ItemVerdict:
    return ItemVerdict(name, Outcome.NOT_EVALUABLE, reasons)


def _verdict(
    name: str,
    found: Sequence[Leak],
    unlike: Mapping[str, Any],
    compared: Mapping[str, int],
    n_instants: int,
) -> ItemVerdict:
    if name not in compared:
        return ItemVerdict(name, Outcome.FAIL, (NOT_BUILT,))
    leaks = [leak for leak in found if leak.feature == name]
    n_unlike = int(unlike[name].sum())
    reasons = [REASONS[leak.attack] for leak in leaks] + [NOT_REPRODUCED] * (n_unlike > 0)
    future = [leak for leak in leaks if leak.attack in FUTURE]
    ahead = [leak.reach_s / 60 for leak in future if leak.reach_s is not None]
    measured: dict[str, tuple[float | None, float | None]] = {
        "n_rows": (float(max((leak.n_rows for leak in leaks), default=0)), 0.0),
        "saw_ahead_min": (max(ahead, default=None if future else 0.0), 0.0),
        "not_reproduced_rows": (float(n_unlike), 0.0),
        "compared_values": (float(compared[name]), None),
        "instants": (float(n_instants), None),
    }
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    evidence = tuple(_evidence(leak) for leak in leaks)
    return ItemVerdict(name, outcome, tuple(reasons), measured, evidence=evidence)


def _evidence(leak: Leak) -> dict[str, Any]:
    facts = asdict(leak)
    return {**facts, "tau": leak.tau.isoformat(), "ts": leak.ts.isoformat()}

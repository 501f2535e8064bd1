"""Gate PIT-1: no feature is known after its decision.

Belongs here: the verdict alone. A few instants are attacked on knowledge time; the day of each is
built again from inputs in which everything later is cut off, and again from inputs in which it is
poisoned. A row at or before the instant that differs in one bit has seen the future.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.verdicts import UPSTREAM_EMPTY, ItemVerdict, Outcome
from quantlab_pipeline.research.features.attacks import (
    ATTACKS,
    Attack,
    around,
    attacked,
    instants,
)
from quantlab_pipeline.research.features.build import Build, build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.schema import KEY_COLUMNS
from quantlab_pipeline.research.features.spec import FeatureSpecs, Pit1Thresholds

Rows = npt.NDArray[np.bool_]
REASONS: Mapping[Attack, str] = {"prefix": "LEAK_PREFIX", "poison": "LEAK_POISON"}
NOT_REPRODUCED = "NOT_REPRODUCED"
NOT_BUILT = "NOT_BUILT"
DATASET_ABSENT = "DATASET_ABSENT"


@dataclass(frozen=True, slots=True)
class Leak:
    """The first row of a feature that saw past an instant, and the table through which it saw.

    `seconds_ahead` is how long after that row's decision the earliest fact of `table` came that the
    attack touched: the row saw at least so far ahead. `table` is null if no table alone explains
    it.
    """

    feature: str
    attack: Attack
    tau: datetime
    symbol: str
    ts: datetime
    n_rows: int
    table: str | None
    seconds_ahead: float | None


@dataclass(frozen=True, slots=True)
class Pit1Report:
    """A verdict for every feature, and every leak by (feature, attack), sorted."""

    verdicts: list[ItemVerdict]
    leaks: list[Leak]


@dataclass(frozen=True, slots=True)
class _Siege:
    """One instant under attack: the inputs around its day, and that day built from them unharmed.

    `keys` are the stored rows' (symbol, ts), `past` says which of them are at or before `tau`, and
    `rebuild` builds those rows from other inputs.
    """

    tau: datetime
    near: FeatureInputs
    keys: pl.DataFrame
    past: Rows
    honest: pl.DataFrame
    rebuild: Callable[[FeatureInputs], pl.DataFrame]
    thresholds: Pit1Thresholds
    seed: int

    def shifted(self, names: list[str], attack: Attack, only: str | None = None) -> dict[str, Rows]:
        """Past rows that `attack` changes, for each of `names` that has any."""
        harmed = attacked(self.near, attack, self.tau, self.thresholds, self.seed, only)
        found = _differing(self.honest, self.rebuild(harmed), names)
        return {name: rows & self.past for name, rows in found.items() if (rows & self.past).any()}

    def leaks(self, names: list[str], attack: Attack) -> list[Leak]:
        """A leak for each of `names` that `attack` changes, with the table that explains most."""
        found = self.shifted(names, attack)
        if not found:
            return []
        blame: dict[str, tuple[str, Rows]] = {}
        for table, frame in self.near.tables().items():
            explained = all(n in blame and (blame[n][1] == rows).all() for n, rows in found.items())
            if frame.is_empty() or explained:
                continue
            for name, rows in self.shifted(list(found), attack, table).items():
                if name not in blame or rows.sum() > blame[name][1].sum():
                    blame[name] = (table, rows)
        return [self._leak(name, attack, rows, blame.get(name)) for name, rows in found.items()]

    def _leak(self, name: str, attack: Attack, rows: Rows, blame: tuple[str, Rows] | None) -> Leak:
        table, blamed = blame or (None, rows)
        first = self.keys.filter(pl.Series(blamed)).sort("ts", "symbol").row(0, named=True)
        ahead = None
        if table is not None:
            later = self.near.tables()[table].filter(
                (pl.col("available_at") > self.tau) & (pl.col("symbol") == first["symbol"])
            )
            if not later.is_empty():
                ahead = (later["available_at"].sort()[0] - first["ts"]).total_seconds()
        n_rows = int(rows.sum())
        return Leak(name, attack, self.tau, first["symbol"], first["ts"], n_rows, table, ahead)


def judge_pit1(
    inputs: FeatureInputs,
    specs: FeatureSpecs,
    features: pl.DataFrame,
    days: list[date],
    symbols: list[str],
    thresholds: Pit1Thresholds,
    seed: int,
    build: Build = build_features,
) -> Pit1Report:
    """Verdict per feature of `features`, the table as stored for `days` and `symbols`.

    FAIL: LEAK_PREFIX or LEAK_POISON, NOT_REPRODUCED where a day built alone is not what was stored
    (a value that depends on the range it was built in), NOT_BUILT where the column is missing.
    NOT_EVALUABLE: DATASET_ABSENT with the table or column that has no values, UPSTREAM_EMPTY
    without any row. `build` is what is attacked. SpecError for a column without a spec.
    """
    _require_known(features, specs)
    wanted = pl.col("symbol").is_in(symbols) & day_of().is_in(days)
    features = features.filter(wanted).sort("symbol", "ts")
    if features.is_empty():
        return Pit1Report([_not_evaluable(n, UPSTREAM_EMPTY) for n in specs.names], [])
    absent = {name: _absences(inputs, specs, features, name) for name in specs.names}
    judged = [n for n in specs.names if not absent[n] and n in features.columns]
    taus = instants(inputs, _days_of(features), thresholds.instants_per_range, seed)
    found: dict[tuple[str, Attack], Leak] = {}
    compared, unlike = dict.fromkeys(judged, 0), dict.fromkeys(judged, 0)
    for tau in taus:
        siege, stored = _besiege(inputs, specs, features, tau, thresholds, seed, build)
        for name, rows in _differing(stored, siege.honest, judged).items():
            unlike[name] += int(rows.sum())
            compared[name] += int((stored[name].is_not_null().to_numpy() & siege.past).sum())
        for attack in ATTACKS:
            fresh = [name for name in judged if (name, attack) not in found]
            found |= {(leak.feature, attack): leak for leak in siege.leaks(fresh, attack)}
    verdicts = []
    for name in specs.names:
        if absent[name]:
            verdicts.append(_not_evaluable(name, *absent[name]))
        elif name not in judged:
            verdicts.append(ItemVerdict(name, Outcome.FAIL, (NOT_BUILT,)))
        else:
            own = [found[name, attack] for attack in ATTACKS if (name, attack) in found]
            verdicts.append(_verdict(name, own, unlike[name], compared[name], len(taus)))
    return Pit1Report(verdicts, [found[key] for key in sorted(found)])


def _besiege(
    inputs: FeatureInputs,
    specs: FeatureSpecs,
    features: pl.DataFrame,
    tau: datetime,
    thresholds: Pit1Thresholds,
    seed: int,
    build: Build,
) -> tuple[_Siege, pl.DataFrame]:
    """The siege of `tau`, and the stored rows of its day."""
    day = (tau - timedelta(microseconds=1)).date()
    stored = features.filter(day_of() == day)
    keys = stored.select("symbol", "ts")
    symbols = keys["symbol"].unique().sort().to_list()

    def rebuild(facts: FeatureInputs) -> pl.DataFrame:
        built = build(facts, specs, [day], symbols)
        return keys.join(built, on=["symbol", "ts"], how="left", maintain_order="left")

    near = around(inputs, day, specs.lookback_days)
    past = (keys["ts"] <= tau).to_numpy()
    siege = _Siege(tau, near, keys, past, rebuild(near), rebuild, thresholds, seed)
    return siege, stored


def _differing(a: pl.DataFrame, b: pl.DataFrame, names: list[str]) -> dict[str, Rows]:
    """Rows of each column whose bits differ; null differs from every value."""
    return {name: _bits(a[name]) != _bits(b[name]) for name in names}


def _bits(column: pl.Series) -> npt.NDArray[np.int64]:
    return np.array(column.fill_null(float("nan")).to_numpy(), np.float64).view(np.int64)


def _days_of(features: pl.DataFrame) -> list[date]:
    days: list[date] = features.select(day_of().unique().sort()).to_series().to_list()
    return days


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
    inputs: FeatureInputs, specs: FeatureSpecs, features: pl.DataFrame, name: str
) -> list[str]:
    """Why feature `name` cannot have a value: tables without rows, else columns without values."""
    frames = inputs.tables()
    absent = [table for table in specs.features[name].needs if frames[table].is_empty()]
    if not absent and name in features.columns and features[name].count() == 0:
        leaves = [(table, column) for table, column in specs.leaves(name)]
        absent = [f"{t}.{c}" for t, c in leaves if frames[t][c].count() == 0]
    return [f"{DATASET_ABSENT}:{what}" for what in absent]


def _not_evaluable(name: str, *reasons: str) -> ItemVerdict:
    return ItemVerdict(name, Outcome.NOT_EVALUABLE, reasons)


def _verdict(
    name: str, leaks: list[Leak], unlike: int, compared: int, n_instants: int
) -> ItemVerdict:
    reasons = [REASONS[leak.attack] for leak in leaks] + [NOT_REPRODUCED] * (unlike > 0)
    ahead = [leak.seconds_ahead / 60 for leak in leaks if leak.seconds_ahead is not None]
    measured: dict[str, tuple[float | None, float | None]] = {
        "n_rows": (float(max((leak.n_rows for leak in leaks), default=0)), 0.0),
        "saw_ahead_min": (max(ahead, default=None if leaks else 0.0), 0.0),
        "not_reproduced_rows": (float(unlike), 0.0),
        "compared_values": (float(compared), None),
        "instants": (float(n_instants), float(n_instants)),
    }
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    return ItemVerdict(name, outcome, tuple(reasons), measured)

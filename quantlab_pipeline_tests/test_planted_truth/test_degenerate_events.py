"""PT-15: event types that must not be tested, beside honest ones, through the stage functions.

One registry holds an event that never occurs, one that always holds, one that occurs all day, one
whose rows stand twice, a second name, a copy three minutes late, an echo, one whose minutes have
no label and one whose minute has no features. Each is red with its own reason and no other, in
every world; the honest types, and a special case of one, stay green. Each of E-1's checks is then
taken away, and the experiment must notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from quantlab_pipeline.calibration.in_memory import market_tables
from quantlab_pipeline.core.clocks import MINUTE, day_of
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.events import gate, quality
from quantlab_pipeline.research.events.checks import check_registry
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.gate import judge_e1
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.research.events.spec import EventRegistry, EventType
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import FeatureSpec
from quantlab_pipeline.research.labels.build import build_labels
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline_tests.calibration import builders
from quantlab_pipeline_tests.research.events.builders import (
    e1_thresholds,
    event_type,
    feature_specs,
    project_registry,
)
from quantlab_pipeline_tests.worlds.builders import scenario

SEEDS = (1, 2, 3)
THRESHOLDS = e1_thresholds()
WORLD = scenario(
    3,
    10,
    episodes=[
        {"kind": "oi_jump", "per_symbol_day": 3, "size": 300, "direction": "up"},
        {"kind": "oi_jump", "per_symbol_day": 2, "size": 300, "direction": "down"},
        {"kind": "mark_dislocation", "per_symbol_day": 2, "size": 20, "duration_min": 3,
         "lane": "marks"},
        {"kind": "basis_dislocation", "per_symbol_day": 2, "size": 30, "duration_min": 20,
         "direction": "up", "lane": "bases"},
    ],
    min_spacing_min=95,
)  # fmt: skip
LAGS_MIN = {"oi_change_5m_lag_3m_bps": 3, "oi_change_5m_lag_20m_bps": 20}


def of_one_column(name: str, trigger: str, column: str, **changes: Any) -> EventType:
    """A type that reads `column` alone, which is its severity too."""
    fields = {"trigger": trigger, "severity": column, "required_fields": [column]}
    return event_type(name, **(fields | {"cooldown_min": 60} | changes))


DEGENERATE = [
    of_one_column("never", "ret_1m_bps >= 100000", "ret_1m_bps"),
    of_one_column("always", "rv_1d_bps >= 0", "rv_1d_bps"),
    of_one_column("all_day", "ret_1m_bps >= 3", "ret_1m_bps", cooldown_min=1),
    of_one_column("second_name", "oi_change_5m_bps >= 150", "oi_change_5m_bps"),
    of_one_column(
        "three_minutes_late", "oi_change_5m_lag_3m_bps >= 150", "oi_change_5m_lag_3m_bps"
    ),
    of_one_column("echo", "oi_change_5m_lag_20m_bps >= 150", "oi_change_5m_lag_20m_bps"),
    of_one_column("without_labels", "funding_due_min >= 479", "funding_due_min"),
    event_type(
        "special_case",
        trigger="oi_change_5m_bps >= 150 and range_pos_1d >= 0.7",
        severity="oi_change_5m_bps",
        cooldown_min=60,
        required_fields=["oi_change_5m_bps", "range_pos_1d"],
    ),
]
SHIPPED = project_registry().only(["oi_surge", "oi_flush", "mark_dislocation", "basis_rich"])
REGISTRY = SHIPPED.model_copy(update={"event_types": (*SHIPPED.event_types, *DEGENERATE)})
DOUBLED, WITHOUT_FEATURES = "mark_dislocation", "basis_rich"

PASS, FAIL = Outcome.PASS, Outcome.FAIL
EXPECTED = {
    "oi_surge": (PASS, ()),
    "oi_flush": (PASS, ()),
    "special_case": (PASS, ()),
    "never": (FAIL, ("TOO_RARE",)),
    "always": (FAIL, ("TOO_FREQUENT",)),
    "all_day": (FAIL, ("TOO_FREQUENT",)),
    DOUBLED: (FAIL, ("MOSTLY_DUPLICATES",)),
    "second_name": (FAIL, ("ALIAS_OF:oi_surge",)),
    "three_minutes_late": (FAIL, ("ALIAS_OF:oi_surge",)),
    "echo": (FAIL, ("ECHO_OF:oi_surge",)),
    "without_labels": (FAIL, ("JOIN_FAILED:labels",)),
    WITHOUT_FEATURES: (FAIL, ("JOIN_FAILED:features",)),
}


# --- the worlds ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tables:
    """What E-1's stage receives, after what was done to it."""

    events: pl.DataFrame
    features: pl.DataFrame
    label_keys: pl.DataFrame

    def quality(self) -> pl.DataFrame:
        symbols = [s.symbol for s in WORLD.symbols]
        return measure_events(
            self.events, self.features, self.label_keys, REGISTRY, len(WORLD.days), symbols
        )


COLUMN = "oi_change_5m_bps"
ALONE = feature_specs().model_copy(update={"features": {COLUMN: feature_specs().features[COLUMN]}})


def lagged(minutes: int) -> Callable[[FeatureInputs, pl.DataFrame], pl.Series]:
    """An honest feature of a user's own: the change of open interest as it was `minutes` ago."""

    def verb(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
        days = grid.select(day_of().unique().sort()).to_series().to_list()
        own = build_features(inputs, ALONE, days, grid["symbol"].unique().to_list())
        moved = own.select("symbol", pl.col("ts") + minutes * MINUTE, COLUMN)
        return grid.join(moved, on=["symbol", "ts"], how="left", maintain_order="left")[COLUMN]

    return verb


def custom(minutes: int) -> FeatureSpec:
    like = ALONE.features[COLUMN].model_dump()
    return FeatureSpec.model_validate(
        like | {"verb": "custom", "params": {}, "lookback_min": like["lookback_min"] + minutes}
    )


SPECS = feature_specs().plus(**{name: custom(minutes) for name, minutes in LAGS_MIN.items()})


def tables(seed: int) -> Tables:
    """A world's tables; the minute after each third settlement has neither bars nor labels."""
    world = generate(WORLD, seed)
    days, symbols = WORLD.days, list(world.truth.symbols)
    missing = WORLD.start + timedelta(hours=24, minutes=1)
    bars = world.frames["bars_1m_perp"]
    frames = world.frames | {"bars_1m_perp": bars.filter(pl.col("ts") != missing)}
    market = builders.market(first_day=days[0], last_day=days[-1])
    inputs = market_tables(frames, market, symbols, days[-1])
    verbs = {name: lagged(minutes) for name, minutes in LAGS_MIN.items()}
    features = build_features(inputs, SPECS, days, symbols, verbs)
    labels = build_labels(
        inputs.bars_perp, inputs.tob_1m_agg, builders.documents().labels, days, symbols
    )
    events = detect_events(features, REGISTRY, days)
    twice = events.filter(pl.col("event_type") == DOUBLED)
    lost = events.filter(pl.col("event_type") == WITHOUT_FEATURES).head(1)
    kept = features.join(lost, on=["symbol", "ts"], how="anti", maintain_order="left")
    keys = labels.filter(pl.col("ts") != missing).select("symbol", "ts")
    return Tables(pl.concat([events, twice]), kept, keys)


@pytest.fixture(scope="module")
def worlds() -> dict[int, Tables]:
    return {seed: tables(seed) for seed in SEEDS}


def said(measured: pl.DataFrame) -> dict[str, tuple[Outcome, tuple[str, ...]]]:
    return {v.item: (v.outcome, v.reasons) for v in judge_e1(measured, THRESHOLDS)}


# --- what must happen ----------------------------------------------------------------------------


def test_the_documents_let_every_one_of_them_in() -> None:
    """None is malformed: only the events themselves show what they are."""
    assert isinstance(REGISTRY, EventRegistry)
    check_registry(REGISTRY, SPECS.features)
    assert set(REGISTRY.names) == set(EXPECTED)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_degenerate_event_is_red_for_its_own_reason(
    worlds: dict[int, Tables], seed: int
) -> None:
    assert said(worlds[seed].quality()) == EXPECTED


@pytest.mark.parametrize("seed", SEEDS)
def test_the_numbers_say_how_far(worlds: dict[int, Tables], seed: int) -> None:
    measured = worlds[seed].quality()
    row = {r["event_type"]: r for r in measured.iter_rows(named=True)}
    verdict = {v.item: v.measured for v in judge_e1(measured, THRESHOLDS)}
    n_symbols = len(WORLD.symbols)
    assert row["never"]["n_events"] == 0
    assert row["always"]["trigger_share"] == 1.0
    assert verdict["all_day"]["max_per_symbol_day"][0] > 100
    assert verdict[DOUBLED]["max_duplicate_share"][0] == 0.5
    assert verdict["second_name"]["max_jaccard"] == (1.0, THRESHOLDS.max_jaccard)
    assert verdict["three_minutes_late"]["max_jaccard"][0] > 0.95
    assert verdict["echo"]["max_echo"][0] > 0.95
    assert verdict["echo"]["echo.lag_min"] == (20, None)
    assert verdict["echo"]["max_jaccard"][0] < 0.1
    assert verdict["without_labels"]["join.labels"] == (n_symbols, None)
    first = min(s.symbol for s in WORLD.symbols)
    assert row["without_labels"]["first_unjoined"] == f"{first} 2025-01-07T00:01Z: no row in labels"
    assert verdict[WITHOUT_FEATURES]["join.features"] == (1, None)
    assert row[WITHOUT_FEATURES]["first_unjoined"].endswith(": no row in features")
    assert row["special_case"]["contained_in"] == "oi_surge"
    assert row["special_case"]["max_containment"] == 1.0
    assert verdict["special_case"]["max_containment"] == (1.0, THRESHOLDS.max_containment)


# --- E-1 without one of its checks ---------------------------------------------------------------


def without(*thresholds: str) -> Callable[[pytest.MonkeyPatch], None]:
    """The gate never looks at these thresholds."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        for name in thresholds:
            for table in (gate._AT_LEAST, gate._AT_MOST):
                if name in table:
                    patch.delitem(table, name)

    mutate.__name__ = f"without_{thresholds[-1]}"
    return mutate


def a_state_is_also_called_rare(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gate, "TOO_FREQUENT", "never equal")


def doubles_go_first(patch: pytest.MonkeyPatch) -> None:
    """Repeated rows are dropped before anybody counts them."""
    honest = quality.occurrences
    patch.setattr(quality, "occurrences", lambda frame: honest(frame.unique()))


def what_does_not_join_goes_first(patch: pytest.MonkeyPatch) -> None:
    """An inner join: what has no partner is not there."""
    honest = quality._unjoined
    patch.setattr(quality, "_unjoined", lambda *given: honest(*given).clear())


def labels_alone_are_joined(patch: pytest.MonkeyPatch) -> None:
    honest = quality._unjoined
    patch.setattr(quality, "_unjoined", lambda own, _, labels: honest(own, own, labels))


def copies_must_be_exact(patch: pytest.MonkeyPatch) -> None:
    """Overlap without a window."""
    honest = quality.jaccard
    patch.setattr(quality, "jaccard", lambda one, other, _: honest(one, other, 0))


def only_the_nearest_lags(patch: pytest.MonkeyPatch) -> None:
    honest = quality.echo
    patch.setattr(quality, "echo", lambda one, other, window, _: honest(one, other, window, 12))


def seniors_are_juniors(patch: pytest.MonkeyPatch) -> None:
    """The first listed is called the alias."""
    honest = quality._distinctness

    def turned(at: Any, name: str, registry: EventRegistry) -> dict[str, Any]:
        types = tuple(reversed(registry.event_types))
        return honest(at, name, registry.model_copy(update={"event_types": types}))

    patch.setattr(quality, "_distinctness", turned)


def parts_are_forbidden(patch: pytest.MonkeyPatch) -> None:
    """A special case is taken for an alias."""
    honest = quality.containment
    patch.setattr(quality, "jaccard", honest)


MUTANTS = [
    without("min_events", "min_active_days", "min_per_symbol_day"),
    without("max_per_symbol_day"),
    without("max_trigger_share"),
    without("max_duplicate_share"),
    without("min_join_share"),
    without("max_jaccard"),
    without("max_echo"),
    a_state_is_also_called_rare,
    doubles_go_first,
    what_does_not_join_goes_first,
    labels_alone_are_joined,
    copies_must_be_exact,
    only_the_nearest_lags,
    seniors_are_juniors,
    parts_are_forbidden,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_the_experiment_kills_a_gate_without_one_of_its_checks(
    worlds: dict[int, Tables],
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mutant(monkeypatch)
    assert all(said(made.quality()) != EXPECTED for made in worlds.values())

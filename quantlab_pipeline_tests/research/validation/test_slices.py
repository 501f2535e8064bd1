"""Slices: against the oracle, and what is said of an effect that differs between them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from quantlab_pipeline.research.validation.evaluate import evaluate_family, question_of
from quantlab_pipeline.research.validation.event_study import slice_rows
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.slices import SliceTable, heterogeneity, summary
from quantlab_pipeline.research.validation.spec import V1Thresholds
from quantlab_pipeline_tests.oracles import calendar_time as oracle
from quantlab_pipeline_tests.research.validation import builders

FEW_DAYS = 2


def _slices(made, **changes):
    inputs, family, costs = builders.inputs_of(made), builders.family(**changes), builders.free()
    arrays = prepare(inputs, family, costs)
    candidate = expand_family(family, question_of(inputs), costs)[0]
    return slice_rows(arrays, family, candidate, FEW_DAYS)


def _of(rows, partition):
    return rows.filter(partition=partition)


def test_a_slices_figures_equal_the_scalar_oracle():
    made = builders.world(3, n_symbols=3, n_days=6)
    rows = _of(_slices(made), "symbol")
    fits = [
        (int(i), int(k) + 1, 1)
        for i, k in made.events["calm_drop"]
        if k + 61 < made.prices.shape[1]
    ]
    funding = np.zeros_like(made.prices)
    assert rows.height == 3
    for i, row in enumerate(rows.iter_rows(named=True)):
        part, rest = [e for e in fits if e[0] == i], [e for e in fits if e[0] != i]
        values = [oracle.simple_return(made.prices[i], funding[i], k, 60) for _, k, _ in part]
        assert row["n_events"] == len(part)
        assert row["mean_bps"] == pytest.approx(1e4 * math.fsum(values) / len(part), abs=1e-9)
        expected = oracle.excess_z(made.prices, funding, part, rest, 60)
        assert row["excess_z"] == pytest.approx(expected, rel=1e-8)


def test_two_slices_that_hold_all_the_events_mirror_each_other():
    rows = _of(_slices(builders.world(4, n_symbols=2, n_days=8)), "half")
    assert rows["excess_z"].to_list() == pytest.approx([-rows["excess_z"][1], rows["excess_z"][1]])


def test_a_copied_symbol_is_no_evidence_of_a_difference():
    one = builders.world(5, n_symbols=1, n_days=8)
    events = {t: np.vstack([r, r + np.array([1, 0])]) for t, r in one.events.items()}
    rows = _of(_slices(replace(one, prices=np.vstack([one.prices] * 2), events=events)), "symbol")
    assert rows["excess_z"].to_list() == [None, None]


def _table(partition, excess_z):
    n = len(partition)
    ones, z = np.ones(n), np.array(excess_z, dtype=float)
    labels = tuple(str(k) for k in range(n))
    return SliceTable(
        tuple(partition), labels, ones, z * 1e-4, ones, ones, z, heterogeneity(partition, z)
    )


def two_sided(z):
    return math.erfc(z / math.sqrt(2.0))


def test_p_counts_the_slices_and_the_partitions():
    """Two that mirror are one question, three are three; the smallest of two partitions counts."""
    found = heterogeneity(("half",) * 2, np.array([-3.0, 3.0]))
    assert found == ("half", 9.0, pytest.approx(two_sided(3.0)))
    found = heterogeneity(("half",) * 2 + ("vol_regime",) * 3, np.array([-1, 1, -2.0, 0.5, 4.0]))
    assert found == ("vol_regime", 16.0, pytest.approx(2 * 3 * two_sided(4.0)))
    assert heterogeneity(("half",) * 2, np.array([0.0, 0.0])).p == 1.0


def test_without_two_slices_nothing_is_said():
    assert heterogeneity((), np.array([])) is None
    assert heterogeneity(("half", "symbol"), np.array([1.0, 2.0])) is None
    assert heterogeneity(("symbol",) * 2, np.array([np.nan, np.nan])) is None
    columns = summary(_table(("half",), [2.0]), 1)
    assert columns["heterogeneity_p"] is columns["strongest_slice"] is None


def test_the_strongest_slice_is_the_sides_own():
    table = _table(("half",) * 2 + ("vol_regime",) * 3, [-1, 1, -2.0, np.nan, 4.0])
    long, short = summary(table, 1), summary(table, -1)
    assert (long["strongest_slice"], long["weakest_slice"]) == ("vol_regime=4", "vol_regime=2")
    assert (short["strongest_slice"], short["weakest_slice"]) == ("vol_regime=2", "vol_regime=4")
    assert long["strongest_bps"] == pytest.approx(4.0) == -short["weakest_bps"]
    assert long["heterogeneity_p"] == short["heterogeneity_p"]


def test_the_table_tells_the_same_as_the_slices():
    made = builders.plant(builders.world(6, n_days=20), "calm_drop", 60.0, 60, only_high_vol=True)
    frame = evaluate_family(
        builders.inputs_of(made), builders.family(), builders.free(), V1Thresholds(), 10_000
    )
    row = frame.filter(event_type="calm_drop", side=1).row(0, named=True)
    assert row["strongest_slice"] == "vol_regime=high"
    assert row["flags"] == "HETEROGENEOUS:vol_regime=high"
    high = _of(_slices(made), "vol_regime").filter(label="high").row(0, named=True)
    assert row["strongest_bps"] == pytest.approx(high["mean_bps"], abs=1e-9)
    assert row["heterogeneity_q"] == pytest.approx(high["excess_z"] ** 2, rel=1e-9)

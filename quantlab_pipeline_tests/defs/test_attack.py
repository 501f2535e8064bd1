"""An attack by hand, month by month: one report of several, and a bar that never falls back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from quantlab_pipeline.defs.features import attack
from quantlab_pipeline.research.features.leaks import Coverage, Pit1Report
from quantlab_pipeline_tests.reports.pit_builders import (
    DAYS,
    LEAKS,
    leak,
    report,
    verdicts_of,
)

NEXT = DAYS[1] + timedelta(days=30)


def later() -> Pit1Report:
    """Another month: `oi_jump` leaks again, `wick_bps` for the first time."""
    shift = timedelta(days=31)
    again = tuple(replace(one, ts=one.ts + shift, tau=one.tau + shift) for one in LEAKS[:1])
    fresh = leak("wick_bps", "lookback", None, ts=LEAKS[0].ts + shift)
    coverage = Coverage({"settlement": 3}, {"prefix": 3}, 8, 1, 1, 10)
    return Pit1Report({NEXT: verdicts_of(NEXT, ())}, (*again, fresh), coverage)


def test_months_become_one_report_with_the_first_leak_of_each_kind() -> None:
    whole = attack.merged([report(), later()])
    assert list(whole.verdicts) == [*DAYS, NEXT]
    told = {(one.feature, one.attack): one for one in whole.leaks}
    assert len(told) == len(whole.leaks) == len(LEAKS) + 1
    assert told["oi_jump", "prefix"] == LEAKS[0]
    assert told["wick_bps", "lookback"].ts.month == 4
    assert whole.leaks == tuple(sorted(whole.leaks, key=lambda k: (k.feature, ORDER[k.attack])))


ORDER = {"prefix": 0, "poison": 1, "lookback": 2, "warmup": 3}


def test_coverage_is_summed_over_months() -> None:
    coverage = attack.merged([report(), later()]).coverage
    assert coverage.instants == {**report().coverage.instants, "settlement": 7}
    assert coverage.rebuilds["prefix"] == 17
    assert (coverage.n_features, coverage.n_days, coverage.n_symbols) == (8, 3, 2)
    assert coverage.n_values == 16_010
    assert attack.merged([]).coverage.n_values == 0

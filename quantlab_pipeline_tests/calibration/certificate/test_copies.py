"""A copied universe: what is doubled, and that the comparison sees what a copy may not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantlab_pipeline.calibration.certificate.bench import fresh_bars
from quantlab_pipeline.calibration.certificate.copies import (
    compare,
    copied,
    only_symbol,
    second_venue,
)
from quantlab_pipeline.calibration.certificate.judging import answer_of, measure, shown
from quantlab_pipeline_tests.calibration.certificate.builders import (
    small_bench,
    small_market,
    small_null,
)

BENCH = small_bench()


def told(arrays):
    blind = shown(BENCH, arrays, small_market().candidates, free=True)
    return answer_of(BENCH, measure(BENCH, blind))


def test_a_copy_holds_every_event_twice_in_the_kernels_order() -> None:
    once = small_market().arrays
    twice = copied(once)
    n = len(once.symbols)
    assert len(twice.symbols) == len(set(twice.symbols)) == 2 * n
    for name, where in once.where.items():
        rows = list(zip(once.symbol[where], once.entry[where], strict=True))
        again = [(i + n, t) for i, t in rows]
        found = twice.where[name]
        assert list(zip(twice.symbol[found], twice.entry[found], strict=True)) == rows + again
    np.testing.assert_array_equal(twice.paths.world.prices[n:], once.paths.world.prices)


def test_no_way_of_copying_changes_an_answer() -> None:
    once = small_market().arrays
    single = only_symbol(once, 1)
    venue = second_venue(BENCH, fresh_bars(BENCH, 5))
    pairs = [
        (small_null(), told(copied(once))),
        (told(single), told(copied(single))),
        (small_null(), answer_of(BENCH, measure(BENCH, venue))),
    ]
    for before, after in pairs:
        changed = compare(before, after)
        assert changed.n > 100
        assert max(changed.dz, changed.dq, changed.naive) <= 1e-9
        assert changed.verdicts == 0


def test_one_symbol_keeps_its_own_events_alone() -> None:
    once, single = small_market().arrays, only_symbol(small_market().arrays, 1)
    assert single.symbols == once.symbols[1:2]
    for name, where in once.where.items():
        mine = once.symbol[where] == 1
        kept = single.where[name]
        np.testing.assert_array_equal(single.entry[kept], once.entry[where][mine])
    assert set(single.symbol.tolist()) == {0}


@pytest.mark.parametrize("figure", ["z_raw", "z_contrast", "z_naive"])
def test_a_figure_that_moves_is_seen(figure: str) -> None:
    before, after = small_null(), told(copied(small_market().arrays))
    wrong = replace(after, figures={**after.figures, figure: after.figures[figure] * 1.001})
    changed = compare(before, wrong)
    assert (changed.naive if figure == "z_naive" else changed.dz) > 1e-5


def test_a_verdict_or_a_candidate_that_is_lost_is_seen() -> None:
    before = small_null()
    assert compare(before, replace(before, status=("PASS", *before.status[1:]))).verdicts == 1
    gone = {**before.figures, "z_raw": np.full_like(before.z, np.nan)}
    assert compare(before, replace(before, figures=gone)).dz == np.inf

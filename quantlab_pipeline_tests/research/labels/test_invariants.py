"""What must hold of labels on any path, on the price and on the mark, as the table says it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.research.labels.schema import HORIZONS_MIN, LABELS_FWD
from quantlab_pipeline_tests.oracles.label_paths import Minutes
from quantlab_pipeline_tests.research.labels.builders import label_specs, labels_of

SPECS = label_specs()
NOISE = np.random.default_rng(0).standard_normal(4000)


class Stretch(NamedTuple):
    """Some minutes of one kind: how many, their drift a minute, and their noise."""

    kind: str
    length: int
    drift: float
    noise: float


STRETCHES = st.lists(
    st.builds(
        Stretch,
        st.sampled_from(["walk", "walk", "walk", "flat", "jump", "hole"]),
        st.integers(1, 600),
        st.floats(-3e-3, 3e-3),
        st.floats(0, 3e-3),
    ),
    min_size=1,
    max_size=6,
)


def path_of(stretches: list[Stretch]) -> np.ndarray:
    """Prices by the minute, NaN in holes, beginning at 100."""
    moves: list[float] = []
    gone: list[bool] = []
    for kind, asked, drift, noise in stretches:
        length = 1 + asked // 60 if kind == "hole" else asked
        step = drift + noise * NOISE[len(moves) : len(moves) + length]
        if kind == "jump":
            step[0] += np.log(1e6) * np.sign(drift)
        moves += list(step if kind != "flat" else np.zeros(length))
        gone += [kind == "hole"] * length
    return np.where(gone, np.nan, 100 * np.exp(np.cumsum(moves)))


def table_of(prices: np.ndarray, *, ended: bool = False) -> pl.DataFrame:
    """Labels of a market without a book whose mark is always 1 % above its price."""
    closes = [None if np.isnan(p) else float(p) for p in prices]
    marks = [None if p is None else p * 1.01 for p in closes]
    last = [i for i, p in enumerate(closes) if p is not None][-1:]
    return labels_of(
        Minutes(closes, [None] * len(closes), marks, tuple(last) if ended else ()), SPECS
    )


def column(table: pl.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy()


@given(STRETCHES)
@settings(max_examples=40, deadline=None)
def test_the_extremes_hold_the_return_and_zero_between_them(stretches: list[Stretch]) -> None:
    table = table_of(path_of(stretches))
    for name in HORIZONS_MIN:
        ret, mfe, mae = (column(table, f"{kind}_{name}") for kind in ("fwd_ret", "mfe", "mae"))
        known = ~np.isnan(ret)
        assert (np.isnan(mfe) == ~known).all()
        assert (np.isnan(mae) == ~known).all()
        assert (mae[known] <= np.minimum(0, ret[known])).all()
        assert (mfe[known] >= np.maximum(0, ret[known])).all()
        on_mark = table.select(f"mfe_{name}_mark", f"mae_{name}_mark").to_numpy().T
        np.testing.assert_allclose(on_mark, [mfe, mae], rtol=0, atol=1e-12)


@given(STRETCHES)
@settings(max_examples=40, deadline=None)
def test_a_longer_horizon_is_never_less_extreme(stretches: list[Stretch]) -> None:
    table = table_of(path_of(stretches))
    names = list(HORIZONS_MIN)
    for suffix in ("", "_mark"):
        for shorter, longer in pairwise(names):
            best = [column(table, f"mfe_{name}{suffix}") for name in (shorter, longer)]
            worst = [column(table, f"mae_{name}{suffix}") for name in (shorter, longer)]
            known = ~np.isnan(best[0]) & ~np.isnan(best[1])
            assert (best[1][known] >= best[0][known]).all()
            assert (worst[1][known] <= worst[0][known]).all()


@given(STRETCHES)
@settings(max_examples=40, deadline=None)
def test_a_short_is_a_long_of_the_inverted_price(stretches: list[Stretch]) -> None:
    prices = path_of(stretches)
    table, inverted = table_of(prices, ended=True), table_of(1 / prices, ended=True)
    for name in HORIZONS_MIN:
        for one, other in (
            (f"fwd_ret_{name}", f"fwd_ret_{name}"),
            (f"fwd_ret_{name}_exec", f"fwd_ret_{name}_exec"),
            (f"mfe_{name}", f"mae_{name}"),
            (f"mae_{name}", f"mfe_{name}"),
            (f"mfe_{name}_mark", f"mae_{name}_mark"),
        ):
            np.testing.assert_allclose(
                column(inverted, one), -column(table, other), rtol=0, atol=1e-12
            )


@given(STRETCHES, st.floats(1e-6, 1e6))
@settings(max_examples=40, deadline=None)
def test_the_unit_of_the_price_does_not_matter(stretches: list[Stretch], scale: float) -> None:
    prices = path_of(stretches)
    table, scaled = table_of(prices, ended=True), table_of(prices * scale, ended=True)
    numbers = [c.name for c in LABELS_FWD.columns if c.dtype == pl.Float64]
    np.testing.assert_allclose(
        scaled.select(numbers).to_numpy(), table.select(numbers).to_numpy(), rtol=0, atol=1e-12
    )


@given(STRETCHES)
@settings(max_examples=40, deadline=None)
def test_the_end_of_a_symbol_changes_nothing_that_was_known(stretches: list[Stretch]) -> None:
    prices = path_of(stretches)
    alive, ended = table_of(prices), table_of(prices, ended=True)
    assert ended.select(pl.exclude("^.*_exec$")).equals(alive.select(pl.exclude("^.*_exec$")))
    for name in HORIZONS_MIN:
        ret, settled = (ended[f"fwd_ret_{name}{suffix}"] for suffix in ("", "_exec"))
        assert alive[f"fwd_ret_{name}_exec"].equals(ret, null_equal=True)
        known = ret.is_not_null()
        assert settled.filter(known).equals(ret.filter(known))
        assert settled.count() >= ret.count()

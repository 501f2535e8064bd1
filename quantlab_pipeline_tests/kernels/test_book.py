"""The book kernels equal their oracles bit for bit, on hostile streams too."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import book
from quantlab_pipeline_tests.oracles import book as oracle

VALUE = st.sampled_from([99.0, 99.5, 100.0, 100.5, 101.25, 0.0, -1.0, math.nan, math.inf])
QUOTE = st.tuples(st.integers(0, 60), VALUE, VALUE, VALUE, VALUE)
SAMPLE = st.tuples(VALUE, VALUE, VALUE, VALUE, st.sampled_from([0.0, 0.5, 3.0, 3.5, 9.0]))


def run_sampler(quotes, grid, cuts):
    state_f, state_i = np.full(4, np.nan), np.array([-1, 0, 0], np.int64)
    out_f, out_i = np.full((grid.size, 4), np.nan), np.zeros((grid.size, 2), np.int64)
    minutes = np.zeros((book.N_COUNTS, 2), np.int64)
    faults = book.Faults(np.zeros(book.N_COUNTS, np.int64), minutes, -30_000_000)
    edges = [0, *sorted(cuts), len(quotes)]
    for start, end in itertools.pairwise(edges):
        rows = quotes[start:end]
        columns = [np.array([q[i] for q in rows], np.float64) for i in range(1, 5)]
        stamps = np.array([q[0] for q in rows], np.int64)
        piece = book.Quotes(stamps, *columns)
        book.sample_quotes(piece, grid, state_f, state_i, faults, out_f, out_i)
    book.finish_day(grid, state_f, state_i, out_f, out_i)
    return out_f, out_i, faults


@settings(max_examples=60, deadline=None)
@given(st.lists(QUOTE, max_size=40), st.lists(st.integers(0, 40), max_size=3))
def test_sampling_equals_the_oracle_however_the_stream_is_cut(quotes, cuts):
    grid = np.arange(5, 66, 5, dtype=np.int64)
    cuts = [min(c, len(quotes)) for c in cuts]
    out_f, out_i, faults = run_sampler(quotes, grid, cuts)
    for row, (values, stamp, fresh) in enumerate(oracle.sample(quotes, grid.tolist())):
        assert (out_i[row, 0], out_i[row, 1]) == (stamp, fresh)
        if values is not None:
            np.testing.assert_array_equal(out_f[row], values)
    assert_faults_counted(faults, quotes)


def assert_faults_counted(faults, quotes):
    newest, wanted = -1, {}
    for quote in quotes:
        fault = oracle.quote_class(*quote[1:], 0.0, 1.0)
        fault = "late" if quote[0] < newest else fault
        newest = max(newest, quote[0])
        wanted.setdefault(fault, []).append(quote[0])
    names = {"invalid": book.INVALID, "crossed": book.CROSSED, "locked": book.LOCKED}
    for name, row in (names | {"late": book.LATE}).items():
        stamps = wanted.get(name, [])
        assert faults.by_minute[row].tolist() == [len(stamps), 0]
        if 0 not in stamps:
            assert faults.first_us[row] == min(stamps, default=0)


def test_a_message_at_fault_is_counted_in_its_minute_and_the_close_belongs_to_it():
    stamps = [1, 60_000_000, 60_000_001, 120_000_000, 130_000_000]
    crossed = [(at, 101.0, 1.0, 100.0, 1.0) for at in stamps]
    minutes = np.zeros((book.N_COUNTS, 2), np.int64)
    faults = book.Faults(np.zeros(book.N_COUNTS, np.int64), minutes, 0)
    columns = [np.array([q[i] for q in crossed]) for i in range(1, 5)]
    grid = np.array([60_000_000], np.int64)
    book.sample_quotes(
        book.Quotes(np.array(stamps), *columns), grid, np.full(4, np.nan),
        np.array([-1, 0, 0]), faults, np.full((1, 4), np.nan), np.zeros((1, 2), np.int64),
    )  # fmt: skip
    assert faults.by_minute[book.CROSSED].tolist() == [2, 3], "past the end: the last minute"
    assert faults.first_us[book.CROSSED] == 1


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(SAMPLE, max_size=12), min_size=1, max_size=4))
def test_a_minute_equals_the_oracle_bit_for_bit(minutes):
    slots, max_age = 12, 3.0
    rows = [s for m in minutes for s in m]
    stamps = [
        60_000_000 * m + 5_000_000 * (i + 1) for m, p in enumerate(minutes) for i in range(len(p))
    ]
    columns = [np.array([s[i] for s in rows], np.float64) for i in range(5)]
    samples = book.Samples(np.array(stamps, np.int64), *columns, np.ones(len(rows), np.int64))
    closes, floats, counts = book.aggregate_minutes(samples, max_age, slots)
    assert closes.tolist() == [60_000_000 * (m + 1) for m, part in enumerate(minutes) if part]
    minutes = [part for part in minutes if part]
    names = {
        "spread_bps_mean": book.SPREAD_MEAN,
        "spread_bps_median": book.SPREAD_MEDIAN,
        "spread_bps_max": book.SPREAD_MAX,
        "depth_usd_mean": book.DEPTH_MEAN,
        "depth_usd_min": book.DEPTH_MIN,
        "imbalance_mean": book.IMBALANCE_MEAN,
        "imbalance_std": book.IMBALANCE_STD,
        "bid_last": book.BID_LAST,
        "ask_last": book.ASK_LAST,
        "mid_last": book.MID_LAST,
        "valid_frac": book.VALID_FRAC,
    }
    for m, part in enumerate(minutes):
        wanted = oracle.minute(part, max_age, slots)
        got = {n: floats[at, m] for n, at in names.items()}
        closing = part[-1][4] if len(part) == slots else math.nan
        np.testing.assert_array_equal(floats[book.STALENESS, m], closing)
        assert counts[book.UPDATES, m] == len(part)
        assert got["valid_frac"] == wanted["valid_frac"]
        for name, value in got.items():
            np.testing.assert_array_equal(value, wanted.get(name, math.nan), err_msg=name)
        assert counts[book.LOCKED, m] == wanted["n_locked"]
        assert counts[book.CROSSED, m] == wanted["n_crossed"]
        assert counts[book.STALE, m] == wanted["n_stale"]
        assert counts[book.INVALID, m] == wanted["n_invalid"]


@settings(max_examples=100, deadline=None)
@given(SAMPLE)
def test_a_quote_has_the_class_of_the_oracle(sample):
    codes = {
        "valid": 0,
        "invalid": book.INVALID,
        "crossed": book.CROSSED,
        "locked": book.LOCKED,
        "stale": book.STALE,
    }
    assert book.quote_class(*sample, 3.0) == codes[oracle.quote_class(*sample, 3.0)]

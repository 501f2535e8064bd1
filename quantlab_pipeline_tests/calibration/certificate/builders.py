"""The shipped bench, a small one that is quick to draw, and markets of them, each drawn once."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from quantlab_pipeline.calibration.certificate.bench import (
    Bench,
    Market,
    bench_of,
    fresh_bars,
    market_of,
)
from quantlab_pipeline.calibration.certificate.judging import Answer, answer_of, measure
from quantlab_pipeline.calibration.certificate.sealing import Plan, Secret, seal
from quantlab_pipeline.calibration.certificate.shapes import null_shape
from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.storage.spec_files import Project

PROJECT = Project()
CODE = "sha256:" + "0" * 64
NONCE = "00112233445566778899aabbccddeeff"
SMALL_DAYS = 26


@cache
def bench() -> Bench:
    """The shipped one."""
    return bench_of(PROJECT, PROJECT.scenario)


@cache
def small_bench() -> Bench:
    """Three symbols and few days: enough for every experiment to run, too few for it to hold."""
    whole = bench()
    size = {"duration_min": SMALL_DAYS * DAY_MINUTES, "symbols": whole.scenario.symbols[:3]}
    floors = {"min_active_days": 10, "min_n_eff": 10.0, "slice_min_days": 4}
    return replace(
        whole,
        scenario=whole.scenario.model_copy(update=size),
        thresholds=whole.thresholds.model_copy(update=floors),
    )


@cache
def small_market(seed: int = 5) -> Market:
    """A blank market of the small bench."""
    return market_of(small_bench(), fresh_bars(small_bench(), seed), small_bench().symbols)


@cache
def small_null(seed: int = 5) -> Answer:
    """What V1 says of the blank market, free of costs."""
    shape = null_shape(small_bench(), small_market(seed))
    return answer_of(small_bench(), measure(small_bench(), shape.blind))


def secrets(worlds: int = 2) -> tuple[Secret, ...]:
    """The secrets of a few worlds."""
    return seal(CODE, NONCE, Plan(worlds, 0, 1, 1)).worlds

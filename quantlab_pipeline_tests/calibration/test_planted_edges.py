"""V1 on the planted world: both edges on every fresh seed, few false ones, none on the null twin.

The quick form runs two seeds with some of the event types; twenty seeds with all of them are marked
`calibrate`. Bands were set before the run.
"""

from __future__ import annotations

import polars as pl
import pytest

from quantlab_pipeline.calibration.planted_edges import Experiment, fresh_seeds, run_planted_edges
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline_tests.calibration import builders

QUICK_ROOT, FULL_ROOT = 41, 20_261
N_FULL = 20


def _run(seeds, **changes) -> Experiment:
    return run_planted_edges(
        builders.load_planted,
        builders.documents(),
        builders.study(**changes),
        builders.market(),
        seeds,
    )


def _holds(made: Experiment) -> None:
    q = builders.documents().gates.v1.q
    assert made.planted.height == 2 * len(made.seeds)
    assert set(made.planted.select("event_type", "side").iter_rows()) == {
        ("spread_blowout", 1),
        ("oi_surge", -1),
    }
    assert made.missed.is_empty()
    assert made.planted["probability"].min() >= 0.98
    assert made.truly_null <= made.allowed(q)
    assert made.null_survivors.is_empty()


def test_two_fresh_worlds():
    few = ("spread_blowout", "oi_surge", "oi_flush")
    made = _run(fresh_seeds(QUICK_ROOT, 2), event_types=few)
    _holds(made)
    assert made.planted["multiple"].is_between(1.15, 1.7).all()
    assert made.by_type().select("event_type", "n_seeds", "n_passed").rows() == [
        ("oi_surge", 2, 2),
        ("spread_blowout", 2, 2),
    ]
    real = made.survivors.filter(~pl.col("truly_null"))
    assert set(real["event_type"]) == {"spread_blowout", "oi_surge"}


def test_a_study_that_does_not_ask_is_an_error(monkeypatch):
    monkeypatch.setattr(
        "quantlab_pipeline.calibration.planted_edges.generate",
        lambda *_: builders.small_world(),
    )
    monkeypatch.setattr(
        "quantlab_pipeline.calibration.planted_edges.run_in_memory",
        lambda *_: builders.small_run(),
    )
    monkeypatch.setattr(
        "quantlab_pipeline.calibration.planted.SHOWN_BY",
        {("spread_burst", 1): "down_shock", ("oi_jump", 1): "oi_surge"},
    )
    with pytest.raises(SpecError, match="plants down_shock over 60 minutes; no candidate asks"):
        _run((1,))


def test_the_band_is_the_binomials():
    frame = pl.DataFrame({"truly_null": [True] * 3 + [False] * 197})
    made = Experiment((1,), frame, frame, frame)
    assert made.truly_null == 3
    assert made.allowed(0.1) == 34
    assert made.allowed(0.0) == 0


def test_fresh_seeds_are_children_and_differ():
    assert len(set(fresh_seeds(1, 50)) | set(fresh_seeds(2, 50))) == 100
    assert fresh_seeds(1, 3) == fresh_seeds(1, 50)[:3]


@pytest.mark.calibrate
def test_twenty_fresh_worlds():
    made = _run(fresh_seeds(FULL_ROOT, N_FULL))
    _holds(made)
    assert made.planted["multiple"].is_between(1.2, 1.65).mean() >= 0.9

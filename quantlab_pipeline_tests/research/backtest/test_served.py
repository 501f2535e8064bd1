"""What the backtest simulated once is served to all that follows, to the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.research.backtest.backtest import Damage, Study, run_backtest
from quantlab_pipeline.research.backtest.blueprint import intents_of
from quantlab_pipeline.research.backtest.spec import StressSpec
from quantlab_pipeline.research.backtest.stress import run_stress, shallower
from quantlab_pipeline.simulation.engine import RunSettings
from quantlab_pipeline.simulation.serving import Shelf, Tally
from quantlab_pipeline.storage.objects import LocalObjects
from quantlab_pipeline.storage.result_cache import LakeResults
from quantlab_pipeline_tests.research.backtest.builders import plan_of, planted_market

PLAN = plan_of()


@pytest.fixture(scope="module")
def planted() -> tuple[Study, pl.DataFrame]:
    return planted_market()


def shelved(study: Study, root: Path) -> tuple[Study, Tally]:
    """The study with the results below `root`, and what is asked of them."""
    tally = Tally()
    shelf = Shelf(LakeResults(LocalObjects(root)), digest("data"), digest("lock"), tally)
    return replace(study, shelf=shelf), tally


def test_returns_and_stress_share_what_was_simulated_and_keep_their_bytes(
    planted: tuple[Study, pl.DataFrame], tmp_path: Path
) -> None:
    plain, entries = planted
    spec = StressSpec()
    study, tally = shelved(plain, tmp_path)
    backtest = run_backtest([PLAN], entries, study)
    assert (tally.served, tally.asked) == (0, 1)
    assert backtest.returns.equals(run_backtest([PLAN], entries, plain).returns)
    study, tally = shelved(plain, tmp_path)
    stressed = run_stress([PLAN], entries, study, spec)
    assert tally.served == 1, "the base is the backtest's own run"
    assert stressed.equals(run_stress([PLAN], entries, plain, spec))
    asked = tally.asked
    study, tally = shelved(plain, tmp_path)
    assert run_stress([PLAN], entries, study, spec).equals(stressed)
    assert (tally.served, tally.asked) == (asked, asked)


def test_other_days_and_other_damage_are_misses(
    planted: tuple[Study, pl.DataFrame], tmp_path: Path
) -> None:
    plain, entries = planted
    intents, way = intents_of(PLAN, entries), [RunSettings(1.0, "base")]

    def served(study: Study, damage: Damage | None = None) -> int:
        study, tally = shelved(study, tmp_path)
        study.simulate(intents, way, **({} if damage is None else {"damage": damage}))
        return tally.served

    assert [served(plain), served(plain)] == [0, 1]
    assert served(replace(plain, days=plain.days[:-1])) == 0
    assert [served(plain, shallower(m)) for m in (0.5, 0.5, 0.5000001)] == [0, 1, 0]

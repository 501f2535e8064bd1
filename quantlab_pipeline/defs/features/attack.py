"""A study's stored features attacked by hand, as gate PIT-1 attacks them; no verdict is recorded.

Belongs here: what is read, month by month, and how the months' reports become one. The attack is
the gate's own, its page the reports' matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby
from typing import TypeVar

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict
from quantlab_pipeline.defs.features.assets import inputs_of
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import ATTACKS, Coverage, Leak, Pit1Report
from quantlab_pipeline.research.features.schema import KEY_COLUMNS
from quantlab_pipeline.research.features.spec import FeatureSpecs

FEATURES = "features_pt"
Key = TypeVar("Key", bound=str)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class AttackPlan:
    """What is attacked: days of symbols, the columns of `specs`, in full or by the gate's plan."""

    days: tuple[date, ...]
    symbols: tuple[str, ...]
    specs: FeatureSpecs
    full: bool = False


def attack_features(
    run_of: Callable[[Sequence[date]], StageRun],
    plan: AttackPlan,
    progress: Progress = lambda *_: None,
) -> Pit1Report:
    """The report on the stored columns, a calendar month at a time, which bounds memory.

    `run_of` gives the run of `features_pt` on some days. Stored rows are read ungated: they are
    what is judged. MissingPartitionError for a day that was never built, GateNotPassedError where
    the inputs' own gate refuses them.
    """
    reports: list[Pit1Report] = []
    before = 0
    for _, group in groupby(plan.days, key=lambda d: (d.year, d.month)):
        days = list(group)
        told = partial(_told, progress, before, len(plan.days))
        reports.append(_attack(run_of(days), days, plan, told))
        before += len(days)
    return merged(reports)


def _told(progress: Progress, before: int, n_days: int, what: str, done: int, _: int) -> None:
    """One month's progress as a part of all days."""
    progress(what, before + done, n_days)


def _attack(
    run: StageRun, days: Sequence[date], plan: AttackPlan, progress: Progress
) -> Pit1Report:
    from quantlab_pipeline.research.features.gate import judge_pit1

    mine = pl.col("symbol").is_in(plan.symbols)
    with run.lake.one_look():
        stored = run.own().filter(mine)
        inputs = inputs_of(run)
    keys = [column.name for column in KEY_COLUMNS]
    wanted = [name for name in plan.specs.names if name in stored.columns]
    return judge_pit1(
        _of_symbols(inputs, mine),
        plan.specs,
        stored.select(*keys, *wanted),
        list(days),
        list(plan.symbols),
        run.project.gates().pit1,
        run.seed,
        full=plan.full,
        progress=progress,
    )


def _of_symbols(inputs: FeatureInputs, mine: pl.Expr) -> FeatureInputs:
    return inputs.with_tables({table: f.filter(mine) for table, f in inputs.tables().items()})


def merged(reports: Sequence[Pit1Report]) -> Pit1Report:
    """One report of several on days that follow each other: the first leak of each feature and
    attack, sums of what was attacked.
    """
    verdicts: dict[date, tuple[ItemVerdict, ...]] = {}
    first: dict[tuple[str, int], Leak] = {}
    for report in reports:
        verdicts |= report.verdicts
        for leak in report.leaks:
            first.setdefault((leak.feature, ATTACKS.index(leak.attack)), leak)
    every = [report.coverage for report in reports]
    coverage = Coverage(
        _summed(c.instants for c in every),
        _summed(c.rebuilds for c in every),
        max((c.n_features for c in every), default=0),
        sum(c.n_days for c in every),
        max((c.n_symbols for c in every), default=0),
        sum(c.n_values for c in every),
    )
    return Pit1Report(verdicts, tuple(first[key] for key in sorted(first)), coverage)


def _summed(counts: Iterable[Mapping[Key, int]]) -> Mapping[Key, int]:
    total: Counter[Key] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)

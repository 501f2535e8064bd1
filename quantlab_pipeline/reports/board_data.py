"""What a gate board says, as values: gates, thresholds beside measurements, the funnel, survivors.

Pure: from verdicts and the candidates' table to a `Board`. Drawing it is `gate_board`'s work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import (
    ADMITTED,
    UPSTREAM_EMPTY,
    Gate,
    ItemVerdict,
    Outcome,
    overall,
)
from quantlab_pipeline.research.validation.schema import NAIVE_Z

_FEWER_IS_BETTER = ("q", "mde80_bps", "n_rows", "not_reproduced_rows", "saw_ahead_min")

QUESTIONS = {
    Gate.D0: "Is the data whole?",
    Gate.PIT1: "Does anything know the future?",
    Gate.E1: "Are these events worth asking about?",
    Gate.V1: "Is there an edge after costs, counting every trial?",
    Gate.B: "Does it survive execution?",
    Gate.S: "Does it hold outside its fit, and under stress?",
    Gate.P: "Does the book as a whole earn?",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A threshold beside what `n` items measured: the best, the median and the worst of them."""

    name: str
    threshold: float | None
    best: float | None
    typical: float | None
    worst: float | None
    n: int


@dataclass(frozen=True, slots=True)
class GateSummary:
    """One gate on this study."""

    gate: Gate
    question: str
    outcome: Outcome
    judged: int
    admitted: int
    reasons: tuple[tuple[str, int], ...]
    measures: tuple[Measure, ...]
    waiver: str | None


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """How many are left after a step, and what the step is."""

    label: str
    count: int
    note: str


@dataclass(frozen=True, slots=True)
class Budget:
    """What the trials that a study's days allow were spent on.

    `own` are the study's candidates, `distinct` those of all studies of these days, `spent` what
    they cost with their revisions, of `total`. `z_first` is what the best of the budget needs.
    `served` are the study's FAILs that were not measured again, `revisions` the codes under which
    its candidates were registered, of which `free_revisions` cost nothing.
    """

    own: int
    distinct: int
    spent: int
    total: int
    z_first: float
    served: int
    revisions: int
    free_revisions: int

    @property
    def left(self) -> int:
        """Trials that may still be registered; none where more are held than allowed."""
        return max(0, self.total - self.spent)

    @property
    def parts(self) -> tuple[tuple[str, int, float], ...]:
        """Name, trials and share of the whole (percent) of what was spent, and of what is left."""
        counts = (
            ("this study", self.own),
            ("other studies of these days", self.distinct - self.own),
            ("further revisions", self.spent - self.distinct),
            ("left", self.left),
        )
        whole = max(self.total, self.spent, 1)
        return tuple((name, n, 100.0 * n / whole) for name, n in counts)

    def sentence(self) -> str:
        """The budget in a line."""
        return (
            f"{self.own:,} by this study, {self.spent:,} of {self.total:,} by all on these days, "
            f"{self.left:,} left; the best of them needs z {self.z_first:.2f}; "
            f"{self.served:,} FAILs served from the ledger"
        )


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the board. `facts` are pairs for the header.

    `pages` are title and file of the pages that lie beside it. `refused` says why the trial ledger
    took none of the study's candidates, and what to do; None where it took them. `proofs` are pairs
    on whether V1 itself can be trusted: the certificate's figures, and the study's placebo. `links`
    are the pages of single candidates: what became of them when they were executed.
    """

    study: str
    market: str
    synthetic: bool
    facts: tuple[tuple[str, str], ...]
    gates: tuple[GateSummary, ...]
    funnel: tuple[FunnelStep, ...]
    survivors: tuple[Mapping[str, Any], ...]
    rejects: tuple[Mapping[str, Any], ...]
    points: tuple[tuple[float, float, str], ...]
    z_threshold: float | None
    budget: Budget
    pages: tuple[tuple[str, str], ...] = ()
    refused: str | None = None
    proofs: tuple[tuple[str, str], ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)


def summarise_gate(
    gate: Gate,
    verdicts: Sequence[ItemVerdict],
    waiver: str | None = None,
    thresholds: Mapping[str, Any] | None = None,
) -> GateSummary:
    """A gate's verdicts as one line: outcome, counts, reasons by frequency, thresholds.

    `thresholds` are all that the gate has; those that no item was measured against are listed too.
    """
    reasons = Counter(code for v in verdicts for code in v.reasons if v.outcome not in ADMITTED)
    if not verdicts:
        reasons[UPSTREAM_EMPTY] += 1
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return GateSummary(
        gate,
        QUESTIONS[gate],
        overall(gate, verdicts),
        len(verdicts),
        sum(v.outcome in ADMITTED for v in verdicts),
        tuple(ordered),
        _measures(verdicts, thresholds or {}),
        waiver,
    )


def _measures(
    verdicts: Sequence[ItemVerdict], thresholds: Mapping[str, Any]
) -> tuple[Measure, ...]:
    numbers = {n: v for n, v in thresholds.items() if isinstance(v, int | float)}
    limits: dict[str, float | None] = {**numbers}
    values: dict[str, list[float]] = {}
    for verdict in verdicts:
        for name, (value, limit) in verdict.measured.items():
            limits.setdefault(name, limit)
            if value is not None:
                values.setdefault(name, []).append(value)
    rows = []
    for name in sorted(limits):
        seen = values.get(name, [])
        ordered = sorted(seen, reverse=not _lower_is_better(name))
        best, worst = (ordered[0], ordered[-1]) if ordered else (None, None)
        typical = median(ordered) if ordered else None
        rows.append(Measure(name, limits[name], best, typical, worst, len(seen)))
    return tuple(rows)


def _lower_is_better(name: str) -> bool:
    """Ceilings, counts of faults (`dataset.check`), and the few that are neither by their name."""
    return name.startswith("max_") or "." in name or name in _FEWER_IS_BETTER


def candidate_funnel(
    candidates: pl.DataFrame, verdicts: Mapping[Gate, Sequence[ItemVerdict]]
) -> tuple[FunnelStep, ...]:
    """From all candidates generated to the book, one step a line."""
    tested = candidates.filter(pl.col("p").is_not_null())
    naive = tested.filter(pl.col("z_naive") > NAIVE_Z).height

    def left(gate: Gate) -> int:
        return sum(v.outcome in ADMITTED for v in verdicts.get(gate, ()))

    return (
        FunnelStep("Candidates", candidates.height, "event x context x horizon x rule x side"),
        FunnelStep("Evaluable", tested.height, "data, events and trial budget at hand"),
        FunnelStep("Naive t-test", naive, "what a plain t-test calls significant at 5 %"),
        FunnelStep("V1", left(Gate.V1), "net of cost, overlap and every trial counted"),
        FunnelStep("B", left(Gate.B), "executed at quotes, late, with fees and funding"),
        FunnelStep("S", left(Gate.S), "outside the fit, under stress"),
        FunnelStep("P", left(Gate.P), "books that earn as a whole"),
    )


_SHOWN = (
    "candidate_id",
    "n_events",
    "active_days",
    "n_eff",
    "gross_bps",
    "cost_bps",
    "net_bps",
    "mde80_bps",
    "z_naive",
    "z_raw",
    "z_contrast",
    "q_bh",
    "q_by",
    "lag1_share",
    "status",
    "reason_codes",
    "flags",
)


def candidate_rows(
    candidates: pl.DataFrame, *, survivors: bool, limit: int
) -> tuple[Mapping[str, Any], ...]:
    """Survivors by p, or the nearest misses: those with enough data first, then by p."""
    passed = pl.col("status").is_in([o.value for o in ADMITTED])
    rows = candidates.filter(passed if survivors else ~passed & pl.col("p").is_not_null())
    blind = pl.col("status") == Outcome.UNDERPOWERED.value
    rows = rows.sort(blind, "p", "candidate_id", nulls_last=True).head(limit)
    return tuple(rows.select(_SHOWN).iter_rows(named=True))


def scatter_points(candidates: pl.DataFrame) -> tuple[tuple[float, float, str], ...]:
    """(naive t, our z, status) of every tested candidate; our z is the binding, smaller one."""
    ours = pl.min_horizontal("z_raw", "z_contrast")
    rows = candidates.filter(pl.col("p").is_not_null() & pl.col("z_naive").is_not_null())
    return tuple(rows.select("z_naive", ours.alias("z"), "status").iter_rows())

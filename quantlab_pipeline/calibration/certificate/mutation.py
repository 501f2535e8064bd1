"""The answers of broken rules to a market that V1 itself has measured.

Belongs here: from a mutant's sums to rows and verdicts, by the same formulas as V1's own, written a
second time so that the control is a check of both. What a mutant does not get wrong (days, slices,
capacity) stays as V1 measured it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from quantlab_pipeline.calibration.certificate.bench import Bench
from quantlab_pipeline.calibration.certificate.cell_view import Sums, view_of
from quantlab_pipeline.calibration.certificate.judging import Answer, Blind, Rows, answer_from
from quantlab_pipeline.calibration.certificate.mutants import Mutant
from quantlab_pipeline.research.validation.cells import BAND_Z, BPS, POWER_Z, choose
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.multiplicity import first_step_z
from quantlab_pipeline.research.validation.spec import horizon_minutes

OWN = "own"
"""Name of the estimator's right sums beside those of the mutants."""

_UNKNOWN = dict.fromkeys(
    ("z_raw", "z_contrast", "p", "se_bps", "mde80_bps", "ci95_low_bps", "ci95_high_bps")
)


def mutate(bench: Bench, blind: Blind, rows: Rows, mutants: Sequence[Mutant]) -> dict[str, Answer]:
    """The answer of each of `mutants` to a market of which V1's own measured `rows` are known."""
    z_first = first_step_z(bench.thresholds.q, bench.bands.m_budget)
    made: dict[str, Rows] = {mutant.name: [] for mutant in mutants}
    last, sums = None, None
    for candidate, row in zip(blind.candidates, rows, strict=True):
        cell = candidate.event_type, candidate.bucket, candidate.horizon, candidate.template
        if cell != last:
            last, sums = cell, _sums(bench, blind, candidate, mutants)
        for mutant in mutants:
            told = row if sums is None else _row(row, sums, mutant, candidate.side, z_first)
            made[mutant.name].append(told)
    return {mutant.name: _answer(bench, mutant, made[mutant.name]) for mutant in mutants}


def _sums(
    bench: Bench, blind: Blind, candidate: Candidate, mutants: Sequence[Mutant]
) -> Mapping[str, Sums] | None:
    """What each mutant sums over the candidate's cell, and the right sums; None below 2 events."""
    arrays, template = blind.arrays, candidate.template.name
    h = bench.family.horizons.index(candidate.horizon)
    rows, _ = choose(arrays, candidate.event_type, candidate.bucket.name, h, template)
    if rows.size < 2:
        return None
    minutes = horizon_minutes(candidate.horizon)
    view = view_of(arrays, h, minutes, rows, arrays.signs[template][rows])
    return {OWN: view.sums, **{mutant.name: mutant.wrong(view) for mutant in mutants}}


def _row(
    row: Mapping[str, Any],
    sums: Mapping[str, Sums],
    mutant: Mutant,
    side: int,
    z_first: float,
) -> dict[str, Any]:
    """V1's row with everything that follows from the mutant's sums put in their place."""
    own, wrong = sums[OWN], sums[mutant.name]
    out = {**row, **_inference(wrong, side, z_first)}
    if row["n_eff"] is not None and wrong.variance > 0.0:
        out["n_eff"] = row["n_eff"] * own.variance / wrong.variance
    return out if mutant.misreports is None else dict(mutant.misreports(out, z_first))


def _inference(sums: Sums, side: int, z_first: float) -> dict[str, Any]:
    from scipy.special import ndtr

    n, gross = sums.n, side * sums.total
    if n == 0 or min(sums.variance, sums.contrast_variance) <= 0.0:
        return dict(_UNKNOWN)
    deviation, contrast_deviation = math.sqrt(sums.variance), math.sqrt(sums.contrast_variance)
    z_raw = (gross - sums.cost) / deviation
    z_contrast = (side * sums.contrast_total - sums.cost) / contrast_deviation
    raw_binds = z_raw < z_contrast
    shown = n if raw_binds else n * sums.kept
    se = BPS * (deviation if raw_binds else contrast_deviation) / shown if shown > 0.0 else None
    net, half = BPS * (gross - sums.cost) / n, BPS * BAND_Z * deviation / n
    return {
        "n_events": n,
        "gross_bps": BPS * gross / n,
        "cost_bps": BPS * sums.cost / n,
        "net_bps": net,
        "z_raw": z_raw,
        "z_contrast": z_contrast,
        "p": float(ndtr(-min(z_raw, z_contrast))),
        "se_bps": se,
        "mde80_bps": _smallest_effect(sums, z_first + POWER_Z),
        "ci95_low_bps": net - half,
        "ci95_high_bps": net + half,
    }


def _smallest_effect(sums: Sums, z_needed: float) -> float | None:
    """Net effect that both statistics show at `z_needed`, bps: the contrast keeps a share of the
    gross effect and is charged the whole cost.
    """
    if sums.kept <= 0.0:
        return None
    cost = sums.cost / sums.n
    raw, contrast = (
        z_needed * math.sqrt(v) / sums.n for v in (sums.variance, sums.contrast_variance)
    )
    return BPS * max(raw, (contrast + cost) / sums.kept - cost)


def _answer(bench: Bench, mutant: Mutant, rows: Rows) -> Answer:
    own, budget = (mutant.judges(rows, bench, m) for m in (len(rows), bench.bands.m_budget))
    return answer_from(bench, own, budget)

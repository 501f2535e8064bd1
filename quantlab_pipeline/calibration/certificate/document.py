"""What a certificate says, as plain values: the same run gives the same bytes.

Belongs here: the names under which figures stand. Facts of the wall clock and of the machine stand
under `observed`, which whoever writes the certificate adds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from quantlab_pipeline.calibration.certificate.bench import Bench
from quantlab_pipeline.calibration.certificate.certify import Fate, Run
from quantlab_pipeline.calibration.certificate.grading import Case, is_covered, is_found
from quantlab_pipeline.calibration.certificate.limits import Held, interval95
from quantlab_pipeline.calibration.certificate.sealing import MDE_HORIZONS
from quantlab_pipeline.calibration.certificate.sizes import Size
from quantlab_pipeline.research.validation.multiplicity import first_step_z

FORMAT = 1
EDGES = ("planted", *MDE_HORIZONS, "regime", "twin")


def document_of(bench: Bench, run: Run) -> dict[str, Any]:
    """Everything that `run` found, in the order in which it is read. Finite numbers or None."""
    return {
        "format": FORMAT,
        "holds": run.holds,
        "nonce": run.sealed.nonce,
        "code": run.sealed.code,
        "documents": bench.digest(),
        "truth": run.digest,
        "plan": asdict(run.plan),
        "family": _family(bench, run),
        "bands": [_held(held) for held in run.graded.held],
        "main": _main(run),
        "size": [_size(s) for s in run.graded.sizes],
        "drift_size": [_size(s) for s in run.graded.drift_sizes],
        "mutants": [_fate(fate) for fate in run.fates],
        "control": [_held(held) for held in run.control],
        "worlds": _worlds(run),
        "size_seeds": list(run.sealed.size_seeds),
    }


def _family(bench: Bench, run: Run) -> dict[str, Any]:
    asked = run.cases["null"][0].asked
    m = bench.bands.m_budget
    return {
        "candidates": len(asked),
        "event_types": sorted({words[0] for words in asked}),
        "symbols": len(bench.symbols),
        "days": len(bench.scenario.days),
        "m_budget": m,
        "z_first": first_step_z(bench.thresholds.q, m),
        "q": bench.thresholds.q,
    }


def _held(held: Held) -> dict[str, Any]:
    return {**asdict(held), "measured": _finite(held.measured), "holds": held.holds}


def _size(size: Size) -> dict[str, Any]:
    return {
        "horizon": size.horizon,
        "level": size.level,
        "size": _finite(size.final.value),
        "se": _finite(size.final.se),
        "raw": _finite(size.raw.value),
        "raw_se": _finite(size.raw.se),
        "worlds": size.final.worlds,
        "worlds_hit": size.hit,
        "candidates": size.cases,
    }


def _fate(fate: Fate) -> dict[str, Any]:
    return {
        "name": fate.mutant.name,
        "told": fate.mutant.told,
        "meant_for": list(fate.mutant.meant_for),
        "killed": fate.killed,
        "broken": [_held(held) for held in fate.broken],
    }


def _main(run: Run) -> dict[str, Any]:
    """Power, coverage, MDE and false discoveries with their exact binomial 95 % intervals."""
    cases = run.cases
    planted, mde = cases["planted"], cases.get("mde", ())
    found = [is_found(case) for case in planted]
    passed = [bool(case.answer.passed_budget[case.own]) for case in planted]
    covered = [is_covered(case) for case in (*planted, *mde)]
    out = {
        "power": _counted(sum(found), len(found)),
        "own_cell_passes": _counted(sum(passed), len(passed)),
        "coverage": _counted(sum(covered), len(covered)),
    }
    for shape, worlds in run.graded.discoveries.items():
        every, false = sum(n for n, _ in worlds), sum(n for _, n in worlds)
        out[f"false_discoveries_{shape}"] = _counted(false, every)
    return out


def _counted(events: int, cases: int) -> dict[str, Any]:
    low, high = interval95(events, cases)
    share = events / cases if cases else None
    return {"events": events, "cases": cases, "share": share, "low95": low, "high95": high}


def _worlds(run: Run) -> list[dict[str, Any]]:
    out = []
    for k, secret in enumerate(run.sealed.worlds):
        edges = {shape: _edge(run.cases[shape][k]) for shape in EDGES if _has(run, shape, k)}
        out.append({"number": secret.number, "seed": secret.seed, "edges": edges})
    return out


def _has(run: Run, shape: str, k: int) -> bool:
    return shape in run.cases and k < len(run.cases[shape])


def _edge(case: Case) -> dict[str, Any]:
    """An edge as it was planted and as it was told."""
    kind, bucket, horizon, _, side = case.asked[case.own]
    effects, own = case.truth.effects, case.own
    figures = ("n_events", "net_bps", "se_bps", "z_raw", "z_contrast", "heterogeneity_p")
    return {
        "event_type": kind,
        "bucket": bucket,
        "horizon": horizon,
        "side": side,
        "planted_bps": case.truth.bps,
        "true_gross_bps": float(effects.raw[own]),
        "true_net_bps": float(effects.net[own]),
        "status": case.answer.status[own],
        **{name: _finite(case.figure(name)) for name in figures},
    }


def failures(document: Mapping[str, Any]) -> Sequence[str]:
    """What a certificate does not hold, in words: bands, then mutants that survived."""
    bands = [
        f"{band['experiment']} {band['name']}"
        for band in (*document["bands"], *document["control"])
        if not band["holds"]
    ]
    return [
        *bands,
        *(f"mutant {m['name']} survived" for m in document["mutants"] if not m["killed"]),
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

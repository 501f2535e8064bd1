"""A study's outcome, read from the lake, and its artifacts under the names that people rely on.

Belongs here: the composition of storage and reports. What a file says is the reports' or a table's
own matter. Artifacts of tables that are not current are removed: a stale file would be a lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.tables import PartitionKind
from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict, Outcome
from quantlab_pipeline.reports.board_data import (
    Board,
    GateSummary,
    candidate_funnel,
    candidate_rows,
    scatter_points,
    summarise_gate,
)
from quantlab_pipeline.reports.gate_board import render_gate_board
from quantlab_pipeline.research.backtest.blueprint import to_jsonl
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import JUDGED_TABLE
from quantlab_pipeline.storage.export import stream_days, write_frame
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.manifests import partition_key
from quantlab_pipeline.storage.objects import write_atomic
from quantlab_pipeline.storage.project_lake import ledger_of
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.verdicts import GateRecord

DAY_FILES = ("events", "features_pt", "labels_fwd")
_SEVERITY = (
    Outcome.FAIL,
    Outcome.WAIVED,
    Outcome.UNDERPOWERED,
    Outcome.PASS,
    Outcome.NOT_EVALUABLE,
)


@dataclass(frozen=True)
class StudyOutcome:
    """What the lake says of one study now. Only current tables and verdicts count."""

    project: Project
    market: MarketSpec
    study: StudySpec
    lake: Lake
    data_root: Path
    clock: Clock

    def table(self, name: str) -> pl.DataFrame | None:
        """A study table's rows, ungated, if it is current; None otherwise."""
        if not self.lake.is_current(name, self.study.name):
            return None
        return self.lake.read(name, [self.study.name], gated=False)

    @cached_property
    def records(self) -> dict[Gate, list[GateRecord]]:
        """Current verdict records of each gate: one a day for D0 and PIT-1, else the study's."""
        found: dict[Gate, list[GateRecord]] = {}
        for gate in Gate:
            daily = self.lake.graph.spec(JUDGED_TABLE[gate]).partition == "day"
            partitions: Sequence[date | str] = self.study.days if daily else [self.study.name]
            kind: PartitionKind = "day" if daily else "study"
            judged = self.lake.judged_of(gate, partitions)
            keys = [k for k in (partition_key(kind, p) for p in partitions) if k in judged]
            records = [self.lake.verdicts.current(gate, key) for key in keys]
            found[gate] = [r for r in records if r is not None]
        return found

    @cached_property
    def verdicts(self) -> dict[Gate, list[ItemVerdict]]:
        """Items of each gate: D0's by symbol and day, PIT-1's by feature (its worst day)."""
        return {gate: self._items(gate) for gate in Gate}

    @cached_property
    def gates(self) -> list[GateSummary]:
        """One line a gate."""
        gates = self.project.gates()
        return [
            summarise_gate(g, self.verdicts[g], self._waiver(g), gates.section(g).model_dump())
            for g in Gate
        ]

    @cached_property
    def candidates(self) -> pl.DataFrame:
        """`phase2_candidates`, empty if the chain did not come so far."""
        frame = self.table("phase2_candidates")
        return self.lake.graph.spec("phase2_candidates").schema.empty() if frame is None else frame

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Counts that plot over time in the UI."""
        return {step.label: step.count for step in candidate_funnel(self.candidates, self.verdicts)}

    @property
    def admissible(self) -> bool:
        """Whether nothing judged so far was waived or made from a generated market."""
        return all(r.admissible for records in self.records.values() for r in records)

    def board(self) -> Board:
        """The gate board's content."""
        ledger = ledger_of(self.market, self.study, self.data_root, self.clock).state()
        tested = self.candidates.filter(pl.col("p").is_not_null())
        return Board(
            self.study.name,
            self.market.name,
            self.market.synthetic,
            self._facts(),
            tuple(self.gates),
            candidate_funnel(self.candidates, self.verdicts),
            candidate_rows(self.candidates, survivors=True, limit=25),
            candidate_rows(self.candidates, survivors=False, limit=15),
            scatter_points(self.candidates),
            _first_step_z(self.project, ledger.budget) if tested.height else None,
            (ledger.n_trials, ledger.budget),
        )

    def _facts(self) -> tuple[tuple[str, str], ...]:
        study = self.study
        return (
            ("days", f"{study.first_day} .. {study.last_day}"),
            ("holdout from", str(study.holdout_start)),
            ("symbols", ", ".join(study.symbols)),
            ("admissible", "yes" if self.admissible and not self.market.synthetic else "no"),
        )

    def _items(self, gate: Gate) -> list[ItemVerdict]:
        records = self.records[gate]
        if gate is Gate.D0:
            wanted = set(self.study.symbols)
            return [
                replace(v, item=f"{v.item} {r.partition.removeprefix('day=')}")
                for r in records
                for v in r.items
                if v.item in wanted
            ]
        if gate is Gate.PIT1:
            return _worst_by_item([v for r in records for v in r.items])
        return [v for r in records for v in r.items]

    def _waiver(self, gate: Gate) -> str | None:
        for record in self.records[gate]:
            used = any(v.outcome is Outcome.WAIVED for v in record.items)
            waiver = self.lake.waivers.find(record.waiver) if record.waiver and used else None
            if waiver is not None:
                return f"{waiver.reason} ({waiver.who})"
        return None


def study_outcome(
    project: Project,
    market: MarketSpec,
    study: StudySpec,
    lake: Lake,
    data_root: Path,
    clock: Clock,
) -> StudyOutcome:
    """What the lake says of `study` now."""
    return StudyOutcome(project, market, study, lake, data_root, clock)


def write_artifacts(outcome: StudyOutcome, folder: Path, run_id: str) -> Path:
    """Write every artifact that the chain reached, remove the others; the path of the board."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(outcome, folder)
    for name in DAY_FILES:
        try:
            days, symbols = outcome.study.days, outcome.study.symbols
            stream_days(outcome.lake, name, days, symbols, folder / f"{name}.parquet")
        except QuantlabError:
            (folder / f"{name}.parquet").unlink(missing_ok=True)
    _write_json(folder / "gate_verdicts.json", _verdicts_json(outcome))
    _write_json(folder / "run_manifest.json", _manifest_json(outcome, run_id))
    board = folder / "gate_board.html"
    write_atomic(board, render_gate_board(outcome.board()).encode())
    return board


def _write_tables(outcome: StudyOutcome, folder: Path) -> None:
    files = {
        "phase2_candidates": ("phase2_candidates.csv", "phase2_candidates.parquet"),
        "bridge_results": ("bridge_results.csv",),
        "backtest_returns": ("backtest_returns.parquet",),
        "stress_results": ("stress_results.csv",),
    }
    for table, names in files.items():
        frame = outcome.table(table)
        for name in names:
            if frame is None:
                (folder / name).unlink(missing_ok=True)
            else:
                write_frame(_ranked(frame), folder / name)
    plans = outcome.table("blueprints")
    if plans is None:
        (folder / "blueprints.jsonl").unlink(missing_ok=True)
    else:
        write_atomic(folder / "blueprints.jsonl", to_jsonl(plans).encode())
    _write_json(folder / "walkforward_summary.json", _report(outcome, "walkforward", Gate.S))
    _write_json(folder / "portfolio_report.json", _report(outcome, "portfolio", Gate.P))


def _ranked(frame: pl.DataFrame) -> pl.DataFrame:
    """Candidates by their rank (p, then name); other tables as they are."""
    return frame.sort("p", "candidate_id", nulls_last=True) if "q_bh" in frame.columns else frame


def _report(outcome: StudyOutcome, table: str, gate: Gate) -> dict[str, Any]:
    """A table's rows with the hash they came from; null and a reason where the chain stopped."""
    frame = outcome.table(table)
    stopped = next((g.gate.value for g in outcome.gates if g.outcome not in ADMITTED), None)
    report: dict[str, Any] = {
        "study": outcome.study.name,
        "market": outcome.market.name,
        "admissible": outcome.admissible,
        "gate": gate.value,
        "verdict": next(g.outcome.value for g in outcome.gates if g.gate is gate),
    }
    if frame is None:
        return {**report, table: None, "reason": f"not reached: {stopped} did not pass"}
    fingerprint = outcome.lake.fingerprint(table, outcome.study.name)
    return {**report, "source": fingerprint, table: frame.to_dicts()}


def _verdicts_json(outcome: StudyOutcome) -> dict[str, Any]:
    return {
        "study": outcome.study.name,
        "market": outcome.market.name,
        "admissible": outcome.admissible,
        "gates": [
            {
                "gate": g.gate.value,
                "verdict": g.outcome.value,
                "judged": g.judged,
                "passed": g.admitted,
                "reasons": dict(g.reasons),
                "waiver": g.waiver,
                "thresholds": outcome.project.gates().section(g.gate).model_dump(mode="json"),
                "items": [_item(v) for v in outcome.verdicts[g.gate]],
            }
            for g in outcome.gates
        ],
    }


def _item(verdict: ItemVerdict) -> dict[str, Any]:
    return {
        "item": verdict.item,
        "verdict": verdict.outcome.value,
        "reasons": list(verdict.reasons),
        "measured": {name: list(pair) for name, pair in verdict.measured.items()},
    }


def _manifest_json(outcome: StudyOutcome, run_id: str) -> dict[str, Any]:
    """What the study was made from: fingerprints, code, specs, lock, verdicts, ledger head."""
    tables: dict[str, dict[str, Any]] = {}
    for name, spec in outcome.lake.graph.tables.items():
        daily = spec.partition == "day"
        partitions: Sequence[date | str] = outcome.study.days if daily else [outcome.study.name]
        for partition in partitions:
            key = partition_key(spec.partition, partition)
            manifest = outcome.lake.manifests.current(name, key)
            if manifest is not None:
                entry = tables.setdefault(
                    name,
                    {
                        "code": manifest.code_hash,
                        "specs": dict(manifest.spec_hashes),
                        "schema": manifest.schema_hash,
                        "lock": manifest.lock_hash,
                        "partitions": {},
                    },
                )
                entry["partitions"][key] = manifest.fingerprint
    ledger = ledger_of(outcome.market, outcome.study, outcome.data_root, outcome.clock).state()
    return {
        "study": outcome.study.name,
        "study_hash": outcome.study.spec_hash(),
        "market": outcome.market.name,
        "market_hash": outcome.market.spec_hash(),
        "tables": tables,
        "verdicts": {
            gate.value: {r.partition: r.digest for r in records}
            for gate, records in outcome.records.items()
        },
        "ledger": {"head": ledger.head, "trials": ledger.n_trials, "budget": ledger.budget},
        "observed": {"run_id": run_id, "written_at": outcome.clock().isoformat()},
    }


def _worst_by_item(verdicts: Sequence[ItemVerdict]) -> list[ItemVerdict]:
    """One verdict an item: a failure anywhere stands; not evaluable only if it never was."""
    worst: dict[str, ItemVerdict] = {}
    for verdict in verdicts:
        held = worst.get(verdict.item)
        if held is None or _SEVERITY.index(verdict.outcome) < _SEVERITY.index(held.outcome):
            worst[verdict.item] = verdict
    return [worst[item] for item in sorted(worst)]


def _first_step_z(project: Project, budget: int) -> float:
    from quantlab_pipeline.research.validation.multiplicity import first_step_z

    return first_step_z(project.gates().v1.q, budget)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_atomic(path, (json.dumps(value, indent=1, sort_keys=False, default=str) + "\n").encode())

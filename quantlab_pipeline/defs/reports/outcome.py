"""A study's outcome: what the lake says of it now. Only current tables and verdicts count.

Belongs here: reading the lake for reports and the command. Which files are written of it, and
where, is `artifacts`' matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import polars as pl

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.tables import PartitionKind
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome, worst_by_item
from quantlab_pipeline.defs.served import SERVED as SERVED_RESULTS
from quantlab_pipeline.defs.validation.assets import REFUSAL, SERVED
from quantlab_pipeline.defs.validation.placebo import current_placebo, placebo_facts
from quantlab_pipeline.reports.board_data import (
    Board,
    Budget,
    GateSummary,
    candidate_funnel,
    candidate_rows,
    scatter_points,
    summarise_gate,
)
from quantlab_pipeline.reports.certificate_data import certificate_facts
from quantlab_pipeline.research.atlas.backlog import TRIALS
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import JUDGED_TABLE
from quantlab_pipeline.research.validation.family import event_type_of
from quantlab_pipeline.storage.certificates import certificate_path
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.manifests import Manifest, partition_key
from quantlab_pipeline.storage.project_lake import ledger_of, market_root
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.trial_fold import FREE_REVISIONS
from quantlab_pipeline.storage.trial_ledger import FileTrialLedger
from quantlab_pipeline.storage.verdicts import GateRecord


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
        return {gate: self.records_of(gate) for gate in Gate}

    @cached_property
    def verdicts(self) -> dict[Gate, list[ItemVerdict]]:
        """Items of each gate: D0's by symbol and day, PIT-1's by feature (its worst day)."""
        return {gate: self.items_of(gate) for gate in Gate}

    def records_of(self, gate: Gate) -> list[GateRecord]:
        """The current records of one gate, looked up once."""
        if gate not in self._held:
            daily = self.lake.graph.spec(JUDGED_TABLE[gate]).partition == "day"
            partitions: Sequence[date | str] = self.study.days if daily else [self.study.name]
            kind: PartitionKind = "day" if daily else "study"
            judged = self.lake.judged_of(gate, partitions)
            keys = [k for k in (partition_key(kind, p) for p in partitions) if k in judged]
            records = [self.lake.verdicts.current(gate, key) for key in keys]
            self._held[gate] = [r for r in records if r is not None]
        return self._held[gate]

    @cached_property
    def _held(self) -> dict[Gate, list[GateRecord]]:
        return {}

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
    def executed(self) -> frozenset[str]:
        """Strategies that reached the bridge: each has a tear sheet. None if it is not current."""
        frame = self.table("bridge_results")
        return frozenset(() if frame is None else frame["strategy_id"].to_list())

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Counts that plot over time in the UI."""
        return {step.label: step.count for step in candidate_funnel(self.candidates, self.verdicts)}

    @property
    def served(self) -> dict[str, tuple[int, int]]:
        """(served, asked) simulations of each current table that asked the result cache for any."""
        found = {}
        for name, spec in self.lake.graph.tables.items():
            if spec.partition != "study" or not self.lake.is_current(name, self.study.name):
                continue
            key = partition_key("study", self.study.name)
            manifest = self.lake.manifests.current(name, key)
            if manifest is not None and SERVED_RESULTS in manifest.observed:
                served, asked = manifest.observed[SERVED_RESULTS]
                found[name] = (int(served), int(asked))
        return found

    @property
    def admissible(self) -> bool:
        """Whether nothing judged so far was waived or made from a generated market."""
        return all(r.admissible for records in self.records.values() for r in records)

    def board(
        self, pages: Sequence[tuple[str, str]] = (), links: Mapping[str, str] | None = None
    ) -> Board:
        """The gate board's content. `pages` are title and file of the pages that lie beside it,
        `links` the pages of single candidates.
        """
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
            self.budget.z_first if tested.height else None,
            self.budget,
            tuple(pages),
            self.refused,
            self._proofs(),
            links or {},
        )

    def _proofs(self) -> tuple[tuple[str, str], ...]:
        """The newest certificate of V1, and the study's own placebo if its candidates have one."""
        code = code_hash("quantlab_pipeline.calibration.certificate")
        facts = certificate_facts(certificate_path(self.data_root), code)
        name = self.study.name
        if not self.lake.is_current("phase2_candidates", name):
            return facts
        folder = market_root(self.data_root, self.market.name) / "artifacts" / name
        made_from = self.lake.fingerprint("phase2_candidates", name)
        return facts + placebo_facts(current_placebo(folder, made_from))

    @cached_property
    def ledger(self) -> FileTrialLedger:
        """The trial ledger of the study's data lineage."""
        return ledger_of(self.market, self.study, self.data_root, self.clock)

    @cached_property
    def budget(self) -> Budget:
        """What the lineage's trials were spent on, now."""
        account = self.ledger.account(self.study.name)
        manifest = self._candidates_manifest
        return Budget(
            account.own,
            account.distinct,
            account.n_trials,
            account.budget,
            _first_step_z(self.project, account.budget),
            0 if manifest is None else int(manifest.observed.get(SERVED, 0)),
            account.revisions,
            FREE_REVISIONS,
        )

    @property
    def trials(self) -> pl.DataFrame:
        """What the ledger holds of the study's candidates, oldest records first (`TRIALS`)."""
        found = sorted(self.ledger.recorded(self.study.name).values(), key=lambda r: r.seq)
        rows = [
            (
                event_type_of(r.result.candidate_id),
                r.result.status,
                r.result.p_value,
                *r.days,
                r.head,
                r.recorded_at,
            )
            for r in found
        ]
        return pl.DataFrame(rows, schema=TRIALS, orient="row")

    @property
    def refused(self) -> str | None:
        """Why the ledger took none of the candidates, with the remedy; None where it took them."""
        manifest = self._candidates_manifest
        refusal = None if manifest is None else manifest.notes.get(REFUSAL)
        return None if refusal is None else str(refusal["told"])

    @cached_property
    def _candidates_manifest(self) -> Manifest | None:
        """The manifest of `phase2_candidates`, if it is current."""
        if not self.lake.is_current("phase2_candidates", self.study.name):
            return None
        key = partition_key("study", self.study.name)
        return self.lake.manifests.current("phase2_candidates", key)

    def _facts(self) -> tuple[tuple[str, str], ...]:
        study = self.study
        return (
            ("days", f"{study.first_day} .. {study.last_day}"),
            ("holdout from", str(study.holdout_start)),
            ("symbols", ", ".join(study.symbols)),
            ("admissible", "yes" if self.admissible and not self.market.synthetic else "no"),
        )

    def items_of(self, gate: Gate) -> list[ItemVerdict]:
        """The items of one gate, as `verdicts` has them."""
        records = self.records_of(gate)
        if gate is Gate.D0:
            wanted = set(self.study.symbols)
            return [
                replace(v, item=f"{v.item} {r.partition.removeprefix('day=')}")
                for r in records
                for v in r.items
                if v.item in wanted
            ]
        if gate is Gate.PIT1:
            return worst_by_item([v for r in records for v in r.items])
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


def _first_step_z(project: Project, budget: int) -> float:
    from quantlab_pipeline.research.validation.multiplicity import first_step_z

    return first_step_z(project.gates().v1.q, budget)

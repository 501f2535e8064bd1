"""A market's lake as its project defines it: registry, today's hashes, place on disk.

Belongs here: joining `Project` (what is asked) with `Lake` (what is there). Everything that opens a
lake of a project, the notebook included, comes through `open_market_lake`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.fingerprints import digest, digest_bytes
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import GATE_MODULES, JUDGED_TABLE, all_tables
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.trial_ledger import DataLineage, FileTrialLedger


class ProjectKeys:
    """Today's hashes of a project, for one market. Documents are read anew when they change."""

    def __init__(self, project: Project, market: MarketSpec) -> None:
        self._project = project
        self._market = market
        self._tables = all_tables(project.features())
        self._digests: dict[str, tuple[Spec, str]] = {}

    def code_hash(self, table: str) -> str:
        """Digest of the code that makes `table`, imports included."""
        return code_hash(*self._tables[table].modules)

    def spec_hashes(self, table: str, partition: str) -> Mapping[str, str]:
        """Digests of the documents that shape `table` in `partition`."""
        return {name: self._hash(name, partition) for name in self._tables[table].specs}

    def gate_hash(self, gate: Gate) -> str:
        """Digest of the gate's own section of `gates.yaml`."""
        return self._digest(f"gate {gate}", self._project.gates().section(gate))

    def gate_code_hash(self, gate: Gate) -> str:
        """Digest of the gate's code, imports included."""
        return code_hash(*GATE_MODULES[gate])

    def lock_hash(self) -> str:
        """Digest of the pinned dependencies; of nothing where the package has no lock beside it."""
        return lock_hash()

    def _hash(self, name: str, partition: str) -> str:
        if name == "market":
            market = self._market
            return digest([market.tob_grid_s, market.oi_delay_s, dict(market.datasets)])
        if name == "trial budget":
            return digest(self._market.trial_budget)
        if name == "V1 flags":
            return self._digest(name, self._project.gates().v1_flags)
        if name == "V1 companions":
            return self._digest(name, self._project.gates().v1_companions)
        if name.startswith("gate "):
            return self.gate_hash(Gate(name.removeprefix("gate ")))
        if name == "study":
            return self._digest(partition, self.study_of(partition))
        if name == "family":
            family = self.study_of(partition).family
            return self._digest(family, self._project.family(family))
        return self._digest(name, getattr(self._project, name)())

    def _digest(self, name: str, spec: Spec) -> str:
        """The spec's hash, computed once: an unchanged document is the very same object."""
        known = self._digests.get(name)
        if known is None or known[0] is not spec:
            known = (spec, spec.spec_hash())
            self._digests[name] = known
        return known[1]

    def study_of(self, partition: str) -> StudySpec:
        """The study of a study partition's key."""
        return self._project.study(partition.removeprefix("study="))


@cache
def lock_hash() -> str:
    """Digest of the pinned dependencies; of nothing where the package has no lock beside it."""
    lock = Path(__file__).resolve().parents[2] / "requirements.lock"
    return digest_bytes(lock.read_bytes() if lock.is_file() else b"")


def project_of(root: Path | None, data_root: Path | None = None) -> Project:
    """The project at `root` with the markets that the command made below the data folder.

    `data_root` is `<root>/data` where not given.
    """
    data = Project(root).root / "data" if data_root is None else data_root
    return Project(root, adhoc=data / "adhoc")


def market_root(data_root: Path, market: str) -> Path:
    """Folder of a market's lake."""
    return data_root / "lake" / market


def lineage_of(market: MarketSpec, study: StudySpec) -> DataLineage:
    """The data that a study looks at. Real markets of one venue are one source: the same trades."""
    source = market.name if market.synthetic else market.venue
    return DataLineage(source, study.first_day, study.last_day, market.synthetic)


def ledger_of(
    market: MarketSpec, study: StudySpec, data_root: Path, clock: Clock
) -> FileTrialLedger:
    """The trial ledger of a study's data lineage, with the market's budget."""
    validation = code_hash("quantlab_pipeline.research.validation")
    lineage = lineage_of(market, study)
    return FileTrialLedger(
        data_root / "ledger", lineage, clock, market.trial_budget, code_hash=validation
    )


def open_market_lake(project: Project, market: MarketSpec, data_root: Path, clock: Clock) -> Lake:
    """The market's lake below `data_root`, gates in force by today's code, specs and thresholds."""
    source = market.name if market.synthetic else market.venue
    whole = DataLineage(source, market.first_day, market.first_day, market.synthetic)
    return Lake(
        market_root(data_root, market.name),
        all_tables(project.features()),
        ProjectKeys(project, market),
        market.first_day,
        market.last_day,
        clock,
        judged=JUDGED_TABLE,
        taints=("synthetic",) if market.synthetic else (),
        knows_head=FileTrialLedger(data_root / "ledger", whole, clock).has_head,
    )

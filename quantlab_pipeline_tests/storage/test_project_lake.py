"""What an edit of the project makes stale: what it shapes, and nothing else.

The lake holds every table of the project, empty and judged: staleness does not ask for rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.research.tables import JUDGED_TABLE
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.project_lake import (
    ProjectKeys,
    lineage_of,
    open_market_lake,
    project_of,
)
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline_tests.source_laws import REPOSITORY

NAME = "tiny"
FIRST = date(2025, 3, 1)
DAYS = days_between(FIRST, FIRST + timedelta(days=3))
STUDIES = ("one", "two")
MARKET: dict[str, Any] = {
    "name": NAME,
    "venue": "generated",
    "enabled": True,
    "synthetic": True,
    "source": {"kind": "world", "scenario": NAME},
    "symbols": ["AAAUSDT", "BBBUSDT"],
    "first_day": FIRST,
    "last_day": DAYS[-1],
    "datasets": {"bars_1m_perp": "required", "bars_1m_spot": "optional"},
}
STUDY: dict[str, Any] = {
    "market": NAME,
    "symbols": ["AAAUSDT", "BBBUSDT"],
    "first_day": FIRST,
    "last_day": DAYS[-1],
    "event_types": ["thin_tape"],
    "seed": 7,
}
DAY_TABLES = {
    *("bars_1m_perp", "bars_1m_spot", "funding", "mark_index", "open_interest", "tob_snapshots"),
    *("tob_1m_agg", "basis_state", "funding_state", "qa_report", "universe", "features_pt"),
    *("labels_fwd", "events"),
}


class House:
    """A project and its lake below one folder, whose documents a test edits."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, content: Any) -> None:
        path = self.root / "specs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def edit(self, name: str, *path: str | int, to: Any) -> None:
        file = self.root / "specs" / f"{name}.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        inner = content
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        self.put(name, content)

    def open(self) -> Lake:
        """The lake as a fresh process would open it."""
        project = project_of(self.root)
        return open_market_lake(project, project.market(NAME), self.root / "data", noon)

    def stale(self) -> set[str]:
        """Tables and, for those of studies, `table study`, that are not current now."""
        lake, found = self.open(), set()
        for name, spec in lake.graph.tables.items():
            daily = spec.partition == "day"
            partitions: Sequence[date | str] = DAYS if daily else STUDIES
            for partition in partitions:
                if not lake.is_current(name, partition):
                    found.add(name if daily else f"{name} {partition}")
        return found

    def unjudged(self) -> set[str]:
        """Gates, of studies `gate study`, whose verdicts are not true any more."""
        lake, found = self.open(), set()
        for gate, table in JUDGED_TABLE.items():
            daily = lake.graph.spec(table).partition == "day"
            partitions: Sequence[date | str] = DAYS if daily else STUDIES
            for partition in partitions:
                if not lake.is_judged(gate, partition):
                    found.add(gate.value if daily else f"{gate.value} {partition}")
        return found


def noon() -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC)


def build(house: House) -> None:
    """Every table of every partition, empty, in the order of the chain; every gate's verdict."""
    lake = house.open()
    for name, spec in lake.graph.tables.items():
        partitions: Sequence[date | str] = DAYS if spec.partition == "day" else STUDIES
        for partition in partitions:
            days = DAYS if spec.partition == "study" else ()
            reads = lake.lineage_for(name, [partition], days)
            lake.write(name, None, [partition], reads=reads, absent_reason="nothing happened")
        for gate in (g for g, table in JUDGED_TABLE.items() if table == name):
            for partition in partitions:
                lake.record_verdicts(gate, partition, [ItemVerdict("x", Outcome.PASS)])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project") / "house"
    keep_out = shutil.ignore_patterns("markets", "studies", "scenarios", "schemas")
    shutil.copytree(REPOSITORY / "specs", root / "specs", ignore=keep_out)
    house = House(root)
    house.put(f"markets/{NAME}", MARKET)
    for name in STUDIES:
        house.put(f"studies/{name}", {"name": name, **STUDY})
    build(house)
    return root


@pytest.fixture
def house(template: Path, tmp_path: Path) -> House:
    """A project in which everything is current."""
    shutil.copytree(template, tmp_path / "house")
    return House(tmp_path / "house")


def of_studies(*tables: str, studies: Sequence[str] = STUDIES) -> set[str]:
    return {f"{table} {study}" for table in tables for study in studies}


def study_tables(house: House) -> list[str]:
    return [n for n, s in house.open().graph.tables.items() if s.partition == "study"]


def test_nothing_is_stale_in_an_untouched_project(house: House) -> None:
    assert house.stale() == set()
    assert house.unjudged() == set()
    assert {n for n, s in house.open().graph.tables.items() if s.partition == "day"} == DAY_TABLES


def test_a_study_edited_is_stale_and_no_other_study(house: House) -> None:
    house.edit("studies/one", "seed", to=8)
    assert house.stale() == of_studies(*study_tables(house), studies=["one"])
    assert house.unjudged() == {f"{g} one" for g in ("E-1", "V1", "B", "S", "P")}


def test_another_symbol_in_the_market_makes_no_day_stale(house: House) -> None:
    house.edit(f"markets/{NAME}", "symbols", to=["AAAUSDT", "BBBUSDT", "CCCUSDT"])
    assert house.stale() == set()
    assert house.unjudged() == set()


@pytest.mark.parametrize(("key", "value"), [("tob_grid_s", 5), ("oi_delay_s", 90)])
def test_what_shapes_a_markets_rows_makes_its_tables_stale(
    house: House, key: str, value: int
) -> None:
    house.edit(f"markets/{NAME}", key, to=value)
    assert house.stale() == DAY_TABLES | of_studies(*study_tables(house))


def test_a_larger_trial_budget_asks_for_new_candidates_alone(house: House) -> None:
    house.edit(f"markets/{NAME}", "trial_budget", to=90_000)
    stale = house.stale()
    assert not stale & DAY_TABLES
    assert not stale & of_studies("event_quality")
    assert stale >= of_studies("phase2_candidates")


BACKTESTED = (
    *("backtest_returns", "backtest_trades", "backtest_risk"),
    *("stress_results", "assumption_ledger"),
)
EXECUTED = ("bridge_executions", "bridge_results", "blueprints", *BACKTESTED)
REFITTED = ("walkforward", "portfolio")
PRICED = ("phase2_candidates", "candidate_studies", *EXECUTED, *REFITTED)
ASKED = ("event_quality", *PRICED)


@pytest.mark.parametrize(
    ("document", "path", "value", "days", "studies"),
    [
        ("feature_specs", ("version",), 2, {"features_pt", "events"}, ASKED),
        ("label_specs", ("max_missing_frac",), 0.04, {"labels_fwd"}, ASKED),
        ("event_registry", ("overlap_window_min",), 6, {"events"}, ASKED),
        ("candidate_family", ("q",), 0.2, set(), PRICED),
        ("cost_model", ("notional_usd",), 5_000.0, set(), PRICED),
        ("instruments", ("instruments", 0, "lot_size"), 0.002, set(), (*EXECUTED, *REFITTED)),
        ("backtest", ("stress", "seed"), 3, set(), (*EXECUTED[2:], *REFITTED)),
        ("walk_forward", ("n_folds",), 4, set(), REFITTED),
        ("portfolio", ("weight_cap",), 0.3, set(), ("portfolio",)),
    ],
)
def test_a_document_edited_makes_stale_what_it_shapes_and_what_follows(
    house: House,
    document: str,
    path: tuple[str | int, ...],
    value: Any,
    days: set[str],
    studies: tuple[str, ...],
) -> None:
    house.edit(document, *path, to=value)
    assert house.stale() == days | of_studies(*studies)


def test_a_family_of_ones_own_is_the_studys_own_matter(house: House) -> None:
    family = yaml.safe_load((house.root / "specs/candidate_family.yaml").read_text())
    house.put("own_family", {**family, "family_id": "own"})
    assert house.stale() == set()
    house.edit("studies/one", "family", to="own_family")
    assert house.stale() == of_studies(*ASKED, studies=["one"])


# --- gates ------------------------------------------------------------------------------------

SECTIONS = {
    Gate.D0: ("d0", "max_outlier_minutes", 1),
    Gate.PIT1: ("pit1", "deleted_share", 0.2),
    Gate.E1: ("e1", "min_active_days", 4),
    Gate.V1: ("v1", "min_active_days", 21),
    Gate.B: ("b", "min_trades", 31),
    Gate.S: ("s", "min_oos_trades", 29),
    Gate.P: ("p", "min_days", 6),
}


@pytest.mark.parametrize("gate", list(Gate))
def test_a_threshold_is_its_own_gates_alone(house: House, gate: Gate) -> None:
    section, name, value = SECTIONS[gate]
    before = gate_hashes(house)
    house.edit("gates", section, name, to=value)
    after = gate_hashes(house)
    assert {g for g in Gate if before[g] != after[g]} == {gate}


def gate_hashes(house: House) -> dict[Gate, str]:
    project = project_of(house.root)
    keys = ProjectKeys(project, project.market(NAME))
    return {gate: keys.gate_hash(gate) for gate in Gate}


@pytest.mark.parametrize("gate", list(Gate))
def test_a_threshold_edited_leaves_the_gates_before_it_alone(house: House, gate: Gate) -> None:
    section, name, value = SECTIONS[gate]
    house.edit("gates", section, name, to=value)
    chain = [g.value for g in Gate]
    touched = {chain.index(told.split()[0]) for told in house.unjudged()}
    assert touched == set(range(chain.index(gate.value), len(chain)))


def test_the_last_gates_threshold_makes_no_table_stale(house: House) -> None:
    house.edit("gates", "p", "min_days", to=6)
    assert house.stale() == set()
    assert house.unjudged() == {"P one", "P two"}


# --- one process that stays -------------------------------------------------------------------


def test_an_edit_is_seen_by_a_lake_that_is_already_open(house: House) -> None:
    lake = house.open()
    assert lake.is_current("portfolio", "one")
    house.edit("portfolio", "weight_cap", to=0.35)
    assert not lake.is_current("portfolio", "one")
    house.edit("portfolio", "weight_cap", to=0.40)
    assert lake.is_current("portfolio", "one"), "the same document has the same name"


def test_real_markets_of_one_venue_share_their_trials(house: House) -> None:
    real = {"synthetic": False, "source": {"kind": "freqtrade", "path": "somewhere"}}
    house.put("markets/copy", {**MARKET, "name": "copy"})
    house.put("markets/real", {**MARKET, **real, "name": "real"})
    house.put("markets/again", {**MARKET, **real, "name": "again"})
    project = Project(house.root)
    study = project.study("one")
    markets = [project.market(name) for name in (NAME, "copy", "real", "again")]
    sources = [lineage_of(market, study).source for market in markets]
    assert sources == [NAME, "copy", "generated", "generated"]

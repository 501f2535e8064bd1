"""A small lake for the storage tests: nine tables, three gates, and frames of a few rows a day.

Belongs here: builders that several storage tests share. Verdicts are given, not reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS, day_start
from quantlab_pipeline.core.columns import AVAILABLE_AT, SYMBOL, TS_COLUMN, Column, TableSchema
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.tables import Read, TableSpec
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.objects import Objects

FIRST = date(2026, 1, 1)
DAYS = [FIRST + timedelta(days=i) for i in range(4)]
SYMBOLS = ("AAA", "BBB")
STUDY = "toy"
HEAD = (SYMBOL, TS_COLUMN, AVAILABLE_AT)


def _day(name: str, *columns: Column, **more: Any) -> TableSpec:
    schema = TableSchema(name, (*HEAD, *columns))
    return TableSpec(name, "stage", "one row per symbol and hour", "day", schema, **more)


def _study(name: str, *columns: Column, **more: Any) -> TableSpec:
    schema = TableSchema(name, columns, key=(columns[0].name,))
    return TableSpec(name, "stage", "one row per item", "study", schema, **more)


def _x(name: str) -> Column:
    return Column(name, pl.Float64, "1", "A number.", nullable=True)


CANDIDATE = Column("candidate_id", pl.String, "", "Name of a candidate.")
D0_ROWS: dict[str, Any] = {"gate": Gate.D0, "item_column": "symbol"}

TABLES = {
    spec.name: spec
    for spec in (
        _day("bars", Column("price", pl.Float64, "quote", "Close.", gt=0), **D0_ROWS),
        _day("book", _x("spread"), **D0_ROWS),
        _day("basis", _x("basis_bps"), reads=(Read("bars"), Read("book")), **D0_ROWS),
        _day("qa", _x("count"), reads=(Read("bars"), Read("book")), **D0_ROWS),
        _day("universe", _x("rank"), reads=(Read("qa"),), **D0_ROWS),
        _day(
            "features",
            _x("fast"),
            _x("slow"),
            reads=(Read("bars", lookback_days=2), Read("universe")),
            gate=Gate.PIT1,
            item_column="*column",
            specs=("feature_specs",),
        ),
        _day("labels", _x("fwd"), reads=(Read("bars", lookahead_days=1),)),
        _day("events", _x("severity"), reads=(Read("features"),), may_be_empty=True),
        _study(
            "candidates",
            CANDIDATE,
            _x("z"),
            reads=(Read("events"), Read("labels")),
            gate=Gate.V1,
            item_column="candidate_id",
        ),
        _study("bridge", CANDIDATE, _x("pnl"), reads=(Read("candidates"),)),
    )
}
JUDGED = {Gate.D0: "qa"}
IN_ORDER = ("bars", "book", "basis", "qa", "universe", "features", "labels", "events")


@dataclass
class Keys:
    """`LakeKeys` whose answers a test can change."""

    codes: dict[str, str] = field(default_factory=dict)
    specs: dict[str, str] = field(default_factory=dict)
    gates: dict[Gate, str] = field(default_factory=dict)
    gate_codes: dict[Gate, str] = field(default_factory=dict)

    def code_hash(self, table: str) -> str:
        return digest(["code", table, self.codes.get(table, "1")])

    def spec_hashes(self, table: str, partition: str) -> Mapping[str, str]:
        names = TABLES[table].specs
        own = {name: self.specs.get(f"{name} {partition}") for name in names}
        return {name: digest(own[name] or self.specs.get(name, "1")) for name in names}

    def gate_hash(self, gate: Gate) -> str:
        return digest(["thresholds", gate, self.gates.get(gate, "1")])

    def gate_code_hash(self, gate: Gate) -> str:
        return digest(["gate code", gate, self.gate_codes.get(gate, "1")])

    def lock_hash(self) -> str:
        return digest("lock")


def ticking(start: datetime = datetime(2026, 6, 1, tzinfo=UTC)) -> Callable[[], datetime]:
    """A clock that moves on by a second at every look."""
    ticks = iter(range(10**9))
    return lambda: start + timedelta(seconds=next(ticks))


def toy_lake(root: Path | Objects, keys: Keys | None = None, **more: Any) -> Lake:
    """An empty lake of `TABLES`."""
    more = {"judged": JUDGED, "last_day": None, **more}
    last = more.pop("last_day")
    return Lake(root, TABLES, keys or Keys(), FIRST, last, ticking(), **more)


def rows(
    table: str, days: Sequence[date], symbols: Sequence[str] = SYMBOLS, value: float = 1.0
) -> pl.DataFrame:
    """Four rows per symbol and day; the last one closes the day at the next midnight."""
    schema = TABLES[table].schema
    instants = [day_start(d) + timedelta(hours=6 * i) for d in days for i in range(1, 5)]
    frame = pl.DataFrame(
        [(s, t, t) for s in symbols for t in instants],
        schema={"symbol": pl.String, "ts": TS, "available_at": TS},
        orient="row",
    )
    numbers = [c for c in schema.columns if c.dtype == pl.Float64]
    steps = pl.int_range(pl.len()).cast(pl.Float64)
    return frame.with_columns((steps + value).alias(c.name) for c in numbers).select(schema.names)


def items(names: Sequence[str], **others: Outcome) -> list[ItemVerdict]:
    """PASS for `names`, but for those in `others`; ranks follow the order."""
    outcomes = {n: others.get(n, Outcome.PASS) for n in names}
    return [
        ItemVerdict(n, o, () if o is Outcome.PASS else (f"{o.value}_REASON",), {}, float(i))
        for i, (n, o) in enumerate(outcomes.items())
    ]


def build(lake: Lake, table: str, days: Sequence[date] = DAYS, **more: Any) -> None:
    """Write `table` for `days` with its lineage, as a stage would."""
    reads = lake.lineage_for(table, days)
    lake.write(table, rows(table, days, **more), days, reads=reads, run_id="run")


def judge_days(lake: Lake, gate: Gate, days: Sequence[date] = DAYS, **others: Outcome) -> None:
    """Verdicts of a day gate: `others` by item, PASS for the rest."""
    names = SYMBOLS if gate is Gate.D0 else ("fast", "slow")
    for day in days:
        lake.record_verdicts(gate, day, items(names, **others), run_id="run")


def candidates(*names: str) -> pl.DataFrame:
    """A row per candidate."""
    zs = [float(i) for i in range(len(names))]
    return pl.DataFrame({"candidate_id": list(names), "z": zs})


def build_chain(lake: Lake, days: Sequence[date] = DAYS) -> None:
    """Everything from bars to judged candidates c1, c2, c3 (the last one fails V1)."""
    for table in IN_ORDER:
        build(lake, table, days)
        if table == "qa":
            judge_days(lake, Gate.D0, days)
        if table == "features":
            judge_days(lake, Gate.PIT1, days)
    reads = lake.lineage_for("candidates", [STUDY], days)
    lake.write("candidates", candidates("c1", "c2", "c3"), [STUDY], reads=reads)
    lake.record_verdicts(Gate.V1, STUDY, items(("c1", "c2", "c3"), c3=Outcome.FAIL))

"""Writing and reading the lake, gates aside: holes, clips, identical bytes, damage."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import MissingPartitionError, SchemaError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.lineage import LineageError
from quantlab_pipeline.storage.manifests import ABSENT, BadPartitionError, DamagedObjectError
from quantlab_pipeline.storage.table_graph import UnknownTableError
from quantlab_pipeline.storage.writing import PartitionRowsError
from quantlab_pipeline_tests.storage.builders import (
    DAYS,
    FIRST,
    STUDY,
    build,
    candidates,
    rows,
    toy_lake,
)


def test_a_range_goes_in_and_comes_out_as_one_frame_sorted_by_key(lake: Lake) -> None:
    frame = rows("bars", DAYS)
    report = lake.write("bars", frame.sample(fraction=1, shuffle=True, seed=1), DAYS)
    assert report.written == len(DAYS) * 2
    assert report.rows == frame.height
    assert lake.read("bars", DAYS, gated=False).equals(frame.sort("symbol", "ts"))
    assert lake.days("bars") == DAYS


def test_the_row_at_midnight_belongs_to_the_day_that_it_closes(lake: Lake) -> None:
    lake.write("bars", rows("bars", DAYS[:2]), DAYS[:2])
    first = lake.read("bars", [DAYS[0]], gated=False)
    assert first["ts"].max().date() == DAYS[1]  # type: ignore[union-attr]
    assert first.height == 8


def test_columns_are_chosen_and_ordered_and_a_scan_is_the_same(lake: Lake) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    chosen = lake.read("bars", DAYS, gated=False, columns=["price", "symbol"])
    assert chosen.columns == ["price", "symbol"]
    lazy = lake.scan("bars", DAYS, gated=False, columns=["price", "symbol"])
    assert lazy.collect().equals(chosen)


def test_writing_the_same_again_changes_nothing_on_disk(lake: Lake, root: Path) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    report = lake.write("bars", rows("bars", DAYS), DAYS, run_id="another")
    assert (report.written, report.unchanged, report.replaced) == (0, 8, ())
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def test_only_the_symbol_that_changed_gets_a_new_file(lake: Lake) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    bump = pl.when(pl.col("symbol") == "BBB").then(pl.col("price") + 1).otherwise("price")
    report = lake.write("bars", rows("bars", DAYS).with_columns(bump.alias("price")), DAYS)
    assert (report.written, report.unchanged) == (4, 4)
    assert len(report.replaced) == len(DAYS)


def test_a_symbol_that_is_no_longer_produced_leaves_the_day(lake: Lake) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    lake.write("bars", rows("bars", DAYS[:1], symbols=["AAA"]), DAYS[:1])
    read = lake.read("bars", DAYS, gated=False)
    left = read.filter(pl.col("symbol") == "BBB")["ts"].dt.offset_by("-1us").dt.date().unique()
    assert left.sort().to_list() == DAYS[1:]


def test_rows_outside_the_partitions_are_refused(lake: Lake) -> None:
    with pytest.raises(PartitionRowsError, match="day=2026-01-02"):
        lake.write("bars", rows("bars", DAYS[:2]), DAYS[:1])
    assert lake.partitions("bars") == []


def test_a_partition_without_rows_needs_a_reason(lake: Lake) -> None:
    with pytest.raises(PartitionRowsError, match="day=2026-01-02"):
        lake.write("bars", rows("bars", DAYS[:1]), DAYS[:2])
    lake.write("book", None, DAYS[:2], absent_reason="the source has no book")
    manifest = lake.manifests.current("book", "day=2026-01-01")
    assert manifest is not None
    assert manifest.absent_reason == "the source has no book"
    empty = lake.read("book", DAYS[:2], gated=False)
    assert empty.height == 0
    assert empty.columns == ["symbol", "ts", "available_at", "spread"]


def test_a_frame_that_is_not_of_the_schema_is_refused(lake: Lake) -> None:
    negative = rows("bars", DAYS).with_columns(price=-pl.col("price"))
    with pytest.raises(SchemaError, match="price"):
        lake.write("bars", negative, DAYS)
    with pytest.raises(SchemaError):
        lake.write("bars", rows("bars", DAYS).with_columns(extra=pl.lit(1)), DAYS)
    twice = pl.concat([rows("bars", DAYS), rows("bars", DAYS)])
    with pytest.raises(SchemaError, match="one key"):
        lake.write("bars", twice, DAYS)


def test_holes_raise_and_days_outside_the_market_are_clipped(tmp_path: Path) -> None:
    lake = toy_lake(tmp_path, last_day=DAYS[3])
    lake.write("bars", rows("bars", [DAYS[0], DAYS[3]]), [DAYS[0], DAYS[3]])
    with pytest.raises(MissingPartitionError, match="2 missing") as caught:
        lake.read("bars", DAYS, gated=False)
    assert caught.value.fields["partitions"] == ["day=2026-01-02", "day=2026-01-03"]
    around = [FIRST - timedelta(days=1), DAYS[0], DAYS[3], DAYS[3] + timedelta(days=1)]
    assert lake.read("bars", around, gated=False).height == 16
    assert lake.read("bars", DAYS[:1], gated=False, optional=DAYS[1:2]).height == 8
    with pytest.raises(BadPartitionError, match="outside the market"):
        lake.write("bars", rows("bars", around[:1]), around[:1])


def test_a_file_that_is_not_what_its_manifest_lists_is_refused(lake: Lake, root: Path) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    file = next(root.glob("tables/bars/day=2026-01-01/symbol=AAA/*.parquet"))
    data = bytearray(file.read_bytes())
    assert lake.read("bars", DAYS, gated=False, verify=True).height == 32
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(DamagedObjectError, match="digest"):
        lake.read("bars", DAYS, gated=False, verify=True)
    file.write_bytes(bytes(data[:-1]))
    with pytest.raises(DamagedObjectError, match="bytes instead of"):
        lake.read("bars", DAYS, gated=False)
    file.unlink()
    with pytest.raises(DamagedObjectError, match="is gone"):
        lake.read("bars", DAYS, gated=False)
    lake.write("bars", rows("bars", DAYS), DAYS)
    assert lake.read("bars", DAYS, gated=False, verify=True).height == 32


def test_unlisted_files_are_never_read(lake: Lake, root: Path) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    folder = root / "tables/bars/day=2026-01-01/symbol=ZZZ"
    folder.mkdir()
    rows("bars", DAYS[:1], symbols=["ZZZ"]).write_parquet(folder / "x.parquet")
    assert set(lake.read("bars", DAYS, gated=False)["symbol"]) == {"AAA", "BBB"}


def test_a_manifest_that_was_edited_is_refused(lake: Lake, root: Path) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    path = root / "manifests/bars/day=2026-01-01.json"
    path.write_bytes(path.read_bytes().replace(b'"rows":4', b'"rows":5', 1))
    with pytest.raises(DamagedObjectError, match="manifest"):
        lake.read("bars", DAYS, gated=False)


def test_another_process_of_the_lake_is_seen_by_a_warm_reader(lake: Lake, root: Path) -> None:
    lake.write("bars", rows("bars", DAYS), DAYS)
    assert lake.read("bars", DAYS, gated=False)["price"].min() == 1.0
    toy_lake(root).write("bars", rows("bars", DAYS, value=5.0), DAYS)
    assert lake.read("bars", DAYS, gated=False)["price"].min() == 5.0


def test_symbols_with_any_spelling_have_a_folder_of_their_own(lake: Lake, root: Path) -> None:
    names = ["..", "A/B:C", "a%2Fb", "é"]
    lake.write("bars", rows("bars", DAYS[:1], symbols=names), DAYS[:1])
    assert sorted(set(lake.read("bars", DAYS[:1], gated=False)["symbol"])) == sorted(names)
    assert len(list(root.glob("tables/bars/day=2026-01-01/symbol=*"))) == len(names)


def test_lineage_is_clipped_and_an_absent_tomorrow_is_recorded(lake: Lake) -> None:
    build(lake, "bars")
    last = lake.lineage_for("labels", [DAYS[3]])["day=2026-01-04"]
    bars = {e.partition: e.fingerprint for e in last if e.table == "bars"}
    assert set(bars) == {"day=2026-01-04", "day=2026-01-05"}
    assert bars["day=2026-01-05"] == ABSENT
    first = lake.lineage_for("features", [DAYS[0]])["day=2026-01-01"]
    assert {e.partition for e in first if e.table == "bars"} == {"day=2026-01-01"}


def test_gates_are_in_the_lineage_of_those_who_read_behind_them_only(chained: Lake) -> None:
    gates = {
        table: {e.gate for e in chained.lineage_for(table, DAYS[:1])["day=2026-01-01"] if e.gate}
        for table in ("basis", "qa", "universe", "features", "labels", "events")
    }
    assert gates["basis"] == gates["qa"] == set()
    assert gates["universe"] == gates["features"] == gates["labels"] == {Gate.D0}
    assert gates["events"] == {Gate.PIT1}


def test_a_write_must_say_what_it_read(chained: Lake) -> None:
    with pytest.raises(LineageError, match="labels"):
        chained.write("candidates", candidates("c1"), [STUDY])


def test_an_unknown_table_is_named_with_the_nearest_one(lake: Lake) -> None:
    with pytest.raises(UnknownTableError, match="Did you mean bars"):
        lake.read("barz", DAYS)
    with pytest.raises(BadPartitionError, match="not a day"):
        lake.read("bars", ["2026-13-01"])


DAY_INDEXES = st.lists(st.integers(0, 4), min_size=1, unique=True)


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(DAY_INDEXES, min_size=1, max_size=3))
def test_how_a_range_was_cut_into_writes_is_not_in_the_bytes(
    cuts: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    days = sorted({FIRST + timedelta(days=i) for cut in cuts for i in cut})

    def written(parts: list[list[date]]) -> dict[str, str]:
        lake = toy_lake(tmp_path_factory.mktemp("lake"))
        whole = rows("bars", days)
        day = (pl.col("ts") - pl.duration(microseconds=1)).dt.date()
        for part in parts:
            lake.write("bars", whole.filter(day.is_in(part)), part)
        return {str(d): lake.fingerprint("bars", d) for d in days}

    parts = [[FIRST + timedelta(days=i) for i in cut] for cut in cuts]
    assert written(parts) == written([days])


def test_no_temporary_file_is_left_behind(chained: Lake, root: Path) -> None:
    assert [name for _, _, files in os.walk(root) for name in files if ".tmp" in name] == []

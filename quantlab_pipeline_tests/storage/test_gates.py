"""Gates fail closed at every load, whoever asks: never ran, stale, failed, around the chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.errors import GateNotPassedError, SpecError
from quantlab_pipeline.core.tables import Read
from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.storage.lake import Lake, StaleInputError
from quantlab_pipeline.storage.objects import LocalObjects, Stat
from quantlab_pipeline.storage.table_graph import TableGraph
from quantlab_pipeline_tests.storage.builders import (
    DAYS,
    IN_ORDER,
    JUDGED,
    STUDY,
    TABLES,
    Keys,
    build,
    build_chain,
    items,
    judge_days,
    rows,
    toy_lake,
)


def refused(lake: Lake, table: str, text: str) -> GateNotPassedError:
    """The refusal of a gated load of `table`, whose message must hold `text`."""
    partitions = [STUDY] if TABLES[table].partition == "study" else DAYS
    with pytest.raises(GateNotPassedError, match="GATE_NOT_PASSED") as caught:
        lake.read(table, partitions)
    assert any(text in p for p in caught.value.fields["problems"]), caught.value
    assert caught.value.fields["code"] == "GATE_NOT_PASSED"
    assert "quantlab run" in caught.value.remedy
    return caught.value


def test_a_judged_chain_can_be_read_from_end_to_end(chained: Lake) -> None:
    for table in IN_ORDER:
        assert chained.read(table, DAYS).height == 32
        assert chained.problems(table, DAYS) == []
    assert chained.read("candidates", [STUDY])["candidate_id"].to_list() == ["c1", "c2"]


def test_a_gate_that_never_ran_refuses_but_gates_themselves_may_read(lake: Lake) -> None:
    for table in ("bars", "book", "qa"):
        build(lake, table)
    for table in ("bars", "book", "qa"):
        refused(lake, table, "D0 never judged it")
        assert lake.read(table, DAYS, gated=False).height == 32
    judge_days(lake, Gate.D0, DAYS[:3])
    error = refused(lake, "bars", "qa day=2026-01-04: D0 never judged it")
    assert len(error.fields["problems"]) == 1


def test_a_symbol_that_fails_its_day_leaves_that_day_only(lake: Lake) -> None:
    for table in ("bars", "book", "qa"):
        build(lake, table)
    judge_days(lake, Gate.D0)
    judge_days(lake, Gate.D0, DAYS[1:2], BBB=Outcome.FAIL)
    read = lake.read("bars", DAYS)
    assert read.filter(pl.col("symbol") == "AAA").height == 16
    assert read.filter(pl.col("symbol") == "BBB").height == 12
    judge_days(lake, Gate.D0, DAYS[1:2], AAA=Outcome.NOT_EVALUABLE, BBB=Outcome.UNDERPOWERED)
    assert lake.read("bars", DAYS).height == 24
    with pytest.raises(GateNotPassedError, match="admits none of 2 items"):
        lake.read("bars", DAYS[1:2])


def test_a_symbol_that_was_never_judged_refuses(lake: Lake) -> None:
    build(lake, "bars", symbols=("AAA", "NEW"))
    for table in ("book", "qa"):
        build(lake, table)
    judge_days(lake, Gate.D0)
    refused(lake, "bars", "D0 never judged NEW")


def test_one_failed_feature_refuses_the_table_and_a_missing_one_only_itself(chained: Lake) -> None:
    judge_days(chained, Gate.PIT1, DAYS[1:2], slow=Outcome.NOT_EVALUABLE)
    read = chained.read("features", DAYS)
    blank = read.filter(pl.col("slow").is_null())
    assert blank["ts"].dt.offset_by("-1us").dt.date().unique().to_list() == [DAYS[1]]
    assert read.equals(read.sort("symbol", "ts"))
    assert "slow" not in chained.read("features", DAYS[1:2]).columns
    assert chained.read("features", DAYS[1:2], columns=["ts", "fast"]).width == 2
    with pytest.raises(GateNotPassedError, match=r"NOT_EVALUABLE of slow \(NOT_EVALUABLE_REASON"):
        chained.read("features", DAYS[1:2], columns=["slow"])
    judge_days(chained, Gate.PIT1, DAYS[1:2], slow=Outcome.FAIL)
    refused(chained, "features", "PIT-1 says FAIL of slow")


def test_a_feature_that_was_never_judged_refuses(chained: Lake) -> None:
    chained.record_verdicts(Gate.PIT1, DAYS[0], items(["fast"]))
    refused(chained, "features", "PIT-1 never judged slow")


def test_a_study_whose_gate_admits_nothing_cannot_be_read(chained: Lake) -> None:
    chained.record_verdicts(Gate.V1, STUDY, items(["c1"], c1=Outcome.UNDERPOWERED))
    refused(chained, "candidates", "V1 says UNDERPOWERED of c1")
    chained.record_verdicts(Gate.V1, STUDY, [])
    refused(chained, "candidates", "V1 had nothing to judge")


def edit_bars(lake: Lake, keys: Keys) -> None:
    lake.write("bars", rows("bars", DAYS[:1], value=7.0), DAYS[:1])


def edit_bars_code(lake: Lake, keys: Keys) -> None:
    keys.codes["bars"] = "2"


def edit_thresholds(lake: Lake, keys: Keys) -> None:
    keys.gates[Gate.D0] = "2"


def edit_gate_code(lake: Lake, keys: Keys) -> None:
    keys.gate_codes[Gate.D0] = "2"


def fail_a_symbol(lake: Lake, keys: Keys) -> None:
    judge_days(lake, Gate.D0, DAYS[:1], BBB=Outcome.FAIL)


def bring_a_book(lake: Lake, keys: Keys) -> None:
    lake.write("book", rows("book", DAYS[:1], value=9.0), DAYS[:1])


EDITS: list[tuple[Callable[[Lake, Keys], None], str]] = [
    (edit_bars, "built from an older bars of day=2026-01-01"),
    (edit_bars_code, "its code changed since it was built"),
    (edit_thresholds, "the thresholds of D0 changed"),
    (edit_gate_code, "the code of D0 changed"),
    (fail_a_symbol, "built under another verdict of D0 on day=2026-01-01"),
    (bring_a_book, "qa day=2026-01-01: built from an older book"),
]


@pytest.mark.parametrize(("edit", "text"), EDITS, ids=lambda x: getattr(x, "__name__", ""))
def test_an_edit_anywhere_upstream_refuses_everything_below(
    chained: Lake, keys: Keys, edit: Callable[[Lake, Keys], None], text: str
) -> None:
    edit(chained, keys)
    for table in ("features", "labels", "events", "candidates"):
        refused(chained, table, text)


def test_days_that_the_edit_does_not_touch_can_still_be_read(chained: Lake, keys: Keys) -> None:
    edit_bars(chained, keys)
    assert chained.read("features", DAYS[3:]).height == 8
    with pytest.raises(GateNotPassedError):
        chained.read("features", DAYS[2:3])


def test_specs_and_columns_are_part_of_what_a_partition_is(chained: Lake, keys: Keys) -> None:
    keys.specs["feature_specs"] = "2"
    refused(chained, "events", "its specs changed since it was built: feature_specs")
    keys.specs.clear()
    keys.specs["feature_specs day=2026-01-02"] = "2"
    assert chained.is_current("events", DAYS[0])
    assert not chained.is_current("events", DAYS[1])
    keys.specs.clear()
    assert chained.read("events", DAYS).height == 32


def test_tomorrow_s_arrival_makes_labels_stale_and_a_rebuild_mends_them(chained: Lake) -> None:
    tomorrow = [DAYS[-1] + timedelta(days=1)]
    for table in ("bars", "book", "qa"):
        build(chained, table, tomorrow)
    judge_days(chained, Gate.D0, tomorrow)
    refused(chained, "labels", "labels day=2026-01-04: built before bars of day=2026-01-05 arrived")
    refused(chained, "candidates", "built before bars of day=2026-01-05 arrived")
    assert chained.read("events", DAYS).height == 32
    build(chained, "labels", DAYS[3:])
    assert chained.read("labels", DAYS).height == 32


def test_a_rewrite_with_the_same_bytes_keeps_everything_current(chained: Lake) -> None:
    build(chained, "bars")
    build(chained, "qa")
    judge_days(chained, Gate.D0)
    assert chained.read("candidates", [STUDY]).height == 2


def test_the_same_outcomes_under_new_thresholds_cost_no_rebuild(chained: Lake, keys: Keys) -> None:
    keys.gates[Gate.D0] = "2"
    judge_days(chained, Gate.D0)
    assert chained.read("candidates", [STUDY]).height == 2


def test_a_gate_cannot_judge_what_changed_under_it(lake: Lake) -> None:
    for table in ("bars", "book", "qa"):
        build(lake, table)
    seen = lake.fingerprint("qa", DAYS[0])
    lake.write("qa", rows("qa", DAYS[:1], value=3.0), DAYS[:1], reads=lake.lineage_for("qa", DAYS))
    with pytest.raises(StaleInputError, match="changed while"):
        lake.record_verdicts(Gate.D0, DAYS[0], items(["AAA"]), input_fingerprint=seen)


def test_a_verdict_whose_ledger_head_is_gone_is_void(tmp_path: Path) -> None:
    heads = {"blake3:seen"}
    lake = toy_lake(tmp_path, knows_head=heads.__contains__)
    build_chain(lake)
    lake.record_verdicts(Gate.V1, STUDY, items(["c1"]), ledger_head="blake3:seen")
    assert lake.read("candidates", [STUDY]).height == 1
    heads.clear()
    refused(lake, "candidates", "the trial ledger is older than the verdict of V1")


def test_a_lost_upstream_partition_is_named(chained: Lake, root: Path) -> None:
    (root / "manifests/universe/day=2026-01-02.json").unlink()
    refused(chained, "features", "built from an older universe of day=2026-01-02")


def test_a_gate_must_say_something_about_what_it_guards() -> None:
    with pytest.raises(SpecError, match="which of them it judges"):
        TableGraph(TABLES)
    with pytest.raises(SpecError, match="says nothing about bars"):
        TableGraph({name: TABLES[name] for name in ("bars", "book")}, {Gate.D0: "book"})
    assert TableGraph(TABLES, JUDGED).judged(Gate.PIT1) == "features"


def test_what_explains_a_verdict_reads_also_what_it_refused_and_feeds_nothing() -> None:
    told = replace(
        TABLES["bridge"], name="told", reads=(Read("candidates"),), regardless=("candidates",)
    )
    graph = TableGraph({**TABLES, "told": told}, JUDGED)
    assert graph.gates_of_read("told", "candidates") == []
    assert graph.gates_of_read("bridge", "candidates") == [Gate.V1]
    thief = replace(TABLES["bridge"], name="thief", reads=(Read("told"),))
    with pytest.raises(SpecError, match="thief reads told, which holds what a gate refused"):
        TableGraph({**TABLES, "told": told, "thief": thief}, JUDGED)


class CountingObjects(LocalObjects):
    """Counts the looks at each key."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.looks: Counter[str] = Counter()

    def stat(self, key: str) -> Stat | None:
        self.looks[f"stat {key}"] += 1
        return super().stat(key)

    def get(self, key: str) -> bytes:
        self.looks[f"get {key}"] += 1
        return super().get(key)


def test_a_load_looks_at_each_manifest_and_verdict_once(chained: Lake, root: Path) -> None:
    objects = CountingObjects(root)
    lake = toy_lake(objects)
    assert lake.problems("candidates", [STUDY]) == []
    assert len(objects.looks) > 2 * (len(IN_ORDER) - 1) * len(DAYS)
    assert set(objects.looks.values()) == {1}
    objects.looks.clear()
    assert lake.problems("candidates", [STUDY]) == []
    assert {look.split()[0] for look in objects.looks} == {"stat"}
    assert set(objects.looks.values()) == {1}

"""The notebook's door and SQL: the same gates, in few words."""

from __future__ import annotations

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import GateNotPassedError, MissingPartitionError
from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.storage.catalog import QueryError
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.open_lake import ReadOnlyLake
from quantlab_pipeline_tests.storage.builders import DAYS, STUDY, Keys, judge_days, rows


@pytest.fixture
def door(chained: Lake) -> ReadOnlyLake:
    """The door of a judged lake."""
    return ReadOnlyLake(chained)


def test_tables_studies_and_verdicts_in_few_words(door: ReadOnlyLake) -> None:
    assert door.table("events", "2026-01-01", "2026-01-02").height == 16
    assert door.table("events", DAYS[0]).height == 8
    assert door.study(STUDY, "candidates")["candidate_id"].to_list() == ["c1", "c2"]
    listed = door.tables().filter(pl.col("table") == "bars").row(0, named=True)
    assert (listed["gate"], listed["written"]) == ("D0", 4)
    verdicts = door.verdicts("V1")
    assert verdicts["outcome"].to_list() == ["PASS", "PASS", "FAIL"]
    assert verdicts["current"].all()
    assert verdicts["reasons"].to_list()[2] == ["FAIL_REASON"]
    assert door.verdicts(Gate.D0, DAYS[0]).height == 2


def test_the_gates_are_in_force_at_the_door(door: ReadOnlyLake, chained: Lake, keys: Keys) -> None:
    chained.write("bars", rows("bars", DAYS[:1], value=4.0), DAYS[:1])
    with pytest.raises(GateNotPassedError):
        door.table("events", DAYS[0])
    with pytest.raises(GateNotPassedError):
        door.sql("select * from events")
    assert not door.verdicts("V1")["current"].any()
    with pytest.raises(MissingPartitionError):
        door.table("events", "2026-02-01")


def test_sql_gives_what_a_load_gives(door: ReadOnlyLake, chained: Lake) -> None:
    joined = door.sql(
        "select max(b.price) m from bars b join events e using (symbol, ts)", DAYS[1], DAYS[1]
    )
    assert joined["m"].to_list() == [chained.read("bars", DAYS[1:2])["price"].max()]
    counted = door.sql("select date_trunc('day', ts) d, count(*) n from bars group by 1 order by 1")
    assert counted["n"].to_list() == [6, 8, 8, 8, 2]
    judge_days(chained, Gate.PIT1, DAYS[1:2], slow=Outcome.NOT_EVALUABLE)
    through = door.sql("select * from features order by symbol, ts")
    assert through.equals(chained.read("features", DAYS))
    assert through.schema["ts"] == TS


def test_sql_sees_admitted_items_of_a_study_only(door: ReadOnlyLake) -> None:
    query = "select candidate_id from candidates order by 1"
    assert door.sql(query, study=STUDY)["candidate_id"].to_list() == ["c1", "c2"]
    with pytest.raises(MissingPartitionError, match="no study is named"):
        door.sql(query)


def test_a_table_without_rows_has_its_columns(chained: Lake, door: ReadOnlyLake) -> None:
    reads = chained.lineage_for("labels", DAYS)
    chained.write("labels", None, DAYS, reads=reads, absent_reason="no prices")
    assert door.sql("select count(*) n, max(fwd) x from labels").row(0) == (0, None)
    assert door.table("labels", DAYS[0]).columns == ["symbol", "ts", "available_at", "fwd"]


def test_sql_cannot_go_around_the_gates_or_change_a_file(door: ReadOnlyLake, chained: Lake) -> None:
    unlisted = chained.objects.uri("manifests/bars/day=2026-01-01.json")
    listed = chained.plan("bars", DAYS[:1]).groups[0].uris[0]
    for query in (
        f"select * from read_text('{unlisted}')",
        f"copy (select 1) to '{listed}' (format parquet, use_tmp_file false)",
        "create table t as select 1",
        "set enable_external_access = true",
        "select 1; select 2",
        "select * from nowhere",
        "selekt",
    ):
        with pytest.raises(QueryError, match=r"refuses|Only a single SELECT"):
            door.sql(query)
    assert chained.read("bars", DAYS, verify=True).height == 32


def test_a_word_that_happens_to_be_a_refused_table_harms_nothing(
    door: ReadOnlyLake, keys: Keys
) -> None:
    keys.codes["bars"] = "2"
    assert door.sql("select 1 as bars")["bars"].to_list() == [1]

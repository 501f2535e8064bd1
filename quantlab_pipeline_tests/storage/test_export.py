"""Tables as files for other programs: sorted, complete, and never half a file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.storage.export import stream_days, write_frame
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline_tests.storage.builders import DAYS, SYMBOLS, judge_days, rows


def test_days_stand_in_one_file_sorted_by_time_and_symbol(chained: Lake, tmp_path: Path) -> None:
    path = tmp_path / "out" / "features.parquet"
    assert stream_days(chained, "features", DAYS, SYMBOLS, path) == 32
    frame = pl.read_parquet(path)
    whole = chained.read("features", DAYS)
    assert frame.select("ts", "symbol").rows() == sorted(whole.select("ts", "symbol").rows())
    assert frame.sort("symbol", "ts").equals(whole)


def test_only_the_symbols_asked_for_are_written(chained: Lake, tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    assert stream_days(chained, "bars", DAYS[:2], ["BBB"], path) == 8
    assert pl.read_parquet(path)["symbol"].unique().to_list() == ["BBB"]


def test_a_column_refused_on_one_day_is_null_on_that_day_alone(
    chained: Lake, tmp_path: Path
) -> None:
    judge_days(chained, Gate.PIT1, DAYS[1:2], slow=Outcome.NOT_EVALUABLE)
    path = tmp_path / "features.parquet"
    stream_days(chained, "features", DAYS, SYMBOLS, path)
    frame = pl.read_parquet(path).sort("ts", "symbol")
    assert frame["slow"].is_null().to_list() == [False] * 8 + [True] * 8 + [False] * 16
    assert frame["fast"].null_count() == 0


def test_a_refusal_leaves_the_old_file_and_nothing_beside_it(
    chained: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / "features.parquet"
    stream_days(chained, "features", DAYS[:2], SYMBOLS, path)
    before = path.read_bytes()
    read = chained.read

    def refused_on_the_third_day(table, partitions, **more):
        if list(partitions) == DAYS[2:3]:
            raise GateNotPassedError("Judged anew in between.", "Run it.")
        return read(table, partitions, **more)

    monkeypatch.setattr(chained, "read", refused_on_the_third_day)
    with pytest.raises(GateNotPassedError, match="in between"):
        stream_days(chained, "features", DAYS, SYMBOLS, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_the_gates_refuse_is_not_copied(chained: Lake, tmp_path: Path) -> None:
    chained.write("bars", rows("bars", DAYS[:1], value=4.0), DAYS[:1])
    with pytest.raises(GateNotPassedError):
        stream_days(chained, "features", DAYS, SYMBOLS, tmp_path / "features.parquet")
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_small_frame_reads_back_as_it_was(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"candidate_id": ["c1", "c2"], "z": [1.5, None]})
    write_frame(frame, tmp_path / name)
    read = pl.read_csv if name.endswith("csv") else pl.read_parquet
    assert read(tmp_path / name).equals(frame)

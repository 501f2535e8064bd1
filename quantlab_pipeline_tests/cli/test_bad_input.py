"""Bad input, as a person meets it: exit 2, one line with place and remedy, and no damage done."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.cli import app
from quantlab_pipeline.cli_border import told_of
from quantlab_pipeline.commands import run
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.storage import objects
from quantlab_pipeline.storage.doctor import examine
from quantlab_pipeline.storage.project_lake import open_market_lake, project_of
from quantlab_pipeline_tests.cli.builders import (
    DAYS,
    Command,
    Said,
    archive,
    kline_name,
    put_file,
    zipped,
)
from quantlab_pipeline_tests.sources.builders import klines

Places = tuple[str | Path, ...]


def refused(said: Said, *words: str) -> None:
    """Exit 2, nothing on stdout, one message of one line that holds `words`."""
    assert said.code == 2, said.err
    assert said.out == ""
    told = [line for line in said.err.splitlines() if line.startswith("quantlab: ")]
    assert len(told) == 1, said.err
    assert "Traceback" not in said.err
    missing = [word for word in words if word not in told[0]]
    assert not missing, (missing, told[0])


def nothing_half_written(data: Path) -> None:
    """Whatever a reader can open in the data folder's lakes is whole."""
    project = project_of(None, data)
    for market in project.markets():
        lake = open_market_lake(project, market, data, lambda: datetime(2025, 1, 1, tzinfo=UTC))
        assert examine(lake).damage == ()


def own(folder: Path, data: Path, *more: str) -> Places:
    return ("run", "--source", "binance_archive", "--path", folder, "--data", data, *more)


# --- refused before anything runs -----------------------------------------------------------------


def test_a_missing_folder(quantlab: Command, tmp_path: Path, data: Path) -> None:
    refused(quantlab(*own(tmp_path / "nowhere", data)), "There is no folder", "nowhere")


def test_a_folder_of_another_layout(quantlab: Command, tmp_path: Path, data: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    refused(quantlab(*own(tmp_path, data)), "no file of the official archive's layout", "Point to")
    freqtrade = ("run", "--source", "freqtrade", "--path", tmp_path, "--data", data)
    refused(quantlab(*freqtrade), "no file of freqtrade's data layout")


def test_a_missing_checksum_file(quantlab: Command, tmp_path: Path, data: Path) -> None:
    folder = archive(tmp_path / "in")
    (folder / f"{kline_name(DAYS[1])}.CHECKSUM").unlink()
    refused(quantlab(*own(folder, data)), kline_name(DAYS[1]), "no CHECKSUM file", "Fetch")
    assert not data.exists()


def test_a_bad_checksum(quantlab: Command, tmp_path: Path, data: Path) -> None:
    folder = archive(tmp_path / "in")
    path = folder / kline_name(DAYS[2])
    path.write_bytes(path.read_bytes().replace(b"100.0", b"100.1"))
    refused(quantlab(*own(folder, data)), kline_name(DAYS[2]), "CHECKSUM", "again")


def test_a_range_without_data_says_what_there_is(
    quantlab: Command, tmp_path: Path, data: Path
) -> None:
    folder = archive(tmp_path / "in")
    there = f"{DAYS[0]} .. {DAYS[-1]}"
    early = ("--from", "2023-01-01", "--to", "2023-01-31")
    refused(quantlab(*own(folder, data, *early)), "no data", "2023-01-01 .. 2023-01-31", there)
    refused(quantlab(*own(folder, data, "--to", "2024-03-20")), there)
    backwards = ("--from", str(DAYS[2]), "--to", str(DAYS[0]))
    refused(quantlab(*own(folder, data, *backwards)), "is before --from")
    refused(quantlab(*own(folder, data, "--to", str(DAYS[1]))), "2 days", "needs 4", there)


def test_an_unknown_symbol_gets_the_nearest(quantlab: Command, tmp_path: Path, data: Path) -> None:
    folder = archive(tmp_path / "in")
    said = quantlab(*own(folder, data, "--symbols", "BTCUSD"))
    refused(said, "no perpetual minute bars of BTCUSD", "Did you mean `BTCUSDT`?")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("run",), ("Name one study", "smoke")),
        (("run", "smoke", "--source", "freqtrade"), ("Name one study",)),
        (("run", "--source", "freqtrade"), ("--source and --path",)),
        (("run", "smok"), ("specs/studies/smok.yaml", "Did you mean `smoke`?")),
        (("run", "smoke", "--waive", "V1"), ("needs a reason", "--reason")),
        (("run", "smoke", "--waive", "V9", "--reason", "x"), ("no gate V9", "D0, PIT-1")),
        (("gates", "smoke"), ("was not run", "quantlab run smoke")),
        (("why",), ("No study has been run", "quantlab run STUDY")),
        (("world", "reveal", "binance_freqtrade"), ("not a generated market",)),
        (("world", "reveal", "world_smoke"), ("quantlab run smoke",)),
        (("ui", "--project", "/nonexistent"), ("no specs folder", "--project")),
    ],
)
def test_bad_usage(
    quantlab: Command, data: Path, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(quantlab(*args, "--data", data), *words)


@pytest.mark.parametrize("args", [("run", "--sorce", "x"), ("runn",), ("run", "--from", "May")])
def test_what_the_command_line_cannot_be(quantlab: Command, args: tuple[str, ...]) -> None:
    said = quantlab(*args)
    assert said.code == 2
    assert "Error:" in said.err
    assert "Traceback" not in said.err


def test_a_source_that_is_not_set_up(
    quantlab: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QUANTLAB_REAL_DATA", raising=False)
    said = quantlab("run", "real_btc_eth_2025", "--data", data)
    refused(said, "QUANTLAB_REAL_DATA", "export QUANTLAB_REAL_DATA=")


@pytest.mark.parametrize("switch", ["disabled", ""])
def test_a_study_whose_days_were_never_fetched(
    quantlab: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    monkeypatch.setenv("QUANTLAB_ARCHIVE", str(tmp_path / "nothing"))
    monkeypatch.setenv("DATA_REMOTE_PROVIDERS", switch)
    said = quantlab("run", "binance_majors_2026q1", "--data", data)
    refused(said, "BTCUSDT", "quantlab fetch --study binance_majors_2026q1")


@pytest.mark.parametrize(
    ("document", "old", "new", "words"),
    [
        ("studies/smoke", "symbols:", "symbls:", ("unknown key `symbls`", "`symbols`?")),
        ("studies/smoke", "BBBUSDT]", "BBBUSDTT]", ("specs/studies/smoke.yaml:5", "`BBBUSDT`?")),
        ("gates", " q:", " qq:", ("specs/gates.yaml:", "unknown key `qq`")),
        ("event_registry", "volume_z_1d", "volum_z_1d", ("event_registry.yaml:", "1d`?")),
    ],
)
def test_a_typo_in_a_spec(
    quantlab: Command,
    repository: Path,
    tmp_path: Path,
    document: str,
    old: str,
    new: str,
    words: tuple[str, ...],
) -> None:
    shutil.copytree(repository / "specs", tmp_path / "specs")
    path = tmp_path / "specs" / f"{document}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    places = ("--project", tmp_path, "--data", tmp_path / "data")
    refused(quantlab("run", "smoke", *places), *words)
    assert quantlab("specs", "check", *places).code == 2


# --- refused while it runs ------------------------------------------------------------------------


def truncated(name: str) -> bytes:
    return zipped(klines(DAYS[1]), name)[:-200]


def without_a_column(name: str) -> bytes:
    columns = [c for c in codec.KLINE_COLUMNS if c != "close"]
    csv = name.rpartition("/")[2].replace(".zip", ".csv")
    return codec.make_zip(csv, klines(DAYS[1]).select(columns).write_csv().encode())


def with_a_price_of_text(name: str) -> bytes:
    rows = klines(DAYS[1]).with_columns(pl.col("low").cast(pl.String))
    worded = pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("cheap")).otherwise("low")
    return zipped(rows.with_columns(worded.alias("low")), name)


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (truncated, ("not a whole zip file",)),
        (without_a_column, ("lacks the column close",)),
        (with_a_price_of_text, ("line 9", "low is 'cheap', not a number")),
    ],
)
def test_a_damaged_file(
    quantlab: Command,
    tmp_path: Path,
    data: Path,
    damaged: Callable[[str], bytes],
    words: tuple[str, ...],
) -> None:
    folder, name = archive(tmp_path / "in"), kline_name(DAYS[1])
    put_file(folder, name, damaged(name))
    refused(quantlab(*own(folder, data)), name, "Fetch the file again", *words)
    nothing_half_written(data)


def test_a_full_disk_while_writing(
    quantlab: Command, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = archive(tmp_path / "in")
    whole = objects.write_atomic

    def full_at_the_third_table_file(path: Path, content: bytes, *rest: objects.Step) -> None:
        if "tables" in path.parts and len(list(data.rglob("tables/**/*.parquet"))) == 2:
            monkeypatch.setattr(os, "fsync", no_space)
        whole(path, content, *rest)

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(objects, "write_atomic", full_at_the_third_table_file)
    refused(quantlab(*own(folder, data)), "No space left while writing", "quantlab doctor")
    monkeypatch.undo()
    assert len(list(data.rglob("tables/**/*.parquet"))) == 2
    assert not list(data.rglob("tables/**/.tmp-*"))
    nothing_half_written(data)


def test_a_port_that_is_taken(quantlab: Command, data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(quantlab("ui", "--port", str(port), "--data", data), f"Port {port}", "--port")


def test_an_interrupted_run_ends_in_one_line(
    quantlab: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_study_of", interrupted)
    said = quantlab("run", "smoke", "--data", data)
    assert (said.code, said.out) == (130, "")
    assert said.err.strip() == "quantlab: interrupted; run it again to go on where it stopped"


def test_a_bug_is_not_dressed_up(
    quantlab: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "run_study_of", broken)
    with pytest.raises(ZeroDivisionError):
        app(["run", "smoke", "--data", str(data)], prog_name="quantlab")


def test_a_bug_whose_causes_stand_in_a_circle_is_a_bug_and_no_endless_loop() -> None:
    """An error that is raised again from what wraps it: Python then links the two both ways."""
    inner, outer = NameError("unknown"), RuntimeError("wrapped")
    inner.__cause__, outer.__context__ = outer, inner
    assert told_of(inner) is None

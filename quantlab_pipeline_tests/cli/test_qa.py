"""`quantlab qa`: what a person sees of clean data, of a gap, of a late correction, of a mistake."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import yaml

from quantlab_pipeline.commands.qa import told_changes
from quantlab_pipeline.storage.changes import Changes
from quantlab_pipeline_tests.cli.builders import DAYS, Command, Said, kline_name, put_file, zipped
from quantlab_pipeline_tests.cli.test_bad_input import refused
from quantlab_pipeline_tests.sources.builders import klines

MARKET = "mine"
GAP_MIN = 45


def wavy(day: date, gap_at: int | None = None) -> bytes:
    """A day of bars whose price moves, as the archive's zip; `gap_at` minutes lacks 45 of them."""
    price = 100 + (pl.int_range(pl.len()) * 0.7).sin()
    rows = klines(day).with_columns(price.alias(c) for c in ("open", "high", "low", "close"))
    if gap_at is not None:
        rows = pl.concat([rows[:gap_at], rows[gap_at + GAP_MIN :]])
    return zipped(rows, kline_name(day))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four whole days of one symbol."""
    for day in DAYS:
        put_file(tmp_path / "in", kline_name(day), wavy(day))
    return tmp_path / "in"


@pytest.fixture
def places(repository: Path, tmp_path: Path, folder: Path) -> tuple[str | Path, ...]:
    """A project with a market over the folder, and where its data goes."""
    shutil.copytree(repository / "specs", tmp_path / "specs")
    market = {
        "name": MARKET,
        "venue": "binance_usdm",
        "synthetic": False,
        "enabled": True,
        "source": {"kind": "binance_archive", "path": str(folder)},
        "symbols": ["BTCUSDT"],
        "first_day": DAYS[0],
        "last_day": None,
        "datasets": {"bars_1m_perp": "required", "funding": "optional"},
    }
    document = tmp_path / "specs" / "markets" / f"{MARKET}.yaml"
    document.write_text(yaml.safe_dump(market), encoding="utf-8")
    return ("--project", tmp_path, "--data", tmp_path / "data")


def line(said: Said, *words: str) -> list[str]:
    """The words of the first line on stdout that begins with `words`."""
    rows = (text.split() for text in said.out.splitlines())
    return next(row for row in rows if row[: len(words)] == list(words))


# --- a market -----------------------------------------------------------------------------------


def test_clean_data_passes_is_not_made_again_and_a_correction_is_told(
    quantlab: Command, folder: Path, places: tuple[str | Path, ...], tmp_path: Path
) -> None:
    clean = quantlab("qa", MARKET, *places)
    assert clean.code == 0, clean.err
    assert clean.out.startswith("0 of 4 days already current, 4 made.")
    assert line(clean, "BTCUSDT", "D0") == ["BTCUSDT", "D0", "4", "0", "0"]
    assert line(clean, "BTCUSDT", "bars_1m_perp")[2:6] == ["5,760", "4", "0", "0"]
    assert "of 4 symbol-days D0 admits 4, refuses 0" in clean.out
    page = tmp_path / "data" / "lake" / MARKET / "artifacts" / "qa" / "qa_report.html"
    assert page.is_file()
    assert page.with_name("qa_report.csv").read_text().count("\n") == 1

    again = quantlab("qa", MARKET, *places)
    assert again.code == 0
    assert again.out.startswith("4 of 4 days already current, nothing to make.")

    put_file(folder, kline_name(DAYS[1]), wavy(DAYS[1], gap_at=600))
    corrected = quantlab("qa", MARKET, *places)
    assert corrected.code == 3, corrected.err
    told = corrected.out.splitlines()
    assert told[0] == "1 of 4 days already current, 3 made again:"
    name = kline_name(DAYS[1]).rpartition("/")[2]
    assert told[1].split("  ")[1:] == [
        str(DAYS[1]), f"bars_1m_perp: {name} came again with other content",
    ]  # fmt: skip
    assert f"bars_1m_perp of {DAYS[1]} changed" in told[2]
    assert line(corrected, "BTCUSDT", "bars_1m_perp")[2:] == ["5,715", "3", "1", "0", "gaps", "x1"]
    assert "10:01-10:45 (45)" in page.read_text()
    (row,) = pl.read_csv(page.with_name("qa_report.csv")).iter_rows(named=True)
    assert (row["day"], row["check"], row["count"]) == (str(DAYS[1]), "gaps", GAP_MIN)
    assert row["places"] == "10:01-10:45 (45)"


def test_days_in_the_middle_bring_what_they_look_back_at(
    quantlab: Command, places: tuple[str | Path, ...]
) -> None:
    said = quantlab("qa", MARKET, "--from", str(DAYS[3]), *places)
    assert said.code == 0, said.err
    assert said.out.startswith("0 of 1 days already current, 1 made.")
    earlier = f"{DAYS[0]} .. {DAYS[2]}"
    assert f"Made too, because these look back at them: {earlier}." in said.out
    assert f"BTCUSDT, 1 day ({DAYS[3]} .. {DAYS[3]})" in said.out


# --- one's own folder ---------------------------------------------------------------------------


def test_a_gap_in_ones_own_folder_of_a_single_day_as_json(
    quantlab: Command, folder: Path, data: Path
) -> None:
    put_file(folder, kline_name(DAYS[2]), wavy(DAYS[2], gap_at=600))
    days = ("--from", str(DAYS[2]), "--to", str(DAYS[2]))
    own = ("--source", "binance_archive", "--path", folder, "--data", data)
    said = quantlab("qa", *own, *days, "--json")
    assert said.code == 3, said.err
    assert said.out.count("\n") == 1
    told = json.loads(said.out)
    assert told["market"].startswith("adhoc_binance_archive_")
    assert told["exit_code"] == 3
    assert (told["first_day"], told["last_day"]) == (str(DAYS[2]), str(DAYS[2]))
    assert told["symbol_days"] == {
        "all": 1, "admitted": 0, "failed": 1, "not_evaluable": 0, "not_examined": 0,
    }  # fmt: skip
    assert told["days"] == {"current": 0, "made": [str(DAYS[2])], "made_again": {}}
    assert told["datasets"][0] == {
        "symbol": "BTCUSDT", "dataset": "bars_1m_perp", "rows": 1440 - GAP_MIN,
        "passed": 0, "failed": 1, "not_evaluable": 0, "reasons": {"gaps": 1},
    }  # fmt: skip
    assert Path(told["page"]).is_file()
    assert Path(told["table"]).is_file()
    assert "qa_report" in said.err, "progress goes to stderr"


# --- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), ("Name one market", "world_smoke")),
        (("world_smoke", "--source", "freqtrade"), ("Name one market",)),
        (("--source", "freqtrade"), ("--source and --path",)),
        (("world_smok",), ("specs/markets/world_smok.yaml", "Did you mean `world_smoke`?")),
        (("world_smoke", "--symbols", "AAAUSD"), ("no symbol AAAUSD", "Did you mean `AAAUSDT`?")),
        (("world_smoke", "--from", "2020-01-01"), ("2020-01-01", "2025-03-01 .. ")),
        (("world_smoke", "--from", "2025-03-03", "--to", "2025-03-02"), ("is before --from",)),
    ],
)
def test_bad_usage(
    quantlab: Command, data: Path, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(quantlab("qa", *args, "--data", data), *words)
    assert not data.exists()


def test_a_market_whose_folder_is_gone(
    quantlab: Command, folder: Path, places: tuple[str | Path, ...]
) -> None:
    shutil.rmtree(folder)
    refused(quantlab("qa", MARKET, *places), "There is no folder", str(folder))


def test_a_folder_without_bars_of_the_markets_symbols(
    quantlab: Command, folder: Path, places: tuple[str | Path, ...]
) -> None:
    shutil.rmtree(folder)
    put_file(folder, kline_name(DAYS[0], "ETHUSDT"), wavy(DAYS[0]))
    refused(quantlab("qa", MARKET, *places), "no perpetual minute bars of its symbols")


# --- how changes are told -----------------------------------------------------------------------


def test_days_with_one_reason_are_told_together_where_they_are_consecutive() -> None:
    apart = Changes(current=(DAYS[1],), again=dict.fromkeys((DAYS[0], DAYS[2]), ("x",)))
    assert told_changes(apart)[1:] == [f"  {DAYS[0]}  x", f"  {DAYS[2]}  x"]
    again = {**dict.fromkeys(DAYS[:3], ("the code of qa_report changed",)), DAYS[3]: tuple("abcd")}
    assert told_changes(Changes(again=again)) == [
        "0 of 4 days already current, 4 made again:",
        f"  {DAYS[0]} .. {DAYS[2]}  the code of qa_report changed",
        f"  {DAYS[3]}  a; b; c and 1 more",
    ]
    same = Changes(current=tuple(DAYS), same=(DAYS[0],))
    assert (
        told_changes(same)[1]
        == "The source sent other files of 1 of these days; their rows are the same."
    )

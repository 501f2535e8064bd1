"""`quantlab attack`: honest features stay green, a leaked build is named, mistakes are told."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.research.features import build as build_module
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.project_lake import open_market_lake, project_of
from quantlab_pipeline_tests.cli.builders import Command
from quantlab_pipeline_tests.cli.conftest import Ran
from quantlab_pipeline_tests.cli.test_bad_input import refused

OI = "oi_change_1h_bps"
DAY = "2025-03-03"


@pytest.fixture
def places(ran: Ran, tmp_path: Path) -> tuple[str, ...]:
    """The study that was run, on a copy of its data."""
    shutil.copytree(ran.data, tmp_path / "data")
    own = ("--project", str(ran.project), "--data", str(tmp_path / "data"))
    return (ran.summary["study"], *own)


def lake_of(ran: Ran, data: Path) -> Lake:
    project = project_of(ran.project, data)
    market = project.market(ran.summary["market"])
    return open_market_lake(project, market, data, lambda: datetime(2025, 4, 1, tzinfo=UTC))


@pytest.fixture
def on_event_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The build joins every fact on the instant it describes, as if it were known at once."""
    honest = build_module.asof_rows

    def leaking(symbols, first_minute, n_minutes, facts, max_age=None):
        early = facts.with_columns(available_at="ts")
        return honest(symbols, first_minute, n_minutes, early, max_age)

    monkeypatch.setattr(build_module, "asof_rows", leaking)


# --- what is attacked ---------------------------------------------------------------------------


def test_honest_features_stay_green_and_no_verdict_is_recorded(
    ran: Ran, places: tuple[str, ...], quantlab: Command, tmp_path: Path
) -> None:
    lake = lake_of(ran, tmp_path / "data")
    before = lake.verdicts.history(Gate.PIT1, f"day={DAY}")
    said = quantlab("attack", *places, "--from", DAY, "--to", DAY)
    assert said.code == 0, said.err
    assert "over 1 day and 1 symbol attacked at " in said.out
    assert "bit for bit: all green" in said.out
    assert "features built again" in said.out
    assert "LEAK" not in said.out
    assert "attack" in said.err, "progress goes to stderr"
    page = (
        tmp_path / "data" / "lake" / ran.summary["market"] / "artifacts" / places[0] / "pit1.html"
    )
    assert "records no verdict" in page.read_text(encoding="utf-8")
    assert lake_of(ran, tmp_path / "data").verdicts.history(Gate.PIT1, f"day={DAY}") == before


def test_a_leaked_build_is_named_with_its_row_its_input_and_its_reach(
    places: tuple[str, ...], quantlab: Command, on_event_time: None
) -> None:
    said = quantlab("attack", *places, "--from", DAY, "--to", DAY, "--feature", OI, "--json")
    assert said.code == 3, said.err
    told = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert (told["first_day"], told["last_day"], told["exit_code"]) == (DAY, DAY, 3)
    features = {f["feature"]: f for f in told["features"]}
    assert features[OI]["verdict"] == "FAIL"
    assert "LEAK_PREFIX" in features[OI]["reasons"]
    (leak,) = (k for k in told["leaks"] if (k["feature"], k["attack"]) == (OI, "prefix"))
    assert leak["source"] == "open_interest.oi_base"
    assert 0 < leak["reach_s"] <= 600
    assert leak["saw"].endswith("ahead")
    assert "Join open_interest on available_at" in leak["remedy"]
    assert leak["ts"].startswith(DAY)
    assert told["coverage"]["n_days"] == 1
    assert Path(told["page"]).is_file()


def test_what_is_red_is_told_in_a_table(
    places: tuple[str, ...], quantlab: Command, on_event_time: None
) -> None:
    said = quantlab("attack", *places, "--from", DAY, "--to", DAY, "--feature", OI)
    assert said.code == 3, said.err
    row = next(line for line in said.out.splitlines() if line.split()[:1] == [OI])
    assert "LEAK_PREFIX" in row
    assert "open_interest.oi_base" in row
    assert "ahead" in row
    assert " red (" in said.out


def test_one_bit_that_was_stored_wrong_is_seen(
    ran: Ran, places: tuple[str, ...], quantlab: Command, tmp_path: Path
) -> None:
    lake = lake_of(ran, tmp_path / "data")
    stored = lake.read("features_pt", [DAY], gated=False)
    wrong = stored.with_columns(pl.col("rv_1h_bps") * (1.0 + 2.0**-52))
    lake.write("features_pt", wrong, [DAY], reads=lake.lineage_for("features_pt", [DAY]))
    said = quantlab("attack", *places, "--from", DAY, "--to", DAY, "--feature", "rv_1h_bps")
    assert said.code == 3, said.err
    assert "NOT_REPRODUCED" in said.out


def test_the_full_mode_attacks_more_instants(places: tuple[str, ...], quantlab: Command) -> None:
    asked = ("--from", DAY, "--to", DAY, "--feature", "ret_1m_bps", "--json")
    few = json.loads(quantlab("attack", *places, *asked).out)
    many = json.loads(quantlab("attack", *places, *asked, "--full").out)
    assert (few["full"], many["full"]) == (False, True)
    counts = [sum(told["coverage"]["instants"].values()) for told in (few, many)]
    assert counts[1] > 3 * counts[0]
    assert [f["feature"] for f in few["features"]] == ["ret_1m_bps"]
    assert few["features"][0]["verdict"] == "PASS"


def test_a_feature_brings_those_it_is_made_of(places: tuple[str, ...], quantlab: Command) -> None:
    asked = ("--from", DAY, "--to", DAY, "--feature", "vol_ratio_15m_1d", "--json")
    told = json.loads(quantlab("attack", *places, *asked).out)
    specs = project_of(Path(places[2])).features()
    assert [f["feature"] for f in told["features"]] == specs.only(["vol_ratio_15m_1d"]).names
    assert len(told["features"]) > 1


def test_features_that_are_no_longer_current_are_attacked_and_told(
    ran: Ran, places: tuple[str, ...], quantlab: Command, tmp_path: Path
) -> None:
    project = shutil.copytree(ran.project, tmp_path / "project")
    document = project / "specs" / "feature_specs.yaml"
    text = document.read_text(encoding="utf-8")
    document.write_text(text.replace("meaning: ", "meaning: Said anew. ", 1), encoding="utf-8")
    own = (places[0], "--project", project, *places[3:])
    said = quantlab("attack", *own, "--from", DAY, "--to", DAY, "--feature", "ret_1m_bps")
    assert said.code == 0, said.err
    assert f"features_pt of {DAY} was made by older code, specs or data" in said.out
    assert f"quantlab run {places[0]}" in said.out


# --- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--feature", "oi_z_1"), ("oi_z_1", "Did you mean", "oi_z_1d")),
        (("--symbols", "AAAUSD"), ("no symbol AAAUSD", "Did you mean `AAAUSDT`?")),
        (("--from", "2024-01-01"), ("2025-03-01 .. 2025-03-04", "not all of 2024-01-01 ..")),
        (("--from", "2025-03-03", "--to", "2025-03-02"), ("is before --from", "Swap")),
    ],
)
def test_a_name_or_a_day_that_is_not_there(
    ran: Ran, quantlab: Command, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(quantlab("attack", ran.summary["study"], *args, *ran.places), *words)


def test_a_study_that_is_not_there(ran: Ran, quantlab: Command) -> None:
    refused(quantlab("attack", "smok", *ran.places), "smok", "Did you mean `smoke`?")


def test_a_study_that_was_never_run(ran: Ran, quantlab: Command) -> None:
    refused(
        quantlab("attack", "smoke", *ran.places),
        "features of smoke were never built on 7 days (2025-03-01 .. 2025-03-07)",
        "quantlab run smoke",
    )


def test_a_day_that_was_never_built_is_told_beside_those_that_were(
    ran: Ran, places: tuple[str, ...], quantlab: Command, tmp_path: Path
) -> None:
    market = tmp_path / "data" / "lake" / ran.summary["market"]
    (market / "manifests" / "features_pt" / "day=2025-03-04.json").unlink()
    refused(
        quantlab("attack", *places),
        "never built on 2025-03-04",
        "choose --from and --to inside 2025-03-01 .. 2025-03-03",
    )

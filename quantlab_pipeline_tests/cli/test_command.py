"""The command on a small generated market that is really run: what it prints and returns."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.commands.adhoc import Folder, make_adhoc
from quantlab_pipeline.core.fingerprints import digest_bytes
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline_tests.cli.builders import Command, Said
from quantlab_pipeline_tests.cli.conftest import Ran

GATES = ["D0", "PIT-1", "E-1", "V1", "B", "S", "P"]
HEAVY = ("dagster", "numba", "polars", "pandera", "scipy", "statsmodels", "pyarrow", "rich")


# --- start-up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["world", "make", "--help"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys\n"
        "from quantlab_pipeline.cli import app\n"
        "try: app(sys.argv[1:], prog_name='quantlab')\n"
        "except SystemExit as ended: assert not ended.code\n"
        f"sys.exit(' '.join(m for m in {HEAVY} if m in sys.modules) or 0)"
    )
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: quantlab")


# --- worlds and runs ------------------------------------------------------------------------------


def test_a_world_is_made_with_its_truth_sealed_apart(ran: Ran) -> None:
    card = json.loads((ran.folder / "WORLD.json").read_text())
    assert (card["scenario"], card["seed"]) == ("tiny", 5)
    (seal,) = (ran.data / "sealed").iterdir()
    assert digest_bytes(seal.read_bytes()) == card["truth"]
    assert card["truth"] in ran.made
    assert not any("truth" in path.name for path in ran.folder.rglob("*"))
    assert "episodes" not in (ran.folder / "WORLD.json").read_text()


def test_a_world_is_not_made_over_something(ran: Ran, quantlab: Command) -> None:
    said = quantlab("world", "make", "tiny", "--out", ran.folder, *ran.places)
    assert (said.code, said.out) == (2, "")
    assert "not an empty folder" in said.err


def test_json_is_one_object_and_the_code_says_that_a_gate_stopped_it(ran: Ran) -> None:
    assert ran.run.returncode == 3, ran.run.stderr
    assert ran.run.stdout.count("\n") == 1
    told = ran.summary
    assert set(told) == {"market", "study", "exit_code", "gates", "artifacts", "manifest"}
    assert told["exit_code"] == 3
    assert told["market"] == told["study"]
    assert told["study"].startswith("adhoc_binance_archive_")
    assert [g["gate"] for g in told["gates"]] == GATES
    assert all(set(g) == {"gate", "verdict", "judged", "passed", "reasons"} for g in told["gates"])
    verdicts = {g["gate"]: g for g in told["gates"]}
    assert (verdicts["D0"]["verdict"], verdicts["D0"]["judged"]) == ("PASS", 4)
    assert verdicts["E-1"]["verdict"] == "FAIL"
    assert "TOO_RARE" in verdicts["E-1"]["reasons"]
    assert verdicts["P"] == {
        "gate": "P", "verdict": "NOT_EVALUABLE", "judged": 0, "passed": 0,
        "reasons": ["UPSTREAM_EMPTY"],
    }  # fmt: skip
    assert (Path(told["artifacts"]) / "gate_board.html").is_file()
    assert json.loads(Path(told["manifest"]).read_text())["study"] == told["study"]
    assert "features_pt" in ran.run.stderr, "progress goes to stderr"


def test_the_market_lies_beside_the_data_and_keeps_its_name(ran: Ran, quantlab: Command) -> None:
    name = ran.summary["study"]
    document = (ran.data / "adhoc" / "markets" / f"{name}.yaml").read_text()
    assert "synthetic: true" in document
    assert not (ran.project / "specs" / "markets" / f"{name}.yaml").exists()
    assert quantlab("specs", "check", *ran.places).code == 0


def test_a_folders_place_is_no_part_of_its_name(ran: Ran, tmp_path: Path) -> None:
    moved = shutil.copytree(ran.folder, tmp_path / "moved")
    project = Project(ran.project, adhoc=tmp_path / "adhoc")
    market, study = make_adhoc(project, Folder("binance_archive", moved))
    assert market.name == study.name == ran.summary["study"]
    assert project.market(market.name) == market
    narrower = Folder("binance_archive", moved, ("AAAUSDT",), last_day=study.last_day)
    assert make_adhoc(project, narrower)[1] == study
    (moved / "WORLD.json").unlink()
    assert make_adhoc(project, narrower)[0].synthetic is False


def test_gates_prints_the_table_again(ran: Ran, quantlab: Command) -> None:
    said = quantlab("gates", ran.summary["study"], *ran.places)
    assert said.code == 3
    rows = [line.split() for line in said.out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in GATES] == GATES
    assert "nothing here is ever admissible" in said.out
    assert "gate_board.html" in said.out
    assert "Pages       events.html, features.html, pit1.html, beside it" in said.out


# --- waived, explained, revealed ------------------------------------------------------------------


@pytest.fixture(scope="module")
def waived(ran: Ran) -> Said:
    """The same study with every later gate waived: it reaches the portfolio."""
    gates = [word for gate in GATES[2:] for word in ("--waive", gate)]
    args = ["run", ran.summary["study"], *gates, "--reason", "to see [all]", *ran.places]
    command = [sys.executable, "-m", "quantlab_pipeline.cli", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_run_whose_gates_are_all_waived_ends_well(ran: Ran, waived: Said) -> None:
    assert waived.code == 0, waived.err
    assert waived.out.count("waived: to see [all]") == 5
    folder = Path(ran.summary["artifacts"])
    verdicts = json.loads((folder / "gate_verdicts.json").read_text())
    assert verdicts["admissible"] is False
    assert [g["verdict"] for g in verdicts["gates"]] == ["PASS", "PASS", *["WAIVED"] * 5]


def test_why_explains_the_best_reject(ran: Ran, waived: Said, quantlab: Command) -> None:
    said = quantlab("why", *ran.places)
    assert said.code == 0, said.err
    table = pl.read_csv(Path(ran.summary["artifacts"]) / "phase2_candidates.csv")
    tested = table.filter(pl.col("p").is_not_null()).sort("p", "candidate_id")
    assert said.out.startswith(tested["candidate_id"][0])
    assert "A plain t-test on the same events says t =" in said.out
    assert "mde80_bps" in said.out
    assert "NOT_SIGNIFICANT: a net effect of" in said.out
    assert "FEW_DAYS: events on at least" in said.out
    assert "min_active_days" in said.out
    assert "minutes late" in said.out
    assert "strongest_slice" in said.out
    for line in ("Costs     ", "Capacity  ", "Slices    "):
        assert line in said.out
    assert f"candidates/{tested['candidate_id'][0]}.html" in said.out


def test_why_tells_what_execution_left_of_a_strategy(
    ran: Ran, waived: Said, quantlab: Command
) -> None:
    folder = Path(ran.summary["artifacts"])
    results = pl.read_csv(folder / "bridge_results.csv")
    row = results.sort("n_trades").row(-1, named=True)
    said = " ".join(quantlab("why", row["strategy_id"], *ran.places).out.split())
    assert f"net {row['net_bps']:+.1f} bps a trade ({row['n_trades']:,} trades" in said
    assert "Carries " in said
    assert f"strategies/{row['strategy_id']}.html" in said
    artifact = quantlab("why", "strategies.html", *ran.places).out
    assert "bridge_results" in artifact
    unexecuted = pl.read_csv(folder / "phase2_candidates.csv").filter(
        ~pl.col("candidate_id").is_in(results["candidate_id"].implode())
    )
    other = quantlab("why", unexecuted["candidate_id"][0], *ran.places).out
    assert "Executed " not in other
    assert "strategies/" not in other


def test_why_takes_a_prefix_another_item_or_an_artifact(
    ran: Ran, waived: Said, quantlab: Command
) -> None:
    table = pl.read_csv(Path(ran.summary["artifacts"]) / "phase2_candidates.csv")
    name = table["candidate_id"][7]
    assert quantlab("why", name[:-3], *ran.places).out.startswith(name)
    event = quantlab("why", "upper_wick", *ran.places).out
    assert "E-1 WAIVED" in event
    assert ">= " in event
    artifact = quantlab("why", "phase2_candidates.csv", *ran.places).out
    assert "phase2_candidates" in artifact
    assert "synthetic, waiver:E-1:" in " ".join(artifact.split())
    assert "ledger head" in artifact
    many = quantlab("why", "upper_wick.all", *ran.places)
    assert many.code == 2
    assert "names begin with upper_wick.all" in many.err
    wrong = quantlab("why", "uper_wick", *ran.places)
    assert (wrong.code, wrong.out) == (2, "")
    assert "Did you mean upper_wick?" in wrong.err


def test_reveal_opens_the_truth_that_was_sealed(ran: Ran, waived: Said, quantlab: Command) -> None:
    said = quantlab("world", "reveal", ran.summary["market"], *ran.places)
    assert said.code == 0, said.err
    assert json.loads((ran.folder / "WORLD.json").read_text())["truth"] in said.out
    planted = next(line for line in said.out.splitlines() if "volume_spike" in line)
    assert planted.split() == ["volume_spike", "absorbed_volume", "up", "40", "60", "1h", "8"]
    assert "0 survived V1" in said.out


def test_the_doctor_finds_damage(ran: Ran, waived: Said, quantlab: Command) -> None:
    assert quantlab("doctor", "--dry-run", *ran.places).code == 0
    lake = ran.data / "lake" / ran.summary["market"]
    path = next(iter(sorted(lake.glob("tables/labels_fwd/**/*.parquet"))))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    try:
        said = quantlab("doctor", "--dry-run", *ran.places)
    finally:
        path.write_bytes(whole)
    assert said.code == 2
    assert "damaged" in said.err
